//! What is run, and what is expected of it.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

/// For python3: maps a file shared and writable, which works only at home, says `ready` and waits.
pub const SHARED_MAPPING: &str = "import mmap, time\n\
    file = open('shared', 'wb+')\n\
    file.truncate(4096)\n\
    memory = mmap.mmap(file.fileno(), 4096)\n\
    print('ready', flush=True)\n\
    time.sleep(300)";

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exited(i32),
    /// It was killed by this signal.
    Killed(i32),
}

impl Status {
    /// The number a shell shows: 128 and the signal for a death by signal.
    #[must_use]
    pub fn as_shell(self) -> i32 {
        match self {
            Status::Exited(code) => code,
            Status::Killed(signal) => 128 + signal,
        }
    }
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Status::Exited(code),
            (None, Some(signal)) => Status::Killed(signal),
            (None, None) => unreachable!("a process that has ended exited or was killed"),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Exited(code) => write!(f, "exited with {code}"),
            Status::Killed(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

/// Fills the working directory before a run.
type Prepare = Box<dyn Fn(&Path)>;

/// What is run, and what is expected of it natively.
pub struct Case {
    pub(crate) command: Vec<OsString>,
    pub(crate) stdin: Vec<u8>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) prepare: Vec<Prepare>,
    pub(crate) around: Option<String>,
    pub(crate) on_terminal: bool,
    pub(crate) time_limit: Duration,
    pub(crate) ignored_files: Vec<&'static str>,
    pub(crate) status: Status,
    pub(crate) stdout: Vec<String>,
}

impl Case {
    /// A command and its arguments. By default: no input, an empty directory, a minute, exit code 0.
    pub fn new<I: IntoIterator<Item = A>, A: Into<OsString>>(command: I) -> Self {
        Case {
            command: command.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            environment: Vec::new(),
            prepare: Vec::new(),
            around: None,
            on_terminal: false,
            time_limit: Duration::from_secs(60),
            ignored_files: Vec::new(),
            status: Status::Exited(0),
            stdout: Vec::new(),
        }
    }

    /// A script for this interpreter, given with `-c` (shells, python3) or `-e` (perl, node).
    #[must_use]
    pub fn script(interpreter: &str, script: &str) -> Self {
        let flag = if matches!(interpreter, "perl" | "node") {
            "-e"
        } else {
            "-c"
        };
        Case::new([interpreter, flag, script])
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.command.push(argument.into());
        self
    }

    /// Bytes on standard input; without it, standard input is at its end from the start.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// A variable of the environment, beside `PATH`, `HOME`, `TMPDIR`, `LANG` and `XDG_RUNTIME_DIR`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Fills the working directory before each run.
    #[must_use]
    pub fn prepare(mut self, fill: impl Fn(&Path) + 'static) -> Self {
        self.prepare.push(Box::new(fill));
        self
    }

    /// A file in the working directory, executable if its text starts with `#!`.
    #[must_use]
    pub fn file(self, name: &'static str, text: &'static str) -> Self {
        self.prepare(move |dir| {
            use std::os::unix::fs::PermissionsExt;
            let path = dir.join(name);
            std::fs::write(&path, text).expect("a file of the test's own directory");
            if text.starts_with("#!") {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
                    .expect("permissions of one's own file");
            }
        })
    }

    /// A bash script that is run natively in each way; `"$@"` in it is the command, in that way.
    #[must_use]
    pub fn around(mut self, script: &str) -> Self {
        self.around = Some(script.into());
        self
    }

    /// Standard input, output and error are a terminal, which the command controls; all it writes is
    /// standard output. `stdin` is not typed: see `Running::type_text`.
    #[must_use]
    pub fn on_terminal(mut self) -> Self {
        self.on_terminal = true;
        self
    }

    /// The hard limit of a run; one that has not ended by then is a failure.
    #[must_use]
    pub fn time_limit(mut self, seconds: u64) -> Self {
        self.time_limit = Duration::from_secs(seconds);
        self
    }

    /// Files whose size and contents may differ between two native runs too (a path's end).
    #[must_use]
    pub fn ignore(mut self, file: &'static str) -> Self {
        self.ignored_files.push(file);
        self
    }

    /// How it ends natively.
    #[must_use]
    pub fn ends(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// A text that standard output has in it natively.
    #[must_use]
    pub fn says(mut self, text: &str) -> Self {
        self.stdout.push(text.into());
        self
    }

    /// The whole command line in this way.
    pub(crate) fn command_line(&self, way: crate::Way) -> Vec<OsString> {
        let mut line = way.wrap(&self.command);
        if let Some(script) = &self.around {
            let mut outer: Vec<OsString> = ["bash", "-c", script, "bash"]
                .iter()
                .map(Into::into)
                .collect();
            outer.append(&mut line);
            line = outer;
        }
        if self.on_terminal {
            line.splice(0..0, ["setsid".into(), "--ctty".into(), "--wait".into()]);
        }
        line
    }
}
