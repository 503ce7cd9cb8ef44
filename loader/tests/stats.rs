//! `mosexec --stats`: what is written, when, and what happens if it cannot be.

mod job;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use job::{ELSEWHERE, foreign_program, mosexec, run, shell, stderr};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs a command with statistics; they must be there when it has ended.
fn statistics(options: &[&str], command: &[&str]) -> (Output, Value) {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("stats.json");
    let mut mosexec = mosexec(options);
    mosexec.arg("--stats").arg(&file).arg("--").args(command);
    let output = run(&mut mosexec);
    let text = fs::read(&file).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    let left: Vec<_> = fs::read_dir(dir.path()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "a temporary file was left: {left:?}");
    (output, serde_json::from_slice(&text).expect("JSON"))
}

/// The only process with this name.
fn named<'a>(statistics: &'a Value, comm: &str) -> &'a Value {
    let processes = statistics["processes"].as_array().expect("processes");
    let mut named = processes.iter().filter(|process| process["comm"] == comm);
    let process = named
        .next()
        .unwrap_or_else(|| panic!("no {comm} in {statistics:#}"));
    assert!(named.next().is_none(), "several {comm} in {statistics:#}");
    process
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_program_elsewhere() {
    let (output, statistics) = statistics(ELSEWHERE, &["cat", "/etc/passwd"]);
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
    assert_eq!(statistics["version"], 1);
    assert_eq!(statistics["node"], 2);
    assert_eq!(statistics["command"], json!(["cat", "/etc/passwd"]));
    assert_eq!(statistics["processes"].as_array().map(Vec::len), Some(1));
    let cat = named(&statistics, "cat");
    assert_eq!(cat["command"], json!(["cat", "/etc/passwd"]));
    assert!(number(&cat["pid"]) > 1);
    assert_eq!((&cat["status"], &cat["stays"]), (&json!(0), &Value::Null));
    assert_eq!(cat["migrations"], 0);
    assert!(number(&cat["bytes"]) > 4096 && number(&cat["downtime_us"]) > 0);

    let [home, host] = &cat["hosts"].as_array().expect("hosts")[..] else {
        panic!("{:#}", cat["hosts"])
    };
    assert_eq!((&home["node"], &host["node"]), (&json!(1), &json!(2)));
    assert_eq!(home["to_us"], host["from_us"]);
    assert!(number(&home["from_us"]) <= number(&home["to_us"]));
    assert!(number(&host["from_us"]) < number(&host["to_us"]));

    let forwarded = cat["calls"]["forwarded"].as_object().expect("calls");
    assert!(forwarded.contains_key("openat"), "{forwarded:?}");
    for (name, call) in forwarded {
        let field = |field: &str| number(&call[field]);
        assert!(field("count") > 0, "{name}: {call}");
        let quantiles = ["p50_us", "p90_us", "p99_us", "max_us"].map(field);
        assert!(quantiles[0] > 0 && quantiles.is_sorted(), "{name}: {call}");
    }
    let native = &cat["calls"]["native_after_notification"];
    assert!(number(&native["mmap"]) > 0, "{native}");
}

#[test]
fn each_call_is_counted_once() {
    let opened = |files: &[&str]| {
        let command = [&["cat"], files].concat();
        let (_, statistics) = statistics(ELSEWHERE, &command);
        let calls = &named(&statistics, "cat")["calls"]["forwarded"];
        ["openat", "close"].map(|name| number(&calls[name]["count"]))
    };
    let [opens, closes] = opened(&["/etc/passwd"]);
    let files = ["/etc/passwd"; 5];
    assert_eq!(opened(&files), [opens + 4, closes + 4]);
}

#[test]
fn all_processes_and_their_ends() {
    let script = "cat /etc/passwd | wc -l; (exit 4); sh -c 'kill -TERM $$'; exit 3";
    let (output, statistics) = statistics(ELSEWHERE, &["sh", "-c", script]);
    assert_eq!(output.status.code(), Some(3));
    let processes = statistics["processes"].as_array().expect("processes");
    let statuses: Vec<i64> = processes
        .iter()
        .filter_map(|p| p["status"].as_i64())
        .collect();
    assert_eq!(processes.len(), 5, "{statistics:#}");
    assert_eq!(statuses.iter().sum::<i64>(), (3 << 8) + (4 << 8) + 15);
    assert_eq!(processes[0]["status"], 3 << 8);
    assert!(number(&processes[0]["calls"]["forwarded"]["wait4"]["count"]) > 2);
    assert_eq!(named(&statistics, "wc")["hosts"][0]["node"], 2);
}

