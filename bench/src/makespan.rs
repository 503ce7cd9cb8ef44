//! `homenode-bench-makespan`: how long a cluster of two nodes with one core each takes for jobs that are all
//! started on the first, beside what it would take if nothing were lost.
//!
//! Both nodes are this machine: a daemon each, pinned to a core, as is what it starts. A job computes a fixed
//! number of steps. The ideal is reckoned from one job alone on such a core, before and after, so that only
//! ratios within one run are shown.

use std::env;
use std::fs;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::placement::{Cores, Placement, inherited};
use bench::product::{BIN_DIR, Product};
use clap::Parser;

/// Port of both daemons.
const PORT: u16 = 7747;
/// Longest time until the nodes know each other.
const PATIENCE: Duration = Duration::from_secs(30);
/// Steps of a job in a second, about.
const STEPS_PER_SECOND: f64 = 300e6;

/// Measures the makespan of CPU-bound jobs on two nodes with one core each.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// Jobs
    #[arg(long, value_name = "N", default_value_t = 16)]
    jobs: usize,
    /// About how long one computes, alone on a core
    #[arg(long, value_name = "SECONDS", default_value_t = 8.0)]
    seconds: f64,
    /// Runs of each kind
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
    /// Be a job of so many steps
    #[arg(long, hide = true)]
    work: Option<u64>,
}

/// How the jobs come to the second node.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// They begin at home, and move by themselves.
    Moved,
    /// They are placed when they begin (`--best`).
    Placed,
    /// As [`Kind::Moved`], but the second node joins when a quarter of the work is done.
    Late,
}

impl Kind {
    const ALL: [(Kind, &'static str); 3] = [
        (Kind::Moved, "begin at home, move by themselves"),
        (Kind::Placed, "placed when they begin (--best)"),
        (Kind::Late, "second node joins after a quarter"),
    ];

    /// The ideal, in times of one job alone.
    fn ideal(self, jobs: f64) -> f64 {
        match self {
            Kind::Moved | Kind::Placed => jobs / 2.0,
            Kind::Late => jobs / 4.0 + jobs * 3.0 / 8.0,
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(steps) = options.work {
        println!("{}", work(steps));
        return Ok(());
    }
    let product = Product::find()?;
    let mosexec = product.mosexec().with_context(|| {
        format!("no mosexec in ${BIN_DIR} nor beside the bench: cargo build --release")
    })?;
    let cores = Cores::available()?;
    let (Some(first), Some(second)) = cores.of_raw_tcp(Placement::Across) else {
        bail!("two cores are needed");
    };
    let bench = Bench {
        mosexec,
        cores: [first, second],
        steps: (options.seconds * STEPS_PER_SECOND) as u64,
        jobs: options.jobs,
    };
    println!(
        "{} jobs, times of the ideal: median (range) of {}",
        options.jobs, options.runs
    );
    for (kind, name) in Kind::ALL {
        let ratios = (0..options.runs).map(|_| bench.ratio(kind));
        let mut ratios = ratios.collect::<Result<Vec<f64>>>()?;
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios.first().copied(), ratios.last().copied());
        println!(
            "{name:<36} {:.2} ({:.2}-{:.2})",
            ratios.get(ratios.len() / 2).copied().unwrap_or_default(),
            least.unwrap_or_default(),
            most.unwrap_or_default()
        );
    }
    Ok(())
}

/// A chain that cannot be shortened.
fn work(steps: u64) -> u64 {
    (0..steps).fold(1, |x: u64, _| {
        black_box(x.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) ^ 1)
    })
}

struct Bench<'a> {
    mosexec: &'a Path,
    cores: [usize; 2],
    steps: u64,
    jobs: usize,
}

