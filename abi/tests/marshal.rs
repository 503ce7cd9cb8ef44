//! Calls go home and come back: guest memory, wire form, deputy's data area.

use std::cell::RefCell;

use abi::{
    CALL_BYTES_MAX, EXEC_WIRE_BYTES_MAX, Errno, GuestMemory, HOLE, MarshalError, Marshalled,
    Pieces, RESPONSE_BYTES_MAX, SPACE_BYTES_MAX, USER_END, WIRE_BYTES_MAX, WireCall, X86_64, row,
};
use proptest::prelude::*;

/// Guest memory: one mapping, of which the end may be read-only.
struct Memory {
    start: u64,
    constant_from: u64,
    bytes: RefCell<Vec<u8>>,
}

const START: u64 = 0x10_0000;
const DEPUTY: u64 = 0x7000_0000_0000;

impl Memory {
    fn new(bytes: usize) -> Self {
        let pattern = (0..bytes).map(|i| (i % 251) as u8 + 1).collect();
        Memory {
            start: START,
            constant_from: u64::MAX,
            bytes: RefCell::new(pattern),
        }
    }

    fn put(&self, at: u64, from: &[u8]) {
        self.write(at, from)
            .expect("the test writes into the mapping");
    }

    fn put_words(&self, at: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(at, &bytes);
    }

    fn get(&self, at: u64, bytes: usize) -> Vec<u8> {
        let mut into = vec![0; bytes];
        self.read(at, &mut into)
            .expect("the test reads from the mapping");
        into
    }

    fn all(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }
}

impl GuestMemory for Memory {
    fn read_some(&self, at: u64, into: &mut [u8]) -> usize {
        let bytes = self.bytes.borrow();
        let Some(from) = at
            .checked_sub(self.start)
            .filter(|o| *o < bytes.len() as u64)
        else {
            return 0;
        };
        let from = &bytes[from as usize..];
        let got = from.len().min(into.len());
        into[..got].copy_from_slice(&from[..got]);
        got
    }

    fn write_some(&self, at: u64, from: &[u8]) -> usize {
        let fits = self.writable(at, from.len() as u64) as usize;
        if fits > 0 {
            let offset = (at - self.start) as usize;
            self.bytes.borrow_mut()[offset..offset + fits].copy_from_slice(&from[..fits]);
        }
        fits
    }

    fn writable(&self, at: u64, bytes: u64) -> u64 {
        let end = (self.start + self.bytes.borrow().len() as u64).min(self.constant_from);
        if at < self.start || at >= end {
            0
        } else {
            bytes.min(end - at)
        }
    }
}

/// What the deputy sees: arguments and data area, by address.
struct Deputy<'a> {
    args: [u64; 6],
    data: &'a mut [u8],
}

impl Deputy<'_> {
    fn at(&mut self, address: u64, bytes: usize) -> &mut [u8] {
        let offset = address
            .checked_sub(DEPUTY)
            .expect("a pointer into the data area") as usize;
        &mut self.data[offset..offset + bytes]
    }

    fn word(&mut self, address: u64) -> u64 {
        u64::from_le_bytes(self.at(address, 8).try_into().expect("8 bytes"))
    }
}

fn number(name: &str) -> u32 {
    X86_64
        .iter()
        .find(|row| row.name == name)
        .expect("a call of that name")
        .nr
}

