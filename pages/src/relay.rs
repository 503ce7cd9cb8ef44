//! Pages that pass through home, from one host to another.

use image::postcopy::parcel;
use lane::pages::Wanted;
use lane::{Kind, LaneError, Receiver, Sender};

use crate::{Halves, PagesError};

/// Passes on what [`send_all`](crate::send_all) sends at the other end of `from`, up to the empty parcel.
///
/// # Errors
/// As those of the lanes; what is not a parcel is refused.
pub fn relay_all(from: &mut Receiver, to: &mut Sender) -> Result<(), PagesError> {
    while !relay_parcel(from, to)? {}
    Ok(())
}

/// Passes on what is asked for on `asked`, and the pages that come for it from `source`, until a lane ends.
///
/// # Errors
/// As [`relay_all`].
pub fn relay_wanted(asked: &mut Halves, source: &mut Halves) -> Result<(), PagesError> {
    loop {
        let wanted = Wanted::decode(asked.1.recv()?.payload)?;
        wanted.encode(source.0.begin());
        source.0.send(Kind::Wanted, 0, 0)?;
        relay_parcel(&mut source.1, &mut asked.0)?;
    }
}

/// Returns whether it was the empty one.
fn relay_parcel(from: &mut Receiver, to: &mut Sender) -> Result<bool, PagesError> {
    let frame = from.recv()?;
    if frame.kind != Kind::Parcel {
        return Err(LaneError::Refused("another frame than pages").into());
    }
    let is_last = parcel::open(frame.payload)?.is_empty();
    to.begin().extend_from_slice(frame.payload);
    to.send(Kind::Parcel, 0, 0)?;
    Ok(is_last)
}
