//! Memory of the runtime and the home proxy that serve one small guest.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde::Serialize;

use crate::child::{self, Job, Nursery, Process, RunError};
use crate::product::{Mode, Product};

/// The programs whose memory is ours to answer for.
const OURS: [&str; 2] = ["homenode-runtime", "homenode-homeproxy"];
/// Time the guest is given to get going before anybody is weighed.
const WARM_UP: Duration = Duration::from_millis(1500);
const LIMIT: Duration = Duration::from_secs(20);

/// Proportional set sizes of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Footprint {
    /// KiB by program; a program with several processes counts all of them.
    pub pss_kib: BTreeMap<String, u64>,
}

impl Footprint {
    /// All of it together.
    pub fn mib(&self) -> f64 {
        self.pss_kib.values().sum::<u64>() as f64 / 1024.0
    }
}

/// Weighs the processes behind a guest that sleeps; nothing without a `mosexec`.
pub fn measure(nursery: &Nursery, product: &Product) -> Result<Option<Footprint>, RunError> {
    let Some(line) = product.command_line(Mode::Forwarded, &["sleep".into(), "3".into()]) else {
        return Ok(None);
    };
    let mut running = nursery.start(&Job {
        line,
        core: None,
        limit: LIMIT,
    })?;
    if running.watch(WARM_UP)? {
        running.finish()?;
        return Err(RunError::Failed(
            "`sleep 3` ended before it could be weighed".to_owned(),
        ));
    }
    let weighed = weigh(&child::processes_of(running.run_id()));
    running.finish()?;
    weighed.map(Some)
}

fn weigh(processes: &[Process]) -> Result<Footprint, RunError> {
    let mut footprint = Footprint::default();
    for process in processes
        .iter()
        .filter(|process| OURS.contains(&process.program.as_str()))
    {
        let path = format!("/proc/{}/smaps_rollup", process.pid);
        let rollup = fs::read_to_string(&path)
            .map_err(|error| RunError::Failed(format!("{path}: {error}")))?;
        let kib =
            pss_kib(&rollup).ok_or_else(|| RunError::Failed(format!("{path} shows no Pss")))?;
        *footprint
            .pss_kib
            .entry(process.program.clone())
            .or_default() += kib;
    }
    match OURS
        .iter()
        .find(|program| !footprint.pss_kib.contains_key(**program))
    {
        None => Ok(footprint),
        Some(missing) => Err(RunError::Failed(format!(
            "no process {missing} with {} in its environment was found",
            child::RUN_ID
        ))),
    }
}

/// The figure of the `Pss:` line, in KiB.
fn pss_kib(rollup: &str) -> Option<u64> {
    rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pss_is_read_from_its_line() {
        let rollup = "55f0-7ffe ---p 00000000 00:00 0   [rollup]\nRss:   1840 kB\nPss:    312 kB\nPss_Dirty: 96 kB\n";
        assert_eq!(pss_kib(rollup), Some(312));
        assert_eq!(pss_kib("Rss: 1 kB\n"), None);
    }

    #[test]
    fn the_sum_is_in_mib() {
        let pss_kib = [("a".to_owned(), 1024), ("b".to_owned(), 512)].into();
        assert_eq!(Footprint { pss_kib }.mib(), 1.5);
    }

    #[test]
    fn a_missing_program_is_named() {
        let weighed = weigh(&[]);
        assert!(matches!(weighed, Err(RunError::Failed(why)) if why.contains("homenode-runtime")));
    }
}
