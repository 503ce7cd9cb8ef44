//! The daemon's end of [`local::daemon`](::local::daemon): who may ask what, and the answers.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ::local::connections::{Serving, serve_each};
use ::local::daemon::{LINE_BYTES_MAX, Node, Reply, Request, Status};
use anyhow::{Context, bail, ensure};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use crate::learning;
use crate::members::Membership;
use crate::wire::{self, Answer};
use crate::{Daemon, STACK_BYTES, config, lock, moving, peers, placing};

/// Longest time that a tool may take to say what it wants.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Questions that are answered at once: a job asks one for each of its hosts as long as that runs.
const CLIENTS: Serving = Serving {
    name: "tool",
    stack_bytes: STACK_BYTES,
    at_once: 4096,
    of_one_address: 4096,
};
/// Longest time for which an invitation is good.
const INVITATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Time for others to hear that this node leaves.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// The socket, removed when this is dropped.
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Takes the place of a daemon that has ended, never of one that runs.
    pub(crate) fn bind(path: &Path) -> anyhow::Result<Listener> {
        config::check_socket(path)?;
        let doing = || format!("make the socket {}", path.display());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(doing)?;
        }
        if UnixStream::connect(path).is_ok() {
            bail!("a daemon runs already: it answers at {}", path.display());
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(doing);
            }
            _ => {}
        }
        let socket = UnixListener::bind(path).with_context(doing)?;
        // Who asks is told by the kernel, and looked at for each request.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).with_context(doing)?;
        Ok(Listener {
            socket,
            path: path.to_owned(),
        })
    }

    /// Answers until somebody wants the daemon to end.
    pub(crate) fn serve(self, daemon: &Arc<Daemon>) -> anyhow::Result<()> {
        let (end, ended) = std::sync::mpsc::channel();
        let socket = self.socket.try_clone().context("listen for tools")?;
        let serving = Arc::clone(daemon);
        let signalled = end.clone();
        thread::Builder::new()
            .name("local".into())
            .spawn(move || listen(&serving, &socket, &end))?;
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || await_signal(&signalled))?;
        // A listener that fails has dropped its end: so has the daemon ended.
        let _ = ended.recv();
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Signals that end a daemon.
fn ending() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .collect()
}

/// Keeps signals that end a daemon for the thread that waits for them. To be called before there
/// are threads. Programs that are started get no such mask.
pub(crate) fn hold_signals() -> anyhow::Result<()> {
    ending().thread_block().context("block signals")
}

fn await_signal(end: &End) {
    if let Ok(signal) = ending().wait() {
        tracing::info!("the daemon ends, by {signal}");
        // Nobody waits any more if it ends already.
        let _ = end.send(());
    }
}

type End = std::sync::mpsc::Sender<()>;

fn listen(daemon: &Arc<Daemon>, socket: &UnixListener, end: &End) {
    let (daemon, end) = (Arc::clone(daemon), end.clone());
    serve_each(
        socket.incoming(),
        CLIENTS,
        || true,
        move |stream, _place| {
            if let Err(error) = serve(&daemon, stream, &end) {
                tracing::debug!("a tool: {error:#}");
            }
        },
    );
}

fn serve(daemon: &Arc<Daemon>, mut stream: UnixStream, end: &End) -> anyhow::Result<()> {
    let peer = getsockopt(&stream, PeerCredentials).context("see who asks")?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(Read::take(&stream, LINE_BYTES_MAX)).read_line(&mut line)?;
    let request = serde_json::from_str::<Request>(&line).context("the request is not understood");
    let request = request.and_then(|request| {
        check(&request, peer.uid())?;
        Ok(request)
    });
    match request {
        Ok(Request::Start { node, setup }) => {
            let started = start(daemon, &node, *setup);
            let reply = started.as_ref().map(|_| Reply::Done);
            tell(&mut stream, &reply.map_err(|error| format!("{error:#}")))?;
            match started {
                Ok(receiver) => pass_log_on(receiver, &mut stream),
                Err(_) => Ok(()),
            }
        }
        Ok(request) => {
            let ends = matches!(request, Request::Leave | Request::Stop);
            let reply = answer(daemon, request);
            let ends = ends && reply.is_ok();
            let told = tell(&mut stream, &reply.map_err(|error| format!("{error:#}")));
            if ends {
                // Others may want it too.
                let _ = end.send(());
            }
            told
        }
        Err(error) => tell(&mut stream, &Err(format!("{error:#}"))),
    }
}

fn tell(stream: &mut UnixStream, reply: &Result<Reply, String>) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    Ok(stream.write_all(&line)?)
}

/// Users may run jobs and look; what changes the node is for who runs its daemon, and root.
fn check(request: &Request, user: u32) -> anyhow::Result<()> {
    let own = nix::unistd::geteuid().as_raw();
    if user == own || user == 0 {
        return Ok(());
    }
    ensure!(
        own == 0,
        "this daemon is for user {own} only, not for user {user}"
    );
    match request {
        Request::Status
        | Request::Events
        | Request::Start { .. }
        | Request::Place { .. }
        | Request::Why { .. }
        | Request::Ran { .. } => Ok(()),
        _ => bail!("user {user} may not do this: ask root"),
    }
}

