//! Fork, exec, and two processes that talk through pipes.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Result, ensure};
use nix::unistd::{pipe, write};

use crate::meter::{Meter, Sample};
use crate::raw_calls;
use crate::rows::Stage;

pub(crate) fn fork_wait(meter: Meter, _: &Stage) -> Result<Sample> {
    meter.repeat(raw_calls::fork_exit)
}

pub(crate) fn exec_tiny(meter: Meter, stage: &Stage) -> Result<Sample> {
    let program = CString::new(stage.scratch.tiny().into_os_string().into_vec())?;
    meter.repeat(|| raw_calls::fork_exec(&program))
}

pub(crate) fn exec_true(meter: Meter, _: &Stage) -> Result<Sample> {
    meter.repeat(|| raw_calls::fork_exec(c"/bin/true"))
}

/// One byte there and back between the guest and its child.
pub(crate) fn pipe_ping_pong(meter: Meter, stage: &Stage) -> Result<Sample> {
    let (their_rx, our_tx) = pipe()?;
    let (our_rx, their_tx) = pipe()?;
    let _peer = raw_calls::echo(their_rx.as_fd(), their_tx.as_fd(), 1, 1, stage.peer_core)?;
    drop(their_tx);
    let mut byte = [0];
    meter.repeat(|| {
        ensure!(write(&our_tx, &[1])? == 1, "a pipe took no byte");
        Ok(raw_calls::read_exactly(our_rx.as_fd(), &mut byte)?)
    })
}
