//! The C programs of `guests/`, built on demand.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Case, way};

/// The case of the guest program `guests/NAME.c`: it prints `OK NAME` and exits with 0.
///
/// # Panics
/// If it cannot be built; with the compiler's message.
#[must_use]
pub fn guest(name: &str) -> Case {
    Case::new([guest_program(name)]).says(&format!("OK {name}\n"))
}

/// The guest program `guests/NAME.c`, for who runs it in a way of its own.
///
/// # Panics
/// If it cannot be built; with the compiler's message.
#[must_use]
pub fn guest_program(name: &str) -> PathBuf {
    build(&sources(), name)
}

/// The names of all guest programs there are.
///
/// # Panics
/// If the sources are not where they were when this was built.
#[must_use]
pub fn guest_names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(sources())
        .expect("the sources of the guest programs")
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".c")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The program that executes sequences of calls for [`crate::fuzz`].
pub(crate) fn interpreter() -> PathBuf {
    build(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz"),
        "interpreter",
    )
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

/// Compiles a guest program if it is older than its sources. Test processes that want the same one
/// wait for each other. A line ` * gcc: FLAGS` in the source adds flags.
fn build(sources: &Path, name: &str) -> PathBuf {
    let dir = way::target_profile_dir().join("guests");
    fs::create_dir_all(&dir).expect("a directory for the guest programs");
    let dir = dir.canonicalize().expect("a directory just made");
    let (program, source) = (dir.join(name), sources.join(format!("{name}.c")));
    let lock = File::create(dir.join(format!(".{name}.lock"))).expect("a lock file for building");
    lock.lock()
        .expect("waiting for another process that builds");
    let headers = ["guest.h", "ahead.h", "shown.h"].map(|name| sources.join(name));
    let mut all: Vec<&Path> = vec![&source];
    all.extend(
        headers
            .iter()
            .map(|header| header.as_path())
            .filter(|h| h.exists()),
    );
    if is_newer(&program, &all) {
        return program;
    }
    let text =
        fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let flags = text
        .lines()
        .find_map(|line| line.strip_prefix(" * gcc: "))
        .unwrap_or("");
    let unfinished = dir.join(format!(".{name}.new"));
    let _turn = crate::run::turn();
    let output = Command::new("gcc")
        .args([
            "-std=gnu17",
            "-O1",
            "-g",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pthread",
        ])
        // Calls are given wrong arguments on purpose.
        .args(["-Wno-nonnull", "-Wno-stringop-overflow"])
        .arg("-o")
        .args([&unfinished, &source])
        .args(flags.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("gcc cannot be run ({error}): install gcc and libc6-dev"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&unfinished, &program).expect("a program just built");
    program
}

fn is_newer(program: &Path, sources: &[&Path]) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let Some(built) = changed(program) else {
        return false;
    };
    sources
        .iter()
        .all(|source| changed(source).is_some_and(|time| time <= built))
}
