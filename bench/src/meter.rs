//! Timing of one operation inside the guest.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Single calls timed for the quantiles; more would only cost memory and time.
const SINGLE_CALLS_MAX: u64 = 100_000;
/// Longest single call the histogram can hold, in nanoseconds; longer ones count as this.
const SINGLE_CALL_NS_MAX: u64 = 600_000_000_000;
/// Decimal digits the histogram keeps.
const SIGNIFICANT_DIGITS: u8 = 3;

/// What one guest run found out about one operation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Operations behind `ns_per_op`.
    pub ops: u64,
    /// Mean over one uninterrupted block of `ops` operations: no clock is read in between.
    pub ns_per_op: f64,
    /// Median of calls timed one by one, the clock's own cost (some 30 ns) included.
    pub p50_ns: u64,
    /// 99th percentile of the same calls.
    pub p99_ns: u64,
}

/// Chooses how often an operation runs, and times it.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    /// Time one measurement should take in all.
    pub budget: Duration,
}

impl Meter {
    /// A meter that allows itself `factor` times the time.
    pub fn longer(self, factor: u32) -> Self {
        Self {
            budget: self.budget * factor,
        }
    }

    /// Times `op`: a tenth of the budget to learn its cost, six tenths in one block for the mean,
    /// the rest call by call for the quantiles. An operation dearer than that runs once for each.
    pub fn repeat(&self, mut op: impl FnMut() -> Result<()>) -> Result<Sample> {
        let estimate_ns = self.estimate_ns(&mut op)?;
        let ops = fitting(self.budget * 6 / 10, estimate_ns);
        let mean_ns = block_ns(ops, &mut op)? / ops as f64;

        let singles = fitting(self.budget * 3 / 10, estimate_ns).min(SINGLE_CALLS_MAX);
        let mut singly = Singles::new()?;
        for _ in 0..singles {
            singly.time(&mut op)?;
        }
        Ok(singly.sample(ops, mean_ns))
    }

    /// Times `op` alone while `prepare` runs untimed before each call.
    pub fn prepared<T>(
        &self,
        mut prepare: impl FnMut() -> Result<T>,
        mut op: impl FnMut(&T) -> Result<()>,
    ) -> Result<Sample> {
        let start = Instant::now();
        let mut singly = Singles::new()?;
        while singly.count() == 0
            || (start.elapsed() < self.budget && singly.count() < SINGLE_CALLS_MAX)
        {
            let prepared = prepare()?;
            singly.time(|| op(&prepared))?;
        }
        Ok(singly.sample(singly.count(), singly.mean_ns()))
    }

    /// Times `op` exactly `ops` times, whatever the budget says: for work with a natural end.
    pub fn exactly(&self, ops: u64, mut op: impl FnMut() -> Result<()>) -> Result<Sample> {
        ensure!(ops > 0, "a measurement needs at least one operation");
        let mut singly = Singles::new()?;
        let start = Instant::now();
        for _ in 0..ops {
            singly.time(&mut op)?;
        }
        let mean_ns = start.elapsed().as_nanos() as f64 / ops as f64;
        Ok(singly.sample(ops, mean_ns))
    }

    /// Doubles the block until it takes a tenth of the budget; nanoseconds per operation.
    fn estimate_ns(&self, op: &mut impl FnMut() -> Result<()>) -> Result<f64> {
        let enough_ns = self.budget.as_nanos() as f64 / 20.0;
        let mut ops = 1;
        loop {
            let ns = block_ns(ops, op)?;
            if ns >= enough_ns {
                return Ok(ns / ops as f64);
            }
            ops *= 2;
        }
    }
}

impl Sample {
    /// The same measurement per part, for an operation that consists of `parts` equal ones.
    pub fn per_part(self, parts: u64) -> Self {
        Self {
            ops: self.ops * parts,
            ns_per_op: self.ns_per_op / parts as f64,
            p50_ns: self.p50_ns / parts,
            p99_ns: self.p99_ns / parts,
        }
    }
}

/// Operations of `each_ns` that fit into `budget`, at least one.
fn fitting(budget: Duration, each_ns: f64) -> u64 {
    ((budget.as_nanos() as f64 / each_ns.max(0.1)) as u64).max(1)
}

/// Time of `ops` operations in a row; never zero.
fn block_ns(ops: u64, op: &mut impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..ops {
        op()?;
    }
    Ok((start.elapsed().as_nanos() as f64).max(1.0))
}

/// Calls timed one by one.
#[derive(Debug)]
pub struct Singles {
    histogram: Histogram<u64>,
}

impl Singles {
    /// No call timed yet.
    pub fn new() -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, SINGLE_CALL_NS_MAX, SIGNIFICANT_DIGITS)?;
        Ok(Self { histogram })
    }

    /// Runs `op` once and keeps its time, if it succeeds.
    pub fn time(&mut self, op: impl FnOnce() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        op()?;
        self.add(start.elapsed());
        Ok(())
    }

    /// Keeps one time measured elsewhere.
    pub fn add(&mut self, took: Duration) {
        self.histogram
            .saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Calls timed so far.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Mean of the calls timed so far.
    pub fn mean_ns(&self) -> f64 {
        self.histogram.mean()
    }

    /// The quantiles of these calls beside a mean over `ops` operations.
    pub fn sample(&self, ops: u64, ns_per_op: f64) -> Sample {
        Sample {
            ops,
            ns_per_op,
            p50_ns: self.histogram.value_at_quantile(0.5),
            p99_ns: self.histogram.value_at_quantile(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METER: Meter = Meter {
        budget: Duration::from_millis(20),
    };

    #[test]
    fn an_operation_dearer_than_the_budget_still_runs() -> Result<()> {
        let sample = METER.repeat(|| {
            std::thread::sleep(Duration::from_millis(30));
            Ok(())
        })?;
        assert_eq!(sample.ops, 1);
        assert!(sample.ns_per_op >= 30e6, "{sample:?}");
        assert!(sample.p50_ns >= 29_900_000, "{sample:?}");
        Ok(())
    }

    #[test]
    fn preparation_is_not_timed() -> Result<()> {
        let sample = METER.prepared(
            || {
                std::thread::sleep(Duration::from_millis(5));
                Ok(())
            },
            |()| Ok(()),
        )?;
        assert!(sample.p50_ns < 1_000_000, "{sample:?}");
        Ok(())
    }

    #[test]
    fn exactly_means_exactly() -> Result<()> {
        let mut calls = 0;
        let sample = METER.exactly(7, || {
            calls += 1;
            Ok(())
        })?;
        assert_eq!((calls, sample.ops), (7, 7));
        Ok(())
    }

    #[test]
    fn a_failing_operation_fails_the_measurement() {
        assert!(METER.repeat(|| anyhow::bail!("EIO")).is_err());
    }

    #[test]
    fn parts_share_the_time() {
        let whole = Sample {
            ops: 2,
            ns_per_op: 400.0,
            p50_ns: 380,
            p99_ns: 800,
        };
        assert_eq!(
            whole.per_part(4),
            Sample {
                ops: 8,
                ns_per_op: 100.0,
                p50_ns: 95,
                p99_ns: 200
            }
        );
    }
}
