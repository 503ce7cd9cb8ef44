//! Clusters of node daemons on this machine: each node has its own address of the loopback network,
//! its own state and its own socket.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{PATH, mosexec};

/// Longest time that something may take to become true.
const PATIENCE: Duration = Duration::from_secs(30);
/// Port of all nodes' daemons.
const PORT: u16 = 7746;

/// Some nodes, `n1` and so on. All of their processes that were started here end with it.
pub struct Cluster {
    directory: TempDir,
    /// Second and third byte of the nodes' addresses.
    network: (u8, u8),
    nodes: Vec<Node>,
}

/// One node.
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    directory: PathBuf,
    daemon: Option<Child>,
}

/// What a command has said.
#[derive(Debug)]
pub struct Said {
    /// Its exit status; -1 for a signal.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Said {
    fn of(output: Output) -> Said {
        Said {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What it wrote to standard output.
    ///
    /// # Panics
    /// It has failed.
    #[must_use]
    pub fn ok(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.stdout
    }
}

impl Cluster {
    /// So many nodes that have joined and know each other. `more` goes into their configurations.
    ///
    /// # Panics
    /// They do not, in time.
    #[must_use]
    pub fn of(count: u8, more: &str) -> Cluster {
        let mut cluster = Cluster::empty();
        for _ in 0..count {
            cluster.add(more);
        }
        cluster.await_up(usize::from(count));
        cluster
    }

    /// The address of the node `n{number}`, also of one that is still to come.
    #[must_use]
    pub fn address(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.network.0, self.network.1, number)
    }

    /// The directory in which those of the nodes are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// No node.
    ///
    /// # Panics
    /// There is no directory to be had.
    #[must_use]
    pub fn empty() -> Cluster {
        let [a, b, ..] = std::process::id()
            .to_be_bytes()
            .map(|byte| byte.wrapping_mul(7));
        let [.., c, d] = std::process::id().to_be_bytes();
        Cluster {
            directory: TempDir::with_prefix("homenode-cluster-").expect("a directory"),
            network: (c ^ a ^ 0x40, d ^ b),
            nodes: Vec::new(),
        }
    }

    /// One more node, that is not a member yet.
    ///
    /// # Panics
    /// Its configuration cannot be written.
    pub fn prepare(&mut self, more: &str) -> &mut Node {
        let number = self.nodes.len() as u8 + 1;
        let name = format!("n{number}");
        let address = self.address(number);
        let directory = self.directory.path().join(&name);
        std::fs::create_dir(&directory).expect("a directory of our own");
        let shown = directory.display();
        let config = format!(
            "name = \"{name}\"\nlisten = \"{address}:{PORT}\"\nstate = \"{shown}/state\"\n\
             socket = \"{shown}/socket\"\n{more}\n"
        );
        std::fs::write(directory.join("mosd.toml"), config).expect("a file of our own");
        self.nodes.push(Node {
            name,
            address,
            directory,
            daemon: None,
        });
        let last = self.nodes.len() - 1;
        &mut self.nodes[last]
    }

    /// One more node, that has joined by the first.
    ///
    /// # Panics
    /// It has not.
    pub fn add(&mut self, more: &str) {
        let join = self.nodes.first().map(Node::invitation);
        let node = self.prepare(more);
        match join {
            None => node.mosctl(&["init", "--no-start"]).ok(),
            Some(join) => {
                let words: Vec<&str> = join.iter().map(String::as_str).collect();
                node.mosctl(&[&words[..], &["--no-start"]].concat()).ok()
            }
        };
        node.start();
    }

    /// The node `n{number}`.
    #[must_use]
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    /// The node `n{number}`, to start or kill its daemon.
    pub fn node_mut(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number - 1]
    }

    /// Waits until each node whose daemon runs sees so many nodes up, itself included, and has heard
    /// of their load.
    ///
    /// # Panics
    /// It takes too long.
    pub fn await_up(&self, count: usize) {
        for node in self.nodes.iter().filter(|node| node.daemon.is_some()) {
            node.await_nodes(|nodes| {
                let up = nodes.lines().filter(|line| line.contains(" up "));
                up.filter(|line| line.contains(" MiB")).count() == count
            });
        }
    }
}

impl Node {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(mosexec().with_file_name(program));
        command
            .env_clear()
            .env("PATH", PATH)
            .env("HOMENODE_SOCKET", self.directory.join("socket"))
            .current_dir(&self.directory);
        command
    }

    /// Runs `mosctl` with this node's configuration.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn mosctl(&self, args: &[&str]) -> Said {
        let mut command = self.command("mosctl");
        let config = self.directory.join("mosd.toml");
        let command = command.arg("--config").arg(config).args(args);
        Said::of(command.output().expect("mosctl"))
    }

    /// Runs one of Homenode's programs for a user of this node.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn run(&self, program: &str, args: &[&str]) -> Said {
        Said::of(self.command(program).args(args).output().expect(program))
    }

    /// Starts one of Homenode's programs for a user of this node.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn spawn(&self, program: &str, args: &[&str]) -> Child {
        let mut command = self.command(program);
        let piped = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        piped.stderr(Stdio::piped()).spawn().expect(program)
    }

    /// The words with which another node joins by this one.
    ///
    /// # Panics
    /// There are none.
    #[must_use]
    pub fn invitation(&self) -> Vec<String> {
        let said = self.mosctl(&["invite"]).ok();
        let words = said.split_whitespace().skip(1).map(str::to_owned);
        words.collect()
    }

    /// Starts its daemon, and waits until it answers.
    ///
    /// # Panics
    /// It does not.
    pub fn start(&mut self) {
        self.launch(&[], &[]);
        wait_for(|| self.mosctl(&["status"]).status == 0, || self.log());
    }

    /// Starts its daemon with these options and variables, and does not wait for it.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn launch(&mut self, options: &[&str], variables: &[(&str, &str)]) {
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.directory.join("log"))
            .expect("a file of our own");
        let mut command = self.command("mosd");
        command
            .arg("--config")
            .arg(self.directory.join("mosd.toml"))
            .args(options)
            .envs(variables.iter().copied());
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.daemon = Some(started.expect("mosd"));
    }

    /// Kills its daemon with SIGKILL, as if it had crashed.
    ///
    /// # Panics
    /// There is none.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("a daemon that runs");
        daemon.kill().expect("a child of ours");
        daemon.wait().expect("a child of ours");
    }

    /// Waits until its daemon has ended by itself.
    ///
    /// # Panics
    /// It has failed, or does not end.
    pub fn await_end(&mut self) {
        let mut daemon = self.daemon.take().expect("a daemon that runs");
        let mut status = None;
        wait_for(
            || {
                status = daemon.try_wait().expect("a child of ours");
                status.is_some()
            },
            || "the daemon goes on".to_owned(),
        );
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }

    /// Waits until `mosctl nodes` shows what it should.
    ///
    /// # Panics
    /// It takes too long.
    pub fn await_nodes(&self, is_right: impl Fn(&str) -> bool) {
        let shown = || self.mosctl(&["nodes"]);
        wait_for(
            || is_right(&shown().stdout),
            || format!("{} sees {:?}", self.name, shown()),
        );
    }

    /// What its daemon has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Its directory, of which a test may use names that the node does not: `mosd.toml`, `state`,
    /// `socket`, `log`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // It may have ended.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Waits until something is true.
fn wait_for(mut is_true: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(
            Instant::now() < deadline,
            "it takes too long: {}",
            otherwise()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
