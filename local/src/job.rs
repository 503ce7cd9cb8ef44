//! What tools and the node daemon ask of a job: one JSON line in, one out, on a Unix socket.
//!
//! The socket has an abstract name with the home proxy's pid, so that it leaves nothing behind; the
//! tracer of any process of the job leads to it, and the kernel's list of sockets to all jobs there are.
//! Each side asks the kernel who the other is: whoever may kill the job's processes may see and move them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::socket::{UnixAddr, UnixCredentials, getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

/// Longest request or answer in bytes.
pub const LINE_BYTES_MAX: u64 = 16 << 20;
/// Most processes in one listing; the others are only counted.
pub const PROCESSES_MAX: usize = 4096;
/// Most bytes of a command or a reason in a listing. As JSON six times that, so that a full listing fits
/// [`LINE_BYTES_MAX`].
pub const TEXT_BYTES_MAX: usize = 256;
/// Most jobs that are found on one machine.
pub const JOBS_MAX: usize = 4096;

/// Longest time that a process may take to move; after that nobody waits for it.
pub const MOVE_TIMEOUT: Duration = Duration::from_secs(300);
/// Jobs that are asked at once.
const AT_ONCE: usize = 16;

/// Beginning of a job's abstract socket name; its home proxy's pid follows.
const NAME: &str = "homenode-job-";

/// What is wanted of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Move a process.
    Migrate {
        /// Which one.
        pid: i32,
        /// All processes of its job.
        job: bool,
        /// A node's number or name, `home` or `best`.
        to: String,
    },
    /// Write a checkpoint of a process.
    Checkpoint {
        /// Which one.
        pid: i32,
        /// The file, by its whole path.
        file: String,
    },
    /// Say what its processes are and do.
    List,
}

/// A job's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Migrate`].
    Migrated(Migrated),
    /// To [`Request::Checkpoint`]: it is written.
    Saved,
    /// To [`Request::List`].
    Listed(Listing),
}

/// What came of a movement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrated {
    /// Processes that have moved.
    pub moved: Vec<i32>,
    /// Processes that have not, and why.
    pub stayed: Vec<(i32, String)>,
}

impl Migrated {
    /// Nothing if all have moved.
    ///
    /// # Errors
    /// A line for each that has not. The lines begin with `who`, but for the first.
    pub fn check(&self, who: &str) -> anyhow::Result<()> {
        let line = |(pid, why): &(i32, String)| format!("process {pid} has not moved: {why}");
        let lines: Vec<String> = self.stayed.iter().map(line).collect();
        ensure!(lines.is_empty(), "{}", lines.join(&format!("\n{who}: ")));
        Ok(())
    }
}

/// What a job has said, which can be anything: what a terminal would obey is a question mark.
pub fn shown(text: &str) -> String {
    let letters = text.chars();
    letters
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

/// A job's processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// Name of their home node; its number in a private cluster.
    pub home: String,
    /// Key of their home node; `None` in a private cluster.
    pub cluster: Option<String>,
    /// What the user has said of where they run.
    pub kept: Kept,
    /// At most [`PROCESSES_MAX`] of them, by pid.
    pub processes: Vec<Process>,
    /// How many there are more.
    pub left_out: u64,
    /// CPU time in seconds that it took to gather this at home.
    pub cost: f64,
    /// Calls that all of its processes have forwarded, also those that have ended.
    #[serde(default)]
    pub calls: u64,
}

/// What the user has said of where a job's processes run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Nothing.
    #[default]
    Free,
    /// At home (`--home`).
    Home,
    /// Where they are (`--lock`).
    Locked,
}

