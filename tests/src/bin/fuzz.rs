//! The differential fuzzer: `fuzz --seed N --count N --minutes N`. See `homenode_tests::fuzz`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use homenode_tests::Way;
use homenode_tests::fuzz::{Campaign, generate, hostile};

/// Runs random sequences of system calls natively and as a guest; what differs is printed, as short
/// as it can be made.
#[derive(Parser)]
struct Arguments {
    /// The first seed; the following sequences have the following seeds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many sequences; without end if there is a time.
    #[arg(long)]
    count: Option<u64>,
    /// How long at most.
    #[arg(long)]
    minutes: Option<u64>,
    /// Does not make sequences that differ shorter.
    #[arg(long)]
    whole: bool,
    /// Only prints the sequence.
    #[arg(long)]
    show: bool,
    /// How guests are run.
    #[arg(long, value_enum, default_value = "elsewhere")]
    way: Guests,
    /// Runs programs that mean harm instead of sequences, each in another way: other threads change
    /// and take away what a call points at while it is made.
    #[arg(long, conflicts_with = "way")]
    hostile: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Guests {
    /// On another node.
    Elsewhere,
    /// Moved home and away all the time.
    Shuffled,
    /// Moved among three nodes all the time.
    Wandering,
}

impl From<Guests> for Way {
    fn from(guests: Guests) -> Way {
        match guests {
            Guests::Elsewhere => Way::Elsewhere,
            Guests::Shuffled => Way::Shuffled,
            Guests::Wandering => Way::Wandering,
        }
    }
}

fn run_hostile(seed: u64, count: u64, limit: Duration) -> ExitCode {
    let start = Instant::now();
    let mut found = 0;
    let done = hostile(seed, count, limit, |seed, failure| {
        found += 1;
        println!("seed {seed}: {failure}");
    });
    println!(
        "{done} programs from seed {seed} on in {:?}: {found} failed",
        start.elapsed()
    );
    match found {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.show {
        print!("{}", generate(arguments.seed).text(0));
        return ExitCode::SUCCESS;
    }
    let count = match (arguments.count, arguments.minutes) {
        (Some(count), _) => count,
        (None, Some(_)) => u64::MAX,
        (None, None) => 1000,
    };
    let limit = Duration::from_secs(60 * arguments.minutes.unwrap_or(24 * 60));
    if arguments.hostile {
        return run_hostile(arguments.seed, count, limit);
    }
    let campaign = Campaign {
        seed: arguments.seed,
        count,
        limit,
        shrinks: !arguments.whole,
        way: arguments.way.into(),
    };
    let start = Instant::now();
    let (mut found, mut once) = (0, Vec::new());
    let done = campaign.run(|difference| match difference {
        Ok(difference) => {
            found += 1;
            println!("{difference}");
        }
        Err(seed) => once.push(seed),
    });
    if !once.is_empty() {
        println!("differed once and not again: seeds {once:?}");
    }
    println!(
        "{done} sequences from seed {} on in {:?}: {found} differ",
        arguments.seed,
        start.elapsed()
    );
    if found == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
