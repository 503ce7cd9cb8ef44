//! What a guest reads in `/proc/PID/stat` and `/proc/PID/status`: the deputy's
//! text with what only the body knows put in. Values in, values out.

use image::capture::status_field;

/// What is known of the process beside the two texts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Circumstances {
    /// The thread shown is the one that reads.
    pub(crate) is_reader: bool,
    /// The deputy is in a group-stop, signal(7).
    pub(crate) is_stopped: bool,
    /// The body waits in a call that the deputy executes.
    pub(crate) waits_at_home: bool,
    /// It is about to run, or in a call that is on its way between here and its host.
    pub(crate) runs: bool,
    /// CPU time of nodes that it has left, in ticks: its own, user and system, and its children's.
    pub(crate) elsewhere: [u64; 4],
}

/// Fields of `/proc/PID/stat` (proc_pid_stat(5), counted from 1) that are the
/// body's: faults, threads, memory, signals, processor.
const BODYS_FIELDS: [usize; 22] = [
    10, 12, 20, 23, 24, 26, 27, 28, 29, 30, 31, 32, 33, 34, 39, 45, 46, 47, 48, 49, 50, 51,
];
/// A text with fewer fields is none of ours.
const FIELDS_MIN: usize = 51;
/// Fields that count at both ends: utime, stime.
const BOTHS_FIELDS: [usize; 2] = [14, 15];
/// Fields that count on all nodes: those, and cutime, cstime.
const ALL_NODES_FIELDS: std::ops::RangeInclusive<usize> = 14..=17;
/// USER_HZ, the same on all x86-64 kernels.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;
const STATE: usize = 3;
const THREADS: usize = 20;

/// Lines of `/proc/PID/status` that are the body's, proc_pid_status(5).
const BODYS_LINES: [&str; 24] = [
    "VmPeak:",
    "VmSize:",
    "VmLck:",
    "VmPin:",
    "VmHWM:",
    "VmRSS:",
    "RssAnon:",
    "RssFile:",
    "RssShmem:",
    "VmData:",
    "VmStk:",
    "VmExe:",
    "VmLib:",
    "VmPTE:",
    "VmSwap:",
    "HugetlbPages:",
    "THP_enabled:",
    "untag_mask:",
    "Threads:",
    "SigPnd:",
    "ShdPnd:",
    "SigBlk:",
    "SigIgn:",
    "SigCgt:",
];
/// Lines whose numbers count at both ends.
const BOTHS_LINES: [&str; 2] = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];

/// The letter that says what the process does; `threads` are the body's.
fn state(deputy: char, body: Option<(char, u64)>, known: Circumstances) -> char {
    let at_home = match deputy {
        // Stopped by its tracer for a moment.
        't' => 'S',
        letter => letter,
    };
    if known.is_stopped {
        return 'T';
    }
    if known.is_reader || known.runs && deputy != 'Z' {
        return 'R';
    }
    match body {
        _ if known.waits_at_home => at_home,
        // Held by its tracer for a moment, or ending before the deputy does.
        Some(('t' | 'X', _)) => 'R',
        Some(('Z', threads)) if threads <= 1 => 'R',
        Some((letter, _)) => letter,
        None => at_home,
    }
}

/// What follows the state's letter in `/proc/PID/status`.
fn state_in_words(letter: char) -> &'static str {
    match letter {
        'R' => "R (running)",
        'S' => "S (sleeping)",
        'D' => "D (disk sleep)",
        'T' => "T (stopped)",
        'X' => "X (dead)",
        'Z' => "Z (zombie)",
        'P' => "P (parked)",
        _ => "I (idle)",
    }
}

/// Fields of a stat text. The name may hold anything; so it is cut out first.
fn fields(stat: &str) -> Option<Vec<&str>> {
    let (pid, rest) = stat.trim_end().split_once(" (")?;
    let end = rest.rfind(')')?;
    let mut fields = vec![pid, &rest[..end]];
    fields.extend(rest[end + 1..].split_ascii_whitespace());
    Some(fields)
}

/// What one process uses, as `/proc/PID/stat` tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Usage {
    /// Pid of its parent.
    pub(crate) parent: i32,
    /// CPU time in seconds.
    pub(crate) cpu: f64,
    /// When it began, in ticks since the kernel did.
    pub(crate) began: u64,
    /// Resident memory in bytes.
    pub(crate) memory: u64,
}

