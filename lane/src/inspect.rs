//! What home asks the host about a body: the part of `/proc/PID` that only the body has.
//!
//! Once per runtime a lane is turned round: its first frame is
//! [`Kind::Inspect`](crate::Kind::Inspect), and from then on home asks and the host answers, one
//! question at a time. A question is a [`Question`] and the bytes to write, if any. The answer is
//! an [`Answer`] followed by its bytes, which go on in as many further frames as they need.

use zerocopy::little_endian::{I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes, Unaligned};

use crate::error::LaneError;

/// Most bytes of one answer: smaps of the most mappings that the kernel allows by default.
pub const ANSWER_BYTES_MAX: u64 = 128 << 20;
/// Most bytes of an answer in one frame.
pub const PART_BYTES: usize = 512 * 1024;

/// Files of `/proc/PID` and `/proc/PID/task/TID` that describe the body, proc_pid(5). Numbers are
/// part of the protocol and never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, TryFromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(u32)]
pub enum BodyFile {
    /// `status`.
    Status = 1,
    /// `stat`.
    Stat = 2,
    /// `statm`.
    Statm = 3,
    /// `maps`, with the names that the files have at home.
    Maps = 4,
    /// `smaps`, likewise.
    Smaps = 5,
    /// `smaps_rollup`.
    SmapsRollup = 6,
    /// `cmdline`.
    CommandLine = 7,
    /// `environ`.
    Environment = 8,
    /// `pagemap`, by position.
    PageMap = 9,
    /// `mem`, by position.
    Memory = 10,
}

impl BodyFile {
    /// All, with their names in `/proc/PID`.
    pub const NAMES: [(BodyFile, &'static str); 10] = [
        (BodyFile::Status, "status"),
        (BodyFile::Stat, "stat"),
        (BodyFile::Statm, "statm"),
        (BodyFile::Maps, "maps"),
        (BodyFile::Smaps, "smaps"),
        (BodyFile::SmapsRollup, "smaps_rollup"),
        (BodyFile::CommandLine, "cmdline"),
        (BodyFile::Environment, "environ"),
        (BodyFile::PageMap, "pagemap"),
        (BodyFile::Memory, "mem"),
    ];

    /// The file of this name, if it describes the body.
    pub fn named(name: &str) -> Option<BodyFile> {
        let known = Self::NAMES.iter().find(|(_, known)| *known == name)?;
        Some(known.0)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let known = Self::NAMES.iter().find(|(file, _)| *file == self);
        known.map_or("", |(_, name)| name)
    }

    /// Whether it is read and written by position, not as one text.
    pub fn is_positional(self) -> bool {
        matches!(self, BodyFile::PageMap | BodyFile::Memory)
    }
}

/// What is done with the file.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, TryFromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(u32)]
pub enum Doing {
    /// Read the whole of it.
    Text = 1,
    /// Read `bytes` at `position`.
    Read = 2,
    /// Write what follows the question at `position`.
    Write = 3,
}

/// A question about a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Thread, by its id at home.
    pub tid: i32,
    /// Whether only that thread is meant (`/proc/PID/task/TID`), not its process.
    pub of_thread: bool,
    /// Which file.
    pub file: BodyFile,
    /// What to do with it.
    pub doing: Doing,
    /// Where, if it is positional.
    pub position: u64,
    /// How many bytes to read at most, if it is positional.
    pub bytes: u64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct QuestionBytes {
    tid: I32,
    of_thread: U32,
    file: U32,
    doing: U32,
    position: U64,
    bytes: U64,
}

const _: () = assert!(size_of::<QuestionBytes>() == 32);

impl Question {
    /// Appends the encoded question to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let encoded = QuestionBytes {
            tid: self.tid.into(),
            of_thread: u32::from(self.of_thread).into(),
            file: (self.file as u32).into(),
            doing: (self.doing as u32).into(),
            position: self.position.into(),
            bytes: self.bytes.into(),
        };
        out.extend_from_slice(encoded.as_bytes());
    }

    /// The question at the start of `payload`, and the bytes that follow it.
    ///
    /// # Errors
    /// [`Refused`](LaneError::Refused): drop the lane it came on.
    pub fn decode(payload: &[u8]) -> Result<(Question, &[u8]), LaneError> {
        let (raw, rest) = QuestionBytes::read_from_prefix(payload)
            .map_err(|_| LaneError::Refused("question cut short"))?;
        let file = BodyFile::try_read_from_bytes(&raw.file.get().to_ne_bytes())
            .map_err(|_| LaneError::Refused("question about an unknown file"))?;
        let doing = Doing::try_read_from_bytes(&raw.doing.get().to_ne_bytes())
            .map_err(|_| LaneError::Refused("unknown question"))?;
        if (doing == Doing::Text) == file.is_positional() {
            return Err(LaneError::Refused("question that does not suit its file"));
        }
        let question = Question {
            tid: raw.tid.get(),
            of_thread: raw.of_thread.get() != 0,
            file,
            doing,
            position: raw.position.get(),
            bytes: raw.bytes.get(),
        };
        Ok((question, rest))
    }
}

