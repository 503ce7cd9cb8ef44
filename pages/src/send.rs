//! Where pages come from.

use image::postcopy::source::Source;
use image::schema::{PAGE_BYTES, PageRun};
use lane::pages::Wanted;
use lane::{Kind, LaneError, Receiver, Sender};

use crate::{From, PagesError};

/// Sends all pages in order; an empty parcel at the end. Before each parcel is sent
/// `check` says whether what was read is still the process's.
///
/// # Errors
/// As those of the lane, the process and `check`.
pub fn send_all(
    from: From<'_>,
    sender: &mut Sender,
    check: impl Fn() -> Result<(), LaneError>,
) -> Result<(), PagesError> {
    let pid = from.pid;
    let mut source = Source::new(pid, from.later);
    loop {
        let more = source
            .parcel(sender.begin())
            .map_err(|source| PagesError::Read { pid, source })?;
        check()?;
        sender.send(Kind::Parcel, 0, 0)?;
        if !more {
            return Ok(());
        }
    }
}

/// Sends what is asked for, until the lane ends.
///
/// # Errors
/// As [`send_all`]; [`PagesError::Malformed`] for pages that do not follow.
pub fn send_wanted(
    from: From<'_>,
    sender: &mut Sender,
    receiver: &mut Receiver,
    check: impl Fn() -> Result<(), LaneError>,
) -> Result<(), PagesError> {
    let pid = from.pid;
    let source = Source::new(pid, from.later);
    loop {
        let frame = receiver.recv()?;
        let request = frame.request;
        let wanted = Wanted::decode(frame.payload)?;
        let run = PageRun {
            start: wanted.start,
            count: wanted.bytes / PAGE_BYTES,
        };
        source
            .wanted(run, sender.begin())
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::InvalidInput => {
                    PagesError::Malformed("pages that do not follow")
                }
                _ => PagesError::Read { pid, source: error },
            })?;
        check()?;
        sender.send(Kind::Parcel, 0, request)?;
    }
}
