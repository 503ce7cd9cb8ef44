//! Starting the home proxy of this command.

use std::io::Read;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, bail};
use homeproxy::setup::{Channel, DESCRIPTOR, Setup};
use sys::process::{self, Side};

use crate::args::Args;

/// Starts the proxy and waits until it traces us. From then on we may become
/// the command.
pub(crate) fn start(args: &Args, node: u32) -> anyhow::Result<()> {
    let programs = programs()?;
    let log = std::env::var("HOMENODE_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let stats = args.stats.as_ref().map(|path| absolute(path)).transpose()?;
    let setup = Setup {
        target: std::process::id() as i32,
        node,
        nodes: args.nodes(),
        log,
        stats: stats.map(|path| path.to_string_lossy().into_owned()),
        programs: programs.to_string_lossy().into_owned(),
    };
    let (ours, theirs) = UnixStream::pair().context("make a socket to the home proxy")?;
    let proxy = launch(&programs, theirs, &setup)?;
    process::allow_tracer(proxy);
    let mut channel = Channel { stream: ours };
    channel
        .send(&setup)
        .context("tell the home proxy what to do")?;
    let mut answer = String::new();
    channel
        .stream
        .read_to_string(&mut answer)
        .context("hear from the home proxy")?;
    // The proxy lives on; our end of the socket does not.
    let _ = channel.stream.shutdown(Shutdown::Both);
    match answer.trim() {
        "ready" => Ok(()),
        "" => bail!(
            "the home proxy ({}/homenode-homeproxy) did not start",
            programs.display()
        ),
        why => bail!("{why}"),
    }
}

/// Forks twice, so that the proxy is not a child of the command. Returns its pid.
fn launch(programs: &std::path::Path, theirs: UnixStream, setup: &Setup) -> anyhow::Result<i32> {
    let (mut read, write) = std::io::pipe().context("make a pipe")?;
    let Side::Parent(middle) = process::fork().context("fork the home proxy")? else {
        let code = match process::fork() {
            Ok(Side::Parent(pid)) => {
                let mut write = write;
                i32::from(std::io::Write::write_all(&mut write, &pid.to_ne_bytes()).is_err())
            }
            Ok(Side::Child) => become_proxy(programs, &theirs, setup),
            Err(_) => 1,
        };
        process::exit_now(code);
    };
    drop(write);
    drop(theirs);
    let mut pid = [0; 4];
    let told = read.read_exact(&mut pid);
    process::wait_for(middle).context("start the home proxy")?;
    told.context("start the home proxy")?;
    Ok(i32::from_ne_bytes(pid))
}

/// Runs in the forked process. Returns only if it fails.
fn become_proxy(programs: &std::path::Path, theirs: &UnixStream, setup: &Setup) -> i32 {
    let keep_stderr = setup.log.is_some() || setup.stats.as_deref() == Some("-");
    let prepared =
        process::detach(keep_stderr).and_then(|()| process::place(theirs.as_fd(), DESCRIPTOR));
    if prepared.is_err() {
        return 1;
    }
    process::close_from(DESCRIPTOR as u32 + 1);
    let program = programs.join("homenode-homeproxy");
    let Ok(program) = std::ffi::CString::new(program.into_os_string().into_encoded_bytes()) else {
        return 1;
    };
    let _ = process::exec(&[program]);
    1
}

/// Directory of our programs: where this one is.
fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find our own program")?;
    own.parent()
        .map(PathBuf::from)
        .context("our own program has no directory")
}

/// `-` stays; other paths are made independent of the working directory.
fn absolute(path: &std::path::Path) -> anyhow::Result<PathBuf> {
    if path.as_os_str() == "-" {
        return Ok(path.to_owned());
    }
    std::path::absolute(path).with_context(|| format!("statistics file {}", path.display()))
}
