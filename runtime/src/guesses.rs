//! Guesses: which calls a thread will probably make next, if they only look; home makes them behind the call
//! that they go with, and their answers come with its answer.
//!
//! A compiler asks for every directory above each file that it includes, and each time waits for home. What
//! followed a call before follows it mostly again, in whatever process of the job.
//!
//! An answer that came so is good for the very next calls of the process only: a call that home has not told
//! yet, of whichever of its threads, and a signal make it forgotten, and so does time. So it is as if the
//! program had asked a moment earlier, of which it cannot know.

mod table;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lane::LaneError;
use lane::guesses;

pub(crate) use table::Table;

/// How long an answer is good that was not asked for: a tick of the scheduler, which a program may lose natively
/// between the kernel's look and its own.
const FRESH: Duration = Duration::from_millis(4);

/// What a call answers that was interrupted: EINTR, and the kernel's codes of those that are made again.
const INTERRUPTED: [i64; 5] = [-4, -512, -513, -514, -516];

/// A call, encoded as it travels: two are the same if their bytes are.
#[derive(Debug)]
pub(crate) struct Guess {
    key: u64,
    bytes: Box<[u8]>,
}

impl Guess {
    pub(crate) fn of(encoded: &[u8]) -> Guess {
        Guess {
            key: key(encoded),
            bytes: encoded.into(),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A number for an encoded call.
fn key(encoded: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    encoded.hash(&mut hasher);
    hasher.finish()
}

/// What a thread's last calls were, as far as the next one is guessed by them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Last {
    /// The very call; 0: none that says anything.
    call: u64,
    /// Any of its kind.
    kind: u64,
    /// It only looks.
    looks: bool,
    /// The one before it that only looks; 0: there was none.
    before: u64,
}

impl Last {
    /// After this one a call with this number.
    pub(crate) fn then(self, nr: u32, encoded: &[u8], looks: bool) -> Last {
        Last {
            call: key(encoded),
            kind: u64::from(nr) + 1,
            looks,
            before: self.looked(),
        }
    }

    /// After this one a call that says nothing.
    pub(crate) fn then_another(self) -> Last {
        Last {
            before: self.looked(),
            ..Last::default()
        }
    }

    /// After this one that guess.
    fn then_guess(self, guess: &Guess) -> Last {
        Last {
            call: guess.key,
            kind: 0,
            looks: true,
            before: self.looked(),
        }
    }

    fn looked(self) -> u64 {
        match self.looks {
            true => self.call,
            false => self.before,
        }
    }

    /// Both together. What opens or closes is mostly another file each time.
    fn both(self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let call = if self.looks { self.call } else { self.kind };
        (self.before, call).hash(&mut hasher);
        hasher.finish()
    }
}

/// How far a process has got: calls that it has sent home, and signals that it was sent.
pub(crate) type Step = (u64, u64);

/// What home has answered unasked.
#[derive(Default)]
pub(crate) struct Foretold {
    step: Step,
    since: Option<Instant>,
    /// Results, and where the data are.
    answers: Vec<(Arc<Guess>, i64, Range<usize>)>,
    data: Vec<u8>,
}

impl Foretold {
    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.answers.clear();
        self.data.clear();
    }

    /// Keeps the answers to `guesses`, as many as there are in `bytes`, of a process that was at `step`.
    ///
    /// # Errors
    /// They have not the form of answers; all is forgotten.
    pub(crate) fn keep(
        &mut self,
        guesses: &[Arc<Guess>],
        bytes: &[u8],
        step: Step,
    ) -> Result<(), LaneError> {
        self.clear();
        self.step = step;
        self.since = Some(Instant::now());
        let mut rest = bytes;
        for guess in guesses {
            if rest.is_empty() {
                break;
            }
            let (result, data, after) = guesses::answer(rest).inspect_err(|_| self.clear())?;
            rest = after;
            if INTERRUPTED.contains(&result) {
                // On a file system that waits. It is asked for when it is meant.
                continue;
            }
            let start = self.data.len();
            self.data.extend_from_slice(data);
            let at = start..self.data.len();
            self.answers.push((Arc::clone(guess), result, at));
        }
        match rest.is_empty() {
            true => Ok(()),
            false => {
                Err(LaneError::Refused("more answers than guesses")).inspect_err(|_| self.clear())
            }
        }
    }

    /// The answer to this call, if it is known and good for a process that is at `step`. It is given once.
    pub(crate) fn take(&mut self, encoded: &[u8], step: Step) -> Option<(i64, &[u8])> {
        if self.answers.is_empty() {
            return None;
        }
        let is_fresh = self.since.is_some_and(|since| since.elapsed() < FRESH);
        if self.step != step || !is_fresh {
            self.clear();
            return None;
        }
        let mut answers = self.answers.iter();
        let at = answers.position(|(guess, ..)| *guess.bytes == *encoded)?;
        let (_, result, data) = self.answers.swap_remove(at);
        Some((result, self.data.get(data)?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    fn foretold(step: Step) -> Foretold {
        let guesses = [b"first", b"other"].map(|call| Arc::new(Guess::of(call)));
        let mut bytes = Vec::new();
        guesses::push_answer(-2, &mut bytes, |_| {});
        guesses::push_answer(7, &mut bytes, |out| out.extend_from_slice(b"content"));
        let mut foretold = Foretold::default();
        foretold.keep(&guesses, &bytes, step).unwrap();
        foretold
    }

    #[test]
    fn an_answer_is_given_once() {
        let mut foretold = foretold((1, 1));
        assert_eq!(foretold.take(b"another", (1, 1)), None);
        assert_eq!(foretold.take(b"other", (1, 1)), Some((7, &b"content"[..])));
        assert_eq!(foretold.take(b"other", (1, 1)), None);
        assert_eq!(foretold.take(b"first", (1, 1)), Some((-2, &b""[..])));
    }

    #[test]
    fn it_is_forgotten_when_something_happens() {
        let mut foretold = foretold((1, 1));
        assert_eq!(foretold.take(b"other", (1, 2)), None);
        assert_eq!(foretold.take(b"other", (1, 1)), None);
    }

    #[test]
    fn it_is_forgotten_in_time() {
        let mut foretold = foretold((1, 1));
        std::thread::sleep(FRESH);
        assert_eq!(foretold.take(b"other", (1, 1)), None);
    }

    #[test]
    fn more_answers_than_guesses_are_refused() {
        let mut bytes = Vec::new();
        guesses::push_answer(0, &mut bytes, |_| {});
        let mut foretold = Foretold::default();
        assert!(foretold.keep(&[], &bytes, (0, 0)).is_err());
        assert!(foretold.keep(&[], &bytes[..3], (0, 0)).is_err());
        assert!(foretold.keep(&[], &[], (0, 0)).is_ok());
    }
}
