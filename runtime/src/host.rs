//! What all threads of the runtime share: guests, lanes, orders to the tracer.

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use image::Image;
use image::files::LocalFiles;
use lane::control::{ToHome, ToHost};
use lane::setup::RuntimeSetup;
use lane::{Kind, Lane, LaneError, Secret};
use sys::ptrace::SignalInfo;
use sys::ready::Bell;

use crate::guesses;
use crate::guest::{Process, Received, Thread};
use crate::helpers::Helpers;
use crate::link::Link;
use crate::observe;
use crate::readahead::Streams;

/// Unbound lanes kept ready for the next births.
const SPARE_LINKS: usize = 4;
/// Stack of helper threads in bytes.
pub(crate) const STACK_BYTES: usize = 128 * 1024;

/// How long it is tried to open a lane; less than home waits for one with pages.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How often.
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// Locks `mutex`; a panic of another holder does not matter, since all shared
/// state is consistent between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program to run, fetched from home.
pub(crate) struct Arrival {
    /// The last signal that home has sent for it.
    pub(crate) signals: u64,
    pub(crate) image: Image,
    pub(crate) pages: Vec<u8>,
    pub(crate) files: Vec<Arc<File>>,
    /// One for each thread of the image.
    pub(crate) links: Vec<Link>,
}

/// Whether a process goes home.
pub(crate) enum Decision {
    /// Yes: its threads have been told to stop.
    Leaves,
    /// No, for this reason.
    Remains(String),
}

/// What other threads ask of the tracer.
pub(crate) enum Order {
    /// Make a body. An old one of the same pid is replaced.
    Arrive(Box<Arrival>),
    /// Home's answer to a call of the clone family by this thread (outer id).
    Born { outer: i32, result: i64 },
    /// A signal that a thread (outer id) has received only as word of one that
    /// waits at home: that one, or none if somebody else has taken it.
    Taken {
        outer: i32,
        received: Received,
        info: Option<SignalInfo>,
    },
    /// A process (pid at home) has executed nothing: it gets the signals that have waited for that.
    /// The sender is told when it has them.
    Deliver { pid: i32, done: Sender<()> },
    /// Stop this thread (outer id) before its notification is answered, then
    /// tell the sender.
    Interrupt { outer: i32, done: Sender<()> },
    /// This process has to go home; the sender is told whether it does.
    GoHome {
        pid: i32,
        reason: String,
        decided: Sender<Decision>,
    },
    /// Home has taken over a process (outer id), or has not: then it goes on here.
    Returned {
        outer: i32,
        result: Result<(), String>,
    },
    /// All pages of this process (pid at home) have come.
    PagesHere { pid: i32 },
    /// From home.
    Home(ToHost),
    /// The program goes on at home: the body ends without a word (home pid).
    Discard { pid: i32 },
    /// Home is gone.
    Over,
}

/// The shared part of the runtime.
pub(crate) struct Host {
    home: SocketAddr,
    secret: Secret,
    /// User id that guests see.
    pub(crate) uid: u32,
    /// A guest has taken other user ids; since then each asks home which it has.
    pub(crate) ids_changed: AtomicBool,
    /// Whether statistics are kept.
    pub(crate) stats: bool,
    /// Whether anybody looks at single calls: statistics or the log.
    pub(crate) observed: bool,
    pub(crate) bell: Bell,
    pub(crate) helpers: Helpers,
    /// Serves pages that come later, if this node can.
    pub(crate) userfaults: Option<Arc<File>>,
    pub(crate) files: LocalFiles,
    /// Files that are read ahead.
    pub(crate) streams: Arc<Streams>,
    /// What follows what.
    pub(crate) guesses: Mutex<guesses::Table>,
    /// Threads by their id on this node.
    threads: Mutex<HashMap<i32, Arc<Thread>>>,
    spare: Mutex<Vec<Link>>,
    orders: Mutex<Vec<Order>>,
    control: Mutex<lane::Sender>,
}

