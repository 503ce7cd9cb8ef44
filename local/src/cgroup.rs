//! Memory limits of the cgroup that a process is in, and of those above it: cgroups(7), both versions.

use std::fs;
use std::path::{Path, PathBuf};

/// Cgroups above each other that are looked at.
const DEPTH_MAX: usize = 32;

/// Which files tell what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Files {
    limit: &'static str,
    used: &'static str,
    /// Lines of `memory.stat` whose pages can be had again at once: those of files.
    of_files: [&'static str; 2],
}

const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    of_files: ["total_inactive_file", "total_active_file"],
};
const VERSION_2: Files = Files {
    limit: "memory.max",
    used: "memory.current",
    of_files: ["inactive_file", "active_file"],
};

/// A limit and what counts towards it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The limit.
    pub limit: u64,
    /// What is in use and cannot be had again at once.
    pub used: u64,
}

/// The cgroups that limit this process's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// Its own first.
    directories: Vec<PathBuf>,
    files: Option<Files>,
}

impl Cgroups {
    /// Those of this process.
    pub fn own() -> Cgroups {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Cgroups::of(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    /// By what `/proc/PID/cgroup` and `/proc/PID/mountinfo` say. Where both versions are mounted, memory is in
    /// the hierarchy of version 1 or not controlled there, and then in that of version 2.
    fn of(cgroup: &str, mounts: &str) -> Cgroups {
        let by = |files: Files| {
            let is_1 = files == VERSION_1;
            let path = cgroup.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                let is_it = match is_1 {
                    true => controllers.split(',').any(|name| name == "memory"),
                    false => controllers.is_empty(),
                };
                is_it.then_some(path)
            })?;
            let (root, mount) = mounts.lines().find_map(|line| mount(line, is_1))?;
            Some(Cgroups {
                directories: directories(&root, &mount, path),
                files: Some(files),
            })
        };
        let found = [VERSION_1, VERSION_2].into_iter().find_map(by);
        found.unwrap_or_default()
    }

    /// Limits as they are now. What says "no limit" is none.
    pub fn bounds(&self) -> Vec<Bound> {
        let Some(files) = self.files else {
            return Vec::new();
        };
        let bounds = self
            .directories
            .iter()
            .filter_map(|path| bound(path, files));
        bounds.collect()
    }

    /// How processes of the innermost one have waited for memory, in a text as of `/proc/pressure/memory`; `None`:
    /// that is not counted.
    pub fn pressure(&self) -> Option<String> {
        fs::read_to_string(self.directories.first()?.join("memory.pressure")).ok()
    }
}

/// Root and place of a mount of the hierarchy in which memory is, from a line as of proc_pid_mountinfo(5).
fn mount(line: &str, is_1: bool) -> Option<(PathBuf, PathBuf)> {
    let (head, tail) = line.split_once(" - ")?;
    let mut fields = head.split(' ').skip(3);
    let (root, place) = (fields.next()?, fields.next()?);
    let mut kinds = tail.split(' ');
    let kind = kinds.next()?;
    let options = kinds.nth(1).unwrap_or_default();
    let is_it = match is_1 {
        true => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
        false => kind == "cgroup2",
    };
    is_it.then(|| (root.into(), place.into()))
}

/// The cgroup at `path` of its hierarchy and all above it that can be seen where `root` is mounted.
fn directories(root: &Path, mount: &Path, path: &str) -> Vec<PathBuf> {
    // In a container the path may be one that is not mounted: then what is mounted is the container's.
    let inside = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    let parts = inside.components();
    let is_plain = parts
        .clone()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    let inside = if is_plain { inside } else { Path::new("") };
    let above = inside.ancestors().take(DEPTH_MAX);
    above.map(|part| mount.join(part)).collect()
}

fn bound(directory: &Path, files: Files) -> Option<Bound> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    // Most have none: the rest takes the kernel longer to tell.
    let limit = limit_of(&read(files.limit)?)?;
    let stat = read("memory.stat").unwrap_or_default();
    let used = used_of(&read(files.used)?, &stat, files)?;
    Some(Bound { limit, used })
}

/// A limit; version 1 says as much as a page counter holds where version 2 says "max".
fn limit_of(text: &str) -> Option<u64> {
    const NONE: u64 = 1 << 60;
    number(text).filter(|limit| (1..NONE).contains(limit))
}

fn used_of(used: &str, stat: &str, files: Files) -> Option<u64> {
    let of_files = stat.lines().filter_map(|line| {
        let (name, bytes) = line.split_once(' ')?;
        files.of_files.contains(&name).then(|| number(bytes))?
    });
    Some(number(used)?.saturating_sub(of_files.fold(0, u64::saturating_add)))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    const MOUNTS: &str = "24 1 0:20 / /proc rw - proc proc rw\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    fn paths(cgroups: &Cgroups) -> Vec<&str> {
        let paths = cgroups.directories.iter();
        paths
            .map(|path| path.to_str().unwrap().trim_end_matches('/'))
            .collect()
    }

    #[test]
    fn the_hierarchy_with_memory_is_found() {
        let first = Cgroups::of("4:cpu,memory:/a/b\n0::/x\n", MOUNTS);
        let base = "/sys/fs/cgroup/memory";
        assert_eq!(
            paths(&first),
            [&format!("{base}/a/b"), &format!("{base}/a"), base]
        );
        assert_eq!(first.files, Some(VERSION_1));
        let second = Cgroups::of("0::/x\n", MOUNTS);
        assert_eq!(
            paths(&second),
            ["/sys/fs/cgroup/unified/x", "/sys/fs/cgroup/unified"]
        );
        assert_eq!(second.files, Some(VERSION_2));
        assert_eq!(Cgroups::of("", ""), Cgroups::default());
        assert_eq!(Cgroups::default().bounds(), []);
    }

    #[test]
    fn in_a_container_its_own_is_the_uppermost() {
        let mounts = "41 31 0:38 /docker/7 /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        for (path, expected) in [
            (
                "/docker/7/job",
                &["/sys/fs/cgroup/job", "/sys/fs/cgroup"][..],
            ),
            ("/docker/7", &["/sys/fs/cgroup"]),
            ("/", &["/sys/fs/cgroup"]),
            ("/../other", &["/sys/fs/cgroup"]),
        ] {
            assert_eq!(
                paths(&Cgroups::of(&format!("0::{path}\n"), mounts)),
                expected
            );
        }
    }

    #[test]
    fn pages_of_files_do_not_count() {
        let stat = "anon 7\ninactive_file 10\nactive_file 20\ntotal_active_file 1\n";
        assert_eq!(used_of("100\n", stat, VERSION_2), Some(70));
        assert_eq!(used_of("5", stat, VERSION_2), Some(0));
        assert_eq!(used_of("5", stat, VERSION_1), Some(4));
        assert_eq!(used_of("x", stat, VERSION_1), None);
        assert_eq!(limit_of("4096\n"), Some(4096));
        assert_eq!(limit_of("max\n"), None);
        assert_eq!(limit_of("9223372036854771712\n"), None);
    }
}