/// Runs a call through all stations; `kernel` plays the home kernel.
fn forward(
    nr: u32,
    args: [u64; 6],
    memory: &Memory,
    kernel: impl FnOnce(&mut Deputy<'_>) -> i64,
) -> Result<i64, MarshalError> {
    let mut call = Marshalled::new();
    call.marshal(row(nr).expect("a row"), &args, memory)?;
    Ok(round(&call, memory, kernel))
}

fn round(call: &Marshalled, memory: &Memory, kernel: impl FnOnce(&mut Deputy<'_>) -> i64) -> i64 {
    let mut wire = Vec::new();
    call.encode(&mut wire);
    assert!(wire.len() <= WIRE_BYTES_MAX);
    let parsed = WireCall::parse(&wire).expect("what we encode, we accept");
    assert!(parsed.space_bytes() <= SPACE_BYTES_MAX);
    let mut data = vec![0xee; parsed.space_bytes()];
    let args = parsed.place(&mut data, DEPUTY);
    let ret = kernel(&mut Deputy {
        args,
        data: &mut data,
    });
    let mut response = Vec::new();
    parsed.collect(ret, &data, &mut response);
    assert!(response.len() <= RESPONSE_BYTES_MAX);
    call.scatter(ret, &response, memory)
        .expect("what we collect, we accept")
}

#[test]
fn path_and_out_structure() {
    let memory = Memory::new(8192);
    memory.put(START, b"/etc/hosts\0");
    let ret = forward(
        number("stat"),
        [START, START + 100, 0, 0, 0, 0],
        &memory,
        |deputy| {
            assert_eq!(deputy.at(deputy.args[0], 11), b"/etc/hosts\0");
            deputy.at(deputy.args[1], 144).fill(7);
            0
        },
    );
    assert_eq!(ret, Ok(0));
    assert_eq!(memory.get(START + 100, 144), [7; 144]);
    assert_ne!(memory.get(START + 244, 1), [7]);
}

#[test]
fn long_path_and_path_at_the_end_of_memory() {
    let memory = Memory::new(8192);
    memory.put(START + 8188, b"/ab\0");
    let open = number("open");
    let ret = forward(open, [START + 8188, 0, 0, 0, 0, 0], &memory, |deputy| {
        assert_eq!(deputy.at(deputy.args[0], 4), b"/ab\0");
        3
    });
    assert_eq!(ret, Ok(3));
    // The home kernel sees that the first is too long, and faults at the others.
    let ret = forward(open, [START, 0, 0, 0, 0, 0], &memory, |deputy| {
        assert!(!deputy.at(deputy.args[0], 4096).contains(&0));
        -36
    });
    assert_eq!(ret, Ok(-36));
    memory.put(START + 8191, b"x");
    for at in [START + 8000, 0x40] {
        let ret = forward(open, [at, 0, 0, 0, 0, 0], &memory, |deputy| {
            assert_eq!(deputy.args[0], HOLE);
            -14
        });
        assert_eq!(ret, Ok(-14));
    }
}

#[test]
fn null_stays_null() {
    let memory = Memory::new(64);
    let ret = forward(number("utimensat"), [3, 0, 0, 0, 0, 0], &memory, |deputy| {
        assert_eq!(deputy.args, [3, 0, 0, 0, 0, 0]);
        0
    });
    assert_eq!(ret, Ok(0));
}

#[test]
fn failed_call_writes_nothing() {
    let memory = Memory::new(4096);
    let before = memory.all();
    let args = [5, START, START + 64, START + 128, START + 192, 0];
    let ret = forward(number("select"), args, &memory, |deputy| {
        let bits = deputy.args[1];
        deputy.at(bits, 8).fill(0);
        -4
    });
    assert_eq!(ret, Ok(-4));
    assert_eq!(memory.all(), before);
}

#[test]
fn timeout_is_updated_whatever_the_result_and_may_be_constant() {
    let memory = Memory::new(4096);
    let ret = forward(
        number("select"),
        [0, 0, 0, 0, START, 0],
        &memory,
        |deputy| {
            deputy.at(deputy.args[4], 16).fill(9);
            -4
        },
    );
    assert_eq!(ret, Ok(-4));
    assert_eq!(memory.get(START, 16), [9; 16]);
    let constant = Memory {
        constant_from: START,
        ..Memory::new(4096)
    };
    let ret = forward(number("select"), [0, 0, 0, 0, START, 0], &constant, |_| 1);
    assert_eq!(ret, Ok(1));
    let ret = forward(number("select"), [5, START, 0, 0, 0, 0], &constant, |_| 1);
    assert_eq!(ret, Ok(Errno::EFAULT.as_return()));
}

#[test]
fn value_result_length() {
    let memory = Memory::new(4096);
    memory.put(START, &16u32.to_le_bytes());
    let before = memory.get(START + 64, 16);
    let ret = forward(
        number("accept"),
        [4, START + 64, START, 0, 0, 0],
        &memory,
        |deputy| {
            assert_eq!(deputy.at(deputy.args[2], 4), 16u32.to_le_bytes());
            deputy.at(deputy.args[1], 16).fill(0xaa);
            deputy
                .at(deputy.args[2], 4)
                .copy_from_slice(&2u32.to_le_bytes());
            5
        },
    );
    assert_eq!(ret, Ok(5));
    assert_eq!(memory.get(START, 4), 2u32.to_le_bytes());
    assert_eq!(memory.get(START + 64, 2), [0xaa; 2]);
    assert_eq!(memory.get(START + 66, 14), before[2..]);
    // No address is wanted: nobody looks at the length.
    let ret = forward(number("accept"), [4, 0, 0x33, 0, 0, 0], &memory, |deputy| {
        assert_eq!(deputy.args[1..3], [0, HOLE]);
        5
    });
    assert_eq!(ret, Ok(5));
}

#[test]
fn received_message() {
    let memory = Memory::new(8192);
    let (header, vectors, control) = (START, START + 256, START + 512);
    let (name, first, second) = (START + 1024, START + 1100, START + 1200);
    memory.put_words(header, &[name, 16, vectors, 2, control, 64, 0]);
    memory.put_words(vectors, &[first, 10, second, 20]);
    let before = memory.all();
    let ret = forward(
        number("recvmsg"),
        [3, header, 0, 0, 0, 0],
        &memory,
        |deputy| {
            let header = deputy.args[1];
            let (name, vectors, control) = (
                deputy.word(header),
                deputy.word(header + 16),
                deputy.word(header + 32),
            );
            deputy.at(name, 16).fill(1);
            deputy
                .at(header + 8, 4)
                .copy_from_slice(&3u32.to_le_bytes());
            let (first, second) = (deputy.word(vectors), deputy.word(vectors + 16));
            deputy.at(first, 10).fill(2);
            deputy.at(second, 20).fill(2);
            deputy.at(control, 64).fill(3);
            deputy
                .at(header + 40, 8)
                .copy_from_slice(&20u64.to_le_bytes());
            deputy
                .at(header + 48, 4)
                .copy_from_slice(&0x20u32.to_le_bytes());
            14
        },
    );
    assert_eq!(ret, Ok(14));
    let mut expected = before;
    let mut set = |at: u64, bytes: &[u8]| {
        let at = (at - START) as usize;
        expected[at..at + bytes.len()].copy_from_slice(bytes);
    };
    set(name, &[1; 3]);
    set(first, &[2; 10]);
    set(second, &[2; 4]);
    set(control, &[3; 20]);
    set(header + 8, &3u32.to_le_bytes());
    set(header + 40, &20u64.to_le_bytes());
    set(header + 48, &0x20u32.to_le_bytes());
    assert_eq!(memory.all(), expected);
}

#[test]
fn several_messages_received() {
    let memory = Memory::new(8192);
    let (array, vectors) = (START, START + 512);
    for k in 0..3 {
        let vector = vectors + k * 16;
        memory.put_words(vector, &[START + 1024 + k * 64, 64]);
        memory.put_words(array + k * 64, &[0, 0, vector, 1, 0, 0, 0, 0]);
    }
    let untouched = memory.get(START + 1024 + 128, 64);
    let ret = forward(
        number("recvmmsg"),
        [3, array, 3, 0, 0, 0],
        &memory,
        |deputy| {
            for k in 0..2 {
                let header = deputy.args[1] + k * 64;
                let vector = deputy.word(header + 16);
                let base = deputy.word(vector);
                deputy.at(base, 64).fill(k as u8 + 1);
                deputy
                    .at(header + 56, 4)
                    .copy_from_slice(&(10 + k as u32).to_le_bytes());
            }
            2
        },
    );
    assert_eq!(ret, Ok(2));
    assert_eq!(memory.get(array + 56, 4), 10u32.to_le_bytes());
    assert_eq!(memory.get(array + 64 + 56, 4), 11u32.to_le_bytes());
    assert_eq!(memory.get(array + 128 + 56, 4), [0; 4]);
    assert_eq!(memory.get(START + 1024, 10), [1; 10]);
    assert_eq!(memory.get(START + 1024 + 64, 11), [2; 11]);
    assert_eq!(memory.get(START + 1024 + 128, 64), untouched);
}

#[test]
fn argument_list() {
    let memory = Memory::new(8192);
    memory.put(START, b"/bin/echo\0");
    memory.put(START + 16, b"hello\0");
    memory.put_words(START + 64, &[START, START + 16, 0]);
    let args = [START, START + 64, 0, 0, 0, 0];
    let ret = forward(number("execve"), args, &memory, |deputy| {
        let list = deputy.args[1];
        let (first, second) = (deputy.word(list), deputy.word(list + 8));
        assert_eq!(deputy.at(first, 10), b"/bin/echo\0");
        assert_eq!(deputy.at(second, 6), b"hello\0");
        assert_eq!(deputy.word(list + 16), 0);
        -2
    });
    assert_eq!(ret, Ok(-2));
}

#[test]
fn long_argument_list_has_a_mapping_of_its_own() {
    const STRING_BYTES: u64 = 128 << 10;
    let memory = Memory::new(8 << 20);
    memory.put(START, b"/bin/true\0");
    let text = |k: u64| START + 4096 + k * STRING_BYTES;
    for k in 0..40 {
        memory.put(text(k) + STRING_BYTES - 1, b"\0");
    }
    let mut call = Marshalled::new();
    let mut marshal = |strings: u64| {
        let words: Vec<u64> = (0..strings).map(|k| text(k % 40)).chain([0]).collect();
        memory.put_words(START + 64, &words);
        let execve = row(59).expect("execve has a row");
        call.marshal(execve, &[START, START + 64, 0, 0, 0, 0], &memory)?;
        let mut wire = Vec::new();
        call.encode(&mut wire);
        assert!(wire.len() <= EXEC_WIRE_BYTES_MAX);
        let parsed = WireCall::parse(&wire).expect("what we encode, we accept");
        Ok(parsed.wants_own_mapping())
    };
    assert_eq!(marshal(9), Ok(false));
    assert_eq!(marshal(12), Ok(true));
    assert_eq!(marshal(47), Ok(true), "6 MiB with the pointers");
    assert_eq!(marshal(49), Err(MarshalError::Errno(Errno::E2BIG)));
}

#[test]
fn partly_valid_write_sends_the_valid_part() {
    let memory = Memory::new(4096);
    let mut call = Marshalled::new();
    let write = row(1).expect("write has a row");
    call.marshal(write, &[1, START + 4000, 200, 0, 0, 0], &memory)
        .expect("a prefix is valid");
    assert!(call.was_cut());
    let ret = round(&call, &memory, |deputy| {
        assert_eq!(deputy.args[2], 96);
        96
    });
    assert_eq!(ret, 96);
    call.marshal_rest(write, &[1, START + 4000, 200, 0, 0, 0], &memory, 96)
        .expect("the home kernel finds the fault");
    let ret = round(&call, &memory, |deputy| {
        assert_eq!(deputy.args[1], HOLE);
        -14
    });
    assert_eq!(ret, -14);
}

#[test]
fn wild_target_of_a_call_that_consumes_is_known_at_home() {
    let constant = Memory {
        constant_from: START + 4096,
        ..Memory::new(8192)
    };
    for (name, args) in [
        ("read", [0, START + 4096, 10, 0, 0, 0]),
        ("recvfrom", [0, 0x5000, 10, 0, 0, 0]),
        ("pipe2", [0, START + 4092, 0, 0, 0, 0]),
    ] {
        let index = usize::from(name != "pipe2");
        let mut given = args;
        if index == 0 {
            given.rotate_left(1);
        }
        let ret = forward(number(name), given, &constant, |deputy| {
            assert_eq!(deputy.args[index], HOLE, "{name}");
            -14
        });
        assert_eq!(ret, Ok(-14));
    }
    let args = [0, START + 4000, 1000, 0, 0, 0];
    let ret = forward(number("read"), args, &constant, |deputy| {
        assert_eq!(deputy.args[2], 96, "as much as can be written");
        96
    });
    assert_eq!(ret, Ok(96));
}

#[test]
fn wild_target_of_another_call_is_a_fault_after_it() {
    let memory = Memory::new(4096);
    memory.put(START, b"a\0");
    let ret = forward(number("stat"), [START, 0x5000, 0, 0, 0, 0], &memory, |_| 0);
    assert_eq!(ret, Ok(Errno::EFAULT.as_return()));
    let ret = forward(number("getgroups"), [9, 0x5000, 0, 0, 0, 0], &memory, |_| 0);
    assert_eq!(ret, Ok(0), "no bytes, no fault");
}

#[test]
fn range_beyond_the_user_s_addresses_is_refused_at_home() {
    let memory = Memory::new(4096);
    for (at, bytes) in [(START, u64::MAX >> 1), (START, u64::MAX), (USER_END - 4, 8)] {
        let ret = forward(number("read"), [0, at, bytes, 0, 0, 0], &memory, |deputy| {
            assert_eq!(deputy.args[1..3], [USER_END, bytes]);
            -14
        });
        assert_eq!(ret, Ok(-14));
    }
    // Of several vectors each is checked as it is, a single one after it is cut.
    memory.put_words(START, &[START + 64, i64::MAX as u64, START + 128, 5]);
    let ret = forward(number("readv"), [0, START, 2, 0, 0, 0], &memory, |deputy| {
        let vectors = deputy.args[1];
        assert_eq!(deputy.word(vectors), USER_END);
        assert_eq!(deputy.word(vectors + 8), i64::MAX as u64);
        -14
    });
    assert_eq!(ret, Ok(-14));
    let ret = forward(number("readv"), [0, START, 1, 0, 0, 0], &memory, |deputy| {
        let vector = deputy.args[1];
        assert_eq!(deputy.word(vector + 8), 4096 - 64);
        0
    });
    assert_eq!(ret, Ok(0));
    memory.put_words(START, &[START + 64, u64::MAX]);
    let ret = forward(
        number("writev"),
        [0, START, 1, 0, 0, 0],
        &memory,
        |deputy| {
            let vector = deputy.args[1];
            assert_eq!(deputy.word(vector + 8), u64::MAX);
            -22
        },
    );
    assert_eq!(ret, Ok(-22));
}

#[test]
fn vectors_after_a_fault_point_to_the_hole() {
    let memory = Memory::new(4096);
    memory.put_words(START, &[START + 4000, 200, START + 64, 5, 0x5000, 7]);
    let ret = forward(
        number("writev"),
        [1, START, 3, 0, 0, 0],
        &memory,
        |deputy| {
            let vectors = deputy.args[1];
            assert_eq!(deputy.word(vectors + 8), 96);
            assert_eq!(deputy.word(vectors + 16), HOLE);
            assert_eq!(deputy.word(vectors + 32), HOLE);
            96
        },
    );
    assert_eq!(ret, Ok(96));
    // Half a message is none.
    memory.put_words(START + 128, &[0, 0, START, 1, 0, 0, 0]);
    let sendmsg = number("sendmsg");
    let ret = forward(sendmsg, [1, START + 128, 0, 0, 0, 0], &memory, |deputy| {
        let vectors = deputy.word(deputy.args[1] + 16);
        assert_eq!(
            (deputy.word(vectors), deputy.word(vectors + 8)),
            (HOLE, 200)
        );
        -14
    });
    assert_eq!(ret, Ok(-14));
}

#[test]
fn unknown_command_goes_home_as_numbers() {
    let memory = Memory::new(4096);
    for (given, expected) in [(7, 7), (START, HOLE), (u64::MAX, u64::MAX)] {
        let args = [3, 9999, given, 0, 0, 0];
        let ret = forward(number("fcntl"), args, &memory, |deputy| {
            assert_eq!(deputy.args[..3], [3, 9999, expected]);
            -22
        });
        assert_eq!(ret, Ok(-22));
    }
}

#[test]
fn what_cannot_be_cut_goes_home() {
    let memory = Memory::new(9 << 20);
    let args = [START, START, START, 8 << 20, 0, 0];
    memory.put(START, b"a\0");
    let ret = forward(number("setxattr"), args, &memory, |_| 0);
    assert!(matches!(ret, Err(MarshalError::GoHome(_))));
    let args = [START, START, START, 10 << 20, 0, 0];
    let ret = forward(number("setxattr"), args, &memory, |deputy| {
        assert_eq!(deputy.args[2], HOLE, "nobody has that much");
        -7
    });
    assert_eq!(ret, Ok(-7));
    assert!(matches!(
        forward(number("io_uring_setup"), [0; 6], &memory, |_| 0),
        Err(MarshalError::GoHome(_))
    ));
}

#[test]
fn garbage_above_32_bits_does_not_matter() {
    let memory = Memory::new(4096);
    let args = [3, START, 0xdead_beef_0000_0010, 0, 0, 0];
    let ret = forward(number("bind"), args, &memory, |deputy| {
        assert_eq!(deputy.args[2] as u32, 16);
        0
    });
    assert_eq!(ret, Ok(0));
    let args = [3, START, u64::MAX, 0, 0, 0];
    let negative = forward(number("bind"), args, &memory, |deputy| {
        assert_eq!(deputy.args[..3], [3, HOLE, u64::MAX]);
        -22
    });
    assert_eq!(negative, Ok(-22));
}

#[test]
fn large_streams_arrive_in_pieces() {
    let bytes = 3 * CALL_BYTES_MAX + 12345;
    let memory = Memory::new(bytes);
    let write = row(18).expect("pwrite64 has a row");
    let args = [1, START, bytes as u64, 7, 0, 0];
    let (mut call, mut sent, mut done) = (Marshalled::new(), Vec::new(), 0);
    loop {
        call.marshal_rest(write, &args, &memory, done)
            .expect("valid memory");
        let ret = round(&call, &memory, |deputy| {
            assert_eq!(deputy.args[3], 7 + done);
            let count = deputy.args[2] as usize;
            sent.extend_from_slice(deputy.at(deputy.args[1], count));
            count as i64
        });
        done += ret as u64;
        if !call.was_cut() {
            break;
        }
    }
    assert_eq!(sent, memory.all());
}

#[test]
fn streams_are_known() {
    assert_eq!(abi::pieces(0), Pieces::Read);
    assert_eq!(abi::pieces(number("sendmsg")), Pieces::Write);
    assert_eq!(abi::pieces(number("stat")), Pieces::None);
}

/// Numbers as programs pass them: small, addresses, wild, huge.
fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => START..START + 16384,
        2 => 0u64..64,
        1 => 0u64..0x1_0000,
        1 => START + 16000..START + 17000,
        1 => any::<u64>(),
        1 => Just(0),
    ]
}

