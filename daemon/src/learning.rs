//! What programs have needed, by what jobs tell of their runs, wherever those were. Kept in the node's
//! state over restarts; what is lost with a file that cannot be read or written is only experience.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use cluster::load::{Features, NodeId};
use cluster::program::{Entry, Learned, Need, Program};
use local::daemon::Run;
use serde::{Deserialize, Serialize};

use crate::members::Member;
use crate::state::State;
use crate::{Daemon, lock};

/// Version of the file. Another one is begun anew.
const VERSION: u32 = 1;
/// How often it is written, if anything was learned.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// Shorter CPU time in seconds tells nothing of how often a program calls.
const CPU_MIN: f64 = 0.001;

/// What is kept of it in a file, and when.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Runs that had been learned when it was written last; `None`: it is written no more.
    written: Option<u64>,
    /// The last attempt has failed, which was said.
    has_failed: bool,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    programs: Vec<Entry>,
}

/// What was kept by an earlier daemon; nothing, with a message, if that cannot be read.
pub(crate) fn load(state: &State) -> (Learned, Option<String>) {
    let read = || -> anyhow::Result<Learned> {
        let Some(text) = state.learned()? else {
            return Ok(Learned::default());
        };
        parse(&text)
    };
    match read() {
        Ok(learned) => (learned, None),
        Err(error) => {
            let said = format!("what programs need is learned anew: {error:#}");
            (Learned::default(), Some(said))
        }
    }
}

fn parse(text: &[u8]) -> anyhow::Result<Learned> {
    /// All that is needed to know whether the rest can be understood.
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let head: Head = serde_json::from_slice(text).context("the file is damaged")?;
    ensure!(
        head.version == VERSION,
        "the file is of version {}, this daemon knows version {VERSION}",
        head.version
    );
    let kept: Kept = serde_json::from_slice(text).context("the file is damaged")?;
    Ok(Learned::of(&kept.programs))
}

fn text(learned: &Learned) -> anyhow::Result<Vec<u8>> {
    let kept = Kept {
        version: VERSION,
        programs: learned.entries(),
    };
    let mut text = serde_json::to_vec(&kept)?;
    text.push(b'\n');
    Ok(text)
}

/// Takes in some runs.
pub(crate) fn learn(daemon: &Daemon, runs: &[Run]) {
    let speeds = speeds(daemon);
    let own = lock(&daemon.view)
        .own
        .map_or(1.0, |own| f64::from(own.speed));
    let speed = |name: &str| speeds.get(name).copied().unwrap_or(own);
    let mut learned = lock(&daemon.learned);
    for run in runs {
        let program = Program::new(run.executable.as_bytes(), &run.arguments);
        learned.learn(program, need(run, own, speed));
    }
}

/// In the policy's words: CPU time as on a core of reference speed.
fn need(run: &Run, own: f64, speed: impl Fn(&str) -> f64) -> Need {
    let away = run.away.iter().map(|(name, cpu)| cpu * speed(name));
    let cpu = run.cpu * own + away.sum::<f64>();
    Need {
        cpu,
        memory: run.memory,
        calls: run.calls as f64 / cpu.max(CPU_MIN),
        features: Features::default(),
    }
}

/// Speeds of the other nodes that are known, by name.
fn speeds(daemon: &Daemon) -> HashMap<String, f64> {
    let by_id: HashMap<NodeId, f64> = {
        let view = lock(&daemon.view);
        let loads = view.loads.iter();
        loads
            .map(|(id, (load, _))| (*id, f64::from(load.speed)))
            .collect()
    };
    let members = lock(&daemon.members);
    let named = |member: &Member| {
        let speed = by_id.get(&member.key.node_id())?;
        Some((member.name.clone(), *speed))
    };
    members.present().filter_map(named).collect()
}

/// Writes again and again what was learned, until the daemon ends.
pub(crate) fn run(daemon: &Arc<Daemon>) {
    loop {
        thread::sleep(KEEP_EVERY);
        keep(daemon);
    }
}

/// Writes what was learned since it was written last, if anything.
pub(crate) fn keep(daemon: &Daemon) {
    let said = lock(&daemon.keeper).keep(&daemon.learned, &daemon.state);
    if let Some(said) = said {
        daemon.event(&said);
    }
}

/// Nothing is written from now on: this node leaves its cluster.
pub(crate) fn stop(daemon: &Daemon) {
    lock(&daemon.keeper).written = None;
}

