//! The cluster: load, gossip of loads, membership, and what runs where.
//!
//! Nothing here does I/O, reads a clock or starts a thread: everything is a function of state,
//! time and seed. Time is a [`std::time::Duration`] since any moment the caller likes. The node
//! daemon and the simulator ([`sim`]) use the same code.

pub mod admission;
pub mod board;
pub mod candidates;
pub mod cost;
pub mod decision;
pub mod footprints;
pub mod lease;
pub mod load;
pub mod member;
pub mod migration;
pub mod placement;
pub mod program;
pub mod random;
pub mod settings;
pub mod sim;
mod ushering;
pub mod wire;
