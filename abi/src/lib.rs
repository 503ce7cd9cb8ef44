//! The system-call table and everything derived from it.
//!
//! Pure: no I/O, no clock, no unsafe code. One row per x86-64 Linux system
//! call ([`X86_64`]) says where the call of a guest is executed and what its
//! arguments point at. From the rows follow the seccomp filter ([`filter`]),
//! the marshalling of forwarded calls ([`Marshalled`] on the host, [`WireCall`]
//! at home), the trace ([`trace`]) and the coverage page ([`coverage`]).

pub mod command;
pub mod coverage;
pub mod errno;
pub mod filter;
pub mod looks;
pub mod marshal;
pub mod memory;
pub mod pieces;
pub mod row;
mod table;
pub mod trace;
pub mod wire;

pub use errno::Errno;
pub use marshal::{MarshalError, Marshalled};
pub use memory::{Fault, GuestMemory};
pub use pieces::{Pieces, pieces};
pub use row::{Arg, Resolved, Route, Row, Size};
pub use table::{NR_MAX, UNASSIGNED, X86_64, row};
pub use wire::{
    CALL_BYTES_MAX, EXEC_WIRE_BYTES_MAX, HOLE, Malformed, RESPONSE_BYTES_MAX, SPACE_BYTES_MAX,
    USER_END, WIRE_BYTES_MAX, WireCall,
};
