//! Debian source packages, for test suites that no binary package has.
//!
//! They are fetched with apt-get into a directory of the system's temporary directory that later
//! runs find again; nothing of them is part of this project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the upstream sources of Debian's source package `name` are unpacked.
///
/// # Errors
/// In words, why they cannot be had.
pub(super) fn source(name: &str) -> Result<PathBuf, String> {
    let cache = std::env::temp_dir().join("homenode-corpus");
    let dir = cache.join(name);
    if dir.is_dir() {
        return Ok(dir);
    }
    let downloads = cache.join("downloads");
    fetch(&cache, &downloads, name).map_err(|why| format!("the source package {name}: {why}"))?;
    let archive = archive_of(&downloads, name)
        .ok_or_else(|| format!("the source package {name} has no upstream archive"))?;
    let unfinished = cache.join(format!("{name}.new"));
    fs::create_dir_all(&unfinished).map_err(|error| error.to_string())?;
    let mut unpack = Command::new("tar");
    unpack.arg("xf").arg(archive).arg("-C").arg(&unfinished);
    run(unpack.arg("--strip-components=1"))?;
    fs::rename(&unfinished, &dir).map_err(|error| error.to_string())?;
    Ok(dir)
}

/// Downloads it; the system's own lists of packages stay as they are.
fn fetch(cache: &Path, downloads: &Path, name: &str) -> Result<(), String> {
    let lists = cache.join("lists");
    for dir in [downloads, &lists] {
        fs::create_dir_all(dir).map_err(|error| error.to_string())?;
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or("bookworm");
    let list = cache.join("sources.list");
    let text = format!("deb-src http://deb.debian.org/debian {codename} main\n");
    fs::write(&list, text).map_err(|error| error.to_string())?;
    let apt_get = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.current_dir(downloads).arg("-qq");
        for (option, value) in [
            ("Dir::Etc::sourcelist", list.to_string_lossy()),
            ("Dir::Etc::sourceparts", "-".into()),
            ("Dir::State::lists", lists.to_string_lossy()),
            ("Dir::Cache::pkgcache", "".into()),
            ("Dir::Cache::srcpkgcache", "".into()),
            ("APT::Sandbox::User", "root".into()),
        ] {
            command.args(["-o", &format!("{option}={value}")]);
        }
        run(command.args(words))
    };
    if fs::read_dir(&lists).is_ok_and(|entries| entries.count() < 3) {
        apt_get(&["update"])?;
    }
    apt_get(&["source", "--download-only", name])
}

fn archive_of(downloads: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(downloads).ok()?;
    let is_meant = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&format!("{name}_"))
            && file.contains(".orig.tar.")
            && !file.ends_with(".asc")
    };
    entries.flatten().map(|entry| entry.path()).find(is_meant)
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{name} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().last().unwrap_or("no message");
    Err(format!("{name}: {last}"))
}
