//! What programs need, learned from their runs: CPU time, memory and forwarded calls, by executable
//! and the shape of its arguments. So `sh` and `true` stay at home, and `cc1` goes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::load::Features;
use crate::settings::Settings;

/// Most programs that are remembered. Beyond, the ones not seen for longest are forgotten.
pub const PROGRAMS_MAX: usize = 4096;

/// No program needs more: CPU time in seconds, memory in bytes, calls a second.
const CPU_MAX: f64 = 1e9;
const MEMORY_MAX: u64 = 1 << 60;
const CALLS_MAX: f64 = 1e9;

/// Arguments that are looked at, and bytes of each.
const ARGUMENTS_MAX: usize = 32;
const ARGUMENT_BYTES_MAX: usize = 64;

/// A program as far as its needs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Program {
    executable: u64,
    shape: u64,
}

impl Program {
    /// The program of this executable (a path, or a digest of the content) when called with these
    /// arguments, `argv[0]` not included.
    ///
    /// The shape of arguments: options without their digits, the endings of file names, and how
    /// many there are, roughly. `-O2 a.c` and `-O3 b.c` are the same, `-O2 a.c` and `--version`
    /// are not.
    ///
    /// What is calculated here is kept by node daemons: a change of it is a new version of their file.
    pub fn new<A: AsRef<[u8]>>(executable: &[u8], arguments: &[A]) -> Program {
        let mut shape = Hash::new();
        for argument in arguments.iter().take(ARGUMENTS_MAX) {
            let argument = argument.as_ref();
            let argument = &argument[..argument.len().min(ARGUMENT_BYTES_MAX)];
            let telling = if argument.starts_with(b"-") {
                // `--name=value`: the name; `-j8`: `-j`.
                argument.split(|b| *b == b'=').next().unwrap_or_default()
            } else {
                let name = argument.rsplit(|b| *b == b'/').next().unwrap_or_default();
                name.iter()
                    .rposition(|b| *b == b'.')
                    .map_or(&b""[..], |dot| &name[dot..])
            };
            for byte in telling.iter().filter(|b| !b.is_ascii_digit()) {
                shape.add(*byte);
            }
            shape.add(0);
        }
        shape.add(arguments.len().checked_ilog2().map_or(0, |n| n as u8 + 1));
        let mut name = Hash::new();
        executable.iter().for_each(|byte| name.add(*byte));
        Program {
            executable: name.0,
            shape: shape.0,
        }
    }
}

/// FNV-1a: the same on all machines and in all releases, which the standard library's is not.
struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
}

/// What a program is expected to need, or a run of it has needed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Need {
    /// CPU time in seconds at reference speed.
    pub cpu: f64,
    /// Most memory at any time, in bytes.
    pub memory: u64,
    /// Calls that would be forwarded, for each second of `cpu`.
    pub calls: f64,
    /// CPU features it must find.
    pub features: Features,
}

impl Need {
    /// CPU time that a process which has already used so many seconds of it still needs.
    ///
    /// Lifetimes have heavy tails: one that has outlived what was learned needs about as much
    /// again as it has used.
    pub fn remaining(&self, used: f64) -> f64 {
        (self.cpu - used).max(used)
    }

    /// Whether a run can have needed this.
    fn is_sane(&self) -> bool {
        (0.0..=CPU_MAX).contains(&self.cpu)
            && (0.0..=CALLS_MAX).contains(&self.calls)
            && self.memory <= MEMORY_MAX
    }
}

#[derive(Debug, Clone, Copy)]
struct Memory {
    need: Need,
    last: u64,
}

/// What is remembered of one program, to be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    executable: u64,
    shape: u64,
    cpu: f64,
    memory: u64,
    calls: f64,
}

/// What was learned.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    programs: HashMap<Program, Memory>,
    runs: u64,
}

impl Learned {
    /// Takes in what one run has needed. Figures that no run can have are passed over.
    pub fn learn(&mut self, program: Program, run: Need) {
        if !run.is_sane() {
            return;
        }
        self.runs += 1;
        let last = self.runs;
        self.programs
            .entry(program)
            .and_modify(|memory| {
                memory.last = last;
                let old = memory.need;
                memory.need = Need {
                    cpu: (3.0 * old.cpu + run.cpu) / 4.0,
                    // Too little is worse than too much: it rises at once and falls slowly.
                    memory: run.memory.max(old.memory - old.memory / 8 + run.memory / 8),
                    calls: (3.0 * old.calls + run.calls) / 4.0,
                    features: run.features,
                };
            })
            .or_insert(Memory { need: run, last });
        if self.programs.len() > PROGRAMS_MAX {
            self.forget_old();
        }
    }

    /// What this program is expected to need; `None` if nothing like it has run.
    pub fn expect(&self, program: Program) -> Option<Need> {
        self.programs.get(&program).map(|memory| memory.need)
    }

    /// What this program is expected to need, or what the settings say of unknown ones.
    pub fn expect_or_guess(&self, program: Program, settings: &Settings) -> Need {
        self.expect(program).unwrap_or(Need {
            cpu: settings.unknown_cpu,
            memory: settings.unknown_memory,
            calls: 0.0,
            features: Features(0),
        })
    }

    /// Runs that were taken in: as long as this is the same, so is all else.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Programs that are remembered.
    pub fn programs(&self) -> usize {
        self.programs.len()
    }