/// Where jobs of this node listen for hosts.
fn lanes(daemon: &Daemon) -> IpAddr {
    daemon.config.listen.ip()
}

fn start(
    daemon: &Daemon,
    node: &str,
    mut setup: lane::setup::RuntimeSetup,
) -> anyhow::Result<lane::Receiver> {
    if let Some(address) = daemon.config.address {
        setup.home.set_ip(address);
    }
    peers::start(daemon, node, setup)
}

fn pass_log_on(mut receiver: lane::Receiver, stream: &mut UnixStream) -> anyhow::Result<()> {
    loop {
        match wire::recv(&mut receiver)? {
            Answer::Log(line) => stream.write_all(line.as_bytes())?,
            _ => return Ok(()),
        }
    }
}

fn answer(daemon: &Daemon, request: Request) -> anyhow::Result<Reply> {
    match request {
        Request::Status => Ok(Reply::Status(Box::new(status(daemon)?))),
        Request::Invite { seconds } => {
            let valid = Duration::from_secs(seconds);
            ensure!(
                !valid.is_zero() && valid <= INVITATION_MAX,
                "an invitation is good for 1 second to {} days",
                INVITATION_MAX.as_secs() / (24 * 3600)
            );
            let token = lock(&daemon.invitations).invite(valid, Instant::now())?;
            Ok(Reply::Invitation(token.to_string()))
        }
        Request::Place {
            executable,
            arguments,
        } => Ok(placing::place(daemon, &executable, &arguments)),
        Request::Why { pid } => Ok(Reply::Why(moving::explain(daemon, pid))),
        Request::Ran { runs } => {
            learning::learn(daemon, &runs);
            Ok(Reply::Done)
        }
        Request::Drain { closed } => {
            daemon.closed.store(closed, Ordering::SeqCst);
            daemon.event(if closed {
                "this node takes no guests any more"
            } else {
                "this node takes guests again"
            });
            Ok(Reply::Done)
        }
        Request::Events => Ok(Reply::Events(
            lock(&daemon.events).iter().cloned().collect(),
        )),
        Request::Revoke { node } => {
            let key = lock(&daemon.members)
                .by_name(&node)
                .map(|member| member.key);
            let key = key.with_context(|| format!("there is no node {node}"))?;
            ensure!(
                key != daemon.me,
                "a node does not revoke itself; mosctl leave"
            );
            daemon.change_member(&key, |member| member.membership = Membership::Revoked)?;
            daemon.event(&format!("the key of node {node} is not believed any more"));
            tell_others(daemon);
            Ok(Reply::Done)
        }
        Request::Leave => {
            daemon.change_member(&daemon.me, |me| me.membership = Membership::Left)?;
            tell_others(daemon);
            learning::stop(daemon);
            daemon.state.remove()?;
            Ok(Reply::Done)
        }
        Request::Stop => Ok(Reply::Done),
        Request::Start { .. } => bail!("this is answered elsewhere"),
    }
}

/// Tells as many as can be told in [`LEAVE_TIME`]; they tell the others.
fn tell_others(daemon: &Daemon) {
    let until = Instant::now() + LEAVE_TIME;
    let others: Vec<_> = {
        let members = lock(&daemon.members);
        members
            .present()
            .filter(|m| m.key != daemon.me)
            .cloned()
            .collect()
    };
    for member in others {
        if Instant::now() > until {
            return;
        }
        if let Err(error) = peers::exchange(daemon, &member) {
            tracing::debug!("tell {}: {error:#}", member.name);
        }
    }
}

fn status(daemon: &Daemon) -> anyhow::Result<Status> {
    let view = lock(&daemon.view).clone();
    let members = lock(&daemon.members).clone();
    let own = members
        .by_key(&daemon.me)
        .context("this node has left its cluster")?;
    let mut nodes: Vec<Node> = members
        .present()
        .map(|member| {
            let (id, is_own) = (member.key.node_id(), member.key == daemon.me);
            let known = view.loads.get(&id);
            let age = known.map(|(_, taken)| taken.elapsed().as_secs_f64());
            let runtimes = lock(&daemon.runtimes);
            let guests_of = runtimes.iter().filter(|_| is_own);
            Node {
                name: member.name.clone(),
                key: member.key.to_string(),
                address: member.address,
                joined: member.joined,
                alive: is_own || view.alive.contains(&id),
                load: if is_own {
                    view.own
                } else {
                    known.map(|(load, _)| *load)
                },
                age: if is_own { Some(0.0) } else { age },
                guests_of: guests_of.map(|running| running.home.clone()).collect(),
            }
        })
        .collect();
    let own_name = own.name.clone();
    nodes.sort_by_key(|node| (node.name != own_name, node.name.clone()));
    Ok(Status {
        name: own.name.clone(),
        pid: std::process::id(),
        lanes: lanes(daemon),
        nodes,
    })
}