impl Usage {
    /// In this text.
    pub(crate) fn of(stat: &str) -> Option<Usage> {
        const PAGE_BYTES: u64 = 4096;
        let fields = fields(stat)?;
        let field = |number: usize| fields.get(number - 1);
        let ticks = |number: usize| field(number)?.parse::<f64>().ok();
        let resident: u64 = field(24)?.parse().ok()?;
        Some(Usage {
            parent: field(4)?.parse().ok()?,
            cpu: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
            began: field(22)?.parse().ok()?,
            memory: resident.saturating_mul(PAGE_BYTES),
        })
    }
}

/// Merges `/proc/PID/stat`. What is not understood is shown as the deputy has it.
pub(crate) fn stat(deputy: &str, body: Option<&str>, known: Circumstances) -> String {
    let Some(home) = fields(deputy).filter(|home| home.len() >= FIELDS_MIN) else {
        return deputy.to_owned();
    };
    let away = body
        .and_then(fields)
        .filter(|away| away.len() >= FIELDS_MIN);
    let letter = |fields: &[&str]| fields[STATE - 1].chars().next().unwrap_or('S');
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let away_state = away
        .as_ref()
        .map(|away| (letter(away), number(away[THREADS - 1])));
    let shown = state(letter(&home), away_state, known);
    let mut out = format!("{} ({}) {shown}", home[0], home[1]);
    for (index, own) in home.iter().enumerate().skip(STATE) {
        let theirs = away.as_ref().and_then(|away| away.get(index));
        out.push(' ');
        if ALL_NODES_FIELDS.contains(&(index + 1)) {
            let there = theirs.filter(|_| BOTHS_FIELDS.contains(&(index + 1)));
            let there = there.map_or(0, |theirs| number(theirs));
            let left = known.elsewhere[index + 1 - ALL_NODES_FIELDS.start()];
            let all = number(own).saturating_add(there).saturating_add(left);
            out.push_str(&all.to_string());
            continue;
        }
        match (index + 1, theirs) {
            (field, Some(theirs)) if BODYS_FIELDS.contains(&field) => out.push_str(theirs),
            _ => out.push_str(own),
        }
    }
    out.push('\n');
    out
}

