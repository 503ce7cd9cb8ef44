//! `simulate`: many nodes, one seed, one table.
fn main() {}
