//! The simulator: many nodes, one seed.

pub mod ages;
pub mod members;