/// Words that make structures with pointers and lengths inside.
fn words() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(argument(), 128)
}

fn vectors(max: u64) -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0..max, 0..20)
}

/// Lays out an iovec array at the start of memory and its buffers behind.
fn lay_out(memory: &Memory, lengths: &[u64]) -> Vec<(u64, usize)> {
    let mut at = START + 1024;
    let mut buffers = Vec::new();
    for (k, length) in lengths.iter().enumerate() {
        memory.put_words(START + k as u64 * 16, &[at, *length]);
        buffers.push((at, *length as usize));
        at += length + 3;
    }
    buffers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn written_vectors_arrive(lengths in vectors(300), skip in 0u64..1000) {
        let memory = Memory::new(16384);
        let buffers = lay_out(&memory, &lengths);
        let sent: Vec<u8> = buffers.iter().flat_map(|(at, n)| memory.get(*at, *n)).collect();
        let skip = skip.min(sent.len() as u64);
        let args = [1, START, lengths.len() as u64, 0, 0, 0];
        let mut call = Marshalled::new();
        call.marshal_rest(row(20).expect("writev"), &args, &memory, skip).expect("valid memory");
        let mut arrived = Vec::new();
        round(&call, &memory, |deputy| {
            for k in 0..deputy.args[2] {
                let vector = deputy.args[1] + k * 16;
                let (base, length) = (deputy.word(vector), deputy.word(vector + 8));
                if length > 0 {
                    arrived.extend_from_slice(deputy.at(base, length as usize));
                }
            }
            arrived.len() as i64
        });
        prop_assert_eq!(&arrived, &sent[skip as usize..]);
    }

    #[test]
    fn read_vectors_are_filled_in_order(lengths in vectors(300), part in 0.0f64..=1.0) {
        let memory = Memory::new(16384);
        let buffers = lay_out(&memory, &lengths);
        let mut expected = memory.all();
        let total: u64 = lengths.iter().sum();
        let ret = (total as f64 * part) as i64;
        let mut left = ret as usize;
        for (at, length) in &buffers {
            let here = left.min(*length);
            let at = (at - START) as usize;
            expected[at..at + here].fill(0xcc);
            left -= here;
        }
        let args = [0, START, lengths.len() as u64, 0, 0, 0];
        let answer = forward(19, args, &memory, |deputy| {
            for k in 0..deputy.args[2] {
                let vector = deputy.args[1] + k * 16;
                let (base, length) = (deputy.word(vector), deputy.word(vector + 8));
                if length > 0 {
                    deputy.at(base, length as usize).fill(0xcc);
                }
            }
            ret
        });
        prop_assert_eq!(answer, Ok(ret));
        prop_assert_eq!(memory.all(), expected);
    }

    /// Every call survives all stations, whatever its arguments. A call that
    /// failed, and one whose kernel wrote back what it was given, changes
    /// nothing in the guest.
    #[test]
    fn every_row_with_any_arguments(
        at in 0..X86_64.len(),
        args in prop::array::uniform6(argument()),
        words in words(),
        command in any::<prop::sample::Index>(),
        pick_command in any::<bool>(),
        ret in prop_oneof![-4095i64..4096, any::<i64>()],
    ) {
        let row = &X86_64[at];
        let memory = Memory::new(16384);
        for copy in 0..16 {
            memory.put_words(START + copy * 1024, &words);
        }
        let mut args = args;
        if row.nr == 16 && pick_command {
            let all: Vec<_> = abi::command::commands().filter(|c| c.nr == 16).collect();
            args[1] = command.get(&all).code;
        }
        let before = memory.all();
        let mut call = Marshalled::new();
        if call.marshal(row, &args, &memory).is_ok() {
            let answer = round(&call, &memory, |_| -22);
            prop_assert_eq!(answer, -22);
            prop_assert_eq!(&memory.all(), &before);
            let answer = round(&call, &memory, |_| ret);
            prop_assert!(answer == ret || answer == -14);
        }
        abi::trace::format_call(row, &args, &memory);
        abi::trace::format_result(row, ret);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), ret in any::<i64>()) {
        examine(&bytes, ret);
    }

    #[test]
    fn mutated_calls_never_panic(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        shorten in any::<bool>(),
        ret in any::<i64>(),
        response in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let memory = Memory::new(8192);
        memory.put_words(START, &[START + 1024, 16, START + 512, 2, START + 700, 64, 0]);
        memory.put_words(START + 512, &[START + 2000, 10, START + 3000, 20]);
        for nr in [number("recvmsg"), number("sendmsg"), number("readv")] {
            let at = if nr == number("readv") { START + 512 } else { START };
            let mut call = Marshalled::new();
            call.marshal(row(nr).expect("a row"), &[3, at, 2, 0, 0, 0], &memory).expect("valid");
            let mut wire = Vec::new();
            call.encode(&mut wire);
            for (index, byte) in &mutations {
                *index.get_mut(&mut wire) = *byte;
            }
            if shorten {
                wire.truncate(cut.index(wire.len()));
            }
            examine(&wire, ret);
            let _ = call.scatter(ret, &response, &memory);
        }
    }
}

/// Does with hostile bytes all that the home would do.
fn examine(bytes: &[u8], ret: i64) {
    if let Ok(call) = WireCall::parse(bytes) {
        let mut data = vec![0xff; call.space_bytes()];
        call.place(&mut data, DEPUTY);
        let mut response = Vec::new();
        call.collect(ret, &data, &mut response);
        assert!(response.len() <= RESPONSE_BYTES_MAX);
    }
}
