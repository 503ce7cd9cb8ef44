//! Memory ushering: programs that need more than their home has, and not more than the cluster.

use std::process::Command;

use homenode_tests::cluster::Cluster;
use homenode_tests::{guest_program, mosexec};

const MIB: u64 = 1 << 20;
/// Memory of each node.
const LIMIT_MIB: u64 = 128;

/// How long the hogs take, so that memory can follow as fast as it is written, whatever else this machine does.
const STEPS: &str = "300";

/// Runs children of so many MiB each on three private nodes: one and a half times what one of them has. All of them
/// have that at the same time.
fn private_nodes(children: u64, mib: u64) {
    assert_eq!(children * mib, LIMIT_MIB * 3 / 2);
    let directory = tempfile::tempdir().expect("a directory");
    let statistics = directory.path().join("statistics");
    let done = Command::new(mosexec())
        .args(["--embedded", "3", "--memory-per-node"])
        .arg(format!("{LIMIT_MIB}M"))
        .arg("--stats")
        .arg(&statistics)
        .arg("--")
        .arg(guest_program("hogs"))
        .args([&children.to_string(), &mib.to_string(), STEPS])
        .output()
        .expect("mosexec");
    assert!(done.status.success(), "{done:?}");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "OK hogs\n");
    let text = std::fs::read_to_string(statistics).expect("statistics");
    let statistics: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let nodes = statistics["memory"].as_array().expect("three nodes");
    let most: Vec<u64> = nodes
        .iter()
        .map(|node| node["most"].as_u64().expect("a number"))
        .collect();
    assert_eq!(most.len(), 3, "{nodes:?}");
    assert!(most.iter().all(|most| *most < LIMIT_MIB * MIB), "{most:?}");
    // So it was measured.
    assert!(most.iter().sum::<u64>() > LIMIT_MIB * MIB, "{most:?}");
    let processes = statistics["processes"].as_array().expect("processes");
    let moves = processes.iter().filter_map(|p| p["migrations"].as_u64());
    let most = moves.max().expect("a process");
    assert!((1..=4).contains(&most), "one moved {most} times: {text}");
}

#[test]
fn many_small_processes_on_private_nodes() {
    private_nodes(6, 32);
}

#[test]
fn few_large_processes_on_private_nodes() {
    private_nodes(3, 64);
}

#[test]
fn a_limit_that_is_none_is_refused() {
    for (options, expected) in [
        (
            &["--embedded", "2", "--memory-per-node", "1M"],
            "at least 16M",
        ),
        (
            &["--embedded", "2", "--memory-per-node", "much"],
            "a number of bytes with K, M, G or T",
        ),
        (&["--memory-per-node", "1G", "--on", "2"], "--embedded"),
    ] {
        let mut command = Command::new(mosexec());
        let done = command
            .args(options)
            .args(["--", "true"])
            .output()
            .expect("mosexec");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(125), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

/// What each node's daemon says is free of its memory, in bytes.
fn free(cluster: &Cluster) -> Vec<u64> {
    let said = cluster.node(1).mosctl(&["nodes", "--json"]).ok();
    let nodes: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let nodes = nodes.as_array().expect("nodes").iter();
    let loads = nodes.filter_map(|node| {
        assert_eq!(
            node["load"]["memory"].as_u64(),
            Some(LIMIT_MIB * MIB),
            "{node:?}"
        );
        node["load"]["memory_free"].as_u64()
    });
    loads.collect()
}

#[test]
fn nodes_of_a_cluster_with_a_limit() {
    let cluster = Cluster::of(3, &format!("memory = \"{LIMIT_MIB}M\""));
    let home = cluster.node(1);
    let hogs = guest_program("hogs").display().to_string();
    let mut job = home.spawn("mosexec", &["--", &hogs, "6", "32", STEPS]);
    let mut least = [u64::MAX; 3];
    let status = loop {
        for (least, now) in least.iter_mut().zip(free(&cluster)) {
            *least = now.min(*least);
        }
        match job.try_wait().expect("a child of ours") {
            Some(status) => break status,
            None => std::thread::sleep(std::time::Duration::from_millis(100)),
        }
    };
    let events = home.mosctl(&["events"]).ok();
    assert!(status.success(), "{status:?}\n{events}");
    assert!(least.iter().all(|free| *free > 0), "{least:?}\n{events}");
    assert!(events.contains("has moved from node n1"), "{events}");
    assert!(
        least.iter().sum::<u64>() < 2 * LIMIT_MIB * MIB,
        "{least:?}\n{events}"
    );
}
