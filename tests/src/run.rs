//! One run of a case: start, watch, end, and see what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::prctl::set_child_subreaper;

use crate::processes::{self, Process};
use crate::{Case, PATH, Status, Way, tree};

/// How long what a run has started may take to vanish after it.
const GRACE: Duration = Duration::from_secs(2);
/// How often a run is looked at.
const TICK: Duration = Duration::from_millis(2);

static TURN: Mutex<()> = Mutex::new(());

/// Runs take turns within a process, so that every descendant belongs to the run that goes on.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that could be seen of a run.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// The files it left in its working directory, one line each.
    pub files: BTreeMap<String, String>,
    /// What went wrong outside the program: a time limit, processes or mounts that stayed.
    pub problems: Vec<String>,
}

/// Bytes that a thread collects until the other end closes.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Stream>>);

#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    ended: bool,
}

impl Captured {
    fn from(mut source: impl Read + Send + 'static) -> Captured {
        let captured = Captured::default();
        let mine = captured.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                // A terminal whose other side has gone answers EIO.
                let n = source.read(&mut buffer).unwrap_or(0);
                let mut stream = mine.stream();
                stream.bytes.extend_from_slice(&buffer[..n]);
                stream.ended |= n == 0;
                if n == 0 {
                    return;
                }
            }
        });
        captured
    }

    fn none() -> Captured {
        Captured::from(std::io::empty())
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes(&self) -> Vec<u8> {
        self.stream().bytes.clone()
    }

    fn at_end(&self) -> bool {
        self.stream().ended
    }
}

/// A run that goes on. When dropped, everything it has started is killed.
pub struct Running {
    child: Child,
    /// The first process's, once it has been taken.
    status: Option<Status>,
    directory: tempfile::TempDir,
    stdout: Captured,
    stderr: Captured,
    terminal: Option<File>,
    mounts_before: BTreeSet<String>,
    deadline: Instant,
    time_limit: Duration,
    ignored_files: Vec<&'static str>,
    _turn: MutexGuard<'static, ()>,
}

