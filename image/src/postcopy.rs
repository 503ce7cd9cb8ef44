//! Post-copy: a process goes on before all of its memory has come.
//!
//! What it needs at once, and what cannot be filled in later, travels with its
//! image ([`hot`]); the rest follows from where it stood still
//! ([`source`]) in [`parcel`]s, in the order of its addresses, and what it
//! misses before ([`filler`]). [`missing`] knows which pages have not come yet,
//! also after the process has moved or given up parts of its memory.

pub mod filler;
pub mod hot;
pub mod missing;
pub mod parcel;
pub mod source;
