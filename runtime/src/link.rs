//! The host's end of a lane: requests and their answers.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex};

use abi::CALL_BYTES_MAX;
use abi::marshal::Marshalled;
use image::Image;
use image::files::{FILE_BYTES_MAX, FileIdentity, LocalFiles, Mappable};
use image::postcopy::source::Source;
use image::schema::IMAGE_BYTES_MAX;
use lane::{Frame, Kind, Lane, LaneError, Receiver, Sender};
use sys::patience::{Patience, UNDER_WAY};

use crate::guesses::{Foretold, Guess, Last, Step};
use crate::host::lock;
use crate::readahead::{Descriptors, Reader};

/// Most bytes for which room is made before they come.
const RESERVED_BYTES_MAX: u64 = 1 << 30;
/// Bytes of an image in one frame.
const PART_BYTES: usize = 512 * 1024;
/// Lease epoch until leases move.
pub(crate) const EPOCH: u32 = 1;

/// One lane.
pub(crate) struct Link {
    /// Others say on it what the guest has read of files that are read ahead.
    pub(crate) sender: Arc<Mutex<Sender>>,
    pub(crate) receiver: Receiver,
    request: u64,
    patience: Patience,
    /// What has come of files that are read ahead.
    pub(crate) reader: Reader,
    /// The last call.
    pub(crate) last: Last,
    /// Answers that have come with that of the last request.
    pub(crate) foretold: Foretold,
}

/// Answer to a call.
pub(crate) struct Answer<'a> {
    /// Result, or one of the marks below -4095.
    pub(crate) result: i64,
    /// Number of the last signal sent to the process before the result.
    pub(crate) signals: u64,
    /// What the call wrote.
    pub(crate) data: &'a [u8],
}

/// The process has executed another program, whose image can be fetched.
pub(crate) const EXECUTED: i64 = i64::MIN + 1;
/// The deputy's thread is gone.
pub(crate) const GONE: i64 = i64::MIN + 2;
/// The process has executed another program, which runs at home.
pub(crate) const STAYS: i64 = i64::MIN + 3;

/// Result and number of the last signal at the front of an answer, and the rest.
fn result_of(payload: &[u8]) -> Result<(i64, u64, &[u8]), LaneError> {
    let (result, rest) = payload
        .split_first_chunk::<8>()
        .ok_or(LaneError::Refused("no result"))?;
    let (signals, rest) = rest
        .split_first_chunk::<8>()
        .ok_or(LaneError::Refused("no signal count"))?;
    Ok((
        i64::from_le_bytes(*result),
        u64::from_le_bytes(*signals),
        rest,
    ))
}

impl Link {
    /// The host's end of a lane that is bound to no thread yet.
    pub(crate) fn over(lane: Lane) -> Result<Link, LaneError> {
        let (sender, receiver) = lane.split()?;
        Ok(Link {
            sender: Arc::new(Mutex::new(sender)),
            receiver,
            request: 0,
            patience: Patience::new(UNDER_WAY),
            reader: Reader::default(),
            last: Last::default(),
            foretold: Foretold::default(),
        })
    }

    /// From now on the lane carries the calls of thread `tid`.
    pub(crate) fn bind(&mut self, tid: i32) -> Result<(), LaneError> {
        let mut sender = lock(&self.sender);
        sender.begin().extend_from_slice(&tid.to_le_bytes());
        sender.send(Kind::Bind, EPOCH, 0)
    }

    /// What comes next on this lane comes after all that has been said on other
    /// lanes about the process's files.
    pub(crate) fn put_in_order(&mut self, of: &Arc<Descriptors>) -> Result<(), LaneError> {
        let Some(count) = self.reader.unordered(of) else {
            return Ok(());
        };
        let mut sender = lock(&self.sender);
        sender.begin().extend_from_slice(&count.to_le_bytes());
        sender.send(Kind::After, EPOCH, 0)
    }