/// Merges `/proc/PID/status`.
pub(crate) fn status(deputy: &str, body: Option<&str>, known: Circumstances) -> String {
    let value = |text, name| status_field(text, name);
    let letter = |text| value(text, "State:").and_then(|state| state.chars().next());
    let number = |text, name| value(text, name).and_then(|n| n.parse::<u64>().ok());
    let away_state = body.and_then(|body| {
        let threads = number(body, "Threads:").unwrap_or(1);
        Some((letter(body)?, threads))
    });
    let shown = state(letter(deputy).unwrap_or('S'), away_state, known);
    let mut out = String::with_capacity(deputy.len() + 64);
    for line in deputy.lines() {
        let name = line.split_inclusive(':').next().unwrap_or(line);
        let theirs = body.and_then(|body| body.lines().find(|line| line.starts_with(name)));
        match (name, theirs) {
            ("State:", _) => out.push_str(&format!("State:\t{}", state_in_words(shown))),
            // Nobody whom the guest could know of.
            ("TracerPid:", _) => out.push_str("TracerPid:\t0"),
            ("SigQ:", Some(theirs)) => {
                let queued = theirs.split('/').next().unwrap_or(theirs);
                let limit = line.split_once('/').map_or("0", |(_, limit)| limit);
                out.push_str(&format!("{queued}/{limit}"));
            }
            (name, Some(theirs)) if BODYS_LINES.contains(&name) => out.push_str(theirs),
            (name, Some(theirs)) if BOTHS_LINES.contains(&name) => {
                let sum = number(line, name).unwrap_or(0) + number(theirs, name).unwrap_or(0);
                out.push_str(&format!("{name}\t{sum}"));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_uses_is_read() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 4711 9000 25 0";
        let usage = Usage {
            parent: 1,
            cpu: 2.0,
            began: 4711,
            memory: 25 * 4096,
        };
        assert_eq!(Usage::of(stat), Some(usage));
        assert_eq!(Usage::of("7 (a) R 1"), None);
    }

    const DEPUTY_STAT: &str = "77 (a) b) ( c) t 1 2 3 4 5 6 100 101 102 103 10 20 30 31 19 -1 1 0 \
        999 4096 5 111 61 62 63 64 65 66 67 68 69 1 0 0 17 1 0 0 0 0 0 71 72 73 74 75 76 77 0\n";
    const BODY_STAT: &str = "12 (x) S 8 8 8 8 8 8 200 201 202 203 1 2 3 4 9 9 5 0 \
        888 8192 50 222 81 82 83 84 85 86 87 88 89 0 0 0 9 3 9 9 9 9 9 91 92 93 94 95 96 97 9\n";

    #[test]
    fn stat_is_the_deputys_with_the_bodys_memory() {
        let merged = stat(DEPUTY_STAT, Some(BODY_STAT), Circumstances::default());
        assert_eq!(
            merged,
            "77 (a) b) ( c) S 1 2 3 4 5 6 200 101 202 103 11 22 30 31 19 -1 5 0 \
             999 8192 50 111 81 82 83 84 85 86 87 88 89 1 0 0 17 3 0 0 0 0 0 91 92 93 94 95 96 97 0\n"
        );
        let moved = Circumstances {
            elsewhere: [1000, 2000, 3000, 4000],
            ..Circumstances::default()
        };
        let merged = stat(DEPUTY_STAT, Some(BODY_STAT), moved);
        assert!(merged.contains(" 103 1011 2022 3030 4031 19 "), "{merged}");
        let alone = stat(DEPUTY_STAT, None, Circumstances::default());
        assert_eq!(alone, DEPUTY_STAT.replace(") t ", ") S "));
        assert_eq!(stat("nonsense", None, Circumstances::default()), "nonsense");
    }

    #[test]
    fn the_state_is_that_of_the_guest() {
        let plain = Circumstances::default();
        let stopped = Circumstances {
            is_stopped: true,
            waits_at_home: true,
            ..plain
        };
        let reader = Circumstances {
            is_reader: true,
            waits_at_home: true,
            ..plain
        };
        let on_its_way = Circumstances {
            runs: true,
            ..plain
        };
        let waiting = Circumstances {
            waits_at_home: true,
            ..plain
        };
        // Deputy, body, circumstances, what is shown.
        let cases = [
            ('S', Some(('R', 1)), plain, 'R'),
            ('S', Some(('S', 1)), plain, 'S'),
            ('S', Some(('t', 1)), plain, 'R'),
            ('S', Some(('Z', 1)), plain, 'R'),
            ('S', Some(('Z', 3)), plain, 'Z'),
            ('t', Some(('t', 1)), stopped, 'T'),
            ('S', Some(('D', 1)), reader, 'R'),
            ('S', Some(('D', 1)), waiting, 'S'),
            ('R', Some(('D', 1)), waiting, 'R'),
            ('D', Some(('D', 1)), waiting, 'D'),
            ('t', Some(('D', 1)), waiting, 'S'),
            ('t', None, plain, 'S'),
            ('Z', None, plain, 'Z'),
            ('S', None, on_its_way, 'R'),
            ('S', Some(('S', 1)), on_its_way, 'R'),
            ('Z', None, on_its_way, 'Z'),
        ];
        for (deputy, body, known, shown) in cases {
            assert_eq!(
                state(deputy, body, known),
                shown,
                "{deputy} {body:?} {known:?}"
            );
        }
    }

    #[test]
    fn status_is_the_deputys_with_the_bodys_memory_and_signals() {
        let deputy = "Name:\tguest\nState:\tt (tracing stop)\nPid:\t77\nTracerPid:\t5\n\
            VmSize:\t    4096 kB\nVmRSS:\t       8 kB\nThreads:\t1\nSigQ:\t0/1000\n\
            SigBlk:\t0000000000000000\nSigCgt:\t0000000000000000\nSeccomp:\t0\n\
            voluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t1\n";
        let body = "Name:\tx\nState:\tS (sleeping)\nPid:\t12\nTracerPid:\t9\n\
            VmSize:\t   80000 kB\nVmRSS:\t     700 kB\nThreads:\t2\nSigQ:\t3/20\n\
            SigBlk:\t0000000000000800\nSigCgt:\t0000000000000001\nSeccomp:\t2\n\
            voluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t2\n";
        assert_eq!(
            status(deputy, Some(body), Circumstances::default()),
            "Name:\tguest\nState:\tS (sleeping)\nPid:\t77\nTracerPid:\t0\n\
             VmSize:\t   80000 kB\nVmRSS:\t     700 kB\nThreads:\t2\nSigQ:\t3/1000\n\
             SigBlk:\t0000000000000800\nSigCgt:\t0000000000000001\nSeccomp:\t0\n\
             voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"
        );
        let alone = status(deputy, None, Circumstances::default());
        assert!(alone.contains("TracerPid:\t0\n") && alone.contains("4096 kB"));
    }
}
