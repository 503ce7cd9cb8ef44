//! `mosps`: shows the processes of mosexec jobs, where they run and why they stay.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use cli::processes::{Column, Names, Row, explain, listings, rows};

/// Shows the processes that were started by mosexec on this node: yours, for root everybody's.
#[derive(Debug, Parser)]
#[command(name = "mosps", version, about, long_about = None)]
#[command(
    after_help = "MIGR: >NODE is away there, - runs at home. NMIGS: how often it has moved. WHY: why it does not move, - \
                        if it may.\n%CPU and TIME: CPU time at home and where it runs now. FWD/S: calls that it has \
                        forwarded, for each second since it came where it runs.\n\
                        Exit status: 0, also if there are none; 1 if a job could not be asked; 2 for wrong usage."
)]
struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Sort by this column
    #[arg(long, value_name = "KEY", default_value = "pid")]
    sort: Column,
    /// Show these columns
    #[arg(short = 'o', value_name = "COLUMNS", value_delimiter = ',', conflicts_with_all = ["json", "why"])]
    columns: Option<Vec<Column>>,
    /// Say of this process where it is, and why it stays there or may move
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    why: Option<i32>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.why {
        Some(pid) => explain(pid)
            .and_then(|text| print(&(text + "\n")))
            .map(|()| ExitCode::SUCCESS),
        None => show(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("mosps: {error:#}");
        ExitCode::FAILURE
    })
}

fn show(args: &Args) -> anyhow::Result<ExitCode> {
    let (listings, failures) = listings()?;
    let mut names = Names::default();
    let mut rows: Vec<Row> = listings
        .into_iter()
        .flat_map(|listing| rows(listing, &mut names))
        .collect();
    rows.sort_by(|a, b| {
        args.sort
            .order(a, b)
            .then(a.process.pid.cmp(&b.process.pid))
    });
    let text = match args.json {
        true => serde_json::to_string_pretty(&rows)? + "\n",
        false => table(
            &rows,
            args.columns.as_deref().unwrap_or(Column::value_variants()),
        ),
    };
    print(&text)?;
    for failure in &failures {
        eprintln!("mosps: {failure}");
    }
    Ok(ExitCode::from(u8::from(!failures.is_empty())))
}

fn table(rows: &[Row], columns: &[Column]) -> String {
    let titles: Vec<String> = columns.iter().map(|c| c.title().to_owned()).collect();
    let cells = rows
        .iter()
        .map(|row| columns.iter().map(|c| c.text(row)).collect());
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(cells).collect();
    let width = |at: usize| {
        let widths = lines.iter().map(|line| line[at].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut padded = String::new();
        for ((cell, column), width) in line.iter().zip(columns).zip(&widths) {
            let cell = match column.is_number() {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            };
            padded.push_str(&cell);
            padded.push(' ');
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

/// Who reads it may have read enough.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("print"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use local::job::{Kept, Process};

    use super::*;

    fn row(pid: i32, node: u32, why: Option<&str>) -> Row {
        Row {
            process: Process {
                pid,
                node,
                host: node.to_string(),
                stay: 3723.0,
                cpu: 61.5,
                memory: Some(3 << 19),
                why: why.map(str::to_owned),
                command: "sleep\u{1b}[2J 1".to_owned(),
                ..Process::default()
            },
            user: "ann".to_owned(),
            home: "1".to_owned(),
            kept: Kept::Free,
            percent_cpu: 99.94,
            forwarded_per_second: 12.0,
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_process() {
        let rows = [row(7, 3, None), row(4711, 1, Some("it maps a file"))];
        let expected = "\
\x20PID USER HOME HOST MIGR NMIGS WHY            %CPU  RSS FWD/S    TIME COMMAND
   7 ann  1    3    >3       0 -              99.9 1.5M    12 0:01:01 sleep?[2J 1
4711 ann  1    1    -        0 it maps a file 99.9 1.5M    12 0:01:01 sleep?[2J 1
";
        assert_eq!(table(&rows, Column::value_variants()), expected);
        assert_eq!(table(&[], &[Column::Pid, Column::Why]), "PID WHY\n");
    }
}