/// A process of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid, at home.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its user.
    pub uid: u32,
    /// Its arguments, or its name in brackets if it has none; cut to [`TEXT_BYTES_MAX`].
    pub command: String,
    /// When it began, in clock ticks since the kernel did: with its pid, it names the process.
    pub began: u64,
    /// Seconds since then.
    pub age: f64,
    /// Number of the node where it runs, in its job; 1 is home.
    pub node: u32,
    /// Name of that node.
    pub host: String,
    /// How often it has moved.
    pub moves: u32,
    /// Seconds since it began or came there.
    pub stay: f64,
    /// It is on its way.
    pub moving: bool,
    /// Why it cannot move, or could not when that was tried last; `None`: it may.
    pub why: Option<String>,
    /// That holds for good: until it executes another program at least.
    pub bound: bool,
    /// CPU time in seconds, at home and where it runs now; that of nodes it has left is not known.
    pub cpu: f64,
    /// CPU time in seconds where it runs now; `None`: its host has not told.
    pub cpu_there: Option<f64>,
    /// Its memory where it runs, in bytes.
    pub memory: Option<u64>,
    /// Calls it has forwarded since it came where it runs.
    pub calls: u64,
}

/// Where the job of home proxy `proxy` listens.
///
/// # Errors
/// The address is taken.
pub fn listen(proxy: i32) -> std::io::Result<UnixListener> {
    let address = SocketAddr::from_abstract_name(format!("{NAME}{proxy}"))?;
    UnixListener::bind_addr(&address)
}

/// Home proxies of all jobs on this machine, whosever they are; no more than [`JOBS_MAX`].
///
/// # Errors
/// The kernel's list of sockets cannot be read.
pub fn all() -> anyhow::Result<Vec<i32>> {
    let sockets = fs::read("/proc/net/unix").context("look for jobs in /proc/net/unix")?;
    Ok(proxies(&String::from_utf8_lossy(&sockets)))
}

/// Those that listen, in a list of sockets as of unix(7).
fn proxies(sockets: &str) -> Vec<i32> {
    // Flags of a socket that listens.
    const ACCEPTS: &str = "00010000";
    let of_line = |line: &str| {
        let mut fields = line.split_whitespace();
        let flags = fields.nth(3)?;
        let name = fields.nth(3)?.strip_prefix('@')?;
        let pid: i32 = name.strip_prefix(NAME)?.parse().ok()?;
        (flags == ACCEPTS && pid > 0).then_some(pid)
    };
    let mut found: Vec<i32> = sockets.lines().filter_map(of_line).collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(JOBS_MAX);
    found
}

/// A connection to a job.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    peer: UnixCredentials,
    /// When nobody waits any more.
    until: Option<Instant>,
}

impl Client {
    /// Finds the job that process `pid` belongs to.
    ///
    /// # Errors
    /// It belongs to none, or to one that is not ours; with what to do.
    pub fn of_process(pid: i32) -> anyhow::Result<Client> {
        let status = fs::read(format!("/proc/{pid}/status"))
            .with_context(|| format!("there is no process {pid}"))?;
        let status = String::from_utf8_lossy(&status);
        let tracer = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"));
        let tracer = tracer.and_then(|tracer| tracer.trim().parse().ok());
        let none = || format!("process {pid} was not started by mosexec");
        let tracer: i32 = tracer.filter(|tracer| *tracer != 0).with_context(none)?;
        let found = Client::of_job(tracer).with_context(none)?;
        found.with_context(|| {
            format!(
                "another process answers in the name of {tracer}, the home proxy of process {pid}"
            )
        })
    }

    /// The job of home proxy `proxy`; `None` if somebody else answers in its name.
    ///
    /// # Errors
    /// Nobody answers: it has ended.
    pub fn of_job(proxy: i32) -> anyhow::Result<Option<Client>> {
        let address = UnixAddr::new_abstract(format!("{NAME}{proxy}").as_bytes())?;
        let stream = crate::daemon::connect_to(&address)
            .with_context(|| format!("ask the job of home proxy {proxy}"))?;
        let peer = getsockopt(&stream, PeerCredentials).context("see who answers")?;
        let until = None;
        let client = Client {
            stream,
            peer,
            until,
        };
        Ok((client.peer.pid() == proxy).then_some(client))
    }