impl Host {
    /// Connects the control lane and says that this node is ready.
    pub(crate) fn connect(
        setup: &RuntimeSetup,
        bell: Bell,
    ) -> anyhow::Result<(Host, lane::Receiver)> {
        let secret = Secret::from_hex(&setup.secret).context("the setup's secret")?;
        let userfaults = sys::userfault::device()
            .ok()
            .filter(|_| setup.post_copy)
            .map(Arc::new);
        let (mut sender, receiver) = Lane::connect(setup.home, &secret)
            .and_then(Lane::split)
            .with_context(|| format!("connect to the home proxy at {}", setup.home))?;
        let ready = ToHome::Ready {
            node: setup.node,
            pid: std::process::id(),
            post_copy: userfaults.is_some(),
        };
        lane::control::encode(&ready, sender.begin()).context("say that this node is ready")?;
        sender
            .send(Kind::Control, 0, 0)
            .context("say that this node is ready")?;
        let host = Host {
            home: setup.home,
            secret,
            uid: setup.uid,
            ids_changed: false.into(),
            stats: setup.stats,
            observed: setup.stats || observe::is_logged(),
            bell,
            helpers: Helpers::new(),
            userfaults,
            files: LocalFiles::default(),
            streams: Streams::new(setup.read_ahead),
            guesses: Mutex::default(),
            threads: Mutex::new(HashMap::new()),
            spare: Mutex::new(Vec::new()),
            orders: Mutex::new(Vec::new()),
            control: Mutex::new(sender),
        };
        Ok((host, receiver))
    }

    /// Starts the thread that hears from home.
    pub(crate) fn listen(self: &Arc<Self>, receiver: lane::Receiver) -> anyhow::Result<()> {
        let host = Arc::clone(self);
        std::thread::Builder::new()
            .name("control".into())
            .stack_size(STACK_BYTES)
            .spawn(move || host.hear(receiver))?;
        Ok(())
    }

    fn hear(self: &Arc<Self>, mut receiver: lane::Receiver) {
        loop {
            let message = receiver
                .recv()
                .and_then(|frame| lane::control::decode::<ToHost>(frame.payload));
            match message {
                Ok(ToHost::Place { pid }) => self.place(pid),
                Ok(ToHost::Recall { stream }) => {
                    self.streams.recall(stream);
                    self.tell_home(&ToHome::Recalled { stream });
                }
                Ok(message) => self.order(Order::Home(message)),
                Err(error) => {
                    tracing::debug!("control lane: {error}");
                    return self.order(Order::Over);
                }
            }
        }
    }

    /// Fetches a program that home wants to run here.
    fn place(self: &Arc<Self>, pid: i32) {
        let host = Arc::clone(self);
        let fetch = move || {
            let arrived = host.link(pid).and_then(|link| host.arrival(link));
            match arrived {
                Ok(arrival) => host.order(Order::Arrive(Box::new(arrival))),
                Err(error) => host.tell_home(&ToHome::Cannot {
                    pid,
                    reason: error.to_string(),
                }),
            }
        };
        if let Err(error) = std::thread::Builder::new()
            .name("place".into())
            .stack_size(STACK_BYTES)
            .spawn(fetch)
        {
            self.tell_home(&ToHome::Cannot {
                pid,
                reason: format!("no thread: {error}"),
            });
        }
    }

    /// Fetches the image of the process that `link` is bound to, and its files.
    pub(crate) fn arrival(&self, mut link: Link) -> Result<Arrival, LaneError> {
        let (signals, image, pages) = link.fetch_image(self.userfaults.is_some())?;
        let files = image
            .files
            .iter()
            .map(|wanted| link.file(&self.files, wanted))
            .collect::<Result<_, _>>()?;
        let mut links = vec![link];
        for thread in &image.threads[1..] {
            links.push(self.link(thread.tid)?);
        }
        Ok(Arrival {
            signals,
            image,
            pages,
            files,
            links,
        })
    }

