//! `mosctl`: makes, joins and looks at a cluster of node daemons.
#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Args, Parser, Subcommand};
use daemon::config::{Config, PORT};
use daemon::identity::NodeKey;
use daemon::members::{Member, Members, Membership, check_name};
use daemon::peers::{self, NewNode};
use daemon::seeking;
use daemon::shared_secret::SharedSecret;
use daemon::state::State;
use daemon::token::Token;
use local::daemon::{Client, Node, Reply, Request, Status};

/// Longest time that a daemon may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes, joins and looks at a cluster.
#[derive(Debug, Parser)]
#[command(name = "mosctl", version, about, long_about = None)]
struct Cli {
    /// The node daemon's configuration
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a cluster of this node alone, and start its daemon
    Init(New),
    /// Print an invitation with which one node can join
    Invite {
        /// For how many minutes it is good
        #[arg(long, value_name = "MINUTES", default_value_t = 15)]
        valid: u64,
    },
    /// Join a cluster, and start this node's daemon
    ///
    /// Without an invitation: become one cluster with the configured peers.
    Join {
        /// What `mosctl invite` has printed on a member
        #[arg(requires = "address", conflicts_with = "slurm")]
        token: Option<String>,
        /// Where that member's daemon listens
        #[arg(value_name = "ADDRESS[:PORT]")]
        address: Option<String>,
        /// The nodes of the Slurm job that this is run by are peers, too
        #[arg(long)]
        slurm: bool,
        #[command(flatten)]
        new: New,
    },
    /// Make a file with a new secret, to be given to all nodes of a cluster (secret in the configuration)
    Secret {
        /// The file, which must not exist
        file: PathBuf,
    },
    /// Show all nodes and their load
    Nodes,
    /// Show this node, and how many others there are
    Status,
    /// Show what has happened lately
    Events,
    /// Let this node take no guests any more
    Drain,
    /// Let this node take guests again
    Undrain,
    /// Call all of your processes home, for root everybody's of this node
    ///
    /// The node daemon may move them away again, unless it is configured otherwise ([balance] migrate).
    Bring,
    /// Leave the cluster: the daemon ends, and its state is removed
    Leave,
    /// Believe the key of a node no more, for ever
    Revoke {
        /// Its name
        node: String,
    },
    /// End this node's daemon; the node stays a member
    Stop,
}

/// What a new node is.
#[derive(Debug, Args)]
struct New {
    /// Name of this node (default: as configured, else the host's name)
    #[arg(long)]
    name: Option<String>,
    /// Address under which others reach it (default: as configured, else as they see it)
    #[arg(long)]
    advertise: Option<IpAddr>,
    /// Do not start the daemon
    #[arg(long)]
    no_start: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mosctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let config = Config::load(cli.config.as_deref())?;
    let ask = |request| client(cli, &config)?.ask(&request);
    match &cli.command {
        Verb::Init(new) => init(cli, &config, new),
        Verb::Join {
            token: Some(token),
            address: Some(address),
            new,
            ..
        } => join(cli, &config, token, address, new),
        Verb::Join { slurm, new, .. } => join_peers(cli, config.clone(), *slurm, new),
        Verb::Secret { file } => SharedSecret::make(file),
        Verb::Invite { valid } => {
            let seconds = valid.saturating_mul(60);
            let Reply::Invitation(token) = ask(Request::Invite { seconds })? else {
                bail!("the node daemon gives another reply");
            };
            invited(cli, &config, &token, *valid)
        }
        Verb::Nodes => {
            let status = client(cli, &config)?.status()?;
            match cli.json {
                true => print_json(&status.nodes),
                false => print_nodes(&status),
            }
        }
        Verb::Status => {
            let status = client(cli, &config)?.status()?;
            match cli.json {
                true => print_json(&status),
                false => print_status(&status),
            }
        }
        Verb::Events => {
            let Reply::Events(events) = ask(Request::Events)? else {
                bail!("the node daemon gives another reply");
            };
            if cli.json {
                return print_json(&events);
            }
            for event in events {
                println!("{}  {}", ago(event.at), event.what);
            }
            Ok(())
        }
        Verb::Drain => ask(Request::Drain { closed: true }).map(|_| ()),
        Verb::Bring => bring(),
        Verb::Undrain => ask(Request::Drain { closed: false }).map(|_| ()),
        Verb::Revoke { node } => ask(Request::Revoke { node: node.clone() }).map(|_| ()),
        Verb::Stop => ask(Request::Stop).map(|_| ()),
        Verb::Leave => match client(cli, &config) {
            Ok(client) => client.ask(&Request::Leave).map(|_| ()),
            // Others go on knowing it as a member that does not answer.
            Err(_) => State::at(&config.state).remove(),
        },
    }
}

