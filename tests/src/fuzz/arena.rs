//! Where the interpreter's memory lies. `tests/fuzz/interpreter.c` has the same numbers.

/// Readable and writable; ends at [`READ_ONLY`].
pub(crate) const ARENA: u64 = 0x2000_0000;
pub(crate) const ARENA_BYTES: u64 = 0x10000;
/// Pages of one kind each, one behind the other.
pub(crate) const READ_ONLY: u64 = ARENA + 0x10000;
pub(crate) const NO_ACCESS: u64 = ARENA + 0x11000;
pub(crate) const WRITE_ONLY: u64 = ARENA + 0x12000;
/// For transfers of more than a piece.
pub(crate) const LARGE: u64 = ARENA + 0x10_0000;
pub(crate) const LARGE_BYTES: u64 = 0x30_0000;
/// Where sequences map, protect and move memory.
pub(crate) const PLAYGROUND: u64 = 0x3000_0000;
pub(crate) const PLAYGROUND_PAGES: u64 = 32;

/// Pointers that do not lead as far as they should. Of what a stream moves some is moved then, where
/// natively pipes and sockets move nothing: the README's limits name that.
pub(crate) const SHORT: &[u64] = &[
    READ_ONLY - 5,
    READ_ONLY - 16,
    NO_ACCESS - 8,
    WRITE_ONLY + 0x1000 - 8,
];

/// Pointers that lead nowhere.
pub(crate) const WILD: &[u64] = &[
    0,
    1,
    0x1000,
    READ_ONLY,
    NO_ACCESS,
    WRITE_ONLY,
    WRITE_ONLY + 0x1000,
    0x7fff_ffff_f000,
    0x8000_0000_0000,
    0xffff_8000_0000_0000,
    u64::MAX,
    u64::MAX - 7,
];
