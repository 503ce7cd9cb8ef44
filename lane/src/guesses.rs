//! A call with guesses: calls that only look and that the thread will probably make next. Home makes them
//! behind it, so that their answers come with its answer.
//!
//! ```text
//!   Calls:   length, call; length, guess; …
//!   Results: result, signals, length, data; result, length, data; … for as many guesses as home liked
//! ```
//! Lengths are u32, results i64, the number of the last signal u64, all of them little-endian.

use crate::error::LaneError;

/// Most guesses with one call.
pub const GUESSES_MAX: usize = 32;
/// Most bytes of one call or guess, encoded.
pub const GUESS_BYTES_MAX: usize = 4096 + 512;
/// Most bytes of data that one of them writes.
pub const ANSWER_BYTES_MAX: usize = 8192;

/// Appends a call or guess, which has at most [`GUESS_BYTES_MAX`] bytes.
pub fn push(call: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(call.len() as u32).to_le_bytes());
    out.extend_from_slice(call);
}

/// The calls of a payload of kind [`Calls`](crate::Kind::Calls): the one that is made, then the guesses.
///
/// # Errors
/// The payload is not of that form.
pub fn calls(payload: &[u8]) -> Result<Vec<&[u8]>, LaneError> {
    let (mut rest, mut calls) = (payload, Vec::new());
    while !rest.is_empty() {
        let (call, after) = piece(rest, GUESS_BYTES_MAX)?;
        if calls.len() > GUESSES_MAX {
            return Err(LaneError::Refused("too many guesses"));
        }
        calls.push(call);
        rest = after;
    }
    match calls.is_empty() {
        true => Err(LaneError::Refused("no call")),
        false => Ok(calls),
    }
}

/// Appends the answer to a guess, of which `write` appends the data.
pub fn push_answer(result: i64, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&result.to_le_bytes());
    push_data(out, write);
}

/// Appends data that `write` writes, with their length.
pub fn push_data(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

/// The next answer to a guess, and what is behind it.
///
/// # Errors
/// It is not of that form.
pub fn answer(bytes: &[u8]) -> Result<(i64, &[u8], &[u8]), LaneError> {
    let (result, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or(LaneError::Refused("an answer cut short"))?;
    let (data, rest) = piece(rest, ANSWER_BYTES_MAX)?;
    Ok((i64::from_le_bytes(*result), data, rest))
}

/// The bytes behind a length, and what is behind those.
///
/// # Errors
/// They are not all there, or more than `bytes_max`.
pub fn piece(bytes: &[u8], bytes_max: usize) -> Result<(&[u8], &[u8]), LaneError> {
    let cut = LaneError::Refused("a piece cut short");
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(cut)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > bytes_max {
        return Err(LaneError::Refused("a piece longer than allowed"));
    }
    rest.split_at_checked(length)
        .ok_or(LaneError::Refused("a piece cut short"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn calls_come_back(all in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..200), 1..=GUESSES_MAX + 1)) {
            let mut payload = Vec::new();
            all.iter().for_each(|call| push(call, &mut payload));
            prop_assert_eq!(calls(&payload).unwrap(), all);
            payload.pop();
            // The last one is cut short, or its length is.
            prop_assert!(calls(&payload).is_err() || payload.is_empty());
        }

        #[test]
        fn answers_come_back(result: i64, data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = Vec::new();
            push_answer(result, &mut bytes, |out| out.extend_from_slice(&data));
            bytes.push(7);
            prop_assert_eq!(answer(&bytes).unwrap(), (result, data.as_slice(), &[7][..]));
        }

        #[test]
        fn nonsense_is_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (calls(&bytes), answer(&bytes));
        }
    }

    #[test]
    fn no_more_than_allowed() {
        let mut payload = Vec::new();
        (0..=GUESSES_MAX + 1).for_each(|_| push(b"x", &mut payload));
        assert!(calls(&payload).is_err());
        assert!(calls(&[]).is_err());
        let mut long = Vec::new();
        push(&[0; GUESS_BYTES_MAX + 1], &mut long);
        assert!(calls(&long).is_err());
    }
}
