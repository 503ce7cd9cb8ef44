//! Running `mosexec` and looking at what it leaves.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Options for a run on the second node of a private cluster.
pub(crate) const ELSEWHERE: &[&str] = &["--embedded", "2", "--on", "2"];

/// `mosexec` with these options.
///
/// # Panics
/// If the programs it starts are not there; with what to do.
pub(crate) fn mosexec(options: &[&str]) -> Command {
    let built = Path::new(env!("CARGO_BIN_EXE_mosexec"));
    let directory = std::env::var_os("HOMENODE_BIN_DIR").map(PathBuf::from);
    let mosexec = &directory.map_or(built.to_owned(), |directory| directory.join("mosexec"));
    for program in ["homenode-homeproxy", "homenode-runtime"] {
        let beside = mosexec.with_file_name(program);
        let profile = if cfg!(debug_assertions) {
            ""
        } else {
            " --release"
        };
        assert!(
            beside.is_file(),
            "{} is missing: run `cargo build{profile}` first",
            beside.display()
        );
    }
    let mut command = Command::new(mosexec);
    command.env_remove("HOMENODE_LOG").args(options);
    command
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().expect("mosexec starts")
}

/// Runs `script` elsewhere with sh.
pub(crate) fn shell(options: &[&str], script: &str) -> Output {
    run(mosexec(ELSEWHERE)
        .args(options)
        .args(["--", "sh", "-c", script]))
}

/// What it wrote to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A 32-bit program that exits with 7: the only program that a test can make
/// without a compiler, and that stays at home.
pub(crate) fn foreign_program() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    // mov eax, 1; mov ebx, 7; int 0x80
    let code = [0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80];
    let bytes = HEADERS + code.len() as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2u16, 3] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, BASE + HEADERS, 52, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for half in [52u16, 32, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, 0, BASE, BASE, bytes, bytes, 5, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}
