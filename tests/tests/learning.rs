//! What node daemons learn of programs, and keep.

use std::time::{Duration, Instant};

use homenode_tests::cluster::{Cluster, Node};
use serde_json::Value;

/// Waits until the node has kept of so many programs what they needed, and what is right of one.
fn await_kept(node: &Node, programs: usize, is_right: impl Fn(&Value) -> bool) -> Vec<Value> {
    let path = node.directory().join("state/learned.json");
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let kept: Value = serde_json::from_str(&text).unwrap_or_default();
        let kept = kept["programs"].as_array().cloned().unwrap_or_default();
        if kept.len() >= programs && kept.iter().any(&is_right) {
            return kept;
        }
        assert!(Instant::now() < deadline, "{text:?}\n{}", node.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_ran_elsewhere_is_learned_and_kept() {
    let mut cluster = Cluster::of(2, "[balance]\nmigrate = false");
    let home = cluster.node(1);
    let computes = "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done; : > out; : > out";
    let on = ["--on", "n2", "--"];
    let run = |words: &[&str]| {
        let said = home.run("mosexec", &[&on[..], words].concat());
        assert_eq!(said.status, 0, "{said:?}");
    };
    // An execve of a guest: what `env` has used is not what `sh` has.
    run(&["env", "sh", "-c", computes]);
    let needs = |entry: &Value| {
        let [cpu, calls] = ["cpu", "calls"].map(|key| entry[key].as_f64().unwrap_or(0.0));
        let memory = entry["memory"].as_u64().unwrap_or(0);
        cpu > 0.05 && calls > 0.0 && (500_000..50_000_000).contains(&memory)
    };
    let kept = await_kept(home, 1, needs);
    assert_eq!(kept.len(), 1, "one program has ended: {kept:?}");
    // It is there after a crash, and what is learned then is added to it.
    let second = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=2000"];
    cluster.node_mut(1).kill();
    cluster.node_mut(1).start();
    cluster.await_up(2);
    let home = cluster.node(1);
    let said = home.run("mosexec", &[&on[..], &second].concat());
    assert_eq!(said.status, 0, "{said:?}");
    // A daemon that is stopped writes what it has at once.
    let calls_much = |entry: &Value| entry["calls"].as_f64().is_some_and(|calls| calls > 1000.0);
    let kept = await_kept(home, 2, calls_much);
    assert!(kept.iter().any(needs), "{kept:?}");
}

#[test]
fn what_ran_at_home_and_elsewhere_is_one_run() {
    let cluster = Cluster::of(2, "speed = 1\n[balance]\nmigrate = false");
    let home = cluster.node(1);
    let script = "while [ ! -e stop ]; do i=0; while [ $i -lt 10000 ]; do i=$((i + 1)); done; done";
    let job = home.spawn("mosexec", &["--", "sh", "-c", script]);
    let pid = job.id().to_string();
    let moved = |to: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while home.run("migrate", &[&pid, to]).status != 0 {
            assert!(Instant::now() < deadline, "to {to}");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    // Loaded machines give less than half a second of it each time.
    for to in ["n2", "home", "n2"] {
        moved(to);
    }
    std::fs::write(home.directory().join("stop"), "").expect("a file of our own");
    let done = job.wait_with_output().expect("a child of ours");
    assert!(done.status.success(), "{done:?}");
    let forwards = |entry: &Value| entry["calls"].as_f64().is_some_and(|calls| calls > 1.0);
    let kept = await_kept(home, 1, forwards);
    assert_eq!(kept.len(), 1, "one program has ended: {kept:?}");
    let cpu = kept[0]["cpu"].as_f64().unwrap_or(0.0);
    assert!((0.25..10.0).contains(&cpu), "{kept:?}");
}

#[test]
fn a_damaged_file_is_said_once_and_begun_anew() {
    let mut cluster = Cluster::of(1, "");
    cluster.node_mut(1).kill();
    let path = cluster.node(1).directory().join("state/learned.json");
    std::fs::write(&path, "{\"version\":1,\"programs\":[{").expect("a file of the node");
    cluster.node_mut(1).start();
    let home = cluster.node(1);
    let said = |node: &Node| {
        let events = node.mosctl(&["events"]).ok();
        events.matches("what programs need is learned anew").count()
    };
    assert_eq!(said(home), 1);
    let run = home.run("mosexec", &["--best", "--", "sh", "-c", "true; true"]);
    assert_eq!(run.status, 0, "{run:?}");
    await_kept(home, 1, |_| true);
    cluster.node_mut(1).kill();
    cluster.node_mut(1).start();
    assert_eq!(said(cluster.node(1)), 0);
    let _ = cluster.node(1).mosctl(&["leave"]).ok();
    cluster.node_mut(1).await_end();
    assert!(!cluster.node(1).directory().join("state").exists());
}
