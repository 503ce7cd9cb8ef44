//! `homenode-bench-moves`: how long a process stands still when it moves, and how long until all of
//! its memory has come, beside a raw TCP stream of as many bytes in the same run.
//!
//! The process writes all of its memory, then looks at the clock without end and remembers when it
//! could not; its clock is this program's.

use std::env;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::product::{BIN_DIR, Product};
use clap::Parser;
use nix::time::{ClockId, clock_gettime};

/// Pauses below this are the scheduler's.
const PAUSE_MIN: Duration = Duration::from_micros(300);
/// Longest time until a process of the bench has written its memory or has all of it.
const PATIENCE: Duration = Duration::from_secs(60);
const PAGE_BYTES: usize = 4096;

/// Measures moves of a process with much written memory.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// Memory of the process in MiB (may be repeated)
    #[arg(long, value_name = "MIB", default_values_t = [1, 16, 256, 1024])]
    mib: Vec<usize>,
    /// Moves to the other node and back
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// What mosexec is told besides
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    option: Vec<String>,
    /// Be the process that is moved
    #[arg(long, hide = true)]
    hold: Option<usize>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(mib) = options.hold {
        return hold(mib << 20);
    }
    let product = Product::find()?;
    let mosexec = product.mosexec().with_context(|| {
        format!("no mosexec in ${BIN_DIR} nor beside the bench: cargo build --release")
    })?;
    println!(
        "{:>6} {:>24} {:>24} {:>24} {:>24}",
        "MiB", "pause away, ms", "pause home, ms", "all there, ms", "raw TCP, ms"
    );
    for mib in &options.mib {
        let figures = measure(mosexec, *mib, &options)?;
        let shown = figures.map(|mut of| spread(&mut of));
        println!(
            "{mib:>6} {:>24} {:>24} {:>24} {:>24}",
            shown[0], shown[1], shown[2], shown[3]
        );
    }
    Ok(())
}

/// Pauses away and home, mean times of a move until all memory was there, times of a raw stream; in ms.
fn measure(mosexec: &Path, mib: usize, options: &Options) -> Result<[Vec<f64>; 4]> {
    let mut figures: [Vec<f64>; 4] = Default::default();
    for _ in 0..options.runs {
        figures[3].push(raw_stream(mib << 20)?);
        let run = one_run(mosexec, mib, &options.option)?;
        for (all, one) in figures.iter_mut().zip(run) {
            all.push(one);
        }
    }
    Ok(figures)
}

