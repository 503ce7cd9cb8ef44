//! Connections of a host: each becomes a lane, for what its first frame says.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lane::control::{ToHome, decode};
use lane::pages::Opening;
use lane::{Kind, Lane, Receiver, Sender};
use local::connections::{Place, Serving, serve_each};

use super::host::Host;
use crate::job::{Job, Order};
use crate::lanes::{self, LANE_STACK_BYTES};
use crate::shipping;

/// Connections that may be under way to become lanes. Anybody who reaches this machine may try; only
/// who knows the secret succeeds.
const GREETINGS: Serving = Serving {
    name: "lane",
    stack_bytes: LANE_STACK_BYTES,
    at_once: 1024,
    of_one_address: 64,
};
/// Lanes that one host of a job may hold open: one for each thread of its guests, two more for each
/// process whose pages follow it, and spare ones. With 32 Ki threads on the machine (kernel.pid_max as
/// it mostly is) there are at most half as many of guests: each takes a lane's thread and a deputy's.
pub(crate) const LANES_MAX: usize = 32 * 1024 + 1024;

/// One of the lanes that are open.
struct Open(Arc<AtomicUsize>);

impl Open {
    /// One more, unless there are `max`.
    fn one_more(open: Arc<AtomicUsize>, max: usize) -> Option<Open> {
        let more = |count| (count < max).then_some(count + 1);
        let counted = open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        // Not made in vain: its end would be counted.
        counted.is_ok().then(|| Open(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Takes the host's connections until it is lost, each on a thread of its own; no more than
/// `lanes_max` become lanes.
pub(crate) fn accept(job: &Arc<Job>, host: &Arc<Host>, lanes_max: usize) {
    let open = Arc::new(AtomicUsize::new(0));
    let serve = {
        let (job, host) = (Arc::clone(job), Arc::clone(host));
        move |stream, greeting| {
            let counted = Arc::clone(&open);
            if let Some((lane, _open)) = admit(&host, stream, greeting, counted, lanes_max) {
                greet(&job, &host, lane);
            }
        }
    };
    serve_each(
        host.listener.incoming(),
        GREETINGS,
        || !host.is_lost(),
        serve,
    );
}

/// Makes a connection a lane. Only who knows the secret counts, and is told of in the log if there
/// are too many.
fn admit(
    host: &Host,
    stream: TcpStream,
    greeting: Place,
    open: Arc<AtomicUsize>,
    lanes_max: usize,
) -> Option<((Sender, Receiver), Open)> {
    let lane = match Lane::accept(stream, &host.secret).and_then(Lane::split) {
        Ok(halves) => halves,
        Err(error) => {
            tracing::warn!("a connection was refused: {error}");
            return None;
        }
    };
    drop(greeting);
    let Some(open) = Open::one_more(open, lanes_max) else {
        let node = host.node;
        tracing::warn!("a lane was refused: node {node} has {lanes_max} open already");
        return None;
    };
    Some((lane, open))
}

/// The first frame tells what the lane is for. Those that outlive this, the control lane's sender and
/// the inspector's lane, are one each.
fn greet(job: &Arc<Job>, host: &Arc<Host>, lane: (Sender, Receiver)) {
    let (sender, mut receiver) = lane;
    let first = match receiver.recv() {
        Ok(frame) if frame.kind == Kind::Control => decode::<ToHome>(frame.payload),
        Ok(frame) if frame.kind == Kind::Bind => {
            let tid = lanes::bound_thread(&frame);
            return lanes::serve(job, host, sender, receiver, tid);
        }
        Ok(frame) if frame.kind == Kind::Pages => match Opening::decode(frame.payload) {
            Ok(opening) => return shipping::serve(job, host, sender, receiver, opening),
            Err(error) => return tracing::warn!("lane closed: {error}"),
        },
        Ok(frame) if frame.kind == Kind::Inspect => return host.inspector.open(sender, receiver),
        Ok(_) => return tracing::warn!("a lane began with an unexpected frame"),
        Err(_) => return,
    };
    if let Ok(ToHome::Ready {
        node,
        pid,
        post_copy,
    }) = first
    {
        if node != host.node || !host.is_ready_by(sender, post_copy) {
            return tracing::warn!("a second control lane of node {} was refused", host.name);
        }
        tracing::debug!("runtime {pid} of node {node} is ready");
        listen(job, host, receiver);
    }
}

/// What the host says, until it is gone.
fn listen(job: &Job, host: &Arc<Host>, mut receiver: Receiver) {
    let reason = loop {
        let message = match receiver.recv() {
            Ok(frame) => decode::<ToHome>(frame.payload),
            Err(error) => break error.to_string(),
        };
        match message {
            Ok(ToHome::Recalled { stream }) => job.leases.release(host.stream(stream)),
            Ok(ToHome::ReadOver { pid, stream }) => {
                job.leases.release_early(host.stream(stream));
                if let Some(deputy) = job.deputy_at(host, pid) {
                    deputy.heeded.one_more();
                }
            }
            Ok(ToHome::Statistics {
                pid,
                forwarded,
                native,
            }) => job.journal.called(pid, host.node, &forwarded, &native),
            Ok(ToHome::Ready { .. }) => {}
            Ok(ToHome::Running { pid, placement }) => {
                let is_here = job.body_runs(host, pid, placement);
                if is_here {
                    job.journal.running(pid);
                }
                if is_here || job.thread(pid).is_none() {
                    let host = Arc::clone(host);
                    job.order(Order::Said {
                        host,
                        message: ToHome::Running { pid, placement },
                    });
                }
            }
            Ok(message) => {
                let host = Arc::clone(host);
                job.order(Order::Said { host, message });
            }
            Err(error) => break error.to_string(),
        }
    };
    host.lose(&format!("node {} is lost ({reason})", host.name));
    let host = Arc::clone(host);
    job.order(Order::HostLost { host, reason });
}
