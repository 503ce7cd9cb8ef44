//! `homenode-runtime`: started by a home proxy or a node daemon, never by hand.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    match runtime::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
