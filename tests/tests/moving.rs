//! Moving a process while it runs: by command, and with a fault at each step.

use std::fs;
use std::process::Command;

use homenode_tests::{Case, Running, SHARED_MAPPING, Way, check, guest, mosexec};

/// `migrate` with these arguments: its exit status and what it says.
fn migrate(arguments: &[&str]) -> (Option<i32>, String) {
    let program = mosexec().with_file_name("migrate");
    let done = Command::new(program)
        .args(arguments)
        .output()
        .expect("migrate beside mosexec");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.code(), said)
}

fn moves(pid: &str, to: &str) {
    assert_eq!(migrate(&[pid, to]), (Some(0), String::new()), "to {to}");
}

fn stays(pid: &str, to: &str, why: &str) {
    let (status, said) = migrate(&[pid, to]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(why), "{said:?} lacks {why:?}");
}

#[test]
fn to_and_fro_by_command() {
    let mut case = guest("moving_target");
    case = case.time_limit(60);
    let running = Running::start(&case, Way::Elsewhere);
    running.await_output("ready");
    let pid = running.pid().to_string();
    for _ in 0..5 {
        moves(&pid, "home");
        stays(&pid, "home", "it is there already");
        moves(&pid, "2");
        stays(&pid, "2", "it is there already");
    }
    stays(&pid, "7", "there is no node 7; nodes: 1 (home), 2");
    stays(&pid, "nowhere", "there is no node nowhere");
    stays("1", "home", "process 1 was not started by mosexec");
    assert_eq!(migrate(&["--job", &pid, "home"]), (Some(0), String::new()));
    // Not there for the program, which has made it by itself if all of this took long.
    let _ = fs::write(running.work().join("over"), "");
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!(outcome.status.as_shell(), 0, "{:?}", outcome.stderr);
}

/// What the job's own processes have: descriptors, threads, and memory in KiB.
fn holdings(running: &Running) -> [usize; 3] {
    let programs = ["homenode-homeproxy", "homenode-runtime"];
    let own: Vec<_> = programs
        .iter()
        .flat_map(|program| running.await_processes(program))
        .collect();
    assert_eq!(own.len(), programs.len(), "{own:?}");
    let sum = |of: &dyn Fn(i32) -> usize| own.iter().map(|process| of(process.pid)).sum();
    let entries = |pid: i32, what: &str| {
        let entries = fs::read_dir(format!("/proc/{pid}/{what}"));
        entries.map_or(0, Iterator::count)
    };
    let memory = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or(0)
    };
    [
        sum(&|pid| entries(pid, "fd")),
        sum(&|pid| entries(pid, "task")),
        sum(&memory),
    ]
}

#[test]
fn a_thousand_moves_leave_nothing() {
    const BEFORE: usize = 100;
    const MOVES: usize = 1000;
    /// What allocators and the pools of lanes and helpers may come to hold after the first moves.
    const MORE: [usize; 3] = [8, 4, 2048];
    let case = Case::script("sh", "echo ready; while [ ! -e over ]; do :; done").time_limit(300);
    let running = Running::start(&case, Way::Elsewhere);
    running.await_output("ready");
    let pid = running.pid().to_string();
    let to_and_fro = |times: usize| {
        for _ in 0..times / 2 {
            moves(&pid, "home");
            moves(&pid, "2");
        }
        holdings(&running)
    };
    let before = to_and_fro(BEFORE);
    let after = to_and_fro(MOVES);
    for ((before, after), more) in before.iter().zip(&after).zip(MORE) {
        let grown = format!("{before} after {BEFORE} moves, {after} after {MOVES} more");
        assert!(*after <= before + more, "{grown}");
    }
    fs::write(running.work().join("over"), "").expect("a file of our own");
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!(outcome.status.as_shell(), 0, "{:?}", outcome.stderr);
}

