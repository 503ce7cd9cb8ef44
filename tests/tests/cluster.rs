//! Node daemons: joining, knowing each other, and what strangers get.

use std::process::Child;

use homenode_tests::cluster::{Cluster, Node};

#[test]
fn nodes_join_and_know_each_other() {
    let cluster = Cluster::of(3, "");
    let said = cluster.node(3).mosctl(&["status"]).ok();
    assert!(said.contains("3 of 3 nodes are up"), "{said}");
    let events = cluster.node(1).mosctl(&["events"]).ok();
    for expected in ["node n2 has joined, invited here", "node n3 is there"] {
        assert!(events.contains(expected), "{events}");
    }
    let json = cluster.node(2).mosctl(&["nodes", "--json"]).ok();
    assert!(json.contains("\"name\": \"n3\""), "{json}");
}

#[test]
fn an_invitation_is_good_once() {
    let mut cluster = Cluster::of(2, "");
    let join = cluster.node(1).invitation();
    let words: Vec<&str> = join.iter().map(String::as_str).collect();
    let third = cluster.prepare("");
    let _ = third.mosctl(&[&words[..], &["--no-start"]].concat()).ok();
    let said = third.mosctl(&words);
    assert!(
        said.stderr.contains("belongs to a cluster already"),
        "{said:?}"
    );
    let fourth = cluster.prepare("");
    let said = fourth.mosctl(&words);
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("good for one node"), "{said:?}");
    let said = fourth.mosctl(&["join", "nonsense", "127.0.0.1"]);
    assert!(
        said.stderr.contains("\"nonsense\" is no invitation"),
        "{said:?}"
    );
    let said = fourth.mosctl(&["nodes"]);
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("no node daemon answers"), "{said:?}");
    assert!(cluster.node(1).log().contains("no such invitation"));
}

#[test]
fn two_nodes_cannot_have_one_name() {
    let mut cluster = Cluster::of(1, "");
    let join = cluster.node(1).invitation();
    let words: Vec<&str> = join.iter().map(String::as_str).collect();
    let second = cluster.prepare("");
    let said = second.mosctl(&[&words[..], &["--name", "n1"]].concat());
    assert!(
        said.stderr.contains("there is a node \"n1\" already"),
        "{said:?}"
    );
    // The invitation is still good.
    let _ = second.mosctl(&[&words[..], &["--no-start"]].concat()).ok();
}

#[test]
fn a_daemon_that_ends_is_missed_and_comes_back() {
    let mut cluster = Cluster::of(3, "");
    cluster.node_mut(2).kill();
    for number in [1, 3] {
        let node = cluster.node(number);
        node.await_nodes(|nodes| {
            nodes
                .lines()
                .any(|l| l.starts_with("n2 ") && l.contains("silent"))
        });
    }
    cluster.node_mut(2).start();
    cluster.await_up(3);
    let _ = cluster.node(3).mosctl(&["stop"]).ok();
    cluster.node_mut(3).await_end();
    assert!(!cluster.node(3).directory().join("socket").exists());
}

#[test]
fn who_leaves_or_is_revoked_is_no_member() {
    let mut cluster = Cluster::of(4, "");
    let _ = cluster.node(2).mosctl(&["leave"]).ok();
    cluster.node_mut(2).await_end();
    assert!(!cluster.node(2).directory().join("state").exists());
    let _ = cluster.node(1).mosctl(&["revoke", "n3"]).ok();
    for number in [1, 4] {
        let node = cluster.node(number);
        node.await_nodes(|nodes| !nodes.contains("n2 ") && !nodes.contains("n3 "));
    }
    // It is refused from now on, by those too that were told by others.
    let said = cluster
        .node(3)
        .run("mosexec", &["--on", "n4", "--", "true"]);
    assert_eq!(said.status, 125, "{said:?}");
    let said = cluster.node(1).mosctl(&["revoke", "n1"]);
    assert!(said.stderr.contains("does not revoke itself"), "{said:?}");
}

#[test]
fn a_second_daemon_is_refused() {
    let cluster = Cluster::of(1, "");
    let said = cluster.node(1).run("mosd", &["--config", "mosd.toml"]);
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("a daemon runs already"), "{said:?}");
}

#[test]
fn errors_of_the_configuration_name_the_line() {
    let mut cluster = Cluster::empty();
    let node = cluster.prepare("[guests]\njobs_max = \"many\"");
    let said = node.run("mosd", &["--config", "mosd.toml"]);
    assert_eq!(said.status, 1);
    assert!(
        said.stderr
            .contains("mosd.toml: TOML parse error at line 6"),
        "{said:?}"
    );
}

