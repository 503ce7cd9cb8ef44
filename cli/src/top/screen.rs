//! What the terminal shows: nodes, processes, and a line for what is said and what keys do.

use local::daemon::Node;
use local::job;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table, TableState, Wrap};

use super::state::State;
use crate::processes::{Column, size};

/// Most nodes that are shown, so that there is room for processes.
const NODES_MAX: usize = 8;
/// Lines for what is said.
const SAID_LINES: u16 = 2;
const KEYS: &str = "q quit  ↑↓ select  < > sort  h home  b best  m move to …  w why";

/// Columns, the most telling first, and their widths.
const COLUMNS: [(Column, Constraint); 11] = [
    (Column::Pid, Constraint::Length(8)),
    (Column::User, Constraint::Length(9)),
    (Column::Home, Constraint::Length(9)),
    (Column::Migr, Constraint::Length(10)),
    (Column::Nmigs, Constraint::Length(5)),
    (Column::Cpu, Constraint::Length(6)),
    (Column::Rss, Constraint::Length(8)),
    (Column::Fwd, Constraint::Length(7)),
    (Column::Time, Constraint::Length(9)),
    (Column::Why, Constraint::Length(12)),
    (Column::Command, Constraint::Min(10)),
];

const HEADING: Style = Style::new().add_modifier(Modifier::REVERSED);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let nodes = state.look.nodes.len();
    let node_lines = match nodes {
        0 => 0,
        _ => nodes.min(NODES_MAX) as u16 + 1 + u16::from(nodes > NODES_MAX),
    };
    let [top, middle, said, keys] = Layout::vertical([
        Constraint::Length(node_lines),
        Constraint::Min(3),
        Constraint::Length(SAID_LINES),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_nodes(frame, top, &state.look.nodes);
    draw_processes(frame, middle, state);
    let text = match (&state.typed, &state.look.failure) {
        (Some((pid, name)), _) => format!("Move process {pid} to node: {name}_"),
        (None, Some(failure)) if state.said.is_empty() => failure.clone(),
        _ => state.said.clone(),
    };
    let text = Paragraph::new(job::shown(&text)).wrap(Wrap { trim: true });
    frame.render_widget(text, said);
    frame.render_widget(Paragraph::new(KEYS).style(FAINT), keys);
}

fn draw_nodes(frame: &mut Frame<'_>, area: Rect, nodes: &[Node]) {
    let titles = [
        "NODE", "STATE", "CORES", "SPEED", "LOAD", "MEM", "FREE", "GUESTS",
    ];
    let mut lines: Vec<TableRow<'_>> = nodes.iter().take(NODES_MAX).map(node).collect();
    if nodes.len() > NODES_MAX {
        let more = format!("{} more", nodes.len() - NODES_MAX);
        lines.push(TableRow::new([Cell::from(more)]).style(FAINT));
    }
    let mut widths = vec![Constraint::Length(9); titles.len()];
    widths[0] = Constraint::Length(24);
    let table = Table::new(lines, widths).header(TableRow::new(titles).style(HEADING));
    frame.render_widget(table, area);
}

fn node(node: &Node) -> TableRow<'static> {
    let state = match (node.alive, &node.load) {
        (false, _) => "silent",
        (true, Some(load)) if load.closed => "drains",
        (true, _) => "up",
    };
    let mut cells = vec![job::shown(&node.name), state.to_owned()];
    cells.extend(match &node.load {
        Some(load) => [
            load.cores.to_string(),
            format!("{:.2}", load.speed),
            format!("{:.2}", load.runnable),
            size(load.memory),
            size(load.memory_free),
            load.guests.to_string(),
        ],
        None => [(); 6].map(|()| "-".to_owned()),
    });
    let style = if node.alive { Style::new() } else { FAINT };
    TableRow::new(cells).style(style)
}

