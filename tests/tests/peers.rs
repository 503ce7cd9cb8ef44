//! Nodes that find each other by a list of peers and a secret that all have.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use homenode_tests::cluster::{Cluster, Node};

/// A file with a secret.
fn secret(cluster: &Cluster, name: &str, letter: &str) -> PathBuf {
    let path = cluster.directory().join(name);
    fs::write(&path, letter.repeat(40)).expect("a file of our own");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file of our own");
    path
}

/// The settings for these peers.
fn settings(cluster: &Cluster, secret: &Path, peers: &[u8]) -> String {
    let peers: Vec<String> = peers
        .iter()
        .map(|number| format!("\"{}\"", cluster.address(*number)))
        .collect();
    let secret = secret.display();
    format!("peers = [{}]\nsecret = \"{secret}\"", peers.join(", "))
}

/// Starts all nodes at the same time.
fn launch(cluster: &mut Cluster, count: usize) {
    for number in 1..=count {
        cluster.node_mut(number).launch(&[], &[]);
    }
}

fn await_event(node: &Node, expected: &str) {
    let told = || node.mosctl(&["events"]).stdout;
    let in_time = (0..1500).any(|_| {
        told().contains(expected) || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            false
        }
    });
    assert!(in_time, "{expected}: {}", told());
}

#[test]
fn nodes_that_start_at_the_same_time_become_one_cluster() {
    let mut cluster = Cluster::empty();
    let secret = secret(&cluster, "secret", "s");
    for _ in 1..=5 {
        let settings = settings(&cluster, &secret, &[1, 2, 3, 4, 5]);
        cluster.prepare(&settings);
    }
    launch(&mut cluster, 5);
    cluster.await_up(5);
    let said = cluster
        .node(4)
        .run("mosexec", &["--on", "n2", "--", "echo", "there"]);
    assert_eq!(said.ok(), "there\n");
    // Lists are the same everywhere: each node once.
    for number in 1..=5 {
        let nodes = cluster.node(number).mosctl(&["nodes"]).ok();
        assert_eq!(nodes.lines().count(), 6, "{nodes}");
    }
    // One that comes back is the same node.
    cluster.node_mut(3).kill();
    cluster.node_mut(3).start();
    cluster.await_up(5);
    let nodes = cluster.node(1).mosctl(&["nodes"]).ok();
    assert_eq!(nodes.lines().count(), 6, "{nodes}");
}

#[test]
fn peers_are_asked_until_somebody_answers() {
    let mut cluster = Cluster::empty();
    let secret = secret(&cluster, "secret", "s");
    // Only the second knows of the others, one of which does not exist.
    let lists: [&[u8]; 3] = [&[1], &[9, 1, 3], &[3]];
    for list in lists {
        let settings = settings(&cluster, &secret, list);
        cluster.prepare(&settings);
    }
    cluster.node_mut(2).start();
    await_event(
        cluster.node(2),
        "no other node is known yet, peers are asked again",
    );
    cluster.node_mut(3).start();
    cluster.await_up(2);
    cluster.node_mut(1).start();
    cluster.await_up(3);
    await_event(
        cluster.node(2),
        "has the same secret, and is of this cluster",
    );
}

#[test]
fn who_has_another_secret_is_a_stranger() {
    let mut cluster = Cluster::empty();
    let (one, other) = (secret(&cluster, "one", "1"), secret(&cluster, "other", "2"));
    for path in [&one, &one, &other] {
        let settings = settings(&cluster, path, &[1, 2, 3]);
        cluster.prepare(&settings);
    }
    launch(&mut cluster, 2);
    cluster.await_up(2);
    let third = cluster.node_mut(3);
    third.start();
    await_event(third, "no other node is known yet");
    std::thread::sleep(std::time::Duration::from_secs(3));
    for (number, lines) in [(1, 3), (2, 3), (3, 2)] {
        let nodes = cluster.node(number).mosctl(&["nodes"]).ok();
        assert_eq!(nodes.lines().count(), lines, "{nodes}");
    }
    assert!(
        cluster
            .node(1)
            .log()
            .contains("there is no such invitation")
    );
}

#[test]
fn names_are_only_free_when_their_node_is_gone() {
    let mut cluster = Cluster::empty();
    let secret = secret(&cluster, "secret", "s");
    for _ in 1..=2 {
        let settings = settings(&cluster, &secret, &[1, 2]);
        cluster.prepare(&settings);
    }
    launch(&mut cluster, 2);
    cluster.await_up(2);
    let twin = settings(&cluster, &secret, &[1]);
    let twin = cluster.prepare(&twin);
    let said = twin.mosctl(&["join", "--name", "n2", "--no-start"]).ok();
    assert!(said.contains("Node n2 looks for its peers"), "{said}");
    twin.start();
    await_event(twin, "there is a node \"n2\" already");
    let nodes = cluster.node(1).mosctl(&["nodes"]).ok();
    assert_eq!(nodes.lines().count(), 3, "{nodes}");
}

#[test]
fn nodes_of_a_slurm_job_are_peers() {
    let mut cluster = Cluster::empty();
    let secret = secret(&cluster, "secret", "s");
    let setting = format!("secret = \"{}\"", secret.display());
    for _ in 1..=3 {
        cluster.prepare(&setting);
    }
    // Names that have an address without a name server.
    let first = cluster.address(1).to_string();
    let network = first.strip_suffix('1').expect("its number");
    let list = format!("{network}[1-2],{network}3");
    for number in 1..=3 {
        let variables = [("SLURM_JOB_NODELIST", list.as_str())];
        cluster.node_mut(number).launch(&["--slurm"], &variables);
    }
    cluster.await_up(3);
    let node = cluster.node(1);
    let config = ["--config", "mosd.toml", "--slurm"];
    let said = node.run("mosd", &config);
    assert!(
        said.stderr.contains("SLURM_JOB_NODELIST is not set"),
        "{said:?}"
    );
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let mut cluster = Cluster::empty();
    let path = secret(&cluster, "secret", "s");
    let settings = settings(&cluster, &path, &[1]);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("a file of our own");
    let node = cluster.prepare(&settings);
    for said in [
        node.run("mosd", &["--config", "mosd.toml"]),
        node.mosctl(&["join"]),
    ] {
        assert_eq!(said.status, 1);
        let expected = "can be read or written by others (mode 644); chmod 600";
        assert!(said.stderr.contains(expected), "{said:?}");
    }
    assert!(!node.directory().join("state").exists());
    let made = node.directory().join("made");
    let made = made.to_str().expect("a name of our own");
    let _ = node.mosctl(&["secret", made]).ok();
    let said = node.mosctl(&["secret", made]);
    assert!(said.stderr.contains("File exists"), "{said:?}");
    let plain = cluster.prepare("").mosctl(&["join"]);
    assert!(plain.stderr.contains("join whom?"), "{plain:?}");
    let no_secret = cluster.prepare("peers = [\"a\"]").mosctl(&["status"]);
    let expected = "mosd.toml: line 5: peers are spoken to with a secret";
    assert!(no_secret.stderr.contains(expected), "{no_secret:?}");
}
