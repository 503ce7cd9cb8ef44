//! `mostop` on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use homenode_tests::cluster::Cluster;
use homenode_tests::mosexec;
use nix::pty::{OpenptyResult, Winsize, openpty};

/// Longest time that something may take to become true.
const PATIENCE: Duration = Duration::from_secs(30);

/// Size of the terminal.
const LINES: usize = 30;
const COLUMNS: usize = 120;

/// It, with the other end of its terminal.
struct Top {
    child: Child,
    keys: File,
    written: Receiver<Vec<u8>>,
    /// All that it has written.
    text: String,
}

/// What a terminal shows that was written this: only places are understood of what it obeys.
fn screen(text: &str) -> String {
    let mut lines = vec![vec![' '; COLUMNS]; LINES];
    let (mut line, mut column) = (0, 0);
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        if letter != '\u{1b}' {
            if let Some(cell) = lines.get_mut(line).and_then(|line| line.get_mut(column)) {
                *cell = letter;
            }
            column += 1;
            continue;
        }
        let order: String = rest
            .by_ref()
            .take_while(|c| !c.is_ascii_alphabetic())
            .collect();
        // Of those that it writes only a place has a semicolon and digits alone.
        let place = order
            .strip_prefix('[')
            .and_then(|order| order.split_once(';'));
        let place =
            place.and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
        if let Some((to_line, to_column)) = place {
            (line, column) = (usize::max(to_line, 1) - 1, usize::max(to_column, 1) - 1);
        }
    }
    let lines = lines.iter().map(|line| line.iter().collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

impl Top {
    fn start(node: &std::path::Path, pid: &str) -> Top {
        let size = Winsize {
            ws_row: LINES as u16,
            ws_col: COLUMNS as u16,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).expect("a terminal");
        let end = || Stdio::from(slave.try_clone().expect("one more descriptor"));
        let child = Command::new(mosexec().with_file_name("mostop"))
            .args(["-d", "0.2", "-p", pid])
            .env("HOMENODE_SOCKET", node.join("socket"))
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("mostop");
        let keys = File::from(master);
        let mut screen = keys.try_clone().expect("one more descriptor");
        let (write, written) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // EIO when the other end is closed.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                if write.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Top {
            child,
            keys,
            written,
            text: String::new(),
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Waits until it shows this.
    fn await_shown(&mut self, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !screen(&self.text).contains(expected) {
            assert!(
                Instant::now() < deadline,
                "{expected}:\n{}",
                screen(&self.text)
            );
            self.hear();
        }
    }

    fn hear(&mut self) {
        if let Ok(more) = self.written.recv_timeout(Duration::from_millis(100)) {
            self.text.push_str(&String::from_utf8_lossy(&more));
        }
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_key_moves_a_process() {
    let cluster = Cluster::of(2, "[balance]\nmigrate = false");
    let home = cluster.node(1);
    let script = "while [ ! -e stop ]; do i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; done";
    let job = home.spawn("mosexec", &["--on", "n2", "--", "sh", "-c", script]);
    let pid = job.id().to_string();
    let mut top = Top::start(home.directory(), &pid);
    top.await_shown(">n2");
    top.press("h");
    top.await_shown("has moved: home");
    top.press("w");
    top.await_shown("at home, on node n1");
    top.press("mn2\r");
    top.await_shown("has moved: n2");
    top.press("mn9\r");
    top.await_shown("there is no node n9");
    top.press("q");
    // The screen that was there before is shown again.
    let is_left = |top: &mut Top| {
        top.hear();
        top.text.contains("\u{1b}[?1049l")
    };
    assert!((0..100).any(|_| is_left(&mut top)));
    let ended = top.child.wait().expect("a child of ours");
    assert!(ended.success(), "{ended:?}");
    std::fs::write(home.directory().join("stop"), "").expect("a file of our own");
    let done = job.wait_with_output().expect("a child of ours");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn without_a_terminal_it_says_so() {
    let mut command = Command::new(mosexec().with_file_name("mostop"));
    let done = command.output().expect("mostop");
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(
        said,
        "mostop: this needs a terminal; mosps shows the same once\n"
    );
}
