//! What programs need, learned from their runs: CPU time, memory and forwarded calls, by executable
//! and the shape of its arguments. So `sh` and `true` stay at home, and `cc1` goes.

use std::collections::HashMap;

use crate::load::Features;
use crate::settings::Settings;

/// Most programs that are remembered. Beyond, the ones not seen for longest are forgotten.
pub const PROGRAMS_MAX: usize = 4096;

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
}

#[derive(Debug, Clone, Copy)]
struct Memory {
    need: Need,
    last: u64,
}

/// What was learned.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    programs: HashMap<Program, Memory>,
    runs: u64,
}

impl Learned {
    /// Takes in what one run has needed. Figures that are no numbers are passed over.
    pub fn learn(&mut self, program: Program, run: Need) {
        if !(run.cpu.is_finite() && run.calls.is_finite()) || run.cpu < 0.0 || run.calls < 0.0 {
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
    use super::*;

    fn need(cpu: f64, memory: u64) -> Need {
        Need {
            cpu,
            memory,
            calls: 0.0,
            features: Features(0),
        }
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
