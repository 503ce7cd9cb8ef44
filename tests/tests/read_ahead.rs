//! Files that are read ahead, and writers at home: a guest sees what was written, and nobody waits
//! for it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use homenode_tests::{Case, Running, Way, mosexec};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

const PIECE: usize = 64 * 1024;
const PIECES: usize = 64;
const ROUNDS: usize = 16;
/// What a writer may wait on a busy machine; the kernel would let it wait for 45 seconds.
const PATIENCE: Duration = Duration::from_secs(2);
const O_NONBLOCK: i32 = nix::libc::O_NONBLOCK;

/// Reads half of the file, waits for a line from the FIFO, reads the rest; prints the letters.
const READER: &str = r#"
    $| = 1; open(my $go, "<", "go") or die "go: $!";
    for my $round (0 .. $ARGV[0] - 1) {
        open(my $file, "<", "file") or die; my ($data, $seen) = ("", "");
        for my $piece (0 .. 63) {
            if ($piece == 8) { print "half $round\n"; <$go>; }
            sysread($file, $data, 65536) == 65536 or die "short read";
            my $letter = substr($data, 0, 1);
            $data eq $letter x 65536 or die "mixed piece $piece of round $round";
            $seen .= $letter unless $seen =~ /$letter$/;
        }
        sysread($file, $data, 65536) == 0 or die "no end"; close $file;
        print "round $round $seen\n";
    }
"#;

fn letter(round: usize) -> u8 {
    b'a' + round as u8
}

fn reader(way: Way, rounds: usize, options: &[&str]) -> (Case, Way) {
    let mut command: Vec<OsString> = Vec::new();
    if way == Way::Elsewhere {
        command.push(mosexec().into());
        command.extend(["--embedded", "2", "--on", "2"].map(Into::into));
        command.extend(options.iter().map(Into::into));
        command.push("--".into());
    }
    command.extend(["perl", "-e", READER].map(Into::into));
    command.push(rounds.to_string().into());
    let case = Case::new(command)
        .prepare(|directory| {
            mkfifo(&directory.join("go"), Mode::S_IRWXU).expect("a FIFO");
            fs::write(directory.join("file"), vec![letter(0); PIECE * PIECES]).expect("a file");
        })
        .ignore("file")
        .ignore("go");
    (case, Way::Native)
}

/// Starts the reader; the FIFO's other end.
fn start(case: &(Case, Way)) -> (Running, File) {
    let running = Running::start(&case.0, case.1);
    let go = OpenOptions::new()
        .read(true)
        .write(true)
        .open(running.work().join("go"));
    (running, go.expect("the FIFO"))
}

/// Opens the file for writing; how long that took. One that does not want to wait tries again.
fn open_to_write(path: &Path, flags: i32) -> (File, Duration) {
    let began = Instant::now();
    loop {
        match OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path)
        {
            Ok(file) => return (file, began.elapsed()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(began.elapsed() < PATIENCE, "put off for too long");
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether a lease is on the file.
fn is_leased(path: &Path) -> bool {
    let inode = fs::metadata(path).expect("the file").ino();
    let locks = fs::read_to_string("/proc/locks").expect("/proc/locks");
    let of_file = format!(":{inode} ");
    locks
        .lines()
        .any(|line| line.contains("LEASE") && line.contains(&of_file))
}

/// A writer between two reads of the guest, in each round.
fn writes_in_turns(way: Way, flags: i32) {
    let case = reader(way, ROUNDS, &[]);
    let (running, mut go) = start(&case);
    let path = running.work().join("file");
    let mut leases = 0;
    for round in 0..ROUNDS {
        running.await_output(&format!("half {round}\n"));
        leases += usize::from(is_leased(&path));
        let (file, waited) = open_to_write(&path, flags);
        assert!(waited < PATIENCE, "waited {waited:?}");
        let next = vec![letter(round + 1); PIECE * PIECES];
        file.write_all_at(&next, 0).expect("to write");
        drop(file);
        assert!(!is_leased(&path));
        go.write_all(b"\n").expect("to tell");
    }
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    for round in 0..ROUNDS {
        let (old, new) = (letter(round) as char, letter(round + 1) as char);
        let line = format!("round {round} {old}{new}\n");
        assert!(stdout.contains(&line), "no {line:?} in {stdout}");
    }
    let expected = if way == Way::Native { 0 } else { ROUNDS };
    assert_eq!(leases, expected);
}

#[test]
fn a_writer_at_home_natively() {
    writes_in_turns(Way::Native, 0);
}

#[test]
fn a_writer_at_home() {
    writes_in_turns(Way::Elsewhere, 0);
}

#[test]
fn a_writer_at_home_that_does_not_wait() {
    writes_in_turns(Way::Elsewhere, O_NONBLOCK);
}

#[test]
fn a_writer_does_not_wait_for_a_stopped_guest() {
    let case = reader(Way::Elsewhere, 1, &[]);
    let (running, mut go) = start(&case);
    let path = running.work().join("file");
    running.await_output("half 0\n");
    let pid = Pid::from_raw(running.pid());
    kill(pid, Signal::SIGSTOP).expect("to stop it");
    std::thread::sleep(Duration::from_millis(50));
    assert!(is_leased(&path));
    let (file, waited) = open_to_write(&path, 0);
    assert!(waited < PATIENCE, "waited {waited:?}");
    file.write_all_at(&vec![b'z'; PIECE * PIECES], 0)
        .expect("to write");
    drop(file);
    kill(pid, Signal::SIGCONT).expect("to continue it");
    go.write_all(b"\n").expect("to tell");
    let outcome = running.finish();
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("round 0 az\n"));
}

#[test]
fn a_killed_guest_leaves_no_lease() {
    let case = reader(Way::Elsewhere, 1, &[]);
    let (running, _go) = start(&case);
    let path = running.work().join("file");
    running.await_output("half 0\n");
    assert!(is_leased(&path));
    kill(Pid::from_raw(running.pid()), Signal::SIGKILL).expect("to kill it");
    let began = Instant::now();
    while is_leased(&path) {
        assert!(began.elapsed() < PATIENCE, "still leased");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(running);
}

#[test]
fn it_can_be_turned_off() {
    let case = reader(Way::Elsewhere, 1, &["--no-read-ahead"]);
    let (running, mut go) = start(&case);
    running.await_output("half 0\n");
    assert!(!is_leased(&running.work().join("file")));
    go.write_all(b"\n").expect("to tell");
    let outcome = running.finish();
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("round 0 a\n"));
}
