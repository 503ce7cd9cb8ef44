//! What the body's seccomp filter does with each call, as data.

use crate::row::Route;
use crate::table::X86_64;

/// What the filter does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The body's kernel executes it at native speed.
    Allow,
    /// The runtime is notified and decides.
    Notify,
    /// The runtime gets a ptrace stop, at which the call can be rewritten.
    Trace,
}

/// A test on one argument: `(argument & mask) == value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Index of the argument.
    pub arg: u8,
    /// Bits that are looked at.
    pub mask: u64,
    /// What they must be.
    pub value: u64,
}

/// What happens to one call. Calls without a rule are notified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// System call number; each occurs at most once.
    pub nr: u32,
    /// What is done when all conditions hold.
    pub action: Action,
    /// All must hold; else the call is notified.
    pub when: Vec<Condition>,
}

const MMAP: u32 = 9;
const CLONE_FAMILY: [u32; 4] = [56, 57, 58, 435];
const MAP_ANONYMOUS: u64 = 0x20;
/// Calls whose argument 0 is a clock. A negative clock names a process or a
/// descriptor, both of which the body's kernel may not know.
const CLOCK_CALLS: [u32; 3] = [228, 229, 230];
const CLOCK_SIGN: u64 = 0x8000_0000;

/// A call that tells the CPU time of its caller: its number, and what the lower half of argument 0 is.
pub const CPU_TIME_CALLS: [(u32, u32); 4] = [
    (98, 0),  // getrusage, RUSAGE_SELF
    (98, 1),  // RUSAGE_THREAD
    (228, 2), // clock_gettime, CLOCK_PROCESS_CPUTIME_ID
    (228, 3), // CLOCK_THREAD_CPUTIME_ID
];

/// The rules, by increasing number. Everything not named is notified.
pub fn rules() -> Vec<Rule> {
    X86_64
        .iter()
        .filter_map(|row| rule(row.nr, row.route))
        .collect()
}

fn rule(nr: u32, route: Route) -> Option<Rule> {
    let only_if = |arg, mask, value| vec![Condition { arg, mask, value }];
    if CLONE_FAMILY.contains(&nr) {
        return Some(Rule {
            nr,
            action: Action::Trace,
            when: Vec::new(),
        });
    }
    let when = match nr {
        // A file is mapped by its handler; here nothing but flags is looked at.
        MMAP => only_if(3, MAP_ANONYMOUS, MAP_ANONYMOUS),
        _ if CLOCK_CALLS.contains(&nr) => only_if(0, CLOCK_SIGN, 0),
        _ if route == Route::Here => Vec::new(),
        _ => return None,
    };
    Some(Rule {
        nr,
        action: Action::Allow,
        when,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_for_each_number_in_order() {
        let rules = rules();
        assert!(rules.windows(2).all(|pair| pair[0].nr < pair[1].nr));
    }

    #[test]
    fn clone_family_is_traced() {
        let traced: Vec<u32> = rules()
            .iter()
            .filter(|r| r.action == Action::Trace)
            .map(|r| r.nr)
            .collect();
        assert_eq!(traced, CLONE_FAMILY);
    }

    #[test]
    fn every_here_row_is_allowed() {
        let rules = rules();
        for row in X86_64.iter().filter(|row| row.route == Route::Here) {
            assert!(
                rules
                    .iter()
                    .any(|r| r.nr == row.nr && r.action == Action::Allow),
                "{}",
                row.name
            );
        }
    }
}
