//! Which pages have not come yet, and where they belong by now.

use std::collections::BTreeMap;

use crate::schema::{PAGE_BYTES, PageRun};

/// Pages that are still to come.
///
/// A page has the address it had where it comes from, its *origin*; where it
/// belongs changes if the process moves its memory, mremap(2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// By the address where they belong: pages and origin. Pieces do not overlap.
    pieces: BTreeMap<u64, Piece>,
    /// Something was moved: where pages belong may not be their origin.
    moved: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    bytes: u64,
    origin: u64,
}

/// Consecutive pages that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where they belong.
    pub at: u64,
    /// Their address where they come from.
    pub origin: u64,
    /// In bytes, whole pages.
    pub bytes: u64,
}

impl Missing {
    /// These runs are missing, which do not overlap.
    pub fn new(runs: &[PageRun]) -> Missing {
        let piece = |run: &PageRun| {
            let bytes = run.count * PAGE_BYTES;
            let origin = run.start;
            (run.start, Piece { bytes, origin })
        };
        Missing {
            pieces: runs.iter().map(piece).collect(),
            moved: false,
        }
    }

    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// What is missing from the page of `address` on, up to `bytes_max`.
    pub fn at(&self, address: u64, bytes_max: u64) -> Option<Gap> {
        let page = address & !(PAGE_BYTES - 1);
        let (start, piece) = self.pieces.range(..=page).next_back()?;
        let offset = page - start;
        (offset < piece.bytes).then(|| Gap {
            at: page,
            origin: piece.origin + offset,
            bytes: (piece.bytes - offset).min(bytes_max),
        })
    }

    /// The first that is missing of `bytes` whose origin is `origin`.
    pub fn from(&self, origin: u64, bytes: u64) -> Option<Gap> {
        let end = origin.checked_add(bytes)?;
        let overlap = |(start, piece): (&u64, &Piece)| {
            let first = piece.origin.max(origin);
            let last = (piece.origin + piece.bytes).min(end);
            (first < last).then(|| Gap {
                at: start + (first - piece.origin),
                origin: first,
                bytes: last - first,
            })
        };
        if self.moved {
            return self
                .pieces
                .iter()
                .filter_map(overlap)
                .min_by_key(|gap| gap.origin);
        }
        let before = self.pieces.range(..=origin).next_back();
        let after = self.pieces.range(origin..end).next();
        before.and_then(overlap).or(after.and_then(overlap))
    }

    /// These pages have come, or nobody wants them any more.
    pub fn forget(&mut self, start: u64, end: u64) {
        self.cut(start, end);
    }

    /// What is missing of `length` bytes at `from` belongs at `to` now.
    pub fn remap(&mut self, from: u64, to: u64, length: u64) {
        self.forget(to, to.saturating_add(length));
        let taken = self.cut(from, from.saturating_add(length));
        self.moved |= !taken.is_empty() && from != to;
        for (start, piece) in taken {
            self.pieces.insert(start - from + to, piece);
        }
    }

    /// Takes out what lies in a range.
    fn cut(&mut self, start: u64, end: u64) -> Vec<(u64, Piece)> {
        let before = self.pieces.range(..start).next_back();
        let first = match before {
            Some((at, piece)) if at + piece.bytes > start => *at,
            _ => start,
        };
        let touched: Vec<u64> = match first < end {
            true => self.pieces.range(first..end).map(|(at, _)| *at).collect(),
            false => Vec::new(),
        };
        let mut taken = Vec::new();
        for at in touched {
            let Some(piece) = self.pieces.remove(&at) else {
                continue;
            };
            let part = |from: u64, to: u64| Piece {
                bytes: to - from,
                origin: piece.origin + (from - at),
            };
            let after = at + piece.bytes;
            if at < start {
                self.pieces.insert(at, part(at, start));
            }
            if after > end {
                self.pieces.insert(end, part(end, after));
            }
            let (from, to) = (at.max(start), after.min(end));
            taken.push((from, part(from, to)));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: u64 = PAGE_BYTES;

    fn missing(runs: &[(u64, u64)]) -> Missing {
        let run = |&(start, count): &(u64, u64)| PageRun {
            start: start * P,
            count,
        };
        Missing::new(&runs.iter().map(run).collect::<Vec<_>>())
    }

    fn gap(at: u64, origin: u64, pages: u64) -> Option<Gap> {
        Some(Gap {
            at: at * P,
            origin: origin * P,
            bytes: pages * P,
        })
    }

    #[test]
    fn what_has_come_is_not_missing() {
        let mut m = missing(&[(10, 5), (20, 1)]);
        assert_eq!(m.at(12 * P + 7, 64 * P), gap(12, 12, 3));
        assert_eq!(m.at(12 * P, P), gap(12, 12, 1));
        assert_eq!(m.at(9 * P + P - 1, P), None);
        m.forget(11 * P, 13 * P);
        assert_eq!(m.at(10 * P, 9 * P), gap(10, 10, 1));
        assert_eq!(m.at(11 * P, 9 * P), None);
        assert_eq!(m.from(0, 100 * P), gap(10, 10, 1));
        assert_eq!(m.from(11 * P, 100 * P), gap(13, 13, 2));
        m.forget(0, 100 * P);
        assert!(m.is_empty());
    }

    #[test]
    fn what_moves_is_found_by_its_origin() {
        let mut m = missing(&[(10, 4), (20, 2)]);
        m.remap(12 * P, 50 * P, 10 * P);
        assert_eq!(m.at(10 * P, 9 * P), gap(10, 10, 2));
        assert_eq!(m.at(12 * P, P), None);
        assert_eq!(m.at(50 * P, 9 * P), gap(50, 12, 2));
        assert_eq!(m.at(59 * P, 9 * P), gap(59, 21, 1));
        assert_eq!(m.at(58 * P, 9 * P), gap(58, 20, 2));
        assert_eq!(m.from(13 * P, 100 * P), gap(51, 13, 1));
        // Moved onto what was missing there.
        m.remap(0, 50 * P, 40 * P);
        assert_eq!(m.at(50 * P, P), None);
        assert_eq!(m.from(0, 11 * P), gap(60, 10, 1));
    }

    /// Against one page at a time.
    #[test]
    fn agrees_with_a_simple_model() {
        let mut seed = 1u64;
        let mut random = move |below: u64| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) % below
        };
        for _ in 0..300 {
            let mut model: BTreeMap<u64, u64> = (8..56).map(|page| (page, page)).collect();
            let mut m = missing(&[(8, 16), (24, 32)]);
            for _ in 0..20 {
                let (a, n, b) = (random(64), 1 + random(12), random(64));
                if random(2) == 0 {
                    m.forget(a * P, (a + n) * P);
                    model.retain(|page, _| !(a..a + n).contains(page));
                } else if a.abs_diff(b) >= n {
                    m.remap(a * P, b * P, n * P);
                    model.retain(|page, _| !(b..b + n).contains(page));
                    let moved: Vec<_> = (a..a + n)
                        .filter_map(|page| Some((page - a + b, model.remove(&page)?)))
                        .collect();
                    model.extend(moved);
                }
                for page in 0..80 {
                    let origin = m.at(page * P, P).map(|gap| gap.origin / P);
                    assert_eq!(origin, model.get(&page).copied());
                    let at = m.from(page * P, P).map(|gap| gap.at / P);
                    let known = model.iter().find(|(_, origin)| **origin == page);
                    assert_eq!(at, known.map(|(at, _)| *at));
                }
            }
        }
    }
}