fn draw_processes(frame: &mut Frame<'_>, area: Rect, state: &mut State) {
    if state.look.rows.is_empty() {
        let text = match state.has_looked {
            true => "There are no processes of jobs that you may see.",
            false => "Looking …",
        };
        return frame.render_widget(Paragraph::new(text), area);
    }
    let lines = state.look.rows.iter().map(|row| {
        let cells = COLUMNS
            .iter()
            .map(|(column, _)| cell(*column, column.text(row)));
        TableRow::new(cells)
    });
    let titles = COLUMNS.iter().map(|(column, _)| {
        let mark = if *column == state.sort { "*" } else { "" };
        cell(*column, format!("{}{mark}", column.title()))
    });
    let table = Table::new(lines, COLUMNS.map(|(_, width)| width))
        .header(TableRow::new(titles).style(HEADING))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut shown = TableState::new()
        .with_offset(state.offset)
        .with_selected(state.place());
    frame.render_stateful_widget(table, area, &mut shown);
    state.offset = shown.offset();
}

fn cell(column: Column, text: String) -> Cell<'static> {
    let alignment = match column.is_number() {
        true => Alignment::Right,
        false => Alignment::Left,
    };
    Cell::from(Line::from(text).alignment(alignment))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent};

    use super::*;
    use crate::processes::tests::row;
    use crate::top::look::Look;

    /// The lines of a terminal of this size.
    fn shown(state: &mut State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y: u16| -> String {
            let cells = (0..width).map(|x| buffer[(x, y)].symbol());
            cells.collect::<String>().trim_end().to_owned()
        };
        (0..height).map(line).collect()
    }

    fn nodes(count: usize) -> Vec<Node> {
        let node = |number: usize| Node {
            name: format!("n{number}"),
            key: String::new(),
            address: None,
            joined: 0,
            alive: number != 2,
            load: None,
            age: None,
            guests_of: Vec::new(),
        };
        (1..=count).map(node).collect()
    }

    #[test]
    fn nodes_and_processes_are_shown() {
        let mut state = State::default();
        assert_eq!(shown(&mut state, 40, 6)[0], "Looking …");
        state.take_in(Look {
            nodes: nodes(2),
            rows: vec![row(7, 3, None), row(4711, 1, Some("it maps a file"))],
            failure: None,
        });
        let lines = shown(&mut state, 120, 10);
        assert!(
            lines[1].starts_with("n1                       up        -"),
            "{lines:#?}"
        );
        assert!(
            lines[2].starts_with("n2                       silent"),
            "{lines:#?}"
        );
        assert_eq!(
            lines[3],
            "     PID USER      HOME      MIGR       NMIGS  %CPU*      RSS   FWD/S      TIME WHY          COMMAND"
        );
        assert_eq!(
            lines[4],
            "       7 ann       1         >3             0   99.9     1.5M      12   0:01:01 -            sleep?[2J 1"
        );
        assert!(
            lines[5].contains("4711 ann") && lines[5].contains("it maps a fi sleep"),
            "{lines:#?}"
        );
        assert_eq!(lines[9], KEYS);
        state.key(KeyEvent::from(KeyCode::Char('m')));
        state.key(KeyEvent::from(KeyCode::Char('x')));
        assert!(shown(&mut state, 120, 10)[7].starts_with("Move process 7 to node: x_"));
        state.key(KeyEvent::from(KeyCode::Esc));
        state.say("a\u{1b}[2Jb".to_owned());
        assert!(shown(&mut state, 120, 10)[7].starts_with("a?[2Jb"));
    }

    #[test]
    fn what_is_selected_is_seen_and_no_size_does_harm() {
        let mut state = State::default();
        state.take_in(Look {
            nodes: nodes(100),
            rows: (0..500).map(|pid| row(1000 + pid, 1, None)).collect(),
            failure: Some("one does not answer".to_owned()),
        });
        state.key(KeyEvent::from(KeyCode::End));
        let lines = shown(&mut state, 100, 40);
        assert_eq!(lines[9], "92 more");
        assert!(lines.iter().any(|line| line.contains("1499")), "{lines:#?}");
        assert!(lines[37].starts_with("one does not answer"), "{lines:#?}");
        for (width, height) in [(0, 0), (1, 1), (3, 200), (300, 2), (10, 5)] {
            shown(&mut state, width, height);
        }
    }
}
