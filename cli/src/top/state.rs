//! What is selected and how it is sorted, and what keys do. No terminal and no job: values in, values out.

use clap::ValueEnum;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::look::Look;
use crate::processes::{Column, Row};

/// Lines of a page.
const PAGE: usize = 20;
/// Longest name that can be typed.
const NAME_MAX: usize = 64;

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    /// Say why a process stays where it is.
    Explain {
        pid: i32,
    },
    /// Move a process: `home`, `best`, or a node.
    Move {
        pid: i32,
        to: String,
    },
}

/// All that the screen shows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) look: Look,
    /// It has been looked at least once.
    pub(super) has_looked: bool,
    pub(super) sort: Column,
    /// The selected process, if it lives: by pid and beginning.
    selected: Option<(i32, u64)>,
    /// What has been said last.
    pub(super) said: String,
    /// A process that is to move, and the node's name as far as it is typed.
    pub(super) typed: Option<(i32, String)>,
    /// First line of the table that was shown, for the screen.
    pub(super) offset: usize,
}

impl Default for State {
    fn default() -> State {
        State {
            look: Look::default(),
            has_looked: false,
            sort: Column::Cpu,
            selected: None,
            said: String::new(),
            typed: None,
            offset: 0,
        }
    }
}

fn key_of(row: &Row) -> (i32, u64) {
    (row.process.pid, row.process.began)
}

impl State {
    /// What another look has found. The same process stays selected.
    pub(super) fn take_in(&mut self, look: Look) {
        let place = self.place();
        self.look = look;
        self.has_looked = true;
        self.arrange();
        if self.place().is_none() {
            // It has ended: the one that is in its place now.
            self.select(place.unwrap_or(0));
        }
    }

    /// Something is to be told.
    pub(super) fn say(&mut self, text: String) {
        self.said = text;
    }

    fn arrange(&mut self) {
        let sort = self.sort;
        let rows = &mut self.look.rows;
        rows.sort_by(|a, b| sort.order(a, b).then(a.process.pid.cmp(&b.process.pid)));
    }

    /// Line of the selected process.
    pub(super) fn place(&self) -> Option<usize> {
        let selected = self.selected?;
        self.look
            .rows
            .iter()
            .position(|row| key_of(row) == selected)
    }

    fn select(&mut self, place: usize) {
        let last = self.look.rows.len().saturating_sub(1);
        self.selected = self.look.rows.get(place.min(last)).map(key_of);
    }

