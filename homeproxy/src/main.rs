//! `homenode-homeproxy`: started by `mosexec`, never by hand.
#![forbid(unsafe_code)]

fn main() -> anyhow::Result<()> {
    homeproxy::run()
}
