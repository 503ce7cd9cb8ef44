//! What a monitoring system reads of a node.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use homenode_tests::cluster::Cluster;

/// Longest time that something may take to become true.
const PATIENCE: Duration = Duration::from_secs(30);

/// An address that nobody uses now.
fn address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

/// What the node answers to these bytes; nothing if it closes the connection.
fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a limit");
    let mut answer = Vec::new();
    // Either may fail: the node need not hear all of it.
    let _ = stream.write_all(request);
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn read(address: &str) -> String {
    exchange(
        address,
        b"GET /metrics HTTP/1.1\r\nHost: n1\r\nAccept: */*\r\n\r\n",
    )
}

/// The value of a sample.
fn value(text: &str, sample: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(sample))?;
    rest.strip_prefix(' ')?.parse().ok()
}

/// Waits until a sample is as it should be.
fn await_value(address: &str, sample: &str, is_right: impl Fn(f64) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = read(address);
        if value(&text, sample).is_some_and(&is_right) {
            return;
        }
        assert!(Instant::now() < deadline, "{sample}:\n{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn figures_tell_what_happens() {
    let address = address();
    let mut cluster = Cluster::empty();
    cluster.add(&format!("metrics = \"{address}\"\nspeed = 1"));
    cluster.add("speed = 100");
    cluster.await_up(2);
    let text = read(&address);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(
        text.contains("content-type: text/plain; version=0.0.4"),
        "{text}"
    );
    let (_, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut described = String::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(matches!(kind, "counter" | "gauge"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            described = name.to_owned();
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').expect("a value");
            let name = sample.split('{').next().unwrap_or_default();
            assert_eq!(name, described, "{line}");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        }
    }
    assert_eq!(value(body, "homenode_members{state=\"up\"}"), Some(2.0));
    assert_eq!(value(body, "homenode_core_speed_ratio"), Some(1.0));
    assert!(value(body, "homenode_datagrams_sent_total").is_some_and(|count| count > 0.0));
    assert!(value(body, "homenode_datagram_received_bytes_total").is_some_and(|count| count > 0.0));
    let script = "while [ ! -e stop ]; do i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; done";
    let home = cluster.node(1);
    let job = home.spawn("mosexec", &["--", "sh", "-c", script]);
    let moved = "homenode_moves_total{reason=\"sooner\",result=\"moved\"}";
    await_value(&address, moved, |count| count >= 1.0);
    await_value(&address, "homenode_jobs", |count| count == 1.0);
    let elsewhere = "homenode_job_processes{place=\"elsewhere\"}";
    await_value(&address, elsewhere, |count| count == 1.0);
    await_value(&address, "homenode_forwarded_calls_total", |count| {
        count > 10.0
    });
    std::fs::write(home.directory().join("stop"), "").expect("a file of our own");
    let done = job.wait_with_output().expect("a child of ours");
    assert!(done.status.success(), "{done:?}");
    await_value(&address, "homenode_jobs", |count| count == 0.0);
    await_value(&address, "homenode_learned_programs", |count| count >= 1.0);
    // The counter stays.
    await_value(&address, "homenode_forwarded_calls_total", |count| {
        count > 10.0
    });
    let _ = home.mosctl(&["drain"]).ok();
    await_value(&address, "homenode_members{state=\"draining\"}", |count| {
        count == 1.0
    });
}

#[test]
fn nonsense_and_slow_clients_do_no_harm() {
    let address = address();
    let mut cluster = Cluster::empty();
    cluster.add(&format!("metrics = \"{address}\""));
    assert!(read(&address).starts_with("HTTP/1.1 200 OK"));
    for (request, expected) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "HTTP/1.1 404 "),
        (
            b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy",
            "HTTP/1.1 405 ",
        ),
        (b"\0\x01\x02\xff\r\n\r\n", "HTTP/1.1 400 "),
        (b"GET /metrics HTTP/9.9\r\n\r\n", "HTTP/1.1 400 "),
    ] {
        let answer = exchange(&address, request);
        assert!(answer.starts_with(expected), "{request:?}: {answer}");
    }
    let long = [
        b"GET /metrics HTTP/1.1\r\nA: ",
        &[b'a'; 1 << 20][..],
        b"\r\n\r\n",
    ]
    .concat();
    assert!(!exchange(&address, &long).starts_with("HTTP/1.1 200"));
    let many = "A: b\r\n".repeat(1000);
    let many = format!("GET /metrics HTTP/1.1\r\n{many}\r\n");
    assert!(!exchange(&address, many.as_bytes()).starts_with("HTTP/1.1 200"));
    // Some say nothing, some stop in the middle of it, some do not read.
    let mut idle = Vec::new();
    for number in 0..60_u8 {
        let mut stream = TcpStream::connect(&address).expect("a connection");
        let said = match number {
            0..20 => &b""[..],
            20..40 => b"GET /met",
            _ => b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        };
        // It may have been closed.
        let _ = stream.write_all(said);
        idle.push(stream);
    }
    assert_eq!(read(&address), "", "all places are taken");
    // Nothing else waits for them, and they are not waited for.
    let asked = Instant::now();
    let _ = cluster.node(1).mosctl(&["status"]).ok();
    assert!(asked.elapsed() < Duration::from_secs(5));
    await_value(&address, "homenode_draining", |value| value == 0.0);
    drop(idle);
    assert!(read(&address).starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn settings_that_are_refused_are_told() {
    let address = address();
    let taken = TcpListener::bind(&address).expect("it was free");
    for (setting, expected) in [
        ("metrics = \"0.0.0.0:9746\"", "with metrics_open = true any"),
        ("metrics = true", "such as \"127.0.0.1:9746\""),
    ] {
        let mut cluster = Cluster::empty();
        let said = cluster
            .prepare(setting)
            .run("mosd", &["--config", "mosd.toml"]);
        assert_eq!(said.status, 1);
        let line = said.stderr.contains("mosd.toml: ") && said.stderr.contains("line 5");
        assert!(line && said.stderr.contains(expected), "{said:?}");
    }
    let mut cluster = Cluster::empty();
    let node = cluster.prepare(&format!("metrics = \"{address}\""));
    let _ = node.mosctl(&["init", "--no-start"]).ok();
    let said = node.run("mosd", &["--config", "mosd.toml"]);
    let expected = format!("listen on {address} for metrics: Address already in use");
    assert!(said.stderr.contains(&expected), "{said:?}");
    drop(taken);
}
