//! Calls that only look.

/// Changes nothing that anybody sees and waits for nobody, whatever its arguments.
const LOOKS: &[u32] = &[
    4,   // stat
    5,   // fstat
    6,   // lstat
    21,  // access
    79,  // getcwd
    89,  // readlink
    102, // getuid
    104, // getgid
    107, // geteuid
    108, // getegid
    262, // newfstatat
    267, // readlinkat
    269, // faccessat
    332, // statx
    439, // faccessat2
];
const FCNTL: u32 = 72;
/// F_GETFD and F_GETFL.
const FCNTL_LOOKS: [u64; 2] = [1, 3];
/// open, close, openat.
const OPENS_OR_CLOSES: [u32; 3] = [2, 3, 257];

/// Whether a call with these arguments changes nothing that anybody sees and waits for nobody: it may be
/// made for a program that has not asked yet, and its answer forgotten.
pub fn only_looks(nr: u32, args: &[u64; 6]) -> bool {
    LOOKS.contains(&nr) || nr == FCNTL && FCNTL_LOOKS.contains(&args[1])
}

/// Whether calls that only look often follow one with these arguments.
pub fn leads(nr: u32, args: &[u64; 6]) -> bool {
    OPENS_OR_CLOSES.contains(&nr) || only_looks(nr, args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Route;

    #[test]
    fn what_looks_is_told_by_home() {
        let args = [0, FCNTL_LOOKS[0], 0, 0, 0, 0];
        let looking = (0..600).filter(|nr| only_looks(*nr, &args));
        for row in looking.map(|nr| crate::table::row(nr).expect("a row")) {
            assert_eq!(row.resolve(&args).route, Route::Home, "{}", row.name);
        }
    }

    #[test]
    fn a_command_that_sets_does_not_look() {
        const SETS: u64 = 4;
        assert!(!only_looks(FCNTL, &[3, SETS, 0, 0, 0, 0]));
        assert!(!only_looks(OPENS_OR_CLOSES[0], &[0; 6]));
        assert!(leads(OPENS_OR_CLOSES[0], &[0; 6]));
    }
}
