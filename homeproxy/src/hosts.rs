//! Runtimes on other nodes: starting them, and the control lanes to them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lane::control::{ToHome, decode};
use lane::pages::Opening;
use lane::setup::RuntimeSetup;
use lane::{Kind, Lane, Receiver, Sender};

use crate::job::{Job, Order};
use crate::lanes;
use crate::pages;
use crate::setup::{HOME_NODE, Setup};

/// Longest time a runtime may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is looked whether it still exists meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Connections that may be under way to become lanes. Anybody on this machine
/// may try; only who knows the secret succeeds.
const GREETINGS_MAX: usize = 64;
/// Lanes that the host of a job may hold open: one for each thread of its guests, two more for each
/// process whose pages follow it, and spare ones. With 32 Ki threads on the machine (kernel.pid_max as
/// it mostly is) there are at most half as many of guests: each takes a lane's thread and a deputy's.
pub(crate) const LANES_MAX: usize = 32 * 1024 + 1024;
/// Longest time that its last log lines may take after the job.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest log line that stays in one piece, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Stack of a lane's thread, in bytes: buffers are on the heap.
const LANE_STACK_BYTES: usize = 128 * 1024;

/// Accepts lanes and starts the runtime of the job's node, if that is not home.
/// Returns when the runtime is ready, with its log.
pub(crate) fn start(job: &Arc<Job>, setup: &Setup) -> anyhow::Result<Option<Log>> {
    if setup.node == HOME_NODE {
        return Ok(None);
    }
    let ids = sys::process::ids();
    let told = RuntimeSetup {
        home: job.address()?,
        secret: job.secret.to_hex(),
        node: setup.node,
        uid: ids.uid,
        gid: ids.gid,
        log: setup.log.clone(),
        stats: setup.stats.is_some(),
        read_ahead: setup.read_ahead,
        post_copy: setup.post_copy,
    };
    let program = format!("{}/homenode-runtime", setup.programs);
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {program} for node {}", setup.node))?;
    if let Some(mut input) = child.stdin.take() {
        let mut line = serde_json::to_vec(&told)?;
        line.push(b'\n');
        // Fails if the runtime has ended already, which is noticed next.
        let _ = input.write_all(&line);
    }
    let errors = child.stderr.take();
    let (ready, is_ready) = mpsc::channel();
    let accepting = Arc::clone(job);
    thread::Builder::new()
        .name("accept".into())
        .stack_size(LANE_STACK_BYTES)
        .spawn(move || accept(&accepting, &ready, LANES_MAX))?;
    if !await_ready(&is_ready, &mut child) {
        let _ = child.kill();
        let _ = child.wait();
        let mut why = String::new();
        if let Some(mut errors) = errors {
            let _ = errors.read_to_string(&mut why);
        }
        let why = match why.trim() {
            "" => "its runtime ended, or was silent for too long",
            why => why,
        };
        bail!("node {} cannot take guests: {why}", setup.node);
    }
    errors.map(Log::of).transpose()
}

/// Log lines of a runtime that go where ours go.
pub(crate) struct Log {
    /// Tells that there are no more.
    ended: mpsc::Receiver<()>,
}

impl Log {
    fn of(runtime: ChildStderr) -> anyhow::Result<Log> {
        let (end, ended) = mpsc::channel();
        thread::Builder::new()
            .name("log".into())
            .stack_size(LANE_STACK_BYTES)
            .spawn(move || {
                pass_lines_on(runtime);
                // Nobody waits any more.
                let _ = end.send(());
            })?;
        Ok(Log { ended })
    }

    /// Waits until the runtime has ended and its last line is written.
    pub(crate) fn finish(self) {
        // On time-out its last lines are lost.
        let _ = self.ended.recv_timeout(LOG_TIMEOUT);
    }
}

/// Whether the runtime says that it is ready before it ends or the time is over.
fn await_ready(is_ready: &mpsc::Receiver<()>, child: &mut Child) -> bool {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if is_ready.recv_timeout(LOOK_INTERVAL).is_ok() {
            return true;
        }
        if Instant::now() > deadline || !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
    }
}

/// Whole lines, so that they do not mix with ours.
fn pass_lines_on(from: ChildStderr) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = Read::take(&mut from, LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) || std::io::stderr().write_all(&line).is_err() {
            return;
        }
    }
}

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

