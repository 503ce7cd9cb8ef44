//! What home asks about bodies: their part of `/proc/PID`, proc_pid(5).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use abi::wire::CALL_BYTES_MAX;
use image::maps;
use lane::inspect::{ANSWER_BYTES_MAX, Answer, BodyFile, Doing, PART_BYTES, Question};
use lane::{Kind, LaneError, Sender};

use crate::guest::Thread;
use crate::host::{Host, STACK_BYTES, lock};

/// Bits of a pagemap entry that tell where a page lies in this node's memory.
const PAGE_FRAME: u64 = (1 << 55) - 1;

/// Offers home a lane to ask on, and starts the thread that answers.
pub(crate) fn start(host: &Arc<Host>) -> io::Result<()> {
    let host = Arc::clone(host);
    let serve = move || {
        if let Err(error) = serve(&host) {
            tracing::debug!("questions about bodies: {error}");
        }
    };
    std::thread::Builder::new()
        .name("inspect".into())
        .stack_size(STACK_BYTES)
        .spawn(serve)
        .map(drop)
}

fn serve(host: &Host) -> Result<(), LaneError> {
    let (mut sender, mut receiver) = host.lane()?.split()?;
    sender.begin();
    sender.send(Kind::Inspect, 0, 0)?;
    loop {
        let frame = receiver.recv()?;
        if frame.kind != Kind::AskBody {
            return Err(LaneError::Refused("something else than a question"));
        }
        let (question, data) = Question::decode(frame.payload)?;
        let request = frame.request;
        let (answer, bytes) = answer(host, &question, data);
        send(&mut sender, request, answer, &bytes)?;
    }
}

fn send(sender: &mut Sender, request: u64, answer: Answer, bytes: &[u8]) -> Result<(), LaneError> {
    let (first, rest) = bytes.split_at(bytes.len().min(PART_BYTES));
    let out = sender.begin();
    answer.encode(out);
    out.extend_from_slice(first);
    sender.send(Kind::BodyAnswer, 0, request)?;
    for part in rest.chunks(PART_BYTES) {
        sender.begin().extend_from_slice(part);
        sender.send(Kind::BodyAnswer, 0, request)?;
    }
    Ok(())
}

fn answer(host: &Host, question: &Question, data: &[u8]) -> (Answer, Vec<u8>) {
    let thread = host.thread_at_home(question.tid);
    let waits_at_home = thread
        .as_ref()
        .is_some_and(|thread| lock(&thread.state).request.is_some());
    let done = match &thread {
        Some(thread) => carry_out(host, thread, question, data),
        None => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    };
    let (errno, bytes, text) = match done {
        Ok(Done::Read(text)) => (0, text.len() as u64, text),
        Ok(Done::Wrote(bytes)) => (0, bytes as u64, Vec::new()),
        Err(error) => (error.raw_os_error().unwrap_or(libc::EIO), 0, Vec::new()),
    };
    let answer = Answer {
        errno,
        waits_at_home,
        bytes,
    };
    (answer, text)
}

enum Done {
    Read(Vec<u8>),
    Wrote(usize),
}

fn carry_out(host: &Host, thread: &Thread, question: &Question, data: &[u8]) -> io::Result<Done> {
    let name = question.file.name();
    let path = match question.of_thread {
        true => format!(
            "/proc/{}/task/{}/{name}",
            thread.process.outer, thread.outer
        ),
        false => format!("/proc/{}/{name}", thread.outer),
    };
    match question.doing {
        Doing::Text => {
            let mut text = fs::read(path)?;
            if matches!(question.file, BodyFile::Maps | BodyFile::Smaps) {
                text = maps::at_home(&text, |inode, name| host.files.home_of(inode, name));
            }
            text.truncate(ANSWER_BYTES_MAX as usize);
            Ok(Done::Read(text))
        }
        Doing::Read => {
            let mut bytes = vec![0; question.bytes.min(CALL_BYTES_MAX as u64) as usize];
            let n = File::open(path)?.read_at(&mut bytes, question.position)?;
            bytes.truncate(n);
            if question.file == BodyFile::PageMap {
                hide_frames(&mut bytes);
            }
            Ok(Done::Read(bytes))
        }
        Doing::Write => File::options()
            .write(true)
            .open(path)?
            .write_at(data, question.position)
            .map(Done::Wrote),
    }
}

/// As the kernel shows it to those who may not know.
fn hide_frames(entries: &mut [u8]) {
    for entry in entries.as_chunks_mut::<8>().0 {
        let shown = u64::from_ne_bytes(*entry) & !PAGE_FRAME;
        *entry = shown.to_ne_bytes();
    }
}
