//! What is measured. One list: the guest finds its operation here, the harness its rows.

use anyhow::Result;

use crate::meter::{Meter, Sample};
use crate::placement::Placement;
use crate::scratch::Scratch;
use crate::{calls, files, processes, raw, work};

/// What an operation works on.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The run's files.
    pub scratch: Scratch,
    /// Core of the second process of an operation that has one; wherever the kernel likes if none.
    pub peer_core: Option<usize>,
}

/// Measures one operation inside the guest.
pub type Operation = fn(Meter, &Stage) -> Result<Sample>;

/// The work behind a row.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// The guest runs this; start-up is not part of it.
    Inside(Operation),
    /// The harness times this command from its start to its end.
    WholeCommand(&'static [&'static str]),
}

/// The native figure a row is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yardstick {
    /// Raw TCP: 64 bytes out, 32 bytes back.
    PingPong,
    /// Raw TCP: 64 KiB of a stream.
    Stream,
    /// The row itself under a seccomp filter that allows everything.
    AnyFilter,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// Name on the command line and in the JSON.
    pub name: &'static str,
    /// What one operation is.
    pub about: &'static str,
    /// The work itself.
    pub work: Work,
    /// What it is compared with beside the native run.
    pub yardstick: Option<Yardstick>,
    /// Core placements it is measured in.
    pub placements: &'static [Placement],
    /// Times each repetition measures it: more where the limit is finer than the machine's noise.
    pub turns: u32,
}

const EVERYWHERE: &[Placement] = &[Placement::Across, Placement::OneCore, Placement::Free];
const UNPINNED: &[Placement] = &[Placement::Free];
const WHOLE: &[Placement] = &[Placement::OneCore, Placement::Free];

/// A row compared with the raw TCP ping-pong in every placement.
const fn call(name: &'static str, about: &'static str, operation: Operation) -> Row {
    Row {
        name,
        about,
        work: Work::Inside(operation),
        yardstick: Some(Yardstick::PingPong),
        placements: EVERYWHERE,
        turns: 1,
    }
}

/// A call that the host executes, compared with the least that any filter costs.
const fn here(name: &'static str, about: &'static str, operation: Operation) -> Row {
    Row {
        yardstick: Some(Yardstick::AnyFilter),
        ..call(name, about, operation)
    }
}

/// A row that touches no network, forwarded or not.
const fn program(name: &'static str, about: &'static str, operation: Operation) -> Row {
    Row {
        name,
        about,
        work: Work::Inside(operation),
        yardstick: None,
        placements: UNPINNED,
        turns: 4,
    }
}

/// Every row, in the order of the table.
pub const ROWS: &[Row] = &[
    call(
        "getppid",
        "getppid(), the plainest Home call",
        calls::getppid,
    ),
    here("getpid", "getpid(), a Here call", calls::getpid),
    call(
        "clock-vdso",
        "clock_gettime() through the vDSO",
        calls::clock_vdso,
    ),
    here(
        "clock-syscall",
        "clock_gettime() as a system call, a Here call",
        calls::clock_raw,
    ),
    here(
        "futex-wake",
        "futex wake of nobody, a Here call",
        calls::futex_wake,
    ),
    call("read-1", "pread of 1 B at offset 0", files::read_at::<1>),
    call(
        "read-4k",
        "pread of 4 KiB at offset 0",
        files::read_at::<{ 4 << 10 }>,
    ),
    call(
        "read-64k",
        "pread of 64 KiB at offset 0",
        files::read_at::<{ 64 << 10 }>,
    ),
    call(
        "read-1m",
        "pread of 1 MiB at offset 0",
        files::read_at::<{ 1 << 20 }>,
    ),
    call("write-1", "pwrite of 1 B at offset 0", files::write_at::<1>),
    call(
        "write-4k",
        "pwrite of 4 KiB at offset 0",
        files::write_at::<{ 4 << 10 }>,
    ),
    call(
        "write-64k",
        "pwrite of 64 KiB at offset 0",
        files::write_at::<{ 64 << 10 }>,
    ),
    call(
        "write-1m",
        "pwrite of 1 MiB at offset 0",
        files::write_at::<{ 1 << 20 }>,
    ),
    call("stat", "stat of a file", calls::stat_file),
    call("open-close", "open and close of a file", calls::open_close),
    call("fork-wait", "fork, exit, wait", processes::fork_wait),
    call(
        "fork-exec-tiny",
        "fork, exec of a static program of one page, wait",
        processes::exec_tiny,
    ),
    call(
        "fork-exec-true",
        "fork, exec of /bin/true, wait",
        processes::exec_true,
    ),
    call(
        "pipe-ping-pong",
        "1 B to a child through a pipe and 1 B back",
        processes::pipe_ping_pong,
    ),
    call(
        "map-touch",
        "first touch of a private file mapping, per page",
        files::touch_mapping,
    ),
    call(
        "map-touch-new",
        "the same, of a file never mapped before, per page",
        files::touch_new_mapping,
    ),
    Row {
        name: "read-sequential",
        about: "a big file once by reads of 64 KiB, per read; beside the raw TCP stream per 64 KiB",
        work: Work::Inside(files::read_sequential),
        yardstick: Some(Yardstick::Stream),
        placements: EVERYWHERE,
        turns: 1,
    },
    program(
        "cpu",
        "a CPU-bound program, per 2 million rounds",
        work::cpu,
    ),
    program(
        "memory",
        "a memory-bound program, per 50,000 loads all over 128 MiB",
        work::memory,
    ),
    Row {
        name: "start-true",
        about: "the command `true` from start to end",
        work: Work::WholeCommand(&["true"]),
        yardstick: None,
        placements: WHOLE,
        turns: 1,
    },
];

