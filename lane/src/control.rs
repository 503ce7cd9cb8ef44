//! Messages of a job's control lane, and their encoding.
//!
//! The control lane is the one lane per host on which either side speaks unasked. Its frames are
//! of [`Kind::Control`](crate::Kind::Control) and hold exactly one message. Variants are numbered
//! by their order: append only, and raise [`VERSION`](crate::VERSION) for anything else.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::LaneError;

/// Largest encoded message in bytes.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// What decoding one message may allocate, in bytes. The decoder counts integers at their full
/// width, up to 16 bytes for one encoded byte: less would refuse messages that could be encoded.
const DECODED_BYTES_MAX: usize = 16 * CONTROL_BYTES_MAX;

/// Most buckets of one histogram, and of one message's histograms together
/// unless it holds only one.
pub const BUCKETS_MAX: usize = 4096;

/// Size of the kernel's `siginfo_t` in bytes.
pub const SIGINFO_BYTES: usize = 128;

/// In an answer's number of the last signal that was told: another waits at home, since the process
/// is to leave its host. It is not told any more unless the process stays, but natively would have
/// been taken before the call returned.
pub const MORE_SIGNALS: u64 = 1 << 63;

/// Signals that may wait at home until the body takes them, bit n-1 for signal n: not those that
/// cannot be blocked, those that stop and continue a process, and faults, which are the body's.
pub const HELD_MAX: u64 = {
    const OTHERS: [i32; 11] = [
        4,  // SIGILL
        5,  // SIGTRAP
        7,  // SIGBUS
        8,  // SIGFPE
        9,  // SIGKILL
        11, // SIGSEGV
        18, // SIGCONT
        19, // SIGSTOP
        20, // SIGTSTP
        21, // SIGTTIN
        22, // SIGTTOU
    ];
    let mut set = u64::MAX;
    let mut index = 0;
    while index < OTHERS.len() {
        set &= !(1 << (OTHERS[index] - 1));
        index += 1;
    }
    set
};

/// From the home proxy to the runtime. Pids and tids are those at home, which the guest sees too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// Fetch the image of this process and run it.
    Place {
        /// The process.
        pid: i32,
    },
    /// Deliver a signal.
    Signal {
        /// The process.
        pid: i32,
        /// The thread, or 0 for the process.
        tid: i32,
        /// Number of the signal, rising per process.
        seq: u64,
        /// The original `siginfo_t`.
        #[serde(with = "serde_bytes")]
        info: [u8; SIGINFO_BYTES],
    },
    /// End this process at once.
    Kill {
        /// The process.
        pid: i32,
    },
    /// Stop all threads of this process until it is thawed.
    Freeze {
        /// The process.
        pid: i32,
    },
    /// Let a frozen process run.
    Thaw {
        /// The process.
        pid: i32,
    },
    /// End every process and the runtime.
    Shutdown,
    /// Stop this process and send its image home. Home holds back its signals
    /// from now on.
    CallHome {
        /// The process.
        pid: i32,
        /// Whether pages may follow when it runs there already.
        later: Option<Follow>,
    },
    /// This process, which asked to go home, goes on where it is.
    Remain {
        /// The process.
        pid: i32,
        /// Why, in words for the user.
        reason: String,
    },
    /// Somebody wants to write a file that is read ahead: forget what was sent of it, and say so.
    Recall {
        /// Number of the stream, as in [`crate::ahead`].
        stream: u64,
    },
    /// A signal waits at home, where it is to be taken when the body is open for it.
    Waits {
        /// The process.
        pid: i32,
        /// The thread, or 0 for the process.
        tid: i32,
        /// As that of [`Signal`](Self::Signal), in one order with it.
        seq: u64,
        /// Number of the signal, one of [`HELD_MAX`].
        signal: i32,
    },
}

/// Which pages may follow a process that comes home, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// In the lanes' [`Opening`](crate::pages::Opening).
    pub number: u64,
    /// Fewer bytes come with the image.
    pub bytes_min: u64,
}

