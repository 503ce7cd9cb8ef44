//! One look at nodes and jobs. CPU time and calls are shown as used since the last look.

use std::collections::HashMap;
use std::time::Instant;

use local::daemon::{self, Node};
use local::job;

use crate::processes::{DAEMON_TIMEOUT, Names, Row, listings, rows};

/// What is seen at one moment.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Nodes of the cluster, this one first; none where there is no daemon.
    pub(super) nodes: Vec<Node>,
    /// Processes of all jobs that may be seen.
    pub(super) rows: Vec<Row>,
    /// What could not be asked.
    pub(super) failure: Option<String>,
}

/// What is remembered from the last look.
#[derive(Default)]
pub(super) struct Looker {
    before: HashMap<(i32, u64), Before>,
    /// Empty: all processes.
    only: Vec<i32>,
    names: Names,
}

/// Of one process.
#[derive(Debug, Clone, Copy)]
struct Before {
    at: Instant,
    cpu: f64,
    /// Forwarded from this node, where it was then.
    calls: u64,
    node: u32,
}

impl Looker {
    /// Looks at these processes only, if any are named.
    pub(super) fn at(only: Vec<i32>) -> Looker {
        Looker {
            only,
            ..Looker::default()
        }
    }

    pub(super) fn look(&mut self) -> Look {
        let nodes = nodes();
        let (listings, failures) = match listings() {
            Ok(found) => found,
            Err(error) => (Vec::new(), vec![format!("{error:#}")]),
        };
        let mut all: Vec<Row> = Vec::new();
        for listing in listings {
            all.extend(rows(listing, &mut self.names));
        }
        if !self.only.is_empty() {
            all.retain(|row| self.only.contains(&row.process.pid));
        }
        self.compare(&mut all, Instant::now());
        Look {
            nodes,
            rows: all,
            failure: failures.into_iter().next().map(|why| job::shown(&why)),
        }
    }

    /// Puts in what was used since the last look, where there was one.
    fn compare(&mut self, rows: &mut [Row], now: Instant) {
        let mut seen = HashMap::new();
        for row in rows {
            let process = &row.process;
            let key = (process.pid, process.began);
            let is = Before {
                at: now,
                cpu: process.cpu,
                calls: process.calls,
                node: process.node,
            };
            if let Some(was) = self.before.get(&key) {
                let passed = now.saturating_duration_since(was.at).as_secs_f64().max(0.1);
                // It is less where it has moved: what it used on the node before is heard later.
                row.percent_cpu = ((is.cpu - was.cpu) / passed * 100.0).max(0.0);
                let calls = match was.node == is.node {
                    true => is.calls.saturating_sub(was.calls),
                    false => is.calls,
                };
                row.forwarded_per_second = calls as f64 / passed;
            }
            seen.insert(key, is);
        }
        self.before = seen;
    }
}

/// Nodes as the daemon here knows them, if there is one.
fn nodes() -> Vec<Node> {
    let asked =
        daemon::Client::connect().and_then(|client| client.within(DAEMON_TIMEOUT)?.status());
    asked.map_or_else(|_| Vec::new(), |status| status.nodes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::processes::tests::row;

    #[test]
    fn what_is_used_since_the_last_look_is_shown() {
        let mut looker = Looker::default();
        let began = Instant::now();
        let at = |cpu: f64, calls: u64, node: u32| {
            let mut row = row(7, node, None);
            (row.process.cpu, row.process.calls) = (cpu, calls);
            [row]
        };
        let shown = |rows: &[Row]| (rows[0].percent_cpu, rows[0].forwarded_per_second);
        let mut first = at(10.0, 500, 2);
        looker.compare(&mut first, began);
        assert_eq!(
            shown(&first),
            (99.94, 12.0),
            "as its job says: there was no look before"
        );
        let mut second = at(11.0, 700, 2);
        looker.compare(&mut second, began + Duration::from_secs(2));
        assert_eq!(shown(&second), (50.0, 100.0));
        let mut moved = at(9.0, 30, 3);
        looker.compare(&mut moved, began + Duration::from_secs(3));
        assert_eq!(shown(&moved), (0.0, 30.0));
        looker.compare(&mut [], began + Duration::from_secs(4));
        assert!(looker.before.is_empty());
    }
}