#[test]
fn bytes_of_strangers_change_nothing() {
    use std::io::{Read, Write};
    use std::net::{TcpStream, UdpSocket};
    let cluster = Cluster::of(2, "");
    let address = (cluster.node(1).address, 7746);
    let socket = UdpSocket::bind((cluster.node(1).address, 0)).expect("a socket");
    for length in [0, 1, 8, 40, 1400, 9000] {
        socket
            .send_to(&vec![7; length], address)
            .expect("a datagram");
    }
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n-------------------------"[..],
        &[0; 40],
        b"HNMD\x01\0\x01\0",
    ] {
        let mut stream = TcpStream::connect(address).expect("a connection");
        // It may have been closed already.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        // It may be reset.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    cluster.await_up(2);
}

#[test]
fn programs_run_on_nodes_by_name() {
    let cluster = Cluster::of(2, "");
    let home = cluster.node(1);
    let said = home.run(
        "mosexec",
        &[
            "--on",
            "n2",
            "--",
            "sh",
            "-c",
            "echo $((6 * 7)); pwd; exit 3",
        ],
    );
    let expected = format!("42\n{}\n", home.directory().display());
    assert_eq!((said.status, said.stdout), (3, expected), "{}", said.stderr);
    let events = cluster.node(2).mosctl(&["events"]).ok();
    assert!(events.contains("runs guests of n1"), "{events}");
    let said = home.run("mosexec", &["--on", "n7", "--", "true"]);
    assert_eq!(said.status, 125);
    assert!(
        said.stderr.contains("no node n7; nodes: n1 (home), n2"),
        "{said:?}"
    );
    let said = home.run("mosexec", &["--best", "--", "echo", "here or there"]);
    assert_eq!(said.ok(), "here or there\n");
}

#[test]
fn processes_move_between_nodes_by_name() {
    let cluster = Cluster::of(3, "");
    let home = cluster.node(1);
    let script = "echo $$; n=0; while [ ! -e stop ]; do n=$((n + 1)); done; echo end";
    let options = ["--on", "n2", "--lock"];
    let mut job = home.spawn(
        "mosexec",
        &[&options[..], &["--", "sh", "-c", script]].concat(),
    );
    let pid = job.id().to_string();
    for (to, expected) in [
        ("n3", 0),
        ("home", 0),
        ("n2", 0),
        ("n2", 1),
        ("n9", 1),
        ("n1", 0),
    ] {
        // It may not have begun at first.
        let moved = || home.run("migrate", &[&pid, to]).status == expected;
        assert!(
            (0..100).any(|_| moved() || {
                pause();
                false
            }),
            "to {to}"
        );
    }
    std::fs::write(home.directory().join("stop"), "").expect("a file of our own");
    let status = job.wait().expect("a child of ours");
    assert!(status.success(), "{status:?}");
}

#[test]
fn a_node_that_drains_takes_no_guests() {
    let cluster = Cluster::of(2, "");
    let _ = cluster.node(2).mosctl(&["drain"]).ok();
    let home = cluster.node(1);
    home.await_nodes(|nodes| nodes.contains("drains"));
    let said = home.run("mosexec", &["--on", "n2", "--", "true"]);
    assert_eq!(said.status, 125);
    assert!(
        said.stderr.contains("this node is being drained"),
        "{said:?}"
    );
    let _ = cluster.node(2).mosctl(&["undrain"]).ok();
    assert_eq!(home.run("mosexec", &["--on", "n2", "--", "true"]).status, 0);
}

/// Jobs have connections of their own.
#[test]
fn daemons_that_crash_take_no_job_with_them() {
    let mut cluster = Cluster::of(2, "");
    let script = "echo begins; while [ ! -e stop ]; do :; done; echo ends";
    let options = ["--on", "n2", "--lock", "--", "sh", "-c", script];
    let jobs = [cluster.node(1).spawn("mosexec", &options)];
    await_places(cluster.node(1), &jobs, |places| places[0] == ">n2");
    cluster.node_mut(1).kill();
    cluster.node_mut(2).kill();
    std::fs::write(cluster.node(1).directory().join("stop"), "").expect("a file of our own");
    for job in jobs {
        let done = job.wait_with_output().expect("a child of ours");
        assert!(done.status.success(), "{done:?}");
        assert_eq!(String::from_utf8_lossy(&done.stdout), "begins\nends\n");
    }
}

fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}

/// Computes until it is told to stop, and looks for that seldom.
const COMPUTES: &str =
    "while [ ! -e stop ]; do i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; done; echo $i";

/// Starts so many of these jobs.
fn compute(node: &Node, options: &[&str], count: usize) -> Vec<Child> {
    let arguments = [options, &["--", "sh", "-c", COMPUTES]].concat();
    (0..count)
        .map(|_| node.spawn("mosexec", &arguments))
        .collect()
}

/// Where these jobs' commands run: `-` at home, `>NODE` elsewhere, nothing if they have not begun.
fn places(node: &Node, jobs: &[Child]) -> Vec<String> {
    let shown = node.run("mosps", &["-o", "pid,migr"]).stdout;
    let of = |job: &Child| {
        let start = format!("{} ", job.id());
        let place = shown
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(&start));
        place.unwrap_or_default().trim().to_owned()
    };
    jobs.iter().map(of).collect()
}