#[test]
fn they_are_there_before_the_end_is_seen() {
    for script in ["exit 0", "kill -KILL $$", "kill -TERM $$"] {
        for _ in 0..5 {
            let (_, statistics) = statistics(ELSEWHERE, &["sh", "-c", script]);
            let sh = named(&statistics, "sh");
            assert!(sh["status"].is_i64(), "{script}: {sh:#}");
            assert!(
                sh["calls"]["forwarded"]["openat"].is_object(),
                "{script}: {sh:#}"
            );
        }
    }
}

#[test]
fn what_outlives_the_command_is_running() {
    let script = "sleep 1 >/dev/null 2>&1 & exit 0";
    let (_, statistics) = statistics(ELSEWHERE, &["sh", "-c", script]);
    let processes = statistics["processes"].as_array().expect("processes");
    let [sh, sleep] = &processes[..] else {
        panic!("{statistics:#}")
    };
    assert_eq!((&sh["status"], &sleep["status"]), (&json!(0), &Value::Null));
    let hosts = sleep["hosts"].as_array().expect("hosts");
    assert_eq!(hosts.last().map(|host| &host["to_us"]), Some(&Value::Null));
}

#[test]
fn a_program_that_is_asked_to_stay() {
    let (_, statistics) = statistics(&["--home"], &["sh", "-c", "true; exit 0"]);
    let sh = named(&statistics, "sh");
    assert_eq!(statistics["node"], 1);
    assert_eq!(sh["stays"], "home is where it was asked to run");
    assert_eq!(sh["calls"]["forwarded"], json!({}));
    assert_eq!(
        (&sh["bytes"], &sh["hosts"][0]["node"]),
        (&json!(0), &json!(1))
    );
}

/// A 32-bit program in `dir`, if this kernel executes such.
fn foreign(dir: &Path) -> Option<String> {
    let file = dir.join("foreign");
    fs::write(&file, foreign_program()).expect("a program");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a mode");
    let native = std::process::Command::new(&file).status();
    match native.map(|status| status.code()) {
        Ok(Some(7)) => Some(file.to_string_lossy().into_owned()),
        other => {
            eprintln!("not tested: this kernel has no 32-bit programs ({other:?})");
            None
        }
    }
}

#[test]
fn a_program_that_must_stay() {
    let dir = TempDir::new().expect("a directory");
    let Some(program) = foreign(dir.path()) else {
        return;
    };
    let script = format!("{program}; exit $?");
    let (output, statistics) = statistics(ELSEWHERE, &["sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(7));
    let foreign = named(&statistics, "foreign");
    assert_eq!(
        (&foreign["stays"], &foreign["status"]),
        (&json!("it is a 32-bit program"), &json!(7 << 8))
    );
    let nodes: Vec<&Value> = foreign["hosts"]
        .as_array()
        .expect("hosts")
        .iter()
        .map(|host| &host["node"])
        .collect();
    assert_eq!(nodes, [2, 1]);
    assert_eq!(named(&statistics, "sh")["stays"], Value::Null);
}

#[test]
fn to_standard_error() {
    let output = shell(&["--stats", "-"], "echo words >&2; exit 6");
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(6));
    let (words, statistics) = text.split_once('\n').expect("two lines");
    let statistics: Value = serde_json::from_str(statistics).expect("JSON");
    assert_eq!(
        (words, &statistics["processes"][0]["status"]),
        ("words", &json!(6 << 8))
    );
}

#[test]
fn a_file_that_cannot_be_written() {
    let output = shell(&["--stats", "/nonexistent/stats"], "exit 5");
    assert_eq!(output.status.code(), Some(5));
    let message = "mosexec: statistics cannot be written to /nonexistent/stats: ";
    assert!(stderr(&output).starts_with(message), "{}", stderr(&output));
}

#[test]
fn a_command_that_does_not_exist() {
    let (output, statistics) = statistics(ELSEWHERE, &["/nonexistent"]);
    assert_eq!(output.status.code(), Some(127));
    assert_eq!(statistics["processes"][0]["status"], 127 << 8);
}