impl Running {
    /// Starts a case in a fresh directory.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(case: &Case, way: Way) -> Running {
        let line = case.command_line(way);
        let turn = turn();
        set_child_subreaper(true).expect("a subreaper: Linux 3.4 or newer");
        let directory = make_directory();
        let dir = |name: &str| directory.path().join(name);
        for fill in &case.prepare {
            fill(&dir("work"));
        }
        let mounts_before = mounts();
        let mut command = Command::new(&line[0]);
        command
            .args(&line[1..])
            .current_dir(dir("work"))
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("HOME", dir("home"))
            .env("TMPDIR", dir("tmp"))
            .env("XDG_RUNTIME_DIR", dir("runtime"))
            .envs(case.environment.iter().map(|(name, value)| (name, value)));
        let start = |command: &mut Command| {
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{}: {error}", line[0].to_string_lossy()))
        };
        let (child, stdout, stderr, terminal);
        if case.on_terminal {
            let pty = openpty(None, None).expect("a pseudo-terminal");
            let slave = || pty.slave.try_clone().expect("a descriptor");
            child = start(command.stdin(slave()).stdout(slave()).stderr(slave()));
            // The slave stays open only in the run.
            drop(command);
            drop(pty.slave);
            let master = File::from(pty.master);
            stdout = Captured::from(master.try_clone().expect("a descriptor"));
            stderr = Captured::none();
            terminal = Some(master);
        } else {
            let input = if case.stdin.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            };
            command
                .stdin(input)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0);
            let mut started = start(&mut command);
            if let Some(mut input) = started.stdin.take() {
                let bytes = case.stdin.clone();
                // A program that does not read all of its input is no failure.
                std::thread::spawn(move || input.write_all(&bytes));
            }
            stdout = started
                .stdout
                .take()
                .map_or_else(Captured::none, Captured::from);
            stderr = started
                .stderr
                .take()
                .map_or_else(Captured::none, Captured::from);
            child = started;
            terminal = None;
        }
        Running {
            child,
            status: None,
            directory,
            stdout,
            stderr,
            terminal,
            mounts_before,
            deadline: Instant::now() + case.time_limit,
            time_limit: case.time_limit,
            ignored_files: case.ignored_files.clone(),
            _turn: turn,
        }
    }

    /// Its working directory.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// The pid of its first process, which is the command's own.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The living processes that it has started and that execute this program.
    #[must_use]
    pub fn processes(&self, program: &str) -> Vec<Process> {
        processes::descendants()
            .into_iter()
            .filter(|process| process.state != 'Z' && process.is(program))
            .collect()
    }

    /// Types this on its terminal.
    ///
    /// # Panics
    /// If the case is not on a terminal.
    pub fn type_text(&mut self, text: &str) {
        let terminal = self.terminal.as_mut().expect("a case on a terminal");
        terminal
            .write_all(text.as_bytes())
            .expect("a terminal that can be typed on");
    }

    /// Waits until standard output has this in it.
    ///
    /// # Panics
    /// If that does not happen within the time limit; with what there is.
    pub fn await_output(&self, text: &str) {
        self.await_that(&format!("{text:?} on standard output"), || {
            String::from_utf8_lossy(&self.stdout.bytes()).contains(text)
        });
    }

    /// Waits until there are living processes of this program, and gives them.
    ///
    /// # Panics
    /// If that does not happen within the time limit; with what there is.
    #[must_use]
    pub fn await_processes(&self, program: &str) -> Vec<Process> {
        self.await_that(&format!("a process of {program}"), || {
            !self.processes(program).is_empty()
        });
        self.processes(program)
    }

    fn await_that(&self, what: &str, happened: impl Fn() -> bool) {
        while !happened() {
            assert!(
                Instant::now() < self.deadline,
                "no {what} within {:?}\n{}{}",
                self.time_limit,
                processes::describe(),
                self.captured()
            );
            std::thread::sleep(TICK);
        }
    }

    /// Waits for its end and for everything it has started, and sees what is left.
    ///
    /// # Panics
    /// If its status cannot be had.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        let mut problems = Vec::new();
        // The run: its first process and every holder of its output.
        while !(self.take_status() && self.stdout.at_end() && self.stderr.at_end()) {
            processes::reap(self.unended().as_slice());
            if Instant::now() >= self.deadline {
                problems.push(self.describe_hang());
                processes::kill_all(self.unended().as_slice());
                break;
            }
            std::thread::sleep(TICK);
        }
        if self.status.is_none() {
            self.status = self.child.wait().ok().map(Status::from);
        }
        self.see_what_is_left(&mut problems);
        Outcome {
            status: self.status.expect("the status of one's own child"),
            stdout: self.stdout.bytes(),
            stderr: self.stderr.bytes(),
            files: tree::files(&self.work(), &self.ignored_files),
            problems,
        }
    }

    /// Takes the first process's status if it has ended; whether it has.
    fn take_status(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten().map(Status::from);
        }
        self.status.is_some()
    }

    /// The first process's pid, as long as its status has not been taken.
    fn unended(&self) -> Option<i32> {
        self.status
            .is_none()
            .then_some(self.child.id().cast_signed())
    }

    fn describe_hang(&self) -> String {
        let ended = self.status.map_or("it has not ended".to_owned(), |status| {
            format!("it {status}")
        });
        let shown = |captured: &Captured| if captured.at_end() { "closed" } else { "open" };
        let (stdout, stderr) = (shown(&self.stdout), shown(&self.stderr));
        format!(
            "after {:?} {ended}, standard output is {stdout}, standard error is {stderr}; processes:\n{}",
            self.time_limit,
            processes::describe()
        )
    }

    /// Processes, mounts and temporary files that are still there after a while.
    fn see_what_is_left(&self, problems: &mut Vec<String>) {
        let deadline = Instant::now() + GRACE;
        loop {
            let alive = processes::reap(&[]);
            let mounted: Vec<String> = mounts().difference(&self.mounts_before).cloned().collect();
            let in_dir = |name: &str| tree::files(&self.directory.path().join(name), &[]);
            let mut temporary = in_dir("tmp");
            temporary.append(&mut in_dir("runtime"));
            if alive.is_empty() && mounted.is_empty() && temporary.is_empty() {
                return;
            }
            if Instant::now() >= deadline {
                if !alive.is_empty() {
                    problems.push(format!("processes left behind:\n{}", processes::describe()));
                    processes::kill_all(&[]);
                }
                if !mounted.is_empty() {
                    problems.push(format!("mounts left behind: {mounted:#?}"));
                }
                if !temporary.is_empty() {
                    problems.push(format!("temporary files left behind: {temporary:#?}"));
                }
                return;
            }
            std::thread::sleep(TICK);
        }
    }

    fn captured(&self) -> String {
        let mut text = String::new();
        let show = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let _ = write!(
            text,
            "standard output:\n{}\nstandard error:\n",
            show(self.stdout.bytes())
        );
        let _ = writeln!(text, "{}", show(self.stderr.bytes()));
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        processes::kill_all(&[]);
        // Directories that the program has closed to everyone must not stay.
        open_all(self.directory.path());
    }
}

/// `work`, `home`, `tmp` and `runtime` in a directory that has the same path for all runs of this
/// process, so that a path which a program prints is no difference.
fn make_directory() -> tempfile::TempDir {
    let name = format!("homenode-test-{}", std::process::id());
    // Of an earlier process with our pid, if it was killed.
    let _ = fs::remove_dir_all(std::env::temp_dir().join(&name));
    let directory = tempfile::Builder::new()
        .prefix(&name)
        .rand_bytes(0)
        .tempdir()
        .expect("a temporary directory");
    for name in ["work", "home", "tmp", "runtime"] {
        let path = directory.path().join(name);
        fs::create_dir(&path).expect("a directory in a temporary directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            .expect("permissions of one's own directory");
    }
    directory
}

fn open_all(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700));
            open_all(&entry.path());
        }
    }
}

/// The mounts there are, without their numbers.
fn mounts() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines()
        .map(|line| line.split(' ').skip(2).collect::<Vec<_>>().join(" "))
        .collect()
}
