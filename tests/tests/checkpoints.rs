//! Checkpoints: a process goes on after one, and a new one goes on from it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use homenode_tests::{Case, Running, Way, guest, mosexec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longest time until something is seen.
const PATIENCE: Duration = Duration::from_secs(30);

/// `migrate PID checkpoint FILE`: its exit status and what it says.
fn checkpoint(pid: i32, file: &Path) -> (Option<i32>, String) {
    let done = Command::new(mosexec().with_file_name("migrate"))
        .arg(pid.to_string())
        .arg("checkpoint")
        .arg(file)
        .output()
        .expect("migrate beside mosexec");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.code(), said)
}

/// `mosexec --restart` with these options.
fn restart(options: &[&str], file: &Path) -> Child {
    Command::new(mosexec())
        .args(options)
        .arg("--restart")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mosexec")
}

/// Closes what the tests were started with, which cannot be saved.
const CLOSE: &str = "for n in {3..300}; do eval \"exec $n>&-\"; done 2>/dev/null; exec";

fn counts(what: &str) -> Case {
    let case = guest("checkpoint_counts").env("WHAT", what).time_limit(60);
    case.around(&format!("{CLOSE} \"$@\""))
}

fn lines(work: &Path) -> usize {
    fs::read_to_string(work.join("numbers")).map_or(0, |text| text.lines().count())
}

