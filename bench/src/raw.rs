//! Raw TCP between two processes of this machine: what the network alone costs.
//!
//! The request and the reply have the sizes of a forwarded call and its result.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use anyhow::{Context, Result};

use crate::meter::{Meter, Sample};
use crate::raw_calls;
use crate::rows::Stage;

/// Bytes of a request.
const REQUEST_BYTES: usize = 64;
/// Bytes of its reply.
const REPLY_BYTES: usize = 32;

/// One request and its reply, TCP_NODELAY at both ends.
pub(crate) fn ping_pong(meter: Meter, stage: &Stage) -> Result<Sample> {
    let (mut ours, theirs) = connected()?;
    let _peer = raw_calls::echo(
        theirs.as_fd(),
        theirs.as_fd(),
        REQUEST_BYTES,
        REPLY_BYTES,
        stage.peer_core,
    )?;
    drop(theirs);
    let request = [0x5a; REQUEST_BYTES];
    let mut reply = [0; REPLY_BYTES];
    meter.repeat(|| {
        ours.write_all(&request)?;
        Ok(ours.read_exact(&mut reply)?)
    })
}

/// 64 KiB received, of a stream written 64 KiB at a time.
pub(crate) fn stream(meter: Meter, stage: &Stage) -> Result<Sample> {
    let (mut ours, theirs) = connected()?;
    let _peer = raw_calls::pour(theirs.as_fd(), stage.peer_core)?;
    drop(theirs);
    let mut buffer = vec![0; raw_calls::POUR_BYTES];
    meter.repeat(|| Ok(ours.read_exact(&mut buffer)?))
}

fn connected() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on 127.0.0.1")?;
    let ours = TcpStream::connect(listener.local_addr()?).context("connecting to 127.0.0.1")?;
    let (theirs, _) = listener.accept()?;
    ours.set_nodelay(true)?;
    theirs.set_nodelay(true)?;
    Ok((ours, theirs))
}
