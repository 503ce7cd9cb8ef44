//! `simulate`: a cluster of any size on one machine, from a seed. Prints Markdown tables.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use cluster::board::{WINDOW_MAX, steps_to_fill};
use cluster::settings::Settings;
use cluster::sim::ages;
use cluster::sim::members::{Members, Network, Spread};
use cluster::sim::policy::Policy;
use cluster::sim::report::table;
use cluster::sim::scenario::{Plan, Scenario};
use cluster::sim::svg;
use cluster::sim::world::run;

/// Largest cluster that is simulated: what is needed then still fits 64 GiB.
const NODES_MAX: u64 = 100_000;

/// Simulates a cluster and compares policies, or measures gossip or membership.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Args {
    /// Number of nodes.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(2..=NODES_MAX))]
    nodes: u64,
    /// Seed of everything: the same seed gives the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// CPU time that arrives, as a share of what all nodes can do, in percent.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=95))]
    load: u32,
    /// So many seconds long programs arrive.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Load vectors in a gossip message.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(2..=WINDOW_MAX as u64))]
    window: u64,
    /// Mean delay of a message, in microseconds.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    delay: u64,
    /// Messages that are lost, in a thousand.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=500))]
    loss: u32,
    /// Failures of each node in an hour.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=60))]
    failures: u32,
    /// Draws the distribution of slowdowns into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Measures the age of load vectors instead.
    #[arg(long, conflicts_with = "members")]
    ages: bool,
    /// Measures how long it takes until all know of a death and of a join instead.
    #[arg(long)]
    members: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = if args.ages {
        compare_ages(&args);
        Ok(())
    } else if args.members {
        compare_members(&args);
        Ok(())
    } else {
        compare_policies(&args)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("simulate: {message}");
            ExitCode::FAILURE
        }
    }
}

fn compare_policies(args: &Args) -> Result<(), String> {
    let scenario = Scenario {
        arrivals: Duration::from_secs(args.seconds),
        until: Duration::from_secs(args.seconds * 5),
        load: f64::from(args.load) / 100.0,
        window: args.window as usize,
        delay: Duration::from_micros(args.delay),
        loss: f64::from(args.loss) / 1000.0,
        failures_per_hour: f64::from(args.failures),
        ..Scenario::new(args.nodes as usize, args.seed)
    };
    let plan = Plan::new(&scenario);
    let title = format!(
        "{} nodes, {} programs in {} s, load {} %, seed {}",
        args.nodes,
        plan.jobs.len(),
        args.seconds,
        args.load,
        args.seed
    );
    println!("{title}\n");
    let mut outcomes = Vec::new();
    for policy in Policy::ALL {
        let began = Instant::now();
        let outcome = run(&scenario, &plan, policy, Settings::default());
        eprintln!(
            "{}: {:.0} s simulated in {:.1} s",
            policy.name(),
            outcome.seconds,
            began.elapsed().as_secs_f64()
        );
        outcomes.push((policy, outcome));
    }
    print!("{}", table(&outcomes));
    if let Some(path) = &args.svg {
        std::fs::write(path, svg::draw(&title, &outcomes))
            .map_err(|error| format!("cannot write the picture to {}: {error}", path.display()))?;
    }
    Ok(())
}

fn compare_ages(args: &Args) {
    println!("| nodes | window | steps to fill, formula | measured | mean age in steps | oldest |");
    println!("|---|---|---|---|---|---|");
    let nodes = args.nodes as usize;
    for window in [16, 64] {
        // Until the oldest vectors are as old as they get, some ten times the mean.
        let settle = 60 + 12 * nodes / window;
        let measured = ages::measure(nodes, window, args.seed, settle, 100);
        println!(
            "| {nodes} | {window} | {:.2} | {:.2} | {:.1} | {:.1} |",
            steps_to_fill(nodes as f64, window as f64),
            measured.to_fill,
            measured.mean,
            measured.oldest
        );
    }
}

fn compare_members(args: &Args) {
    let network = Network {
        delay: Duration::from_micros(args.delay),
        loss: f64::from(args.loss) / 1000.0,
    };
    let nodes = args.nodes as usize;
    let mut members = Members::settled(nodes, network, args.seed);
    members.pass(Duration::from_secs(20));
    let bound = members.bound();
    println!(
        "| {nodes} nodes, seconds until news is known to | first | half | all | SWIM's bound |"
    );
    println!("|---|---|---|---|---|");
    let row = |what: &str, spread: Spread| {
        let all = match spread.missing {
            0 => format!("{:.2}", spread.last.as_secs_f64()),
            missing => format!("{missing} never"),
        };
        println!(
            "| {what} | {:.2} | {:.2} | {all} | {:.1} |",
            spread.first.as_secs_f64(),
            spread.half.as_secs_f64(),
            bound.as_secs_f64()
        );
    };
    row("a death", members.kill(1, bound * 4));
    row("a join", members.join(bound * 4));
}