/// Start of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answer {
    /// errno; 0: none. `ESRCH`: this host has no such body.
    pub errno: i32,
    /// Whether the thread waits in a call that home executes.
    pub waits_at_home: bool,
    /// Bytes that follow, or that were written.
    pub bytes: u64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct AnswerBytes {
    errno: I32,
    waits_at_home: U32,
    bytes: U64,
}

const _: () = assert!(size_of::<AnswerBytes>() == 16);

impl Answer {
    /// Appends the encoded answer to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let encoded = AnswerBytes {
            errno: self.errno.into(),
            waits_at_home: u32::from(self.waits_at_home).into(),
            bytes: self.bytes.into(),
        };
        out.extend_from_slice(encoded.as_bytes());
    }

    /// The answer at the start of `payload`, and the first of its bytes.
    ///
    /// # Errors
    /// [`Refused`](LaneError::Refused): drop the lane it came on.
    pub fn decode(payload: &[u8]) -> Result<(Answer, &[u8]), LaneError> {
        let (raw, rest) = AnswerBytes::read_from_prefix(payload)
            .map_err(|_| LaneError::Refused("answer cut short"))?;
        if raw.bytes.get() > ANSWER_BYTES_MAX {
            return Err(LaneError::Refused("answer longer than allowed"));
        }
        let answer = Answer {
            errno: raw.errno.get(),
            waits_at_home: raw.waits_at_home.get() != 0,
            bytes: raw.bytes.get(),
        };
        Ok((answer, rest))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn questions_come_back_as_they_were() {
        for (file, name) in BodyFile::NAMES {
            assert_eq!(BodyFile::named(name), Some(file));
            assert_eq!(file.name(), name);
            let doing = match file.is_positional() {
                true => Doing::Read,
                false => Doing::Text,
            };
            let question = Question {
                tid: 4711,
                of_thread: true,
                file,
                doing,
                position: 1 << 47,
                bytes: 9,
            };
            let mut bytes = Vec::new();
            question.encode(&mut bytes);
            bytes.extend(b"rest");
            assert_eq!(Question::decode(&bytes).unwrap(), (question, &b"rest"[..]));
        }
        assert_eq!(BodyFile::named("fd"), None);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Question::decode(&[0; 31]).is_err());
        assert!(Question::decode(&[0; 32]).is_err());
        let mut bytes = Vec::new();
        let text_of_memory = Question {
            tid: 1,
            of_thread: false,
            file: BodyFile::Memory,
            doing: Doing::Text,
            position: 0,
            bytes: 0,
        };
        text_of_memory.encode(&mut bytes);
        assert!(Question::decode(&bytes).is_err());
        let mut bytes = Vec::new();
        let too_long = Answer {
            bytes: ANSWER_BYTES_MAX + 1,
            ..Answer::default()
        };
        too_long.encode(&mut bytes);
        assert!(Answer::decode(&bytes).is_err());
        assert!(Answer::decode(&[0; 15]).is_err());
    }
}
