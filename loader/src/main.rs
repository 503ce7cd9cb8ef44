//! `mosexec`: starts an unmodified program, to run on another node.
//!
//! Forks the home proxy, which detaches, and becomes the command: the pid the
//! shell knows is the command's own. Exit status as of env(1): 125 when
//! Homenode itself failed, 126 when the command cannot be executed, 127 when
//! it is not found.
#![forbid(unsafe_code)]

mod args;
mod guard;
mod proxy;

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::process::exit;

use args::Args;
use clap::Parser;

/// Homenode itself failed.
const FAILED: i32 = 125;
/// The command was found and cannot be executed.
const CANNOT_EXECUTE: i32 = 126;
/// There is no such command.
const NOT_FOUND: i32 = 127;

fn main() {
    let mut args = Args::try_parse().unwrap_or_else(|error| {
        // Help and version are no failure.
        let _ = error.print();
        exit(if error.use_stderr() { FAILED } else { 0 })
    });
    if let Some(path) = &args.restart {
        match homeproxy::checkpoint::read(path) {
            Ok(checkpoint) => args.command = vec![checkpoint.head.program.into()],
            Err(error) => {
                eprintln!("mosexec: {error:#}");
                exit(FAILED);
            }
        }
    }
    let started = proxy::start(&args);
    // Without the means for a home proxy the command runs as if without us, but not a checkpoint.
    let started = match args.restart {
        Some(_) => started,
        None => started.or_else(unless_exhausted),
    };
    if let Err(error) = started {
        eprintln!("mosexec: {error:#}");
        exit(FAILED);
    }
    let name = args.command[0].to_string_lossy().into_owned();
    let command: Vec<CString> = args
        .command
        .into_iter()
        .filter_map(|arg| CString::new(arg.into_vec()).ok())
        .collect();
    sys::inherited::restore();
    let error = sys::process::exec(&command);
    eprintln!("mosexec: {name}: {}", message(&error));
    let missing = error.raw_os_error() == Some(libc::ENOENT);
    exit(if missing { NOT_FOUND } else { CANNOT_EXECUTE });
}

/// Keeps an error, unless it is that descriptors, processes or memory are used up.
fn unless_exhausted(error: anyhow::Error) -> anyhow::Result<()> {
    const EXHAUSTED: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::EAGAIN, libc::ENOMEM];
    let errno = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::raw_os_error);
    match errno {
        Some(errno) if EXHAUSTED.contains(&errno) => Ok(()),
        _ => Err(error),
    }
}

/// The kernel's words without Rust's "(os error N)".
fn message(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
