//! `struct msghdr` and arrays of them.

use super::gather::Gather;
use super::vectors::Vectors;
use super::{MarshalError, Place, Rule};
use crate::wire::{read_u32, read_u64};

/// Bytes of `struct msghdr`, and of `struct mmsghdr`, which ends with the u32
/// `msg_len` and padding.
const MSGHDR_BYTES: usize = 56;
const MMSGHDR_BYTES: usize = 64;
/// Offsets in `struct msghdr`.
const NAME: usize = 0;
const NAME_LENGTH: usize = 8;
const VECTORS: usize = 16;
const VECTOR_COUNT: usize = 24;
const CONTROL: usize = 32;
const CONTROL_LENGTH: usize = 40;
const FLAGS: usize = 48;
/// Longest socket address (`struct sockaddr_storage`); the kernel cuts there.
const NAME_BYTES_MAX: u64 = 128;
/// Most control bytes accepted into a guest; no kernel sends as many.
const CONTROL_BYTES_MAX: u64 = 64 << 10;
/// Most control bytes a guest may send; the kernel's limit (`optmem_max`) is
/// lower, or is passed over without a copy.
const CONTROL_SENT_MAX: u64 = 192 << 10;
/// Most vectors in a message, and messages in a call (`UIO_MAXIOV`).
const VECTORS_MAX: u64 = 1024;

/// One message while it is read.
#[derive(Clone, Copy)]
struct Message {
    /// Offset of its header in the input, and its address in the guest.
    header: usize,
    guest_at: u64,
    /// For a message that is received: how its bytes are counted.
    received: Option<Rule>,
    /// The message exists for results of at least this.
    least: i32,
}

impl Gather<'_> {
    pub(super) fn message(
        &mut self,
        index: usize,
        at: u64,
        receive: bool,
    ) -> Result<(), MarshalError> {
        let header = self.read(at, MSGHDR_BYTES as u64)?;
        self.point(index, at, header);
        let Some(header) = header else {
            return Ok(());
        };
        let received = receive.then_some(Rule::per_result(1, 0));
        self.one_message(Message {
            header,
            guest_at: at,
            received,
            least: 0,
        })
    }

    /// An array of messages. What does not fit is left for the program's next
    /// call, as the kernel does.
    pub(super) fn messages(
        &mut self,
        index: usize,
        at: u64,
        count_arg: u8,
        receive: bool,
    ) -> Result<(), MarshalError> {
        let asked = self.count(count_arg).unwrap_or(0).min(VECTORS_MAX);
        let array = self.read_some(at, asked * MMSGHDR_BYTES as u64)?;
        let count = (self.call.input_bytes - array) / MMSGHDR_BYTES;
        if count == 0 && asked > 0 {
            self.point(index, at, None);
            return Ok(());
        }
        let mut complete = 0;
        for k in 0..count {
            let header = array + k * MMSGHDR_BYTES;
            let guest_at = at.wrapping_add((k * MMSGHDR_BYTES) as u64);
            let length_at = header + MSGHDR_BYTES;
            let least = k as i32 + 1;
            let received = receive.then_some(Rule::counted(length_at).at_least(least));
            let cut_before = self.call.cut;
            let result = self.one_message(Message {
                header,
                guest_at,
                received,
                least,
            });
            let cut = self.call.cut && !cut_before;
            if k > 0 && (result.is_err() || cut) {
                self.call.cut = cut_before;
                break;
            }
            result?;
            let rule = Rule::WHOLE.at_least(least);
            let length_guest = guest_at.wrapping_add(MSGHDR_BYTES as u64);
            self.call
                .copy_back(Place::Input(length_at), 4, rule, length_guest)?;
            complete = k as u64 + 1;
        }
        self.call.args[usize::from(count_arg)] = complete;
        self.call.point(index, Place::Input(array));
        Ok(())
    }

    fn one_message(&mut self, message: Message) -> Result<(), MarshalError> {
        self.message_name(message)?;
        let count = self.word(message.header + VECTOR_COUNT);
        let vectors = self.word(message.header + VECTORS);
        if vectors != 0 {
            let flow = message.received.map_or(Vectors::Message, Vectors::Received);
            let array = if count <= VECTORS_MAX {
                self.vectors(vectors, count, flow)?
            } else {
                None
            };
            self.relocate(message.header + VECTORS, vectors, array);
        }
        self.message_control(message)?;
        if message.received.is_some() {
            self.give_back(message, CONTROL_LENGTH, 8)?;
            self.give_back(message, FLAGS, 4)?;
        }
        Ok(())
    }

    fn message_name(&mut self, message: Message) -> Result<(), MarshalError> {
        let at = self.word(message.header + NAME);
        if at == 0 {
            return Ok(());
        }
        let length_at = message.header + NAME_LENGTH;
        let length = u64::from(read_u32(&self.call.input, length_at).unwrap_or(0));
        if length > i32::MAX as u64 {
            // Refused at home.
            self.relocate(message.header + NAME, at, None);
            return Ok(());
        }
        let length = length.min(NAME_BYTES_MAX);
        self.call.input[length_at..length_at + 4].copy_from_slice(&(length as u32).to_le_bytes());
        self.attach(message, at, length, NAME, NAME_LENGTH)?;
        if message.received.is_some() {
            self.give_back(message, NAME_LENGTH, 4)?;
        }
        Ok(())
    }

    fn message_control(&mut self, message: Message) -> Result<(), MarshalError> {
        let at = self.word(message.header + CONTROL);
        let length_at = message.header + CONTROL_LENGTH;
        let mut length = self.word(length_at);
        if at == 0 {
            return Ok(());
        }
        if self.is_rest && message.received.is_none() {
            // It went with the first bytes.
            let control_at = message.header + CONTROL;
            self.call.input[control_at..control_at + 8].fill(0);
            self.call.input[length_at..length_at + 8].fill(0);
            return Ok(());
        }
        let is_refused = length > i32::MAX as u64;
        if is_refused || message.received.is_none() && length > CONTROL_SENT_MAX {
            self.relocate(message.header + CONTROL, at, None);
            return Ok(());
        }
        if message.received.is_some() {
            length = length.min(CONTROL_BYTES_MAX);
            self.call.input[length_at..length_at + 8].copy_from_slice(&length.to_le_bytes());
        }
        self.attach(message, at, length, CONTROL, CONTROL_LENGTH)
    }

    /// Name or control data: travels with a sent message, is room in a
    /// received one, of which as much counts as its length says afterwards.
    fn attach(
        &mut self,
        message: Message,
        at: u64,
        bytes: u64,
        pointer: usize,
        length: usize,
    ) -> Result<(), MarshalError> {
        if message.received.is_none() {
            let place = self.read(at, bytes)?;
            self.relocate(message.header + pointer, at, place);
            return Ok(());
        }
        let place = self.call.reserve(bytes)?;
        if bytes > 0 {
            let rule = Rule::counted(message.header + length).at_least(message.least);
            self.call.copy_back(place, bytes as usize, rule, at)?;
        }
        self.call.relocate(message.header + pointer, place);
        Ok(())
    }

    /// Copies a field of the header back; never the pointers beside it.
    fn give_back(
        &mut self,
        message: Message,
        field: usize,
        bytes: usize,
    ) -> Result<(), MarshalError> {
        let rule = Rule::WHOLE.at_least(message.least);
        let at = message.guest_at.wrapping_add(field as u64);
        self.call
            .copy_back(Place::Input(message.header + field), bytes, rule, at)
    }

    fn word(&self, input_offset: usize) -> u64 {
        read_u64(&self.call.input, input_offset).unwrap_or(0)
    }
}