fn bring() -> anyhow::Result<()> {
    let migrated = local::job::migrate_all("home")?;
    migrated.check("mosctl")?;
    println!("processes that have come home: {}", migrated.moved.len());
    Ok(())
}

/// The daemon of this configuration; without `--config` any that serves this user.
fn client(cli: &Cli, config: &Config) -> anyhow::Result<Client> {
    match cli.config {
        Some(_) => Client::at(&config.socket).with_context(|| {
            let socket = config.socket.display();
            format!("no node daemon answers at {socket}: start it with mosd --config FILE")
        }),
        None => Client::connect(),
    }
}

fn init(cli: &Cli, config: &Config, new: &New) -> anyhow::Result<()> {
    let key = NodeKey::generate()?;
    let name = name(config, new)?;
    let address = new.advertise.or(config.address).or_else(|| {
        let listen = config.listen.ip();
        (!listen.is_unspecified()).then_some(listen)
    });
    let mut members = Members::default();
    members.merge([Member {
        membership: Membership::Member,
        revision: 1,
        joined: daemon::unix_seconds(),
        name: name.clone(),
        key: key.public(),
        address: address.map(|address| (address, config.listen.port()).into()),
    }]);
    let state = State::at(&config.state);
    state.create(&key, &members)?;
    if let Err(error) = start(cli, config, new, &[]) {
        // As if it had not been tried; what mosd has logged stays.
        state.remove()?;
        return Err(error);
    }
    println!("Node {name} is a cluster of its own. `mosctl invite` lets another join.");
    Ok(())
}

fn join(cli: &Cli, config: &Config, token: &str, address: &str, new: &New) -> anyhow::Result<()> {
    let state = State::at(&config.state);
    ensure!(
        !state.exists(),
        "this node belongs to a cluster already ({}); `mosctl leave` ends that",
        config.state.display()
    );
    let token = Token::parse(token)?;
    let address = resolve(address)?;
    let key = NodeKey::generate()?;
    let name = name(config, new)?;
    let listen = config.listen.ip();
    let own = new.advertise.or(config.address);
    let entries = peers::join(
        &token,
        address,
        NewNode {
            name: &name,
            key: key.public(),
            port: config.listen.port(),
            address: own.or((!listen.is_unspecified()).then_some(listen)),
        },
    )?;
    let mut members = Members::default();
    members.merge(entries);
    state.create(&key, &members)?;
    start(cli, config, new, &[])
        .context("the node has joined, but its daemon does not run; mend this and start mosd")?;
    let count = members.present().count();
    println!("Node {name} has joined; the cluster has {count} nodes.");
    Ok(())
}

fn join_peers(cli: &Cli, mut config: Config, slurm: bool, new: &New) -> anyhow::Result<()> {
    if slurm {
        config.add_slurm_nodes()?;
    }
    let secret = config
        .secret
        .as_deref()
        .filter(|_| !config.peers.is_empty());
    let secret = secret.context(
        "join whom? What `mosctl invite` prints on a member, or with peers and secret in the \
         configuration the nodes that have the same secret",
    )?;
    SharedSecret::read(secret)?;
    let name = name(&config, new)?;
    seeking::found(&config, &name, new.advertise)?;
    let slurm: &[&str] = if slurm { &["--slurm"] } else { &[] };
    start(cli, &config, new, slurm)?;
    println!("Node {name} looks for its peers; `mosctl nodes` shows those that have answered.");
    Ok(())
}

fn name(config: &Config, new: &New) -> anyhow::Result<String> {
    match &new.name {
        Some(name) => check_name(name).map(|()| name.clone()),
        None => config.own_name(),
    }
}

fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    if let Ok(ip) = address.parse::<IpAddr>() {
        return Ok((ip, PORT).into());
    }
    let with_port = match address.contains(':') {
        true => address.to_owned(),
        false => format!("{address}:{PORT}"),
    };
    let mut found = with_port
        .to_socket_addrs()
        .with_context(|| format!("find the address of {address}"))?;
    found
        .next()
        .with_context(|| format!("{address} has no address"))
}

/// Starts the daemon, detached, and waits until it answers.
fn start(cli: &Cli, config: &Config, new: &New, options: &[&str]) -> anyhow::Result<()> {
    if new.no_start {
        return Ok(());
    }
    let own = std::env::current_exe().context("find our own program")?;
    let program = own.with_file_name("mosd");
    let path = config.state.join("mosd.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("make the log {}", path.display()))?;
    let mut command = Command::new(&program);
    if let Some(file) = &cli.config {
        let file = std::path::absolute(file).context("find the configuration")?;
        command.arg("--config").arg(file);
    }
    let mut child = command
        .args(options)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let deadline = Instant::now() + START_TIMEOUT;
    while Client::at(&config.socket).is_err() {
        if let Some(status) = child.try_wait().context("look after mosd")? {
            bail!("mosd has ended ({status}): {}", last_line(&path));
        }
        ensure!(
            Instant::now() < deadline,
            "mosd does not answer; see {}",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

fn invited(cli: &Cli, config: &Config, token: &str, minutes: u64) -> anyhow::Result<()> {
    let status = client(cli, config)?.status()?;
    let own = status.nodes.first().and_then(|node| node.address);
    if cli.json {
        return print_json(&serde_json::json!({"token": token, "address": own}));
    }
    let port = config.listen.port();
    let address = match own {
        Some(address) => address.to_string(),
        None if port == PORT => "ADDRESS".to_owned(),
        None => format!("ADDRESS:{port}"),
    };
    println!("mosctl join {token} {address}");
    eprintln!("Run this on the new node within {minutes} minutes.");
    if own.is_none() {
        eprintln!("ADDRESS is this machine's, as the new node reaches it.");
    }
    Ok(())
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn print_nodes(status: &Status) -> anyhow::Result<()> {
    println!(
        "{:<20} {:<22} {:<8} {:>5} {:>6} {:>6} {:>9} {:>9} {:>6}",
        "NODE", "ADDRESS", "STATE", "CORES", "SPEED", "LOAD", "MEM", "FREE", "GUESTS"
    );
    for node in &status.nodes {
        let address = node.address;
        let address = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        let state = state(node);
        print!("{:<20} {address:<22} {state:<8}", node.name);
        match &node.load {
            Some(load) => println!(
                " {:>5} {:>6.2} {:>6.2} {:>9} {:>9} {:>6}",
                load.cores,
                load.speed,
                load.runnable,
                mebibytes(load.memory),
                mebibytes(load.memory_free),
                load.guests
            ),
            None => println!(
                " {:>5} {:>6} {:>6} {:>9} {:>9} {:>6}",
                "-", "-", "-", "-", "-", "-"
            ),
        }
    }
    Ok(())
}

fn state(node: &Node) -> &'static str {
    match (node.alive, &node.load) {
        (false, _) => "silent",
        (true, Some(load)) if load.closed => "drains",
        (true, _) => "up",
    }
}

fn print_status(status: &Status) -> anyhow::Result<()> {
    let alive = status.nodes.iter().filter(|node| node.alive).count();
    println!(
        "node {}, daemon {}; {alive} of {} nodes are up",
        status.name,
        status.pid,
        status.nodes.len()
    );
    if let Some(own) = status.nodes.first() {
        if let Some(load) = &own.load {
            println!(
                "load {:.2} on {} cores of speed {:.2}, {} of {} free",
                load.runnable,
                load.cores,
                load.speed,
                mebibytes(load.memory_free),
                mebibytes(load.memory)
            );
        }
        match own.guests_of.as_slice() {
            [] => println!("no guests"),
            homes => println!("guests of {} jobs, of {}", homes.len(), homes.join(", ")),
        }
    }
    Ok(())
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn ago(at: u64) -> String {
    let seconds = daemon::unix_seconds().saturating_sub(at);
    format!(
        "{:>4}:{:02}:{:02} ago",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}
