//! Many sequences in one start of the interpreter.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;

use super::sequence::Sequence;
use crate::guest::interpreter;
use crate::processes;
use crate::{Way, tree};

/// A sequence that takes longer natively waits for nothing that comes.
const NATIVE_SECONDS: u64 = 2;
/// A guest's; a loaded machine must not look like a hang.
const GUEST_SECONDS: u64 = 20;
/// For each sequence, beside that.
const EACH: Duration = Duration::from_millis(250);

/// What one run of a sequence has shown: its lines, its status and its files, one line each.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(crate) lines: Vec<String>,
}

impl Seen {
    /// Whether it waited for something that does not come.
    pub(crate) fn hung(&self) -> bool {
        self.lines.iter().any(|line| line == "status 0xe")
    }
}

/// Runs the sequences one after another in this way, each under its name, which the path of its
/// directory shows. What a run that was cut short does not show is empty.
///
/// # Panics
/// If the interpreter cannot be built or started.
pub(crate) fn run(way: Way, sequences: &[(usize, &Sequence)]) -> BTreeMap<usize, Seen> {
    set_child_subreaper(true).expect("a subreaper: Linux 3.4 or newer");
    let program = interpreter();
    let directory = std::env::temp_dir().join(format!("homenode-fuzz-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(directory.join("work")).expect("a temporary directory");
    let text: String = sequences
        .iter()
        .map(|(name, sequence)| sequence.text(*name))
        .collect();
    let file = directory.join("sequences");
    fs::write(&file, text).expect("a temporary file");
    let seconds = if way == Way::Native {
        NATIVE_SECONDS
    } else {
        GUEST_SECONDS
    };
    let command: Vec<OsString> = vec![program.into(), file.into(), seconds.to_string().into()];
    let limit = Duration::from_secs(seconds + 10) + EACH * sequences.len() as u32;
    let output = start(&way.wrap(&command), &directory, limit);
    let mut seen = split(&output, &tree::files(&directory.join("work"), &[]));
    seen.retain(|name, _| sequences.iter().any(|(known, _)| known == name));
    let _ = fs::remove_dir_all(&directory);
    seen
}

/// Runs a command until its end or the limit; what it has written.
fn start(line: &[OsString], directory: &Path, limit: Duration) -> String {
    let path = directory.join("output");
    let output = File::create(&path).expect("a temporary file");
    let errors = output.try_clone().expect("a descriptor");
    let mut child = Command::new(&line[0])
        .args(&line[1..])
        .current_dir(directory.join("work"))
        .env_clear()
        .env("PATH", crate::PATH)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .expect("a program that can be started");
    let deadline = Instant::now() + limit;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            if !status.success() {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let last = text.lines().rev().take(5).collect::<Vec<_>>();
                eprintln!(
                    "a batch ended with {status}; its last lines, the last one first: {last:#?}"
                );
            }
            break;
        }
        if Instant::now() >= deadline {
            eprintln!(
                "a batch has not ended in {limit:?}:\n{}",
                processes::describe()
            );
            processes::kill_all(&[child.id().cast_signed()]);
            let _ = child.wait();
            break;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    // Processes beside it that a killed sequence has left.
    if !processes::reap(&[]).is_empty() {
        std::thread::sleep(Duration::from_millis(50));
        processes::kill_all(&[]);
    }
    let mut bytes = Vec::new();
    let _ = File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// By name: lines of the output between `sequence NAME`, and files below `sNAME`.
fn split(output: &str, files: &BTreeMap<String, String>) -> BTreeMap<usize, Seen> {
    let mut all: BTreeMap<usize, Seen> = BTreeMap::new();
    let mut current = None;
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("sequence ") {
            current = name.parse().ok();
        } else if let Some(name) = current {
            all.entry(name).or_default().lines.push(line.to_owned());
        }
    }
    for (path, line) in files {
        let (name, rest) = path.split_once('/').unwrap_or((path, ""));
        let name: Option<usize> = name.strip_prefix('s').and_then(|name| name.parse().ok());
        if let Some(seen) = name.and_then(|name| all.get_mut(&name)) {
            seen.lines.push(format!("file {rest}: {line}"));
        }
    }
    all
}