/// From the runtime to the home proxy. Pids and tids as in [`ToHost`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHome {
    /// The runtime is ready for guests.
    Ready {
        /// Number of the host node.
        node: u32,
        /// The runtime's pid on that node.
        pid: u32,
        /// Whether pages may follow a process that comes here.
        post_copy: bool,
    },
    /// A signal waits for a thread that is in a forwarded call: interrupt the call.
    Interrupt {
        /// The thread.
        tid: i32,
        /// Request number of the call; if it has been answered, there is nothing to do.
        request: u64,
    },
    /// The body has ended.
    BodyExited {
        /// The process.
        pid: i32,
        /// As `wait(2)` reports it.
        wait_status: i32,
    },
    /// One thread of a body has ended.
    ThreadExited {
        /// The process.
        pid: i32,
        /// The thread.
        tid: i32,
    },
    /// A stop signal with default disposition waits: the home kernel is to decide on it.
    StopSelf {
        /// The process.
        pid: i32,
        /// Number of the signal.
        signal: i32,
    },
    /// This process cannot run here.
    Cannot {
        /// The process.
        pid: i32,
        /// What was tried and why it failed, in words for the user.
        reason: String,
    },
    /// The body has been made and runs.
    Running {
        /// The process.
        pid: i32,
        /// Number of its way there, as in its image.
        placement: u64,
    },
    /// Part of a process's statistics, sent before its end is told; parts add
    /// up. Sent only when statistics are asked for.
    Statistics {
        /// The process.
        pid: i32,
        /// Calls executed at home.
        forwarded: Vec<Latencies>,
        /// Calls that the host executed itself after a look: number, count.
        native: Vec<(u32, u64)>,
    },
    /// Something that the user of this process should read.
    Say {
        /// The process.
        pid: i32,
        /// In words, one line.
        text: String,
    },
    /// This process has to go home.
    AskReturn {
        /// The process.
        pid: i32,
        /// Why, in words for the user.
        reason: String,
    },
    /// This process, which was recalled, goes on where it is.
    Remains {
        /// The process.
        pid: i32,
        /// Why, in words for the user.
        reason: String,
    },
    /// Answer to [`Recall`](ToHost::Recall): nothing of this stream will be read any more.
    Recalled {
        /// Number of the stream, as in [`crate::ahead`].
        stream: u64,
    },
    /// Nothing of this stream will be read any more, since another thread than the reader makes a
    /// call that the stream must not see. Counts as a frame of [`Kind::Ahead`](crate::Kind::Ahead).
    ReadOver {
        /// The process.
        pid: i32,
        /// Number of the stream.
        stream: u64,
    },
    /// The pages of this process, which runs, do not come.
    Starved {
        /// The process.
        pid: i32,
        /// Number of its departure: it may be elsewhere, or have executed a program, by now.
        departure: u64,
        /// Why, in words for the user.
        reason: String,
    },
    /// A body has ended, and has used this CPU time since it came. Told before its end, and if the
    /// process goes on since it has executed a program. Also told of one that leaves, without its CPU
    /// time: the image tells that.
    Used {
        /// The process.
        pid: i32,
        /// In user mode.
        user_ns: u64,
        /// In the kernel.
        system_ns: u64,
        /// Most memory that it has had there at any time, in bytes.
        peak_bytes: u64,
    },
}

/// Latencies of one system call, as a histogram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    /// Its number.
    pub nr: u32,
    /// The longest, exactly, in microseconds.
    pub max_us: u32,
    /// Upper bound in microseconds and count of each bucket that is not empty;
    /// at most [`BUCKETS_MAX`].
    pub buckets: Vec<(u32, u32)>,
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODED_BYTES_MAX>()
}

/// Appends the encoded message to `out`, for instance to what [`Lane::begin`](crate::Lane::begin)
/// returned.
///
/// # Errors
/// [`TooLarge`](LaneError::TooLarge) beyond [`CONTROL_BYTES_MAX`], [`Misuse`](LaneError::Misuse)
/// for a type that cannot be encoded. `out` is then as it was.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), LaneError> {
    let start = out.len();
    let encoded = bincode::serde::encode_into_std_write(message, out, config());
    let bytes = out.len() - start;
    let error = match encoded {
        Ok(_) if bytes <= CONTROL_BYTES_MAX => return Ok(()),
        Ok(_) => LaneError::TooLarge {
            bytes,
            bytes_max: CONTROL_BYTES_MAX,
        },
        Err(_) => LaneError::Misuse("message of a type that cannot be encoded"),
    };
    out.truncate(start);
    Err(error)
}

/// Decodes a message that fills `bytes` exactly. For the messages of this module it never panics
/// and allocates at most 16 times [`CONTROL_BYTES_MAX`], whatever the bytes are.
///
/// # Errors
/// [`Refused`](LaneError::Refused): drop the lane it came on.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LaneError> {
    if bytes.len() > CONTROL_BYTES_MAX {
        return Err(LaneError::Refused("control message longer than allowed"));
    }
    match bincode::serde::decode_from_slice(bytes, config()) {
        Ok((message, consumed)) if consumed == bytes.len() => Ok(message),
        Ok(_) => Err(LaneError::Refused(
            "bytes after the end of a control message",
        )),
        Err(_) => Err(LaneError::Refused("malformed control message")),
    }
}
