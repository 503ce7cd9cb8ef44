//! What programs of one node have in common: what they say to each other about the cluster, how
//! they start runtimes and serve connections, and how much memory the node has.
//!
//! | file | concept |
//! |---|---|
//! | `daemon.rs` | what tools and jobs ask the node daemon |
//! | `place.rs` | where its socket is |
//! | `job.rs` | what tools and the daemon ask of a job |
//! | `runtime.rs` | starting a runtime |
//! | `calls.rs` | calls that a process at home would forward if it were elsewhere |
//! | `connections.rs` | a thread for each connection, within bounds |
//! | `memory.rs` | a node's memory: its limit, what is free, how fast that is taken |
//! | `cgroup.rs` | limits of cgroups |
#![forbid(unsafe_code)]

pub mod calls;
pub mod cgroup;
pub mod connections;
pub mod daemon;
pub mod job;
pub mod memory;
pub mod place;
pub mod runtime;
