//! `homenode-runtime`: started by a home proxy or a node daemon, never by hand.
#![forbid(unsafe_code)]

fn main() -> anyhow::Result<()> {
    runtime::run()
}