    /// Waits for the next frame that is not about a file that is read ahead.
    fn receive(&mut self) -> Result<Frame<'_>, LaneError> {
        loop {
            self.reader.keep(&self.receiver);
            let frame = self.receiver.recv()?;
            if frame.kind != Kind::Pushed {
                break;
            }
            self.reader.arrived(frame.payload)?;
        }
        self.receiver.last().ok_or(LaneError::Closed)
    }

    /// Reads to the end of what home still sends unasked.
    pub(crate) fn drain(&mut self) -> Result<(), LaneError> {
        while self.reader.leaves() {
            let frame = self.receiver.recv()?;
            if frame.kind != Kind::Pushed {
                return Err(LaneError::Refused("an answer to no request"));
            }
            self.reader.arrived(frame.payload)?;
        }
        Ok(())
    }

    /// Number that the next request will have.
    pub(crate) fn next_request(&self) -> u64 {
        self.request + 1
    }

    /// The next request: what was foretold is of the one before.
    fn begin_request(&mut self) {
        self.request += 1;
        self.foretold.clear();
    }

    /// Sends a call, encoded, with guesses.
    pub(crate) fn send_guessing(
        &mut self,
        call: &[u8],
        guesses: &[Arc<Guess>],
    ) -> Result<(), LaneError> {
        self.begin_request();
        let mut sender = lock(&self.sender);
        let out = sender.begin();
        lane::guesses::push(call, out);
        for guess in guesses {
            lane::guesses::push(guess.bytes(), out);
        }
        sender.send(Kind::Calls, EPOCH, self.request)
    }

    /// Waits for the answer to that; those to the guesses are kept, of a process that is at `step`.
    pub(crate) fn receive_answers(
        &mut self,
        guesses: &[Arc<Guess>],
        step: Step,
    ) -> Result<Answer<'_>, LaneError> {
        let request = self.request;
        self.patience.watch(|| self.receiver.is_ready());
        if self.receive()?.kind == Kind::Result {
            return self.answer();
        }
        let frame = self.receiver.last().ok_or(LaneError::Closed)?;
        if frame.kind != Kind::Results || frame.request != request {
            return Err(LaneError::Refused("an answer to another request"));
        }
        let (result, signals, rest) = result_of(frame.payload)?;
        let (data, rest) = lane::guesses::piece(rest, CALL_BYTES_MAX)?;
        self.foretold.keep(guesses, rest, step)?;
        Ok(Answer {
            result,
            signals,
            data,
        })
    }

    /// Sends a call without waiting for its answer; one that may be longer than
    /// a frame in parts.
    pub(crate) fn send_call(&mut self, kind: Kind, call: &Marshalled) -> Result<(), LaneError> {
        self.begin_request();
        let mut sender = lock(&self.sender);
        if !call.wants_own_mapping() {
            call.encode(sender.begin());
            return sender.send(kind, EPOCH, self.request);
        }
        let mut encoded = Vec::new();
        call.encode(&mut encoded);
        let mut rest = encoded.as_slice();
        while let Some((part, after)) = rest.split_at_checked(CALL_BYTES_MAX) {
            sender.begin().extend_from_slice(part);
            sender.send(Kind::Part, EPOCH, self.request)?;
            rest = after;
        }
        sender.begin().extend_from_slice(rest);
        sender.send(kind, EPOCH, self.request)
    }

    /// Waits for the answer to the last call, awake at first if that has paid
    /// lately.
    pub(crate) fn receive_answer(&mut self) -> Result<Answer<'_>, LaneError> {
        self.patience.watch(|| self.receiver.is_ready());
        self.receive()?;
        self.answer()
    }

    /// The answer that has come.
    fn answer(&self) -> Result<Answer<'_>, LaneError> {
        let frame = self.receiver.last().ok_or(LaneError::Closed)?;
        if frame.kind != Kind::Result || frame.request != self.request {
            return Err(LaneError::Refused("an answer to another request"));
        }
        let (result, signals, data) = result_of(frame.payload)?;
        Ok(Answer {
            result,
            signals,
            data,
        })
    }

    /// The number of the last signal that home has sent for the bound process, its image and the contents
    /// of its pages. `later`: some may come when it runs already.
    pub(crate) fn fetch_image(&mut self, later: bool) -> Result<(u64, Image, Vec<u8>), LaneError> {
        self.begin_request();
        let mut sender = lock(&self.sender);
        sender.begin().push(u8::from(later));
        sender.send(Kind::FetchImage, EPOCH, self.request)?;
        drop(sender);
        let signals = self.receive_number()?;
        let encoded = self.receive_parts(IMAGE_BYTES_MAX as u64)?;
        let image = Image::decode(&encoded).map_err(|_| LaneError::Refused("a malformed image"))?;
        let pages = self.receive_parts(image.page_bytes())?;
        Ok((signals, image, pages))
    }

    /// A number that is part of an image.
    fn receive_number(&mut self) -> Result<u64, LaneError> {
        let frame = self.receive()?;
        let number = match frame.kind {
            Kind::ImagePart => frame.payload.first_chunk::<8>(),
            _ => None,
        };
        let number = number.ok_or(LaneError::Refused("no image to fetch"))?;
        Ok(u64::from_le_bytes(*number))
    }

    /// A length, then that many bytes in parts.
    fn receive_parts(&mut self, bytes_max: u64) -> Result<Vec<u8>, LaneError> {
        let length = self.receive_number()?;
        if length > bytes_max {
            return Err(LaneError::Refused("an image larger than allowed"));
        }
        // Only address space, until it is filled.
        let mut bytes = Vec::with_capacity(length.min(RESERVED_BYTES_MAX) as usize);
        while (bytes.len() as u64) < length {
            let frame = self.receive()?;
            if frame.kind != Kind::ImagePart || frame.payload.is_empty() {
                return Err(LaneError::Refused("an image cut short"));
            }
            bytes.extend_from_slice(frame.payload);
        }
        Ok(bytes)
    }

    /// Sends the image of the bound process, which is to go on at home, with
    /// pages as they are in `outer`, which stands still, and waits for home's
    /// answer: why it does not, if so.
    pub(crate) fn send_home(
        &mut self,
        image: &Image,
        outer: i32,
    ) -> Result<Result<(), String>, LaneError> {
        let encoded = match image.encode() {
            Ok(encoded) => encoded,
            Err(error) => return Ok(Err(error.to_string())),
        };
        self.begin_request();
        let request = self.request;
        let lengths = [encoded.len() as u64, image.page_bytes()].map(u64::to_le_bytes);
        let mut sender = lock(&self.sender);
        sender.begin().extend_from_slice(lengths.as_flattened());
        sender.send(Kind::Return, EPOCH, request)?;
        for part in encoded.chunks(PART_BYTES) {
            sender.begin().extend_from_slice(part);
            sender.send(Kind::Return, EPOCH, request)?;
        }
        let mut source = Source::new(outer, &image.pages);
        let io = |source| LaneError::Io {
            doing: "read the pages of a process",
            source,
        };
        while source.contents(sender.begin()).map_err(io)? {
            sender.send(Kind::Return, EPOCH, request)?;
        }
        drop(sender);
        let frame = self.receive()?;
        if frame.kind != Kind::Returned || frame.request != request {
            return Err(LaneError::Refused("no answer to an image"));
        }
        match String::from_utf8_lossy(frame.payload).into_owned() {
            why if why.is_empty() => Ok(Ok(())),
            why => Ok(Err(why)),
        }
    }

    /// What becomes of a mapping of descriptor `fd` of the bound process, with protection `prot`, or its
    /// errno; `anyway`: the process cannot go home for it.
    pub(crate) fn describe(
        &mut self,
        fd: i32,
        shared: bool,
        prot: i32,
        anyway: bool,
    ) -> Result<Result<Mappable, i32>, LaneError> {
        self.begin_request();
        let mut sender = lock(&self.sender);
        let out = sender.begin();
        out.extend_from_slice(&fd.to_le_bytes());
        let has = |access| u8::from(prot & access != 0);
        let (written, executed) = (has(libc::PROT_WRITE), has(libc::PROT_EXEC));
        out.push(u8::from(shared) | written << 1 | u8::from(anyway) << 2 | executed << 3);
        sender.send(Kind::DescribeFile, EPOCH, self.request)?;
        drop(sender);
        let frame = self.receive()?;
        let (errno, rest) = frame
            .payload
            .split_first_chunk::<4>()
            .ok_or(LaneError::Refused("no errno"))?;
        match i32::from_le_bytes(*errno) {
            0 => Ok(Ok(lane::control::decode(rest)?)),
            errno => Ok(Err(errno)),
        }
    }

    /// A local file with the content of `wanted`: one that is here, else a
    /// copy fetched from home.
    pub(crate) fn file(
        &mut self,
        files: &LocalFiles,
        wanted: &FileIdentity,
    ) -> Result<Arc<File>, LaneError> {
        // The fault: no file of this node has the content.
        if lane::fault::point("local-file").is_ok()
            && let Some(file) = files.find(wanted)
        {
            return Ok(file);
        }
        if wanted.bytes > FILE_BYTES_MAX {
            return Err(LaneError::Refused("a file larger than allowed"));
        }
        let io = |source| LaneError::Io {
            doing: "copy a file from home",
            source,
        };
        let mut copy = sys::memfd::create(c"homenode-file").map_err(io)?;
        let mut offset = 0u64;
        while offset < wanted.bytes {
            self.begin_request();
            let mut sender = lock(&self.sender);
            let out = sender.begin();
            out.extend_from_slice(&wanted.digest);
            out.extend_from_slice(&offset.to_le_bytes());
            sender.send(Kind::FetchFile, EPOCH, self.request)?;
            drop(sender);
            let frame = self.receive()?;
            if frame.kind != Kind::FilePart || frame.payload.is_empty() {
                return Err(LaneError::Refused("a file that home cut short"));
            }
            copy.write_all(frame.payload).map_err(io)?;
            offset += frame.payload.len() as u64;
        }
        files.adopt(wanted, copy).map_err(io)
    }
}
