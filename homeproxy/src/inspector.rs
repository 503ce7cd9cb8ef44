//! Asking a host about the bodies that it runs: the home's end of the lane on
//! which home asks and the host answers.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use lane::inspect::{ANSWER_BYTES_MAX, Answer, PART_BYTES, Question};
use lane::{Kind, LaneError, Receiver, Sender};

use crate::job::lock;

/// Longest time a host may take to offer the lane.
const OFFER_TIMEOUT: Duration = Duration::from_secs(5);

/// The lane to a host.
#[derive(Default)]
pub(crate) struct Inspector {
    lane: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    /// Not offered yet.
    #[default]
    Awaited,
    /// Here; the number of the last question.
    Open(Box<(Sender, Receiver)>, u64),
    /// The host is gone, or has answered nonsense.
    Lost,
}

impl Inspector {
    /// The host has offered the lane.
    pub(crate) fn open(&self, sender: Sender, receiver: Receiver) {
        *lock(&self.lane) = State::Open(Box::new((sender, receiver)), 0);
        self.changed.notify_all();
    }

    /// Asks `question`; `data` are the bytes to write, if any. `None`: there is
    /// nobody to ask, or no such body.
    pub(crate) fn ask(&self, question: &Question, data: &[u8]) -> Option<(Answer, Vec<u8>)> {
        let guard = lock(&self.lane);
        let awaited = |state: &mut State| matches!(state, State::Awaited);
        let waited = self
            .changed
            .wait_timeout_while(guard, OFFER_TIMEOUT, awaited);
        let (mut state, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        let State::Open(lane, request) = &mut *state else {
            return None;
        };
        *request += 1;
        match exchange(lane, *request, question, data) {
            Ok((answer, bytes)) => (answer.errno != libc::ESRCH).then_some((answer, bytes)),
            Err(error) => {
                tracing::debug!("ask about a body: {error}");
                *state = State::Lost;
                None
            }
        }
    }
}

fn exchange(
    (sender, receiver): &mut (Sender, Receiver),
    request: u64,
    question: &Question,
    data: &[u8],
) -> Result<(Answer, Vec<u8>), LaneError> {
    let out = sender.begin();
    question.encode(out);
    out.extend_from_slice(data);
    sender.send(Kind::AskBody, 0, request)?;
    let frame = receiver.recv()?;
    if frame.kind != Kind::BodyAnswer || frame.request != request {
        return Err(LaneError::Refused("an answer to another question"));
    }
    let (answer, first) = Answer::decode(frame.payload)?;
    let mut bytes = first.to_vec();
    let wanted = match question.doing {
        lane::inspect::Doing::Write => 0,
        _ => answer.bytes.min(ANSWER_BYTES_MAX) as usize,
    };
    while bytes.len() < wanted {
        let frame = receiver.recv()?;
        if frame.kind != Kind::BodyAnswer || frame.payload.is_empty() {
            return Err(LaneError::Refused("an answer cut short"));
        }
        bytes.extend_from_slice(&frame.payload[..frame.payload.len().min(PART_BYTES)]);
    }
    if bytes.len() > wanted {
        return Err(LaneError::Refused("an answer that goes on after its end"));
    }
    Ok((answer, bytes))
}
