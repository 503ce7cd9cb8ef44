//! The calls there are, by subject: each with its weight and how its arguments are made.

mod descriptors;
mod identity;
mod memory;
mod offsets;
mod paths;
mod processes;
mod signals;
mod sockets;
mod waits;

use super::generate::Gen;

/// A table: weights, and what adds the call.
pub(crate) type Calls = &'static [(u64, fn(&mut Gen))];

pub(crate) const SUBJECTS: &[Calls] = &[
    descriptors::CALLS,
    descriptors::CALLS,
    paths::CALLS,
    paths::CALLS,
    offsets::CALLS,
    offsets::CALLS,
    signals::CALLS,
    signals::CALLS,
    processes::CALLS,
    memory::CALLS,
    sockets::CALLS,
    identity::CALLS,
    waits::CALLS,
];