#[test]
fn a_process_with_a_reason_stays_at_home() {
    let running = Running::start(
        &Case::script("python3", SHARED_MAPPING).time_limit(30),
        Way::Elsewhere,
    );
    running.await_output("ready");
    let pid = running.pid().to_string();
    stays(&pid, "2", "it called mmap of a file, shared and writable");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(running.pid()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .expect("a process of one's own");
    assert_eq!(running.finish().problems, Vec::<String>::new());
}

/// Who writes it by its other name would not be seen elsewhere.
#[test]
fn a_process_that_has_mapped_a_file_without_a_name_stays_at_home() {
    let script = "import mmap, os, time\n\
                  with open('file', 'wb') as file: file.write(bytes(4096))\n\
                  os.link('file', 'other')\n\
                  memory = mmap.mmap(os.open('file', os.O_RDONLY), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)\n\
                  os.unlink('file')\n\
                  print('ready', flush=True)\n\
                  while not os.path.exists('over'): time.sleep(0.01)\n\
                  print(memory[0])";
    let case = Case::script("python3", script).time_limit(30);
    let running = Running::start(&case, Way::Elsewhere);
    running.await_output("ready");
    let pid = running.pid().to_string();
    moves(&pid, "home");
    stays(&pid, "2", "file (deleted): ");
    fs::write(running.work().join("other"), [7; 4096]).expect("a file of our own");
    fs::write(running.work().join("over"), "").expect("a file of our own");
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert!(outcome.stdout.ends_with(b"7\n"), "{:?}", outcome.stdout);
}

#[test]
fn another_user_may_not() {
    let running = Running::start(
        &Case::script("sh", "echo ready; exec sleep 300").time_limit(30),
        Way::Elsewhere,
    );
    running.await_output("ready");
    let pid = running.pid().to_string();
    let strangers = format!(
        "dir=$(mktemp -d -p /tmp) && chmod 755 $dir && cp {} $dir && \
         setpriv --reuid 65534 --regid 65534 --clear-groups $dir/migrate {pid} home 2>&1; \
         echo $?; rm -r $dir",
        mosexec().with_file_name("migrate").display()
    );
    // Nobody but root can be another user.
    if nix::unistd::geteuid().is_root() {
        let said = Command::new("sh")
            .args(["-c", &strangers])
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert_eq!(
            said,
            "migrate: user 65534 may not move processes of user 0\n1\n"
        );
    }
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(running.pid()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .expect("a process of one's own");
    assert_eq!(running.finish().problems, Vec::<String>::new());
}

/// With a fault at this point a program runs as natively: where it was, or at home.
fn fault(point: &str, way: Way) {
    let case = guest("moving_target").env("HOMENODE_FAULT", point);
    check(way, &case);
    let script = "i=0; while [ $i -lt 20 ]; do echo $i | cat; i=$((i + 1)); done";
    check(
        way,
        &Case::script("sh", script).env("HOMENODE_FAULT", point),
    );
}

/// A process that runs already when its pages fail to come is lost: nobody else has
/// run it, and its user is told.
#[test]
fn a_process_whose_pages_do_not_come_ends() {
    starves("pages", &["home", "2"], "its pages do not come");
    starves("pages-home", &["home"], "its memory has not come home");
}

/// Where this fault is, the last of these moves is the end of the process, with this word.
fn starves(fault: &str, moves_to: &[&str], word: &str) {
    // More memory than travels with the image.
    let script = "memory = bytes(range(1, 251)) * 40000\n\
                  print('ready', flush=True)\n\
                  while True:\n    \
                      assert memory.count(b'\\1') == 40000";
    let case = Case::script("python3", script)
        .env("HOMENODE_FAULT", fault)
        .time_limit(60);
    let running = Running::start(&case, Way::Elsewhere);
    running.await_output("ready");
    let pid = running.pid().to_string();
    for to in moves_to {
        moves(&pid, to);
    }
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!(outcome.status.as_shell(), 137, "{:?}", outcome.stderr);
    let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert!(said.contains(word), "{said:?}");
}

/// On nodes that share no files, a guest maps copies.
#[test]
fn files_that_the_host_lacks_are_copied() {
    let programs = ["mmap_file", "mmap_changes", "shared_reading", "exec_ways"];
    for way in [Way::Elsewhere, Way::Stirred] {
        for program in programs {
            check(way, &guest(program).env("HOMENODE_FAULT", "local-file"));
        }
    }
}

#[test]
fn a_process_that_cannot_be_captured_stays() {
    fault("capture", Way::Shuffled);
}

#[test]
fn a_process_whose_body_cannot_be_made_goes_on_at_home() {
    fault("rebuild", Way::Elsewhere);
    fault("rebuild", Way::Shuffled);
}

#[test]
fn a_process_that_cannot_be_restored_stays_away() {
    fault("restore", Way::Shuffled);
}