impl Keeper {
    /// For what has just been read.
    pub(crate) fn new(learned: &Learned) -> Keeper {
        Keeper {
            written: Some(learned.runs()),
            has_failed: false,
        }
    }

    /// Returns what is to be said: that it fails, once, and that it does not any more.
    fn keep(&mut self, learned: &std::sync::Mutex<Learned>, state: &State) -> Option<String> {
        let written = self.written?;
        let (runs, text) = {
            let learned = lock(learned);
            if learned.runs() == written {
                return None;
            }
            (learned.runs(), text(&learned))
        };
        match text.and_then(|text| state.keep_learned(&text)) {
            Ok(()) => {
                self.written = Some(runs);
                let had_failed = std::mem::replace(&mut self.has_failed, false);
                had_failed.then(|| "what programs need is kept again".to_owned())
            }
            Err(error) => {
                let had_failed = std::mem::replace(&mut self.has_failed, true);
                (!had_failed)
                    .then(|| format!("what programs need is not kept over a restart: {error:#}"))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    fn some() -> Learned {
        let mut learned = Learned::default();
        for number in 1..4_u8 {
            let program = Program::new::<&str>(&[number], &[]);
            learned.learn(
                program,
                Need {
                    cpu: f64::from(number) / 3.0,
                    memory: u64::from(number) << 20,
                    calls: 0.1,
                    features: Features::default(),
                },
            );
        }
        learned
    }

    #[test]
    fn it_is_kept_over_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::at(directory.path());
        let (learned, said) = load(&state);
        assert_eq!(
            (learned.programs(), said),
            (0, None),
            "there is no file yet"
        );
        let mut keeper = Keeper::new(&learned);
        let learned = Mutex::new(some());
        assert_eq!(keeper.keep(&learned, &state), None);
        let (again, said) = load(&state);
        assert_eq!((again.programs(), said), (3, None));
        for (one, other) in lock(&learned).entries().iter().zip(again.entries()) {
            assert_eq!(one, &other);
        }
        // Nothing new: nothing is written.
        fs::remove_file(directory.path().join("learned.json")).unwrap();
        assert_eq!(keeper.keep(&learned, &state), None);
        assert_eq!(load(&state).0.programs(), 0);
        lock(&learned).clone_from(&some());
        keeper.written = None;
        assert_eq!(keeper.keep(&learned, &state), None, "it leaves");
        assert_eq!(load(&state).0.programs(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::at(directory.path());
        let path = directory.path().join("learned.json");
        let whole = String::from_utf8(text(&some()).unwrap()).unwrap();
        for (content, expected) in [
            ("", "the file is damaged"),
            (&whole[..whole.len() / 2], "the file is damaged"),
            (
                &whole.replace(":1,", ":9,"),
                "of version 9, this daemon knows version 1",
            ),
            (&whole.replace("cpu", "gpu"), "unknown field `gpu`"),
            (&" ".repeat(8 << 20), "longer than"),
        ] {
            fs::write(&path, content).unwrap();
            let (learned, said) = load(&state);
            let said = said.unwrap();
            assert!(said.contains(expected), "{said}");
            assert_eq!(learned.programs(), 0);
        }
    }

    #[test]
    fn what_cannot_be_written_is_said_once() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::at(directory.path());
        let path = directory.path().join("learned.json");
        // No file can take the place of a directory.
        fs::create_dir(&path).unwrap();
        let learned = Mutex::new(some());
        let mut keeper = Keeper::new(&Learned::default());
        let said = keeper.keep(&learned, &state).unwrap();
        assert!(
            said.contains("is not kept over a restart: write "),
            "{said}"
        );
        assert_eq!(keeper.keep(&learned, &state), None, "it was said");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        fs::remove_dir(&path).unwrap();
        let said = keeper.keep(&learned, &state);
        assert_eq!(said.as_deref(), Some("what programs need is kept again"));
        assert_eq!(load(&state).0.programs(), 3);
    }

    #[test]
    fn cpu_time_counts_by_the_speed_of_the_node_where_it_was_used() {
        let run = Run {
            executable: "/bin/x".to_owned(),
            arguments: Vec::new(),
            cpu: 1.0,
            away: vec![("fast".to_owned(), 2.0), ("gone".to_owned(), 1.0)],
            memory: 5,
            calls: 30,
        };
        let speed = |name: &str| if name == "fast" { 4.0 } else { 2.0 };
        let need = need(&run, 2.0, speed);
        assert_eq!((need.cpu, need.memory, need.calls), (12.0, 5, 2.5));
    }

    proptest! {
        #[test]
        fn no_content_of_the_file_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
