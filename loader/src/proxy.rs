//! Starting the home proxy of this command.

use std::io::Read;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use homeproxy::setup::{Channel, DESCRIPTOR, Setup};
use sys::limits::Raised;
use sys::process::{self, Side};

use crate::args::{Args, Place};
use crate::guard;

const PROXY: &str = "homenode-homeproxy";
const RUNTIME: &str = "homenode-runtime";
/// Descriptor numbers that starting needs.
const DESCRIPTORS: u64 = 64;

/// Starts the proxy and waits until it traces us. From then on we may become
/// the command.
pub(crate) fn start(args: &Args) -> anyhow::Result<()> {
    let alone = args.restart.is_some() || args.checkpoint.is_some();
    let refuse = || {
        bail!(
            "mosexec --restart and --checkpoint work only outside of a job of mosexec: start them there"
        )
    };
    if process::is_guest() {
        if alone {
            return refuse();
        }
        // Inside a running job: the command joins it.
        return Ok(());
    }
    match tracer()? {
        None => {}
        // Inside a running job: the command joins it.
        Some((_, name)) if PROXY.starts_with(&name) && alone => return refuse(),
        Some((_, name)) if PROXY.starts_with(&name) => return Ok(()),
        Some((pid, name)) => bail!(
            "process {pid} ({name}) traces mosexec, and only one can trace a process: start it under \
             mosexec instead (mosexec ... {name} ... COMMAND)"
        ),
    }
    // Of the soft limit as much as we need, until we become the command.
    let _descriptors =
        Raised::to(0, libc::RLIMIT_NOFILE, DESCRIPTORS).context("raise the limit of open files")?;
    let programs = programs()?;
    let Place { node, cluster } = args.place()?;
    let log = std::env::var("HOMENODE_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let stats = args.stats.as_ref().map(|path| absolute(path)).transpose()?;
    let setup = Setup {
        target: std::process::id() as i32,
        node,
        nodes: args.nodes(),
        memory_per_node: args.memory_per_node,
        cluster,
        best: args.best,
        kept: args.kept(),
        shuffle_ms: args.shuffle,
        seed: args.seed(),
        log,
        stats: stats.map(|path| path.to_string_lossy().into_owned()),
        read_ahead: !args.no_read_ahead,
        post_copy: !args.no_post_copy,
        later_min: args.later_min,
        restart: args.restart.as_deref().map(in_words).transpose()?,
        checkpoint: args
            .checkpoint_every
            .zip(args.checkpoint.as_deref())
            .map(|(seconds, file)| anyhow::Ok((seconds, in_words(file)?)))
            .transpose()?,
        command: args.shown_command(),
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
            "the home proxy ({}) did not start, or ended at once",
            programs.join(PROXY).display()
        ),
        why => bail!("{why}"),
    }
}

/// Forks the guard and the guard the proxy, so that neither is a child of the
/// command. Returns the proxy's pid.
fn launch(programs: &Path, theirs: UnixStream, setup: &Setup) -> anyhow::Result<i32> {
    let (mut read, write) = std::io::pipe().context("make a pipe")?;
    // No SIGCHLD of it: where that is blocked, the command would find it pending.
    let forked = process::fork_quietly().context("fork the home proxy")?;
    let Side::Parent(middle) = forked else {
        let code = match process::fork() {
            Ok(Side::Parent(_)) => 0,
            Ok(Side::Child) => guard::guard(setup.target, write, || {
                become_proxy(programs, &theirs, setup)
            }),
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
fn become_proxy(programs: &Path, theirs: &UnixStream, setup: &Setup) -> i32 {
    let keep_stderr = setup.log.is_some() || setup.stats.as_deref() == Some("-");
    let prepared =
        process::detach(keep_stderr).and_then(|()| process::place(theirs.as_fd(), DESCRIPTOR));
    if prepared.is_err() {
        return 1;
    }
    process::close_from(DESCRIPTOR as u32 + 1);
    let program = programs.join(PROXY);
    let Ok(program) = std::ffi::CString::new(program.into_os_string().into_encoded_bytes()) else {
        return 1;
    };
    let _ = process::exec(&[program]);
    1
}

/// Directory of our programs: where this one is.
fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find our own program")?;
    let programs = own.parent().context("our own program has no directory")?;
    for name in [PROXY, RUNTIME] {
        let program = programs.join(name);
        if !sys::process::may_execute(&program) {
            bail!(
                "{} is missing or may not be executed: it belongs beside mosexec",
                program.display()
            );
        }
    }
    Ok(programs.to_owned())
}

/// Who traces us, with its name as the kernel shows it.
fn tracer() -> anyhow::Result<Option<(i32, String)>> {
    let status = sys::proc_text::read("/proc/self/status").context("read /proc/self/status")?;
    let pid = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:")?.trim().parse().ok())
        .unwrap_or(0);
    if pid == 0 {
        return Ok(None);
    }
    let name = sys::proc_text::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    Ok(Some((pid, name.trim_end().to_owned())))
}

/// The whole path of a checkpoint.
fn in_words(path: &Path) -> anyhow::Result<String> {
    let whole =
        std::path::absolute(path).with_context(|| format!("checkpoint {}", path.display()))?;
    let text = whole.to_str();
    let text = text.with_context(|| format!("the name {} is not UTF-8", whole.display()))?;
    Ok(text.to_owned())
}

/// `-` stays; other paths are made independent of the working directory.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    if path.as_os_str() == "-" {
        return Ok(path.to_owned());
    }
    std::path::absolute(path).with_context(|| format!("statistics file {}", path.display()))
}