impl Yardstick {
    /// Its name for the guest, beside the row called `row`.
    pub fn name(self, row: &str) -> String {
        match self {
            Self::PingPong => "tcp-ping-pong".to_owned(),
            Self::Stream => "tcp-stream".to_owned(),
            Self::AnyFilter => format!("filtered-{row}"),
        }
    }
}

/// The operation called `name`: of a row, or a yardstick.
pub fn operation(name: &str) -> Option<Operation> {
    match name {
        "tcp-ping-pong" => return Some(raw::ping_pong),
        "tcp-stream" => return Some(raw::stream),
        "filtered-getpid" => return Some(calls::filtered_getpid),
        "filtered-clock-syscall" => return Some(calls::filtered_clock),
        "filtered-futex-wake" => return Some(calls::filtered_futex),
        _ => {}
    }
    ROWS.iter()
        .find(|row| row.name == name)
        .and_then(|row| match row.work {
            Work::Inside(operation) => Some(operation),
            Work::WholeCommand(_) => None,
        })
}

/// Rows whose name starts with one of `wanted`; all if nothing is wanted in particular.
///
/// A name that selects nothing is returned as the error.
pub fn selected(wanted: &[String]) -> Result<Vec<&'static Row>, String> {
    let matches = |row: &Row, name: &String| row.name.starts_with(name.as_str());
    if let Some(stranger) = wanted
        .iter()
        .find(|name| !ROWS.iter().any(|row| matches(row, name)))
    {
        return Err(stranger.clone());
    }
    let rows = ROWS
        .iter()
        .filter(|row| wanted.is_empty() || wanted.iter().any(|name| matches(row, name)));
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }

    #[test]
    fn a_prefix_selects_and_a_stranger_is_named() {
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            selected(&wanted).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(
            names(&["fork-exec", "cpu"]),
            Ok(vec!["fork-exec-tiny", "fork-exec-true", "cpu"])
        );
        assert_eq!(names(&["cpu", "gpu"]), Err("gpu".to_owned()));
        assert_eq!(names(&[]).map(|all| all.len()), Ok(ROWS.len()));
    }

    /// Every operation works on this machine, natively.
    #[test]
    fn every_operation_measures() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let scratch = Scratch::at(directory.path());
        scratch.fill(1 << 20)?;
        let stage = Stage {
            scratch,
            peer_core: None,
        };
        let meter = Meter {
            budget: Duration::from_millis(2),
        };
        for row in ROWS {
            let yardstick = row.yardstick.map(|yardstick| yardstick.name(row.name));
            let yardstick = yardstick.as_deref();
            assert!(yardstick.is_none_or(|name| operation(name).is_some()));
        }
        let yardsticks = ["tcp-ping-pong", "tcp-stream", "filtered-getpid"];
        for name in ROWS.iter().map(|row| row.name).chain(yardsticks) {
            let Some(operation) = operation(name) else {
                continue;
            };
            let sample = operation(meter, &stage).map_err(|error| error.context(name))?;
            assert!(
                sample.ops > 0 && sample.ns_per_op > 0.0,
                "{name}: {sample:?}"
            );
            assert!(sample.p50_ns <= sample.p99_ns, "{name}: {sample:?}");
        }
        Ok(())
    }
}
