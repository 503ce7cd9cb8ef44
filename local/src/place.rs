//! Where things are on a node: directories, and the sockets of daemons.

use std::path::PathBuf;

use anyhow::ensure;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A directory of ours, called `homenode`: below where the variable says, else below a place in the user's home, for
/// root in a place of the system.
pub fn directory(variable: &str, in_home: &str, of_root: &str) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let base = match named.filter(|path| path.is_absolute()) {
        _ if is_root() => PathBuf::from(of_root),
        Some(path) => path,
        None => {
            let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
            home.join(in_home)
        }
    };
    base.join("homenode")
}

/// Where the daemon of this user listens, unless it is configured otherwise.
pub fn socket() -> PathBuf {
    let run = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match run.filter(|path| path.is_absolute()) {
        _ if is_root() => PathBuf::from(ROOT_SOCKET),
        Some(path) => path.join("homenode/mosd.sock"),
        None => directory("XDG_STATE_HOME", ".local/state", "/var/lib").join("mosd.sock"),
    }
}

/// Where root's daemon listens, for all users.
pub const ROOT_SOCKET: &str = "/run/homenode/mosd.sock";

/// Sockets on which a daemon may be reached, in the order in which they are tried:
/// `HOMENODE_SOCKET` alone if it is set.
///
/// # Errors
/// `HOMENODE_SOCKET` is not the path of a file.
pub fn sockets() -> anyhow::Result<Vec<PathBuf>> {
    if let Some(path) = std::env::var_os("HOMENODE_SOCKET").map(PathBuf::from) {
        ensure!(
            path.is_absolute(),
            "HOMENODE_SOCKET is the absolute path of a daemon's socket, not {}",
            path.display()
        );
        return Ok(vec![path]);
    }
    let mut paths = vec![socket(), PathBuf::from(ROOT_SOCKET)];
    paths.dedup();
    Ok(paths)
}
