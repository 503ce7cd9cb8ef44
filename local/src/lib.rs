//! What programs on one node say to each other about the cluster, over Unix sockets.
//!
//! | file | concept |
//! |---|---|
//! | `daemon.rs` | what tools and jobs ask the node daemon |
//! | `place.rs` | where its socket is |
#![forbid(unsafe_code)]

pub mod daemon;
pub mod place;
