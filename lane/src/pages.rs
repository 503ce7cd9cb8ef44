//! What is said about pages that follow their image.

use crate::error::LaneError;

/// Which pages a lane is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All that follow, in order.
    All,
    /// Those that are asked for.
    Wanted,
    /// None: they came with the image.
    None,
    /// All that follow, in order, from who opens the lane.
    Offered,
    /// Those that are asked for, from who opens the lane.
    OfferedWanted,
}

/// First frame of a lane about pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The process.
    pub pid: i32,
    /// Number of its departure: it may have come home and left again meanwhile. Where pages are offered,
    /// the number that home has given for its coming.
    pub departure: u64,
    /// Its pages.
    pub which: Which,
}

impl Opening {
    /// Wire form.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pid.to_le_bytes());
        out.extend_from_slice(&self.departure.to_le_bytes());
        out.push(match self.which {
            Which::All => 0,
            Which::Wanted => 1,
            Which::None => 2,
            Which::Offered => 3,
            Which::OfferedWanted => 4,
        });
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`Refused`](LaneError::Refused): drop the lane it came on.
    pub fn decode(payload: &[u8]) -> Result<Opening, LaneError> {
        let refuse = LaneError::Refused("a lane for pages that begins with nonsense");
        let Some((pid, rest)) = payload.split_first_chunk::<4>() else {
            return Err(refuse);
        };
        let Some((departure, [which])) = rest.split_first_chunk::<8>() else {
            return Err(refuse);
        };
        let which = match which {
            0 => Which::All,
            1 => Which::Wanted,
            2 => Which::None,
            3 => Which::Offered,
            4 => Which::OfferedWanted,
            _ => return Err(refuse),
        };
        Ok(Opening {
            pid: i32::from_le_bytes(*pid),
            departure: u64::from_le_bytes(*departure),
            which,
        })
    }
}

/// Pages that a process misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Address where they come from.
    pub start: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Wanted {
    /// Wire form.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            [self.start, self.bytes]
                .map(u64::to_le_bytes)
                .as_flattened(),
        );
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`Refused`](LaneError::Refused): drop the lane it came on.
    pub fn decode(payload: &[u8]) -> Result<Wanted, LaneError> {
        let ([start, bytes], []) = payload.as_chunks::<8>() else {
            return Err(LaneError::Refused("pages wanted in a malformed way"));
        };
        Ok(Wanted {
            start: u64::from_le_bytes(*start),
            bytes: u64::from_le_bytes(*bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_as_they_were_sent() {
        for which in [
            Which::All,
            Which::Wanted,
            Which::None,
            Which::Offered,
            Which::OfferedWanted,
        ] {
            let opening = Opening {
                pid: 77,
                departure: 9,
                which,
            };
            let mut out = Vec::new();
            opening.encode(&mut out);
            assert_eq!(Opening::decode(&out).ok(), Some(opening));
        }
        let wanted = Wanted {
            start: 0x7000,
            bytes: 4096,
        };
        let mut out = Vec::new();
        wanted.encode(&mut out);
        assert_eq!(Wanted::decode(&out).ok(), Some(wanted));
        for bad in [&[][..], &[0; 4], &[5; 13], &[0; 15], &[0; 24]] {
            assert!(Opening::decode(bad).is_err() && Wanted::decode(bad).is_err());
        }
    }
}
