//! Whether a node takes a guest that is offered: it knows better than any vector how it is.

use crate::candidates::{As, fits, is_sooner, seconds, share};
use crate::load::Load;
use crate::program::Need;
use crate::settings::Settings;

/// A guest that another node would like to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offer {
    /// What it needs.
    pub need: Need,
    /// CPU time that is left, in seconds at reference speed.
    pub cpu: f64,
    /// Seconds to get here.
    pub moving: f64,
    /// Seconds until it is done where it is; infinite if it must leave in any case.
    pub otherwise: f64,
    /// It is about to start.
    pub start: bool,
    /// This node is its home, which always takes it back.
    pub home: bool,
}

/// Why a guest is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No guests are taken, or no more.
    Closed,
    /// A CPU feature is missing.
    Features,
    /// Memory would not suffice.
    Memory,
    /// It would not be done sooner here, now.
    NoGain,
}

/// Decides whether this node takes the guest. `here` counts guests that are on their way as if they
/// were there: then no flock is ever let in.
pub fn admit(here: &Load, offer: &Offer, settings: &Settings) -> Result<(), Refusal> {
    if offer.home {
        return Ok(());
    }
    if here.closed || here.guests >= here.guests_max {
        return Err(Refusal::Closed);
    }
    if offer.need.features.missing_in(here.features).0 != 0 {
        return Err(Refusal::Features);
    }
    if !fits(here, offer.need.memory, settings) {
        return Err(Refusal::Memory);
    }
    let share = share(here, As::Guest, settings);
    let there = offer.moving + seconds(offer.cpu, share, offer.need.calls, settings.costs.call);
    if offer.otherwise.is_infinite() || is_sooner(offer.otherwise, there, offer.start, settings) {
        Ok(())
    } else {
        Err(Refusal::NoGain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Features;
    use crate::load::tests::idle;

    fn offer() -> Offer {
        Offer {
            need: Need {
                cpu: 10.0,
                memory: 1 << 30,
                calls: 0.0,
                features: Features(1),
            },
            cpu: 10.0,
            moving: 0.1,
            otherwise: 30.0,
            start: false,
            home: false,
        }
    }

    #[test]
    fn a_node_takes_what_gains_and_tells_why_it_does_not() {
        let settings = Settings::default();
        let answer = |here: Load, offer: Offer| admit(&here, &offer, &settings);
        assert_eq!(answer(idle(1), offer()), Ok(()));
        let busy = Load {
            runnable: 3.0,
            ..idle(1)
        };
        assert_eq!(answer(busy, offer()), Err(Refusal::NoGain));
        let must = Offer {
            otherwise: f64::INFINITY,
            ..offer()
        };
        assert_eq!(answer(busy, must), Ok(()), "it must leave in any case");
        let full = Load {
            memory_free: 1 << 30,
            ..idle(1)
        };
        assert_eq!(answer(full, must), Err(Refusal::Memory));
        let closed = Load {
            closed: true,
            ..idle(1)
        };
        assert_eq!(answer(closed, must), Err(Refusal::Closed));
        assert_eq!(answer(closed, Offer { home: true, ..must }), Ok(()));
        let old = Load {
            features: Features(0),
            ..idle(1)
        };
        assert_eq!(answer(old, must), Err(Refusal::Features));
    }
}
