//! Pages on their way: contents, and which pages they are.
//!
//! Contents come first, so that they are read from a process to where they are
//! sent from; a list of runs follows, and its length. Pages of zeros have no
//! contents.

use crate::ImageError;
use crate::schema::{PAGE_BYTES, PageRun};

/// Most bytes of contents in one parcel.
pub const CONTENT_BYTES_MAX: usize = 512 * 1024;
/// Most runs in one parcel.
pub const RUNS_MAX: usize = 1024;

const ZEROS: u64 = 1 << 63;
const RUN_BYTES: usize = 16;

/// A run and its contents; `None`: zeros.
pub type Part<'a> = (PageRun, Option<&'a [u8]>);

/// Appends the list of runs, each with whether it is zeros, to the contents of
/// those that are not.
pub fn seal(runs: &[(PageRun, bool)], out: &mut Vec<u8>) {
    for (run, zeros) in runs {
        let count = run.count | if *zeros { ZEROS } else { 0 };
        out.extend_from_slice([run.start, count].map(u64::to_le_bytes).as_flattened());
    }
    out.extend_from_slice(&(runs.len() as u32).to_le_bytes());
}

/// The runs of a parcel, which comes from another machine.
///
/// # Errors
/// [`ImageError::Refused`] if it contradicts itself.
pub fn open(parcel: &[u8]) -> Result<Vec<Part<'_>>, ImageError> {
    let refuse = || ImageError::Refused("a malformed parcel of pages".into());
    let (rest, count) = parcel.split_last_chunk::<4>().ok_or_else(refuse)?;
    let count = u32::from_le_bytes(*count) as usize;
    if count > RUNS_MAX || rest.len() < count * RUN_BYTES {
        return Err(refuse());
    }
    let (mut contents, list) = rest.split_at(rest.len() - count * RUN_BYTES);
    let mut runs = Vec::with_capacity(count);
    let (words, _) = list.as_chunks::<8>();
    for pair in words.chunks_exact(2) {
        let [start, count] = [pair[0], pair[1]].map(u64::from_le_bytes);
        let run = PageRun {
            start,
            count: count & !ZEROS,
        };
        let bytes = run
            .count
            .checked_mul(PAGE_BYTES)
            .filter(|bytes| start % PAGE_BYTES == 0 && start.checked_add(*bytes).is_some())
            .ok_or_else(refuse)?;
        if count & ZEROS != 0 {
            runs.push((run, None));
            continue;
        }
        let bytes = usize::try_from(bytes).map_err(|_| refuse())?;
        let (own, after) = contents.split_at_checked(bytes).ok_or_else(refuse)?;
        runs.push((run, Some(own)));
        contents = after;
    }
    match contents {
        [] => Ok(runs),
        _ => Err(refuse()),
    }
}

/// Whether a page holds nothing but zeros.
pub(crate) fn is_zeros(page: &[u8]) -> bool {
    let mut parts = page.as_chunks::<16>().0.iter();
    parts.all(|part| *part == [0; 16])
}

/// Turns contents of consecutive pages at the end of `out`, from `from` on, the
/// first of which has address `start`, into runs: pages of zeros are taken out.
pub fn sort(out: &mut Vec<u8>, from: usize, start: u64, runs: &mut Vec<(PageRun, bool)>) {
    let page_bytes = PAGE_BYTES as usize;
    let (mut kept, mut at) = (from, start);
    let mut next = from;
    while next < out.len() {
        let zeros = is_zeros(&out[next..next + page_bytes]);
        if !zeros {
            if kept != next {
                out.copy_within(next..next + page_bytes, kept);
            }
            kept += page_bytes;
        }
        match runs.last_mut() {
            Some((run, of)) if *of == zeros && run.start + run.count * PAGE_BYTES == at => {
                run.count += 1;
            }
            _ => runs.push((
                PageRun {
                    start: at,
                    count: 1,
                },
                zeros,
            )),
        }
        at += PAGE_BYTES;
        next += page_bytes;
    }
    out.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_arrive_as_they_were_sent() {
        let page = |byte: u8| vec![byte; PAGE_BYTES as usize];
        let mut out = b"head".to_vec();
        let mut runs = Vec::new();
        let from = out.len();
        for byte in [1, 2, 0, 0, 3] {
            out.extend(page(byte));
        }
        sort(&mut out, from, 0x10_0000, &mut runs);
        let from = out.len();
        out.extend(page(4));
        sort(&mut out, from, 0x10_5000, &mut runs);
        seal(&runs, &mut out);
        let run = |start, count| PageRun { start, count };
        let opened = open(&out[4..]).expect("a parcel");
        let first: Vec<u8> = [page(1), page(2)].concat();
        let last: Vec<u8> = [page(3), page(4)].concat();
        let wanted = vec![
            (run(0x10_0000, 2), Some(first.as_slice())),
            (run(0x10_2000, 2), None),
            (run(0x10_4000, 2), Some(last.as_slice())),
        ];
        assert_eq!(opened, wanted);
    }

    #[test]
    fn nonsense_is_refused() {
        let sealed = |runs: &[(u64, u64)], contents: usize| {
            let mut out = vec![1; contents];
            for (start, count) in runs {
                out.extend_from_slice([*start, *count].map(u64::to_le_bytes).as_flattened());
            }
            out.extend_from_slice(&(runs.len() as u32).to_le_bytes());
            out
        };
        assert!(open(&sealed(&[], 0)).expect("an empty parcel").is_empty());
        for bad in [
            sealed(&[], 1),
            sealed(&[(0x1000, 2)], 4096),
            sealed(&[(0x1000, 1)], 8192),
            sealed(&[(0x1001, 1)], 4096),
            sealed(&[(u64::MAX - 4095, 2 | ZEROS)], 0),
            sealed(&[(0x1000, u64::MAX)], 0),
            sealed(&[(0x1000, 1 << 60)], 0),
            vec![0xff; 4],
            vec![0; 3],
        ] {
            assert!(open(&bad).is_err(), "{bad:x?}");
        }
    }
}