/// Takes connections, each on a thread of its own; no more than `lanes_max` become lanes.
pub(crate) fn accept(job: &Arc<Job>, ready: &mpsc::Sender<()>, lanes_max: usize) {
    let greetings = Arc::new(());
    let open = Arc::new(AtomicUsize::new(0));
    for stream in job.listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors, mostly: some may come free.
            thread::sleep(LOOK_INTERVAL);
            continue;
        };
        if Arc::strong_count(&greetings) > GREETINGS_MAX {
            continue;
        }
        let serving = Arc::clone(job);
        let ready = ready.clone();
        let greeting = Arc::clone(&greetings);
        let counted = Arc::clone(&open);
        let started = thread::Builder::new()
            .name("lane".into())
            .stack_size(LANE_STACK_BYTES)
            .spawn(move || {
                let Some((lane, _open)) = admit(&serving, stream, greeting, counted, lanes_max)
                else {
                    return;
                };
                greet(&serving, lane, &ready);
            });
        if let Err(error) = started {
            tracing::warn!("no thread for a lane: {error}");
        }
    }
}

/// Makes a connection a lane. Only who knows the secret counts, and is told of in the log if there
/// are too many.
fn admit(
    job: &Job,
    stream: TcpStream,
    greeting: Arc<()>,
    open: Arc<AtomicUsize>,
    lanes_max: usize,
) -> Option<((Sender, Receiver), Open)> {
    let lane = match Lane::accept(stream, &job.secret).and_then(Lane::split) {
        Ok(halves) => halves,
        Err(error) => {
            tracing::warn!("a connection was refused: {error}");
            return None;
        }
    };
    drop(greeting);
    let Some(open) = Open::one_more(open, lanes_max) else {
        tracing::warn!("a lane was refused: the host of the job has {lanes_max} open already");
        return None;
    };
    Some((lane, open))
}

/// The first frame tells what the lane is for. Those that outlive this, the control lane's sender and
/// the inspector's lane, are one each.
fn greet(job: &Arc<Job>, lane: (Sender, Receiver), ready: &mpsc::Sender<()>) {
    let (sender, mut receiver) = lane;
    let first = match receiver.recv() {
        Ok(frame) if frame.kind == Kind::Control => decode::<ToHome>(frame.payload),
        Ok(frame) if frame.kind == Kind::Bind => {
            let tid = lanes::bound_thread(&frame);
            return lanes::serve(job, sender, receiver, tid);
        }
        Ok(frame) if frame.kind == Kind::Pages => match Opening::decode(frame.payload) {
            Ok(opening) => return pages::serve(job, sender, receiver, opening),
            Err(error) => return tracing::warn!("lane closed: {error}"),
        },
        Ok(frame) if frame.kind == Kind::Inspect => return job.inspector.open(sender, receiver),
        Ok(_) => return tracing::warn!("a lane began with an unexpected frame"),
        Err(_) => return,
    };
    if let Ok(ToHome::Ready { node, pid }) = first {
        tracing::debug!("runtime {pid} of node {node} is ready");
        if !job.set_control(sender) {
            return tracing::warn!("a second control lane was refused");
        }
        // Nobody waits any more if the start has timed out.
        let _ = ready.send(());
        listen(job, receiver);
    }
}

/// What the host says, until it is gone.
fn listen(job: &Job, mut receiver: Receiver) {
    let reason = loop {
        let message = match receiver.recv() {
            Ok(frame) => decode::<ToHome>(frame.payload),
            Err(error) => break error.to_string(),
        };
        match message {
            Ok(ToHome::Interrupt { tid, request }) => job.order(Order::Interrupt { tid, request }),
            Ok(ToHome::BodyExited { pid, wait_status }) => {
                job.order(Order::End { pid, wait_status })
            }
            Ok(ToHome::ThreadExited { tid, .. }) => job.order(Order::EndThread { tid }),
            Ok(ToHome::StopSelf { pid, signal }) => job.order(Order::Stop { pid, signal }),
            Ok(ToHome::Say { pid, text }) => job.order(Order::Say { pid, text }),
            Ok(ToHome::Cannot { pid, reason }) => job.order(Order::Cannot { pid, reason }),
            Ok(ToHome::AskReturn { pid, reason }) => job.order(Order::AskReturn { pid, reason }),
            Ok(ToHome::Remains { pid, reason }) => job.order(Order::Remains { pid, reason }),
            Ok(ToHome::Running { pid, departure }) => {
                if job.body_runs(pid, departure) {
                    job.journal.running(pid);
                    job.order(Order::Running { pid });
                }
            }
            Ok(ToHome::Recalled { stream }) => job.leases.release(stream),
            Ok(ToHome::ReadOver { pid, stream }) => {
                job.leases.release_early(stream);
                if let Some(deputy) = job.deputy(pid) {
                    deputy.heeded.one_more();
                }
            }
            Ok(ToHome::Statistics {
                pid,
                forwarded,
                native,
            }) => job.journal.called(pid, &forwarded, &native),
            Ok(ToHome::Ready { .. }) => {}
            Err(error) => break error.to_string(),
        }
    };
    job.order(Order::HostLost { reason });
}
