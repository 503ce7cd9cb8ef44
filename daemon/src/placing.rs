//! Where a program that starts here had better run: the cluster's policy with what this node knows.

use cluster::candidates::Rules;
use cluster::decision::{Action, Decision};
use cluster::load::{Known, NodeId};
use cluster::placement::{Start, place as decide};
use cluster::program::Program;
use cluster::random::Random;
use cluster::settings::Settings;
use local::daemon::Reply;

use crate::{Daemon, lock};

/// Settings of the policy as configured.
pub(crate) fn settings(daemon: &Daemon) -> Settings {
    Settings {
        leave_above: daemon.config.balance.leave_above,
        ..Settings::default()
    }
}

/// Other nodes that live, as the policy wants them.
pub(crate) fn known(daemon: &Daemon) -> Vec<Known> {
    let view = lock(&daemon.view);
    let now = daemon.began.elapsed();
    let alive = view.loads.iter().filter(|(id, _)| view.alive.contains(id));
    alive
        .map(|(_, (load, taken))| Known {
            load: *load,
            taken: now.saturating_sub(taken.elapsed()),
        })
        .collect()
}

/// Answers [`Request::Place`](local::daemon::Request::Place).
pub(crate) fn place(daemon: &Daemon, executable: &str, arguments: &[String]) -> Reply {
    let settings = settings(daemon);
    let program = Program::new(executable.as_bytes(), arguments);
    let need = lock(&daemon.learned).expect_or_guess(program, &settings);
    let known = known(daemon);
    let (own, nodes) = {
        let view = lock(&daemon.view);
        (view.own, view.alive.len() + 1)
    };
    let Some(home) = own else {
        return Reply::Place {
            node: None,
            why: "this node's load has not been measured yet".to_owned(),
        };
    };
    let start = Start {
        need: &need,
        rules: &Rules::default(),
        home: &home,
        lately: f64::from(home.runnable),
        known: &known,
        nodes,
        now: daemon.began.elapsed(),
    };
    let decision = {
        let mut random = lock(&daemon.random);
        decide(&start, &settings, &mut *random)
    };
    let node = match decision.action {
        Action::Stay => None,
        Action::Go(id) => name(daemon, id),
    };
    match decision.action {
        Action::Go(id) => comes(daemon, id, need.memory),
        Action::Stay => begins(daemon, need.cpu),
    }
    Reply::Place {
        node,
        why: words(daemon, &decision),
    }
}

/// Until its next vector, this node counts as one that has another process, with so much memory.
pub(crate) fn comes(daemon: &Daemon, id: NodeId, memory: u64) {
    if let Some((load, _)) = lock(&daemon.view).loads.get_mut(&id) {
        load.runnable += 1.0;
        load.memory_free = load.memory_free.saturating_sub(memory);
    }
}

/// Until its load is measured again, this node counts as one that has another process, which needs so
/// much CPU time: of many that begin at the same moment not all are to think that it is idle.
fn begins(daemon: &Daemon, cpu: f64) {
    /// One that needs less is over before it could be in anybody's way.
    const LONG_SECONDS: f64 = 0.1;
    if let Some(own) = &mut lock(&daemon.view).own {
        own.runnable += (cpu / LONG_SECONDS).min(1.0) as f32;
    }
}

/// What users call this node.
pub(crate) fn name(daemon: &Daemon, id: NodeId) -> Option<String> {
    let members = lock(&daemon.members);
    members.by_id(id).map(|member| member.name.clone())
}

/// A decision in words, with names for nodes.
pub(crate) fn words(daemon: &Daemon, decision: &Decision) -> String {
    let text = decision.to_string();
    match decision.action {
        Action::Stay => text,
        Action::Go(id) => match name(daemon, id) {
            Some(name) => text.replace(&format!("(to node {id})"), &format!("(to node {name})")),
            None => text,
        },
    }
}

/// A generator of random numbers that differ between daemons.
pub(crate) fn random() -> anyhow::Result<Random> {
    let mut seed = [0; 8];
    seed.copy_from_slice(&lane::bytes::random_bytes()?[..8]);
    Ok(Random::new(u64::from_le_bytes(seed)))
}