fn await_lines(work: &Path, more: usize) {
    let (wanted, since) = (lines(work) + more, Instant::now());
    while lines(work) < wanted {
        assert!(since.elapsed() < PATIENCE, "it does not count");
        thread::sleep(Duration::from_millis(5));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Only the checkpoint itself is there, for its owner alone.
fn is_alone(work: &Path) {
    let names: Vec<String> = fs::read_dir(work)
        .expect("the working directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("saved"))
        .collect();
    assert_eq!(names, ["saved"]);
    let mode = fs::metadata(work.join("saved"))
        .expect("a checkpoint")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
}

/// Takes a checkpoint, lets the original go on, kills it, and restarts.
fn goes_on(what: &str, way: Way, options: &[&str]) {
    let running = Running::start(&counts(what), way);
    running.await_output("ready");
    let (pid, work) = (running.pid(), running.work());
    let file = work.join("saved");
    await_lines(&work, 50);
    assert_eq!(checkpoint(pid, &file), (Some(0), String::new()));
    is_alone(&work);
    await_lines(&work, 50);
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a process that goes on");
    let until = Instant::now() + PATIENCE;
    while Path::new(&format!("/proc/{pid}/fd/0")).exists() && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    let before = lines(&work);
    let again = restart(options, &file);
    await_lines(&work, 50);
    fs::write(work.join("over"), "").expect("a file in the working directory");
    let Output {
        status,
        stdout,
        stderr,
    } = again.wait_with_output().expect("an end");
    assert_eq!(
        text(&stdout),
        "restarted\nOK checkpoint_counts\n",
        "{}",
        text(&stderr)
    );
    assert_eq!((status.code(), text(&stderr)), (Some(0), String::new()));
    assert!(lines(&work) > before);
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!(outcome.status.as_shell(), 137);
}

#[test]
fn one_thread_at_home() {
    goes_on("", Way::AtHome, &[]);
}

#[test]
fn threads_from_elsewhere_to_elsewhere() {
    goes_on("threads", Way::Elsewhere, &["--embedded", "2", "--on", "2"]);
}

#[test]
fn the_original_goes_on_where_it_was() {
    let running = Running::start(&counts("threads"), Way::Elsewhere);
    running.await_output("ready");
    let file = running.work().join("saved");
    for _ in 0..5 {
        assert_eq!(checkpoint(running.pid(), &file), (Some(0), String::new()));
        await_lines(&running.work(), 10);
    }
    // As it is there already, it has gone back.
    let done = Command::new(mosexec().with_file_name("migrate"))
        .args([&running.pid().to_string(), "2"])
        .output()
        .expect("migrate beside mosexec");
    assert!(
        text(&done.stderr).contains("it is there already"),
        "{}",
        text(&done.stderr)
    );
    fs::write(running.work().join("over"), "").expect("a file in the working directory");
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!(outcome.status.as_shell(), 0, "{}", text(&outcome.stderr));
    assert_eq!(text(&outcome.stdout), "ready\nOK checkpoint_counts\n");
}

fn is_refused(what: &str, why: &str) {
    let running = Running::start(&counts(what), Way::Elsewhere);
    running.await_output("ready");
    let file = running.work().join("saved");
    let (status, said) = checkpoint(running.pid(), &file);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(why), "{said:?} lacks {why:?}");
    assert!(!file.exists());
    await_lines(&running.work(), 10);
    fs::write(running.work().join("over"), "").expect("a file in the working directory");
    let outcome = running.finish();
    assert_eq!(outcome.status.as_shell(), 0, "{}", text(&outcome.stderr));
}

#[test]
fn what_cannot_be_had_again_is_named() {
    is_refused("pipe", "is a pipe, which cannot be opened again");
    is_refused("lock", "numbers) holds a lock");
    is_refused("deleted", "is deleted, or another file has its name");
    is_refused("child", "it has a child, process ");
}

#[test]
fn a_file_that_is_not_right_starts_nothing() {
    let running = Running::start(&counts(""), Way::AtHome);
    running.await_output("ready");
    let work = running.work();
    let (file, bad) = (work.join("saved"), work.join("bad"));
    assert_eq!(checkpoint(running.pid(), &file), (Some(0), String::new()));
    fs::write(work.join("over"), "").expect("a file in the working directory");
    let good = fs::read(&file).expect("a checkpoint");
    let refused = |bytes: &[u8], mode: u32, why: &str| {
        fs::write(&bad, bytes).expect("a file in the working directory");
        fs::set_permissions(&bad, fs::Permissions::from_mode(mode)).expect("an own file");
        let done = restart(&[], &bad).wait_with_output().expect("an end");
        let said = text(&done.stderr);
        assert_eq!(
            (done.status.code(), text(&done.stdout)),
            (Some(125), String::new()),
            "{said}"
        );
        assert!(said.contains(why), "{said:?} lacks {why:?}");
    };
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    refused(&changed(0), 0o600, "it is no checkpoint");
    refused(&changed(8), 0o600, "it is of version");
    refused(&changed(12), 0o600, "it is of machine");
    refused(&changed(17), 0o600, "it is damaged");
    refused(&changed(23), 0o600, "it is damaged");
    refused(&changed(100), 0o600, "another digest");
    refused(&changed(good.len() - 1), 0o600, "another digest");
    refused(&good[..good.len() / 2], 0o600, "it is damaged");
    refused(&good[..10], 0o600, "too short");
    refused(&good, 0o620, "others may write it");
    fs::rename(work.join("log"), work.join("gone")).expect("the program's file");
    refused(&good, 0o600, "log, which was open: No such file");
    fs::create_dir(work.join("log")).expect("a directory");
    refused(&good, 0o600, "log, which was open, is of another kind now");
    drop(running.finish());
}

#[test]
fn again_and_again() {
    let script = format!(
        "{CLOSE} '{}' --checkpoint-every 1 --checkpoint saved -- \"$@\"",
        mosexec().display()
    );
    let running = Running::start(&counts("threads").around(&script), Way::Native);
    running.await_output("ready");
    let file = running.work().join("saved");
    let written = || fs::metadata(&file).and_then(|meta| meta.modified()).ok();
    let until = Instant::now() + PATIENCE;
    while written().is_none() && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
    let first = written();
    while written() == first && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(first.is_some() && written() != first);
    fs::write(running.work().join("over"), "").expect("a file in the working directory");
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!(outcome.status.as_shell(), 0, "{}", text(&outcome.stderr));
}
