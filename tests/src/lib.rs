//! Runs programs natively and under `mosexec` and compares everything that can be seen of a run:
//! standard output, standard error, status, the files left behind, and that nothing else is left.
//!
//! * [`Case`]: what to run, with which input and files, and what is expected of it natively.
//! * [`Way`]: how to run it. A new way of running is a new line there and nothing else.
//! * [`check`]: runs a case in one way and compares it with the native run.
//! * [`guest`]: the case of a C program of `guests/`, which is built on demand.
//! * [`corpus`]: third-party programs, likewise.
//! * [`cluster`]: node daemons on this machine.
//! * [`fuzz`]: random sequences of system calls, compared in the same way.
//!
//! A process that runs cases is the subreaper of all it starts, so that no daemon, home proxy or
//! runtime can outlive its test unseen. Runs within one process take turns.

mod case;
mod check;
pub mod cluster;
pub mod corpus;
pub mod fuzz;
mod guest;
mod processes;
mod run;
mod tree;
mod way;

pub use case::{Case, SHARED_MAPPING, Status};
pub use check::check;
pub use guest::{guest, guest_names, guest_program};
pub use processes::Process;
pub use run::{Outcome, Running};
pub use tree::files;
pub use way::{Way, mosexec};

use std::path::{Path, PathBuf};

/// The `PATH` of every run, and where the tests look for tools: Debian's own, so that no shim of a
/// developer's machine gets in between.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// Where this tool is, if it is installed.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    PATH.split(':')
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.is_file())
}
