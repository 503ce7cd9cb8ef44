//! The bench: what a program pays for running under Homenode.
//!
//! Two binaries share this library. `homenode-bench` is the harness: it runs the measuring guest
//! natively, at home under `mosexec` and forwarded to an embedded second node, in turn, and beside
//! each its yardstick: the raw TCP figure of the same core placement, or for a call that the host
//! executes the same under a filter that allows everything. `homenode-bench-guest` is that guest: one
//! operation in a loop, one JSON line. `homenode-bench-moves` and `homenode-bench-makespan` measure moves of one
//! process, and a cluster that balances itself; they take from here where programs are and which core runs what.
//!
//! | file | concept |
//! |---|---|
//! | `rows` | what is measured: the one list both binaries read |
//! | `meter` | how one operation is timed, inside the guest |
//! | `calls`, `files`, `processes`, `work` | the operations |
//! | `raw` | raw TCP, the yardstick of forwarded calls |
//! | `raw_calls` | the only unsafe code: fork, exec, bare system calls, file mapping, a filter |
//! | `scratch`, `tiny` | the files the operations work on |
//! | `placement` | which core runs what |
//! | `product` | where `mosexec` and the guest are, and the command line of each mode |
//! | `child` | running a command with a time limit, leaving nothing behind |
//! | `footprint` | memory of runtime and home proxy |
//! | `schedule` | the interleaved repetitions |
//! | `spread`, `report`, `targets` | ratios, tables, JSON, limits that must hold |

pub mod child;
pub mod footprint;
pub mod meter;
pub mod placement;
pub mod product;
pub mod raw;
pub mod report;
pub mod rows;
pub mod schedule;
pub mod scratch;
pub mod spread;
pub mod targets;

mod calls;
mod files;
mod processes;
mod raw_calls;
mod tiny;
mod work;
