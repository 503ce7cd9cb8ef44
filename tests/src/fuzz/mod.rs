//! The differential fuzzer: random sequences of system calls, run natively and as a guest, must show
//! the same results, data, signals, statuses and files.
//!
//! A seed makes a [`Sequence`] (`generate.rs`, by the tables in `calls/`); `batch.rs` runs many of
//! them in one start of the interpreter (`tests/fuzz/interpreter.c`) and `campaign.rs` compares the
//! ways. What differs between two native runs already says nothing and is left out. A sequence that
//! differs is made as short as it can be (`shrink.rs`). `hostile.rs` runs a program whose calls have no
//! answer to be compared.

mod arena;
mod batch;
mod calls;
mod campaign;
mod generate;
mod hostile;
mod random;
mod sequence;
mod shrink;

pub use campaign::{Campaign, Difference, compare};
pub use generate::generate;
pub use hostile::hostile;
pub use sequence::Sequence;