    /// The user has pressed a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && matches!(key.code, KeyCode::Char('c' | 'd')) {
            return Some(Action::Quit);
        }
        match self.typed.take() {
            Some((pid, name)) => self.type_on(pid, name, key.code),
            None => self.command(key.code),
        }
    }

    fn type_on(&mut self, pid: i32, mut name: String, key: KeyCode) -> Option<Action> {
        match key {
            KeyCode::Esc => return None,
            KeyCode::Enter if name.is_empty() => return None,
            KeyCode::Enter => return Some(self.go(pid, name)),
            KeyCode::Backspace => drop(name.pop()),
            KeyCode::Char(letter) if !letter.is_control() && name.len() < NAME_MAX => {
                name.push(letter);
            }
            _ => {}
        }
        self.typed = Some((pid, name));
        None
    }

    fn go(&mut self, pid: i32, to: String) -> Action {
        self.say(format!("process {pid} is to move: {to} …"));
        Action::Move { pid, to }
    }

    fn command(&mut self, key: KeyCode) -> Option<Action> {
        let place = self.place().unwrap_or(0);
        let pid = self.selected.filter(|_| self.place().is_some());
        let pid = pid.map(|(pid, _)| pid);
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Action::Quit),
            KeyCode::Down | KeyCode::Char('j') => self.select(place + 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(place.saturating_sub(1)),
            KeyCode::PageDown => self.select(place + PAGE),
            KeyCode::PageUp => self.select(place.saturating_sub(PAGE)),
            KeyCode::Home => self.select(0),
            KeyCode::End => self.select(usize::MAX),
            KeyCode::Char('>') => self.sort_by(1),
            KeyCode::Char('<') => self.sort_by(Column::value_variants().len() - 1),
            KeyCode::Char('h') => return pid.map(|pid| self.go(pid, "home".to_owned())),
            KeyCode::Char('b') => return pid.map(|pid| self.go(pid, "best".to_owned())),
            KeyCode::Char('w') => return pid.map(|pid| Action::Explain { pid }),
            KeyCode::Char('m') => self.typed = pid.map(|pid| (pid, String::new())),
            _ => {}
        }
        None
    }

    /// Sorts by a column so many further.
    fn sort_by(&mut self, further: usize) {
        let all = Column::value_variants();
        let at = all.iter().position(|column| *column == self.sort);
        self.sort = all[(at.unwrap_or(0) + further) % all.len()];
        self.arrange();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::tests::row;

    fn look(pids: &[i32]) -> Look {
        Look {
            rows: pids.iter().map(|pid| row(*pid, 1, None)).collect(),
            ..Look::default()
        }
    }

    fn press(state: &mut State, codes: &[KeyCode]) -> Vec<Action> {
        let press = |code: &KeyCode| state.key(KeyEvent::from(*code));
        codes.iter().filter_map(press).collect()
    }

    fn selected(state: &State) -> Option<i32> {
        state
            .place()
            .map(|place| state.look.rows[place].process.pid)
    }

    const DOWN: KeyCode = KeyCode::Down;

    #[test]
    fn a_process_stays_selected_wherever_its_line_is() {
        let mut state = State::default();
        assert_eq!(
            press(&mut state, &[DOWN, KeyCode::Char('h'), KeyCode::Char('m')]),
            []
        );
        assert_eq!(state.typed, None, "there is nothing to move");
        state.take_in(look(&[1, 2, 3]));
        assert_eq!(selected(&state), Some(1));
        press(&mut state, &[DOWN]);
        state.take_in(look(&[3, 4, 2, 0]));
        assert_eq!(selected(&state), Some(2));
        // It has ended: the one in its place.
        state.take_in(look(&[0, 4, 5]));
        assert_eq!(selected(&state), Some(4));
        press(&mut state, &[KeyCode::End, DOWN, DOWN]);
        assert_eq!(selected(&state), Some(5));
        press(&mut state, &[KeyCode::PageUp, KeyCode::Up]);
        assert_eq!(selected(&state), Some(0));
        state.take_in(look(&[]));
        assert_eq!(press(&mut state, &[KeyCode::Char('w'), KeyCode::End]), []);
    }

    #[test]
    fn keys_move_processes() {
        let mut state = State::default();
        state.take_in(look(&[7, 8]));
        let moved = |to: &str| Action::Move {
            pid: 7,
            to: to.to_owned(),
        };
        let keys = [KeyCode::Char('h'), KeyCode::Char('b'), KeyCode::Char('w')];
        let expected = [moved("home"), moved("best"), Action::Explain { pid: 7 }];
        assert_eq!(press(&mut state, &keys), expected);
        // A name is typed: keys are letters.
        let name = "mqx".chars().map(KeyCode::Char);
        let keys: Vec<KeyCode> = name
            .chain([KeyCode::Backspace, KeyCode::Char('2')])
            .collect();
        assert_eq!(press(&mut state, &keys), []);
        assert_eq!(state.typed, Some((7, "q2".to_owned())));
        // The process is the one that was selected then.
        state.take_in(look(&[1, 8]));
        assert_eq!(press(&mut state, &[KeyCode::Enter]), [moved("q2")]);
        let given_up = [
            KeyCode::Char('m'),
            KeyCode::Esc,
            KeyCode::Char('m'),
            KeyCode::Enter,
        ];
        assert_eq!(press(&mut state, &given_up), []);
        assert_eq!(press(&mut state, &[KeyCode::Esc]), [Action::Quit]);
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(state.key(control), Some(Action::Quit));
        let long = vec![KeyCode::Char('x'); 1000];
        press(&mut state, &[KeyCode::Char('m')]);
        press(&mut state, &long);
        assert_eq!(
            state.typed.as_ref().map(|(_, name)| name.len()),
            Some(NAME_MAX)
        );
    }

    #[test]
    fn it_is_sorted_by_any_column() {
        let mut state = State::default();
        state.take_in(look(&[2, 1]));
        let all = Column::value_variants().len();
        let mut seen = Vec::new();
        for _ in 0..all {
            press(&mut state, &[KeyCode::Char('>')]);
            seen.push(state.sort.title());
        }
        assert_eq!(seen.last(), Some(&"%CPU"));
        seen.dedup();
        assert_eq!(seen.len(), all);
        press(&mut state, &[KeyCode::Char('<')]);
        assert_eq!(state.sort.title(), "WHY");
    }
}