    /// The same; `None` also if it is not for this user to see.
    ///
    /// # Errors
    /// Nobody answers: it has ended.
    pub fn of_own_job(proxy: i32) -> anyhow::Result<Option<Client>> {
        let own = geteuid();
        let client = Client::of_job(proxy)?;
        Ok(client.filter(|client| own.is_root() || client.uid() == own.as_raw()))
    }

    /// The user whose job it is.
    pub fn uid(&self) -> u32 {
        self.peer.uid()
    }

    /// The same, but an answer that is not all here after `limit` is an error, however it comes.
    pub fn within(self, limit: Duration) -> Client {
        let until = Some(Instant::now() + limit);
        Client { until, ..self }
    }

    fn ask(mut self, request: &Request) -> anyhow::Result<Reply> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.write_all(&line).context("ask the job")?;
        let mut answer = String::new();
        let stream = Patient {
            stream: &self.stream,
            until: self.until,
        };
        BufReader::new(Read::take(stream, LINE_BYTES_MAX))
            .read_line(&mut answer)
            .context("hear from the job")?;
        ensure!(!answer.is_empty(), "the job has ended");
        let answer: Result<Reply, String> =
            serde_json::from_str(&answer).context("the job's answer is not understood")?;
        answer.map_err(|why| anyhow::Error::msg(shown(&why)))
    }

    /// Moves process `pid`, or with `job` all of its job, and waits for what comes of it.
    ///
    /// # Errors
    /// The job refuses, or has ended meanwhile.
    pub fn migrate(self, pid: i32, job: bool, to: &str) -> anyhow::Result<Migrated> {
        let to = to.to_owned();
        match self.ask(&Request::Migrate { pid, job, to })? {
            Reply::Migrated(mut migrated) => {
                for (_, why) in &mut migrated.stayed {
                    *why = shown(why);
                }
                Ok(migrated)
            }
            Reply::Listed(_) | Reply::Saved => anyhow::bail!("the job gives another answer"),
        }
    }

    /// Writes a checkpoint of process `pid` to `file`, a whole path.
    ///
    /// # Errors
    /// The job refuses, or has ended meanwhile.
    pub fn checkpoint(self, pid: i32, file: &str) -> anyhow::Result<()> {
        let file = file.to_owned();
        match self.ask(&Request::Checkpoint { pid, file })? {
            Reply::Saved => Ok(()),
            Reply::Migrated(_) | Reply::Listed(_) => anyhow::bail!("the job gives another answer"),
        }
    }

    /// What its processes are and do.
    ///
    /// # Errors
    /// The job refuses, or has ended meanwhile.
    pub fn list(self) -> anyhow::Result<Listing> {
        match self.ask(&Request::List)? {
            Reply::Listed(mut listing) => {
                listing.processes.truncate(PROCESSES_MAX);
                Ok(listing)
            }
            Reply::Migrated(_) | Reply::Saved => anyhow::bail!("the job gives another answer"),
        }
    }
}

/// Asks all jobs on this node that are this user's, for root everybody's, and gives what each says, with
/// its home proxy. Some of them are asked at once; those that have ended are left out.
///
/// # Errors
/// The jobs cannot be found.
pub fn ask_all<T: Send>(
    ask: impl Fn(Client) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<(i32, anyhow::Result<T>)>> {
    let one = |proxy: i32| {
        let answer = Client::of_own_job(proxy).ok().flatten().map(&ask)?;
        let has_ended = answer.is_err() && !matches!(Client::of_job(proxy), Ok(Some(_)));
        (!has_ended).then_some((proxy, answer))
    };
    let mut answers = Vec::new();
    for some in all()?.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let start = |proxy: &i32| {
                let proxy = *proxy;
                let started = thread::Builder::new().spawn_scoped(scope, move || one(proxy));
                (proxy, started)
            };
            // All are asked before one is waited for.
            let started: Vec<_> = some.iter().map(start).collect();
            for (proxy, started) in started {
                let not_asked = || Some((proxy, Err(anyhow::anyhow!("it was not asked"))));
                let answer = started.map_or_else(
                    |_| not_asked(),
                    |asked| asked.join().unwrap_or_else(|_| not_asked()),
                );
                answers.extend(answer);
            }
        });
    }
    Ok(answers)
}

