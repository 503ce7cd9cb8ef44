//! Which core runs what.

use std::fmt;

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;

/// Core placement of a row and of the raw TCP figure beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// The guest's job is not pinned; the two ends of raw TCP sit on different cores.
    Across,
    /// Everything on one core: the guest, all of mosexec's processes, both ends of raw TCP.
    OneCore,
    /// Nobody is pinned.
    Free,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Across => "across",
            Self::OneCore => "one core",
            Self::Free => "free",
        })
    }
}

/// The two cores that pinned processes use.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    first: usize,
    second: Option<usize>,
}

impl Cores {
    /// The first two cores this process may use.
    pub fn available() -> Result<Self> {
        let allowed =
            sched_getaffinity(myself()).context("reading this process's allowed cores")?;
        let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true));
        let Some(first) = cores.next() else {
            bail!("this process may use no core")
        };
        Ok(Self {
            first,
            second: cores.next(),
        })
    }

    /// Whether processes can be placed so here: `Across` takes two cores.
    pub fn allow(&self, placement: Placement) -> bool {
        placement != Placement::Across || self.second.is_some()
    }

    /// Core of a guest's job, mosexec included.
    pub fn of_job(&self, placement: Placement) -> Option<usize> {
        (placement == Placement::OneCore).then_some(self.first)
    }

    /// Cores of the measuring end of raw TCP and of its peer.
    pub fn of_raw_tcp(&self, placement: Placement) -> (Option<usize>, Option<usize>) {
        match placement {
            Placement::Across => (Some(self.first), self.second),
            Placement::OneCore => (Some(self.first), Some(self.first)),
            Placement::Free => (None, None),
        }
    }
}

/// Runs `start` with the calling thread on `core`, so that what it starts inherits that; the
/// thread has its old cores back afterwards.
pub fn inherited<T>(core: Option<usize>, start: impl FnOnce() -> T) -> Result<T> {
    let Some(core) = core else { return Ok(start()) };
    let before = sched_getaffinity(myself()).context("reading the allowed cores")?;
    let mut only = CpuSet::new();
    only.set(core)?;
    sched_setaffinity(myself(), &only).with_context(|| format!("pinning to core {core}"))?;
    let result = start();
    sched_setaffinity(myself(), &before).context("giving the cores back")?;
    Ok(result)
}

fn myself() -> Pid {
    Pid::from_raw(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_inherited_and_given_back() -> Result<()> {
        let before = sched_getaffinity(myself())?;
        let core = Cores::available()?.first;
        let inside = inherited(Some(core), || sched_getaffinity(myself()))??;
        let cores: Vec<_> = (0..CpuSet::count())
            .filter(|at| inside.is_set(*at) == Ok(true))
            .collect();
        assert_eq!(cores, [core]);
        assert_eq!(sched_getaffinity(myself())?, before);
        Ok(())
    }

    #[test]
    fn placements_pin_what_they_say() {
        let cores = Cores {
            first: 2,
            second: Some(5),
        };
        assert_eq!(cores.of_job(Placement::Across), None);
        assert_eq!(cores.of_job(Placement::OneCore), Some(2));
        assert_eq!(cores.of_raw_tcp(Placement::Across), (Some(2), Some(5)));
        assert_eq!(cores.of_raw_tcp(Placement::OneCore), (Some(2), Some(2)));
        assert_eq!(cores.of_raw_tcp(Placement::Free), (None, None));
        assert!(
            !Cores {
                first: 2,
                second: None
            }
            .allow(Placement::Across)
        );
    }
}
