//! Images and pages on their way to a host.
//!
//! 1. The image is fetched on its leader's lane, with the pages that must be
//!    there when the process goes on. Where the host can do without some for a
//!    while, those follow.
//! 2. On a lane of their own all that follow are sent, in order; on another
//!    those that the process misses meanwhile ([`serve`]).
//! 3. The host has all: the deputy's memory, which they were read from, is
//!    dropped.
//!
//! Pages of a process that has come from another host are still there, and pass through here.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use image::postcopy::hot::split_later;
use image::postcopy::parcel::CONTENT_BYTES_MAX;
use image::postcopy::source::Source;
use lane::pages::{Opening, Which};
use lane::{Frame, Kind, LaneError, Receiver, Sender};
use pages::{From, PagesError, relay_all, relay_wanted, send_all, send_wanted};

use crate::arriving::Offer;
use crate::hosts::Host;
use crate::job::{Captured, Contents, Deputy, Job};

/// Sends the image of `deputy`, as an answer to `frame`: the number of the last signal of which its host was
/// told, then the image, then the pages that come with it, each after its length. `later`: others may follow.
pub(crate) fn send_image(
    job: &Job,
    deputy: &Deputy,
    captured: &Captured,
    frame: &Frame<'_>,
    sender: &mut Sender,
) -> Result<(), PagesError> {
    let mut image = Cow::Borrowed(&captured.image);
    if frame.payload == [1] && matches!(captured.contents, Contents::Kept) {
        split_later(image.to_mut(), job.later_bytes_min);
    }
    deputy.kept.follow(&image.later);
    let refuse = |_| PagesError::Malformed("an image that cannot be encoded");
    let encoded = image.encode().map_err(refuse)?;
    let page_bytes = image.page_bytes();
    job.journal
        .shipped(deputy.pid, encoded.len() as u64 + page_bytes);
    // That host makes no body before it has heard of what waits for it.
    let signals = deputy.signals.load(Ordering::SeqCst);
    sender.begin().extend_from_slice(&signals.to_le_bytes());
    sender.send(Kind::ImagePart, frame.lease_epoch, frame.request)?;
    send_parts(&encoded, frame, sender)?;
    if let Contents::Bytes(pages) = &captured.contents {
        return send_parts(pages, frame, sender);
    }
    sender.begin().extend_from_slice(&page_bytes.to_le_bytes());
    sender.send(Kind::ImagePart, frame.lease_epoch, frame.request)?;
    let pid = deputy.pid;
    let mut source = Source::new(pid, &image.pages);
    loop {
        let more = source
            .contents(sender.begin())
            .map_err(|source| PagesError::Read { pid, source })?;
        if !more {
            return Ok(());
        }
        sender.send(Kind::ImagePart, frame.lease_epoch, frame.request)?;
    }
}

/// A length, then so many bytes.
fn send_parts(bytes: &[u8], frame: &Frame<'_>, sender: &mut Sender) -> Result<(), PagesError> {
    let length = (bytes.len() as u64).to_le_bytes();
    for part in std::iter::once(&length[..]).chain(bytes.chunks(CONTENT_BYTES_MAX)) {
        sender.begin().extend_from_slice(part);
        sender.send(Kind::ImagePart, frame.lease_epoch, frame.request)?;
    }
    Ok(())
}

/// Serves a lane of `host` that is about pages, until it ends.
pub(crate) fn serve(
    job: &Arc<Job>,
    host: &Arc<Host>,
    mut sender: Sender,
    mut receiver: Receiver,
    opening: Opening,
) {
    if let Which::Offered | Which::OfferedWanted = opening.which {
        return job.arrivals.offered(host, opening, (sender, receiver));
    }
    let pid = opening.pid;
    let current = |deputy: &Arc<Deputy>| deputy.kept.departure() == opening.departure;
    let Some(deputy) = job.deputy_at(host, pid).filter(current) else {
        return tracing::debug!("pages of process {pid}, which has gone on since");
    };
    let later = deputy.kept.later();
    let from = From { pid, later: &later };
    let check = || still_its_own(job, &deputy);
    let served = match (opening.which, deputy.kept.offer()) {
        (Which::All, Some(offer)) => relay(job, &deputy, &offer, &mut receiver, &mut sender),
        (Which::Wanted, Some(offer)) => offer
            .wanted()
            .map_err(PagesError::from)
            .and_then(|mut source| relay_wanted(&mut (sender, receiver), &mut source)),
        (Which::Wanted, None) => send_wanted(from, &mut sender, &mut receiver, check),
        (Which::All, None) => send_all(from, &mut sender, check)
            .and_then(|()| complete(job, &deputy, &mut receiver, &mut sender)),
        _ => complete(job, &deputy, &mut receiver, &mut sender),
    };
    match served {
        Ok(()) | Err(PagesError::Lane(LaneError::Closed)) => {}
        Err(error) => tracing::debug!("lane for pages of process {pid}: {error}"),
    }
}

/// All pages that follow, from the host that the process was on before; that is told when they are there.
fn relay(
    job: &Job,
    deputy: &Arc<Deputy>,
    offer: &Offer,
    receiver: &mut Receiver,
    sender: &mut Sender,
) -> Result<(), PagesError> {
    let (mut to_source, mut source) = offer.all()?;
    relay_all(&mut source, sender)?;
    complete(job, deputy, receiver, sender)?;
    to_source.begin();
    Ok(to_source.send(Kind::Complete, 0, 0)?)
}

/// What was read is not that of another program, which the process has executed.
fn still_its_own(job: &Job, deputy: &Arc<Deputy>) -> Result<(), LaneError> {
    match job.deputy(deputy.pid) {
        Some(now) if Arc::ptr_eq(&now, deputy) => Ok(()),
        _ => Err(LaneError::Closed),
    }
}

/// The host says when it has all; answered when the memory is dropped.
fn complete(
    job: &Job,
    deputy: &Arc<Deputy>,
    receiver: &mut Receiver,
    sender: &mut Sender,
) -> Result<(), PagesError> {
    if receiver.recv()?.kind != Kind::Complete {
        return Err(PagesError::Malformed("another frame than the last one"));
    }
    if deputy.kept.give_up(job, deputy) {
        job.journal.complete(deputy.pid);
        sender.begin();
        sender.send(Kind::Complete, 0, 0)?;
    }
    Ok(())
}