/// Moves all processes of the jobs of [`ask_all`]. What has not moved is in the answer.
///
/// # Errors
/// The jobs cannot be found.
pub fn migrate_all(to: &str) -> anyhow::Result<Migrated> {
    let mut all = Migrated::default();
    // A job knows itself which processes it has.
    let any = 0;
    for (proxy, answer) in ask_all(|job| job.within(MOVE_TIMEOUT).migrate(any, true, to))? {
        match answer {
            Ok(one) => {
                all.moved.extend(one.moved);
                all.stayed.extend(one.stayed);
            }
            Err(error) => all
                .stayed
                .push((proxy, format!("{error:#} (the home proxy of its job)"))),
        }
    }
    Ok(all)
}

/// Reads until a moment, if there is one.
struct Patient<'a> {
    stream: &'a UnixStream,
    until: Option<Instant>,
}

impl Read for Patient<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if let Some(until) = self.until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
        }
        self.stream.read(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    /// Somebody who sends a byte now and then.
    #[test]
    fn who_drips_is_not_waited_for() {
        let (stream, mut other) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            while other.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let client = Client {
            peer: getsockopt(&stream, PeerCredentials).unwrap(),
            stream,
            until: None,
        };
        let error = client.within(Duration::from_millis(200)).list();
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("hear from the job"), "{error}");
    }

    #[test]
    fn a_job_is_found_by_its_number() {
        let own = std::process::id() as i32;
        let listener = listen(own).unwrap();
        let client = Client::of_job(own).unwrap().unwrap();
        assert!(all().unwrap().contains(&own));
        drop(client);
        let error = Client::of_process(own).unwrap_err().to_string();
        assert!(error.contains("was not started by mosexec"), "{error}");
        drop(listener);
        assert!(Client::of_job(own).is_err());
    }

    #[test]
    fn jobs_are_found_among_sockets() {
        let sockets = "Num       RefCount Protocol Flags    Type St Inode Path\n\
                       0: 00000002 00000000 00010000 0001 01 17 @homenode-job-42\n\
                       0: 00000003 00000000 00000000 0001 03 18 @homenode-job-42\n\
                       0: 00000002 00000000 00010000 0001 01 19 @homenode-job-7\n\
                       0: 00000002 00000000 00010000 0001 01 20 @homenode-job--7\n\
                       0: 00000002 00000000 00010000 0001 01 21 @homenode-job-x\n\
                       0: 00000002 00000000 00010000 0001 01 22 /homenode-job-9\n\
                       0: 00000002 00000000 00010000 0001 01 23\n";
        assert_eq!(proxies(sockets), [7, 42]);
    }

    #[test]
    fn a_full_listing_fits_its_line() {
        let text = "\u{1}".repeat(TEXT_BYTES_MAX);
        let process = Process {
            pid: i32::MAX,
            parent: i32::MAX,
            uid: u32::MAX,
            command: text.clone(),
            began: u64::MAX,
            age: f64::MAX,
            node: u32::MAX,
            host: text[..64].to_owned(),
            moves: u32::MAX,
            stay: 1.0 / 3.0,
            moving: false,
            why: Some(text),
            bound: false,
            cpu: 1.0 / 3.0,
            cpu_there: Some(1.0 / 3.0),
            memory: Some(u64::MAX),
            calls: u64::MAX,
        };
        let line = serde_json::to_vec(&process).map_or(usize::MAX, |line| line.len());
        let all = line * PROCESSES_MAX + 1024;
        assert!((all as u64) < LINE_BYTES_MAX, "{all}");
    }
}