/// Waits until they run where they should.
fn await_places(node: &Node, jobs: &[Child], are_right: impl Fn(&[String]) -> bool) {
    let right = || are_right(&places(node, jobs));
    let in_time = (0..3000).any(|_| {
        right() || {
            pause();
            false
        }
    });
    let events = node.mosctl(&["events"]).stdout;
    assert!(
        in_time,
        "{:?}\n{events}\n{}",
        places(node, jobs),
        node.log()
    );
}

/// Waits until all of this is told.
fn await_text(told: impl Fn() -> String, expected: &[&str]) {
    let is_told = || {
        let text = told();
        expected.iter().all(|part| text.contains(part))
    };
    let in_time = (0..1000).any(|_| {
        is_told() || {
            pause();
            false
        }
    });
    assert!(in_time, "{expected:?}: {}", told());
}

fn all_end_right(node: &Node, jobs: Vec<Child>) {
    std::fs::write(node.directory().join("stop"), "").expect("a file of our own");
    for job in jobs {
        let done = job.wait_with_output().expect("a child of ours");
        assert!(done.status.success(), "{done:?}");
        assert_eq!(
            String::from_utf8_lossy(&done.stdout),
            "100000\n",
            "{done:?}"
        );
    }
}

/// All nodes measure the load of this machine, so what makes one better is that it says it is faster.
#[test]
fn jobs_go_by_themselves_where_they_are_done_sooner() {
    let mut cluster = Cluster::of(1, "speed = 1");
    let mut jobs = compute(cluster.node(1), &[], 3);
    jobs.extend(compute(cluster.node(1), &["--home"], 1));
    await_places(cluster.node(1), &jobs, |places| {
        places.iter().all(|place| place == "-")
    });
    // A daemon that begins anew finds what runs.
    cluster.node_mut(1).kill();
    cluster.node_mut(1).start();
    cluster.add("speed = 100");
    await_places(cluster.node(1), &jobs, |places| {
        places[..3].iter().all(|place| place == ">n2")
    });
    let home = cluster.node(1);
    assert_eq!(places(home, &jobs)[3], "-", "--home");
    let expected =
        "(sh) has moved from node n1 to node n2: goes, it is done sooner there (to node n2)";
    await_text(|| home.mosctl(&["events"]).ok(), &[expected]);
    // Its memory may still be on its way.
    let pid = jobs[0].id().to_string();
    let expected = [
        "on node n2; its home is node n1",
        "By the cluster's policy it now stays",
    ];
    await_text(|| home.run("mosps", &["--why", &pid]).ok(), &expected);
    all_end_right(home, jobs);
}

#[test]
fn a_node_that_drains_is_left_by_its_guests() {
    let cluster = Cluster::of(2, "");
    let home = cluster.node(1);
    let mut jobs = compute(home, &["--on", "n2"], 2);
    jobs.extend(compute(home, &["--on", "n2", "--lock"], 1));
    await_places(home, &jobs, |places| {
        places.iter().all(|place| !place.is_empty())
    });
    let _ = cluster.node(2).mosctl(&["drain"]).ok();
    await_places(home, &jobs, |places| {
        places[..2].iter().all(|place| place == "-")
    });
    assert_eq!(places(home, &jobs)[2], ">n2", "--lock");
    all_end_right(home, jobs);
}

#[test]
fn a_home_that_drains_calls_its_processes() {
    let cluster = Cluster::of(2, "");
    let home = cluster.node(1);
    let mut jobs = compute(home, &["--on", "n2"], 2);
    jobs.extend(compute(home, &["--on", "n2", "--lock"], 1));
    await_places(home, &jobs, |places| {
        places.iter().all(|place| place == ">n2")
    });
    let _ = home.mosctl(&["drain"]).ok();
    await_places(home, &jobs, |places| {
        places[..2].iter().all(|place| place == "-")
    });
    assert_eq!(places(home, &jobs)[2], ">n2", "--lock");
    let events = home.mosctl(&["events"]).ok();
    assert!(events.contains("belongs at home, which drains"), "{events}");
    all_end_right(home, jobs);
}

#[test]
fn what_is_locked_stays() {
    let mut cluster = Cluster::of(1, "speed = 1");
    let mut jobs = compute(cluster.node(1), &["--lock"], 1);
    jobs.extend(compute(cluster.node(1), &[], 1));
    cluster.add("speed = 100");
    let home = cluster.node(1);
    await_places(home, &jobs, |places| places[1] == ">n2");
    assert_eq!(places(home, &jobs)[0], "-");
    let why = home
        .run("mosps", &["--why", &jobs[0].id().to_string()])
        .ok();
    assert!(
        why.contains("its user keeps it where it is (--lock)"),
        "{why}"
    );
    all_end_right(home, jobs);
}