    /// A lane that is bound to nothing yet. Where many processes move at once home refuses connections
    /// of one host beyond so many that are under way: then it is tried again.
    pub(crate) fn lane(&self) -> Result<Lane, LaneError> {
        let since = Instant::now();
        loop {
            match Lane::connect(self.home, &self.secret) {
                Err(error) if since.elapsed() < CONNECT_PATIENCE => {
                    tracing::debug!("open a lane: {error}");
                    std::thread::sleep(CONNECT_INTERVAL);
                }
                connected => return connected,
            }
        }
    }

    /// A lane bound to thread `tid`.
    pub(crate) fn link(&self, tid: i32) -> Result<Link, LaneError> {
        let spare = lock(&self.spare).pop();
        let mut link = match spare {
            Some(link) => link,
            None => Link::over(self.lane()?)?,
        };
        link.bind(tid)?;
        Ok(link)
    }

    /// Takes back the lane of a thread that has ended.
    pub(crate) fn recycle(&self, mut link: Link) {
        if link.reader.leaves() {
            // Home has something left to send on it. A lane that failed is no loss.
            return self.helpers.run(Box::new(move || drop(link.drain())));
        }
        let mut spare = lock(&self.spare);
        if spare.len() < SPARE_LINKS {
            spare.push(link);
        }
    }

    pub(crate) fn order(&self, order: Order) {
        lock(&self.orders).push(order);
        self.bell.ring();
    }

    pub(crate) fn take_orders(&self) -> Vec<Order> {
        std::mem::take(&mut lock(&self.orders))
    }

    /// Tells home. If home cannot be told it is gone, which ends the runtime.
    pub(crate) fn tell_home(&self, message: &ToHome) {
        let mut control = lock(&self.control);
        let sent = lane::control::encode(message, control.begin())
            .and_then(|()| control.send(Kind::Control, 0, 0));
        if let Err(error) = sent {
            tracing::debug!("tell home {message:?}: {error}");
        }
    }

    /// A process makes a call that works only at home. Returns once it is clear
    /// whether it goes there.
    pub(crate) fn go_home(&self, process: &Process, what: &str) -> Decision {
        let (decided, decision) = mpsc::channel();
        self.order(Order::GoHome {
            pid: process.pid,
            reason: format!("it called {what}"),
            decided,
        });
        // The sender is dropped if the process ends meanwhile.
        decision
            .recv()
            .unwrap_or_else(|_| Decision::Remains("it is ending".into()))
    }

    /// Tells the guest's user, once, of a call that works only at home, where
    /// the process cannot go.
    pub(crate) fn say_remains(&self, process: &Process, what: &str, why: &str) {
        if lock(&process.said).insert(what.to_owned()) {
            let pid = process.pid;
            let text = format!(
                "process {pid} calls {what}, which works only at home, and cannot go there since \
                 {why}: answered ENOSYS (run it with --home)"
            );
            self.tell_home(&ToHome::Say { pid, text });
        }
    }

    pub(crate) fn thread(&self, outer: i32) -> Option<Arc<Thread>> {
        lock(&self.threads).get(&outer).cloned()
    }

    pub(crate) fn add_thread(&self, thread: &Arc<Thread>) {
        lock(&self.threads).insert(thread.outer, Arc::clone(thread));
    }

    pub(crate) fn remove_thread(&self, outer: i32) -> Option<Arc<Thread>> {
        lock(&self.threads).remove(&outer)
    }

    /// The thread with this id at home.
    pub(crate) fn thread_at_home(&self, tid: i32) -> Option<Arc<Thread>> {
        let threads = lock(&self.threads);
        let silent = |t: &Arc<Thread>| t.process.silent.load(Ordering::SeqCst);
        threads
            .values()
            .find(|t| t.tid == tid && !silent(t))
            .cloned()
    }

    /// Threads of the process with this pid at home; the leader first.
    pub(crate) fn threads_of(&self, pid: i32) -> Vec<Arc<Thread>> {
        let mut threads: Vec<_> = lock(&self.threads)
            .values()
            .filter(|t| t.process.pid == pid)
            .cloned()
            .collect();
        threads.sort_by_key(|t| (t.tid != pid, t.tid));
        threads
    }
}