/// One process, moved away and home once.
fn one_run(mosexec: &Path, mib: usize, more: &[String]) -> Result<[f64; 3]> {
    let directory = tempfile::tempdir()?;
    let statistics = directory.path().join("statistics");
    let mut job = Command::new(mosexec)
        .args(["--embedded", "2", "--on", "2", "--stats"])
        .arg(&statistics)
        .args(more)
        .arg("--")
        .arg(env::current_exe()?)
        .args(["--hold", &mib.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let moved = move_about(mosexec, &mut job, mib);
    // It ends when its input does.
    drop(job.stdin.take());
    let mut told = String::new();
    if let Some(mut output) = job.stdout.take() {
        output.read_to_string(&mut told)?;
    }
    ensure!(
        job.wait()?.success(),
        "the process that was moved has failed"
    );
    let times = moved?;
    let pauses: Vec<(Duration, Duration)> = told.lines().filter_map(pause).collect();
    let longest = |(from, to): (Duration, Duration)| {
        let within = pauses
            .iter()
            .filter(|(start, length)| *start < to && *start + *length > from);
        within
            .map(|(_, length)| length.as_secs_f64() * 1e3)
            .fold(0.0, f64::max)
    };
    let told: serde_json::Value = serde_json::from_reader(File::open(&statistics)?)?;
    let transfer_us = told["processes"][0]["transfer_us"]
        .as_f64()
        .context("no transfer time in the statistics")?;
    // Of all moves.
    let transfer_ms = transfer_us / 1e3 / times.len() as f64;
    Ok([longest(times[1]), longest(times[2]), transfer_ms])
}

type Interval = (Duration, Duration);

/// Home, away, home: when each was under way. What is measured begins with the second.
fn move_about(mosexec: &Path, job: &mut Child, mib: usize) -> Result<[Interval; 3]> {
    let mut ready = String::new();
    let output = job.stdout.as_mut().context("no output of the process")?;
    // One byte at a time, so that nothing of the rest is read.
    BufReader::with_capacity(1, output).read_line(&mut ready)?;
    ensure!(ready == "ready\n", "the process said {ready:?}");
    let pid = job.id().to_string();
    let mut times = [(Duration::ZERO, Duration::ZERO); 3];
    for (time, to) in times.iter_mut().zip(["home", "2", "home"]) {
        let from = now()?;
        let deadline = Instant::now() + PATIENCE;
        let migrate = mosexec.with_file_name("migrate");
        let done = Command::new(migrate).args([&pid, to]).output()?;
        ensure!(
            done.status.success(),
            "migrate {pid} {to}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        // Until all of its memory has come it does not go anywhere else.
        let is_all_there = |resident_kib: u64| match to {
            "2" => resident_kib < 64 * 1024,
            _ => resident_kib >= mib as u64 * 1024,
        };
        while !is_all_there(resident_kib(job.id())?) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        *time = (from, now()?);
        // And where it was the memory has been given back.
        thread::sleep(Duration::from_millis(300));
    }
    Ok(times)
}

/// Memory that a process at home occupies: a deputy has almost none.
fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    Ok(kib.unwrap_or(0))
}

/// The process: start and length of each pause, in nanoseconds, a line each.
fn hold(bytes: usize) -> Result<()> {
    let mut memory = memmap2::MmapOptions::new().len(bytes).map_anon()?;
    for (number, page) in memory.chunks_mut(PAGE_BYTES).enumerate() {
        page[..8].copy_from_slice(&(number as u64 + 1).to_ne_bytes());
    }
    let over = thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    println!("ready");
    let mut pauses = Vec::with_capacity(4096);
    let mut last = now()?;
    while !over.is_finished() {
        let this = now()?;
        if this - last > PAUSE_MIN {
            pauses.push((last, this - last));
        }
        last = this;
    }
    black_box(&memory[..]);
    let mut out = std::io::stdout().lock();
    for (start, length) in pauses {
        writeln!(out, "{} {}", start.as_nanos(), length.as_nanos())?;
    }
    Ok(())
}

fn pause(line: &str) -> Option<(Duration, Duration)> {
    let (start, length) = line.split_once(' ')?;
    Some((
        Duration::from_nanos(start.parse().ok()?),
        Duration::from_nanos(length.parse().ok()?),
    ))
}

/// CLOCK_MONOTONIC, which is the same for the process wherever it runs.
fn now() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

/// So many bytes over loopback, in pieces of 512 KiB; in ms.
fn raw_stream(bytes: usize) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut to = TcpStream::connect(listener.local_addr()?)?;
    let (mut from, _) = listener.accept()?;
    let piece = vec![0x5a; 512 * 1024];
    let mut room = piece.clone();
    let start = Instant::now();
    let writer = thread::spawn(move || {
        (0..bytes.div_ceil(piece.len())).try_for_each(|_| to.write_all(&piece))
    });
    while from.read(&mut room)? > 0 {}
    let took = start.elapsed();
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("the sender failed"))??;
    Ok(took.as_secs_f64() * 1e3)
}

/// Median and range.
fn spread(of: &mut [f64]) -> String {
    of.sort_by(f64::total_cmp);
    match &*of {
        [] => "-".to_owned(),
        [first, .., last] => format!("{:.1} ({first:.1}-{last:.1})", of[of.len() / 2]),
        [only] => format!("{only:.1}"),
    }
}