    /// What is remembered, to be kept: those not seen for longest first.
    pub fn entries(&self) -> Vec<Entry> {
        let mut all: Vec<(&Program, &Memory)> = self.programs.iter().collect();
        all.sort_unstable_by_key(|(_, memory)| memory.last);
        let entry = |(program, memory): (&Program, &Memory)| Entry {
            executable: program.executable,
            shape: program.shape,
            cpu: memory.need.cpu,
            memory: memory.need.memory,
            calls: memory.need.calls,
        };
        all.into_iter().map(entry).collect()
    }

    /// What [`entries`](Self::entries) gave. Of too many the last are taken, and none with figures that
    /// no run can have.
    pub fn of(entries: &[Entry]) -> Learned {
        let mut learned = Learned::default();
        for entry in &entries[entries.len().saturating_sub(PROGRAMS_MAX)..] {
            let program = Program {
                executable: entry.executable,
                shape: entry.shape,
            };
            let need = Need {
                cpu: entry.cpu,
                memory: entry.memory,
                calls: entry.calls,
                features: Features::default(),
            };
            if need.is_sane() {
                learned.runs += 1;
                let last = learned.runs;
                learned.programs.insert(program, Memory { need, last });
            }
        }
        learned
    }

    /// Drops the half that was not seen for longest.
    fn forget_old(&mut self) {
        let mut seen: Vec<u64> = self.programs.values().map(|m| m.last).collect();
        let middle = seen.len() / 2;
        let (_, median, _) = seen.select_nth_unstable(middle);
        let median = *median;
        self.programs.retain(|_, memory| memory.last >= median);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn need(cpu: f64, memory: u64) -> Need {
        Need {
            cpu,
            memory,
            calls: 0.0,
            features: Features(0),
        }
    }

    proptest! {
        /// Whatever was told, also nonsense.
        #[test]
        fn what_is_kept_comes_back(
            runs in proptest::collection::vec(
                (0..9_u8, any::<f64>(), any::<u64>(), any::<f64>(), 0..3_u8), 0..40
            )
        ) {
            let mut learned = Learned::default();
            let program = |number: u8| Program::new::<&str>(&[number], &[]);
            for (number, cpu, memory, calls, kind) in runs {
                // Any number of that type is hardly ever one that a run can have.
                let (cpu, memory, calls) = match kind {
                    0 => (cpu, memory, calls),
                    _ => (cpu.abs() % 1e3, memory >> 24, calls.abs() % 1e6),
                };
                learned.learn(program(number), Need { cpu, memory, calls, features: Features(0) });
            }
            let entries = learned.entries();
            let again = Learned::of(&entries);
            prop_assert_eq!(&again.entries(), &entries);
            for number in 0..9 {
                prop_assert_eq!(again.expect(program(number)), learned.expect(program(number)));
            }
        }
    }

    #[test]
    fn nothing_is_taken_in_that_no_run_can_have() {
        let entry = |shape, cpu, memory, calls| Entry {
            executable: 1,
            shape,
            cpu,
            memory,
            calls,
        };
        let odd = [
            entry(1, -1.0, 1, 0.0),
            entry(2, f64::NAN, 1, 0.0),
            entry(3, 1.0, u64::MAX, 0.0),
            entry(4, 1.0, 1, f64::INFINITY),
        ];
        assert_eq!(Learned::of(&odd).programs(), 0);
        let many: Vec<Entry> = (0..PROGRAMS_MAX as u64 + 5)
            .map(|shape| entry(shape, 1.0, 1, 0.0))
            .collect();
        let learned = Learned::of(&many);
        assert_eq!(learned.programs(), PROGRAMS_MAX);
        assert_eq!(learned.entries(), many[5..]);
    }

    #[test]
    fn arguments_of_one_shape_are_one_program() {
        let cc = |arguments: &[&str]| Program::new(b"/usr/bin/cc", arguments);
        assert_eq!(
            cc(&["-O2", "-c", "src/a.c", "-o", "a.o"]),
            cc(&["-O3", "-c", "/x/b.c", "-o", "b.o"])
        );
        assert_eq!(cc(&["--jobs=3"]), cc(&["--jobs=44"]));
        assert_ne!(cc(&["-O2", "a.c"]), cc(&["--version"]));
        assert_ne!(cc(&["a.c"]), cc(&["a.o"]));
        assert_ne!(cc(&[]), Program::new::<&str>(b"/usr/bin/ld", &[]));
    }

    #[test]
    fn needs_are_learned_and_memory_rather_too_high() {
        let (mut learned, cc) = (Learned::default(), Program::new(b"cc", &["a.c"]));
        assert_eq!(learned.expect(cc), None);
        learned.learn(cc, need(4.0, 800));
        learned.learn(cc, need(8.0, 8000));
        learned.learn(cc, need(5.0, 80));
        let expected = learned.expect(cc).expect("it has run");
        assert_eq!((expected.cpu, expected.memory), (5.0, 7010));
        learned.learn(cc, need(f64::NAN, 1));
        assert_eq!(learned.expect(cc), Some(expected));
        assert_eq!(expected.remaining(1.0), 4.0);
        assert_eq!(expected.remaining(100.0), 100.0);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes() {
        let mut learned = Learned::default();
        let program = |i: usize| Program::new::<&str>(&i.to_le_bytes(), &[]);
        for i in 0..=PROGRAMS_MAX {
            learned.learn(program(i), need(1.0, 1));
        }
        assert!(learned.programs.len() <= PROGRAMS_MAX);
        assert_eq!(learned.expect(program(0)), None);
        assert!(learned.expect(program(PROGRAMS_MAX)).is_some());
    }
}
