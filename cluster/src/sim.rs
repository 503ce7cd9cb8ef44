//! The simulator: many nodes, one seed.

pub mod ages;
pub mod members;
mod messages;
mod omniscient;
pub mod policy;
pub mod report;
pub mod scenario;
pub mod svg;
pub mod world;