impl Bench<'_> {
    /// Makespan by the ideal.
    fn ratio(&self, kind: Kind) -> Result<f64> {
        let before = self.alone()?;
        let directory = tempfile::tempdir()?;
        let home = Node::prepare(self.mosexec, directory.path(), 1, self.cores[0])?;
        home.mosctl(&["init", "--no-start"])?;
        let home = home.start()?;
        let other = Node::prepare(self.mosexec, directory.path(), 2, self.cores[1])?;
        let invitation = home.node.mosctl(&["invite"])?;
        let join = invitation
            .lines()
            .find_map(|line| line.trim().strip_prefix("mosctl join "))
            .context("no invitation")?
            .to_owned();
        let words: Vec<&str> = join.split_whitespace().collect();
        other.mosctl(&[&["join"], &words[..], &["--no-start"]].concat())?;
        let mut other = Some(other);
        let mut guests = None;
        if !matches!(kind, Kind::Late) {
            guests = other.take().map(Node::start).transpose()?;
            home.node.await_up(2)?;
        }
        let start = Instant::now();
        let jobs = (0..self.jobs).map(|_| self.start(&home.node, kind));
        let jobs = jobs.collect::<Result<Vec<Job>>>()?;
        if let Some(other) = other {
            thread::sleep(before.mul_f64(self.jobs as f64 / 4.0));
            guests = Some(other.start()?);
        }
        for job in jobs {
            job.finish()?;
        }
        let took = start.elapsed();
        drop(guests);
        drop(home);
        let alone = (before + self.alone()?).div_f64(2.0);
        Ok(took.div_duration_f64(alone) / kind.ideal(self.jobs as f64))
    }

    fn job(&self) -> Result<[String; 3]> {
        let own = env::current_exe()?.to_string_lossy().into_owned();
        Ok([own, "--work".to_owned(), self.steps.to_string()])
    }

    /// One job, without mosexec.
    fn alone(&self) -> Result<Duration> {
        let [program, arguments @ ..] = self.job()?;
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::null());
        let start = Instant::now();
        let status = inherited(Some(self.cores[0]), || command.status())??;
        ensure!(status.success(), "a job has failed: {status}");
        Ok(start.elapsed())
    }

    fn start(&self, home: &Node, kind: Kind) -> Result<Job> {
        let mut command = Command::new(self.mosexec);
        command
            .args(matches!(kind, Kind::Placed).then_some("--best"))
            .arg("--")
            .args(self.job()?)
            .env("HOMENODE_SOCKET", home.directory.join("socket"))
            .stdout(Stdio::null());
        let job = inherited(Some(self.cores[0]), || command.spawn())?;
        Ok(Job(job.context("start mosexec")?))
    }
}

/// A running job, which ends with this.
struct Job(Child);

impl Job {
    fn finish(mut self) -> Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "a job has failed: {status}");
        Ok(())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // It has ended, or the bench has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node of the cluster.
struct Node {
    mosexec: PathBuf,
    directory: PathBuf,
    core: usize,
}

impl Node {
    fn prepare(mosexec: &Path, parent: &Path, number: u8, core: usize) -> Result<Node> {
        let directory = parent.join(format!("n{number}"));
        fs::create_dir(&directory)?;
        let shown = directory.display();
        // An address of this run's own.
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, high ^ 0x60, low, number);
        fs::write(
            directory.join("mosd.toml"),
            format!(
                "name = \"n{number}\"\nlisten = \"{address}:{PORT}\"\nstate = \"{shown}/state\"\n\
                 socket = \"{shown}/socket\"\nspeed = 1.0\n"
            ),
        )?;
        Ok(Node {
            mosexec: mosexec.to_owned(),
            directory,
            core,
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.mosexec.with_file_name(program));
        command
            .arg("--config")
            .arg(self.directory.join("mosd.toml"));
        command
    }

    fn mosctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command("mosctl");
        let said = command.args(arguments).output().context("run mosctl")?;
        let errors = String::from_utf8_lossy(&said.stderr);
        ensure!(
            said.status.success(),
            "mosctl {}: {errors}",
            arguments.join(" ")
        );
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    fn start(self) -> Result<Daemon> {
        let mut command = self.command("mosd");
        let quiet = Stdio::null;
        command.stdin(quiet()).stdout(quiet()).stderr(quiet());
        let process = inherited(Some(self.core), || command.spawn())?.context("start mosd")?;
        let daemon = Daemon {
            process,
            node: self,
        };
        daemon.node.await_up(1)?;
        Ok(daemon)
    }

    /// Waits until so many nodes are up, as far as this one knows, and it has heard of their load.
    fn await_up(&self, count: usize) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let nodes = self.mosctl(&["nodes"]).unwrap_or_default();
            let up = nodes.lines().filter(|line| line.contains(" up "));
            if up.filter(|line| line.contains(" MiB")).count() >= count {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("the nodes do not find each other");
    }
}

/// A node whose daemon runs, until this ends.
struct Daemon {
    process: Child,
    node: Node,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails if it has ended; then there is nothing to stop.
        let _ = self.node.mosctl(&["stop"]);
        let _ = self.process.wait();
    }
}
