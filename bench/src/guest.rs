//! The measuring guest: `homenode-bench-guest NAME DIRECTORY BUDGET_MS [PEER_CORE]` runs one
//! operation in a loop and prints its sample as one JSON line.

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bench::meter::{Meter, Sample};
use bench::rows::{self, Stage};
use bench::scratch::Scratch;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match measure(&arguments).and_then(|sample| Ok(serde_json::to_string(&sample)?)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("homenode-bench-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &[String]) -> Result<Sample> {
    let (name, directory, budget_ms, peer_core) = match arguments {
        [name, directory, budget_ms] => (name, directory, budget_ms, None),
        [name, directory, budget_ms, peer] => (name, directory, budget_ms, Some(peer)),
        _ => bail!("usage: homenode-bench-guest NAME DIRECTORY BUDGET_MS [PEER_CORE]"),
    };
    let operation =
        rows::operation(name).with_context(|| format!("no operation is called {name}"))?;
    let budget_ms = budget_ms
        .parse()
        .with_context(|| format!("{budget_ms:?} is not a number of milliseconds"))?;
    let peer_core = peer_core
        .map(|core| core.parse())
        .transpose()
        .context("a core is a number")?;
    let stage = Stage {
        scratch: Scratch::at(Path::new(directory)),
        peer_core,
    };
    operation(
        Meter {
            budget: Duration::from_millis(budget_ms),
        },
        &stage,
    )
    .with_context(|| format!("measuring {name}"))
}
