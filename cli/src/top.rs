//! `mostop`: nodes and processes of jobs again and again, and processes moved by a key.
//!
//! One thread looks, since jobs may be slow to answer; another moves what is to be moved. The one that has the
//! terminal waits for none of them.

mod look;
mod screen;
mod state;

use std::io::IsTerminal;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use local::job::{Client, MOVE_TIMEOUT};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};

use crate::processes::explain;
use look::{Look, Looker};
use state::{Action, State};

/// Longest time until what other threads have said is shown.
const PATIENCE: Duration = Duration::from_millis(100);
/// Events of the terminal that are taken before it is drawn again: a paste may have many.
const EVENTS_MAX: usize = 256;

/// What other threads say.
enum Word {
    Look(Box<Look>),
    /// What has come of an action.
    Done(String),
}

/// Shows them until the user has seen enough; a look every `interval`. `only` these processes, if any are
/// named.
///
/// # Errors
/// There is no terminal, or it is gone.
pub fn run(interval: Duration, only: Vec<i32>) -> anyhow::Result<()> {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    ensure!(
        is_terminal,
        "this needs a terminal; mosps shows the same once"
    );
    let (say, said) = mpsc::channel();
    let looks = say.clone();
    thread::Builder::new()
        .name("look".into())
        .spawn(move || look_for_ever(&looks, interval, only))
        .context("start a thread")?;
    let mut terminal = ratatui::try_init().context("take the terminal")?;
    let shown = show(&mut terminal, &say, &said);
    ratatui::try_restore().context("give the terminal back")?;
    shown
}

/// Until nobody listens.
fn look_for_ever(looks: &Sender<Word>, interval: Duration, only: Vec<i32>) {
    let mut looker = Looker::at(only);
    while looks.send(Word::Look(Box::new(looker.look()))).is_ok() {
        thread::sleep(interval);
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    say: &Sender<Word>,
    said: &Receiver<Word>,
) -> anyhow::Result<()> {
    let mut state = State::default();
    loop {
        for word in said.try_iter() {
            match word {
                Word::Look(look) => state.take_in(*look),
                Word::Done(text) => state.say(text),
            }
        }
        let drawn = terminal.draw(|frame| screen::draw(frame, &mut state));
        drawn.context("draw")?;
        for _ in 0..EVENTS_MAX {
            if !event::poll(PATIENCE).context("hear from the terminal")? {
                break;
            }
            let event = event::read().context("hear from the terminal")?;
            let Event::Key(key) = event else {
                break;
            };
            match state.key(key) {
                None => {}
                Some(Action::Quit) => return Ok(()),
                Some(action) => start(action, say),
            }
            // What is typed is seen at once.
            if !event::poll(Duration::ZERO).context("hear from the terminal")? {
                break;
            }
        }
    }
}

/// Has a thread do it, and say what has come of it.
fn start(action: Action, say: &Sender<Word>) {
    let done = say.clone();
    let started = thread::Builder::new()
        .name("act".into())
        .spawn(move || done.send(Word::Done(carry_out(&action))));
    if let Err(error) = started {
        // Fails if nobody listens.
        let _ = say.send(Word::Done(format!("no thread for that: {error}")));
    }
}

fn carry_out(action: &Action) -> String {
    match action {
        Action::Quit => String::new(),
        Action::Explain { pid } => explain(*pid).unwrap_or_else(|error| format!("{error:#}")),
        Action::Move { pid, to } => match migrate(*pid, to) {
            Ok(()) => format!("process {pid} has moved: {to}"),
            Err(error) => format!("{error:#}"),
        },
    }
}

fn migrate(pid: i32, to: &str) -> anyhow::Result<()> {
    let client = Client::of_process(pid)?.within(MOVE_TIMEOUT);
    client.migrate(pid, false, to)?.check("mostop")
}
