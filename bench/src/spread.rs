//! Ratios of measurements taken side by side, and what repetitions make of them.

use serde::Serialize;

use crate::meter::Sample;

/// One figure over the repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; the mean of the two middle ones of an even number.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of `values`, in any order; nothing of nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }

    /// The same with every figure multiplied by `factor`, which is positive: in another unit.
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            median: self.median * factor,
            min: self.min * factor,
            max: self.max * factor,
        }
    }
}

/// Samples of one thing, one per turn; none where it failed. Two series of one line keep step.
pub type Series = Vec<Option<Sample>>;

/// Time per operation over the repetitions.
pub fn time_ns(series: &Series) -> Option<Spread> {
    Spread::of(series.iter().flatten().map(|sample| sample.ns_per_op))
}

/// Times `over` as long as `under`: each turn gives one ratio, so that drift between turns
/// cancels. A turn in which either failed gives none.
pub fn ratio(over: &Series, under: &Series) -> Option<Spread> {
    Spread::of(over.iter().zip(under).filter_map(|(over, under)| {
        let (over, under) = ((*over)?, (*under)?);
        (under.ns_per_op > 0.0).then(|| over.ns_per_op / under.ns_per_op)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(times: &[f64]) -> Series {
        let sample = |ns: &f64| Sample {
            ops: 1,
            ns_per_op: *ns,
            p50_ns: 0,
            p99_ns: 0,
        };
        times
            .iter()
            .map(|ns| ns.is_finite().then(|| sample(ns)))
            .collect()
    }

    #[test]
    fn medians_of_odd_and_even() {
        assert_eq!(
            Spread::of([3.0, 1.0, 9.0]),
            Some(Spread {
                median: 3.0,
                min: 1.0,
                max: 9.0
            })
        );
        assert_eq!(
            Spread::of([4.0, 1.0, 2.0, 9.0]),
            Some(Spread {
                median: 3.0,
                min: 1.0,
                max: 9.0
            })
        );
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn drift_between_repetitions_cancels() {
        // The machine is twice as slow in the second half; each repetition still says 3.
        let (native, forwarded) = (
            series(&[10.0, 11.0, 20.0, 22.0]),
            series(&[30.0, 33.0, 60.0, 66.0]),
        );
        assert_eq!(
            ratio(&forwarded, &native),
            Some(Spread {
                median: 3.0,
                min: 3.0,
                max: 3.0
            })
        );
    }

    #[test]
    fn a_failed_repetition_gives_no_ratio_and_shifts_none() {
        let (native, forwarded) = (
            series(&[10.0, f64::NAN, 10.0]),
            series(&[20.0, 1000.0, f64::NAN]),
        );
        assert_eq!(
            ratio(&forwarded, &native),
            Some(Spread {
                median: 2.0,
                min: 2.0,
                max: 2.0
            })
        );
        assert_eq!(ratio(&series(&[f64::NAN]), &series(&[1.0])), None);
    }
}
