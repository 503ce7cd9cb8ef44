//! Faults on demand: at named points of a movement a step fails as if the
//! kernel had refused it, so that tests can see what comes of that.
//!
//! `HOMENODE_FAULT` names the points, separated by commas. Without it nothing
//! is looked at but a flag.

use std::collections::HashSet;
use std::io;
use std::sync::LazyLock;

/// The points, in the order of a movement, and what a failure there means.
pub const POINTS: &[&str] = &[
    // A running process is captured, at home or at its host: it goes on where it is.
    "capture",
    //
    // A body is made at the host: the process goes on at home.
    "rebuild",
    //
    // A deputy becomes its process again: its body goes on at the host.
    "restore",
    //
    // Pages that follow their image are put in place at a host: the process ends, with a message.
    "pages",
    //
    // The same at home.
    "pages-home",
    //
    // A file with the content of one at home is at hand on the host: it is copied.
    "local-file",
];

static WANTED: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let names = std::env::var("HOMENODE_FAULT").unwrap_or_default();
    names.split(',').map(str::to_owned).collect()
});

/// Fails if the fault at this point is wanted.
///
/// # Errors
/// The fault.
pub fn point(name: &'static str) -> io::Result<()> {
    debug_assert!(POINTS.contains(&name));
    if WANTED.contains(name) {
        return Err(io::Error::other(format!("the fault \"{name}\" was wanted")));
    }
    Ok(())
}
