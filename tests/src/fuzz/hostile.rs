//! Programs that mean harm: the guest program `hostile`, by a seed. What it does is never the same twice, so
//! only its end is compared: it and what runs it go on, answer its last calls rightly and leave nothing.

use std::time::{Duration, Instant};

use crate::{Way, check, guest};

/// How one is run, in turn.
const WAYS: [Way; 3] = [Way::Elsewhere, Way::Shuffled, Way::Wandering];

/// Runs the seeds from `seed` on, `count` of them and at most for `limit`; gives every failure to
/// `report`, and answers how many programs were run.
///
/// # Panics
/// If the program cannot be built or started.
pub fn hostile(seed: u64, count: u64, limit: Duration, mut report: impl FnMut(u64, &str)) -> u64 {
    let start = Instant::now();
    let mut done = 0;
    while done < count && start.elapsed() < limit {
        let seed = seed + done;
        let case = guest("hostile").argument(seed.to_string());
        let way = WAYS[(seed % WAYS.len() as u64) as usize];
        if let Err(difference) = check::compare(way, &case) {
            report(seed, &difference);
        }
        done += 1;
    }
    done
}
