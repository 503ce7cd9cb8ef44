//! The codec of control messages.
#![allow(clippy::unwrap_used, reason = "a test ends at the first failure")]

use lane::LaneError;
use lane::control::{
    BUCKETS_MAX, CONTROL_BYTES_MAX, Follow, Latencies, SIGINFO_BYTES, ToHome, ToHost, decode,
    encode,
};
use proptest::prelude::*;

fn follow() -> impl Strategy<Value = Follow> {
    (any::<u64>(), any::<u64>()).prop_map(|(number, bytes_min)| Follow { number, bytes_min })
}

fn to_host() -> impl Strategy<Value = ToHost> {
    let info = prop::collection::vec(any::<u8>(), SIGINFO_BYTES);
    let pid = any::<i32>;
    prop_oneof![
        pid().prop_map(|pid| ToHost::Place { pid }),
        (pid(), pid(), any::<u64>(), info).prop_map(|(pid, tid, seq, info)| {
            ToHost::Signal {
                pid,
                tid,
                seq,
                info: info.try_into().unwrap(),
            }
        }),
        pid().prop_map(|pid| ToHost::Kill { pid }),
        pid().prop_map(|pid| ToHost::Freeze { pid }),
        pid().prop_map(|pid| ToHost::Thaw { pid }),
        Just(ToHost::Shutdown),
        (pid(), proptest::option::of(follow()))
            .prop_map(|(pid, later)| ToHost::CallHome { pid, later }),
        (pid(), ".*").prop_map(|(pid, reason)| ToHost::Remain { pid, reason }),
        any::<u64>().prop_map(|stream| ToHost::Recall { stream }),
        (pid(), pid(), any::<u64>(), pid()).prop_map(|(pid, tid, seq, signal)| ToHost::Waits {
            pid,
            tid,
            seq,
            signal
        }),
    ]
}

fn to_home() -> impl Strategy<Value = ToHome> {
    let int = any::<i32>;
    prop_oneof![
        (any::<u32>(), any::<u32>(), any::<bool>()).prop_map(|(node, pid, post_copy)| {
            ToHome::Ready {
                node,
                pid,
                post_copy,
            }
        }),
        (int(), any::<u64>()).prop_map(|(tid, request)| ToHome::Interrupt { tid, request }),
        (int(), int()).prop_map(|(pid, wait_status)| ToHome::BodyExited { pid, wait_status }),
        (int(), int()).prop_map(|(pid, tid)| ToHome::ThreadExited { pid, tid }),
        (int(), int()).prop_map(|(pid, signal)| ToHome::StopSelf { pid, signal }),
        (int(), ".*").prop_map(|(pid, reason)| ToHome::Cannot { pid, reason }),
        (int(), any::<u64>()).prop_map(|(pid, placement)| ToHome::Running { pid, placement }),
        any::<u64>().prop_map(|stream| ToHome::Recalled { stream }),
        (int(), any::<u64>()).prop_map(|(pid, stream)| ToHome::ReadOver { pid, stream }),
        (int(), ".*").prop_map(|(pid, text)| ToHome::Say { pid, text }),
        (int(), ".*").prop_map(|(pid, reason)| ToHome::AskReturn { pid, reason }),
        (int(), ".*").prop_map(|(pid, reason)| ToHome::Remains { pid, reason }),
        (int(), any::<(u64, u64, u64)>()).prop_map(|(pid, (user_ns, system_ns, peak_bytes))| {
            ToHome::Used {
                pid,
                user_ns,
                system_ns,
                peak_bytes,
            }
        }),
        (
            int(),
            prop::collection::vec(latencies(), 0..4),
            prop::collection::vec(any::<(u32, u64)>(), 0..9)
        )
            .prop_map(|(pid, forwarded, native)| ToHome::Statistics {
                pid,
                forwarded,
                native
            }),
    ]
}

fn latencies() -> impl Strategy<Value = Latencies> {
    let buckets = prop::collection::vec(any::<(u32, u32)>(), 0..30);
    (any::<u32>(), any::<u32>(), buckets).prop_map(|(nr, max_us, buckets)| Latencies {
        nr,
        max_us,
        buckets,
    })
}

fn encoded<T: serde::Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes).unwrap();
    bytes
}

proptest! {
    #[test]
    fn to_host_round_trip(message in to_host()) {
        prop_assert_eq!(decode::<ToHost>(&encoded(&message)).unwrap(), message);
    }

    #[test]
    fn to_home_round_trip(message in to_home()) {
        prop_assert_eq!(decode::<ToHome>(&encoded(&message)).unwrap(), message);
    }

    #[test]
    fn cut_or_extended_messages_are_refused(message in to_home(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encoded(&message);
        prop_assert!(decode::<ToHome>(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert!(decode::<ToHome>(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<ToHost>(&bytes);
        let _ = decode::<ToHome>(&bytes);
    }

    /// A valid variant number, then anything: reaches every field's decoder.
    #[test]
    fn arbitrary_fields_never_panic(
        variant in 0_u8..12,
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0xf0_u8..=0xff], 0..200),
    ) {
        let bytes = [&[variant], bytes.as_slice()].concat();
        let _ = decode::<ToHost>(&bytes);
        let _ = decode::<ToHome>(&bytes);
    }
}

#[test]
fn a_claimed_length_is_bounded() {
    // `Cannot`, pid 0, then a string that claims 2^64 - 1, 2^32 - 1 and 65,535 bytes.
    for length in [[0xfd].as_slice(), &[0xfc], &[0xfb]] {
        let bytes = [&[5, 0], length, &[0xff; 8]].concat();
        assert!(matches!(
            decode::<ToHome>(&bytes),
            Err(LaneError::Refused(_))
        ));
    }
}

#[test]
fn signal_information_has_one_size() {
    let signal = ToHost::Signal {
        pid: 1,
        tid: 0,
        seq: 2,
        info: [3; SIGINFO_BYTES],
    };
    let good = encoded(&signal);
    let at = good
        .iter()
        .position(|byte| usize::from(*byte) == SIGINFO_BYTES)
        .unwrap();
    for length in [127_u8, 129] {
        let mut bytes = good.clone();
        bytes[at] = length;
        bytes.resize(at + 1 + usize::from(length), 3);
        assert!(matches!(
            decode::<ToHost>(&bytes),
            Err(LaneError::Refused(_))
        ));
    }
}

#[test]
fn too_long_a_message_is_not_encoded() {
    let mut out = b"before".to_vec();
    let message = ToHome::Cannot {
        pid: 1,
        reason: "x".repeat(CONTROL_BYTES_MAX),
    };
    assert!(matches!(
        encode(&message, &mut out),
        Err(LaneError::TooLarge { .. })
    ));
    assert_eq!(out, b"before");
    assert!(matches!(
        decode::<ToHome>(&vec![0; CONTROL_BYTES_MAX + 1]),
        Err(LaneError::Refused(_))
    ));
}

#[test]
fn numbers_of_messages_do_not_change() {
    let pid = 0;
    let (tid, seq, info) = (0, 0, [0; SIGINFO_BYTES]);
    let to_host = [
        ToHost::Place { pid },
        ToHost::Signal {
            pid,
            tid,
            seq,
            info,
        },
        ToHost::Kill { pid },
        ToHost::Freeze { pid },
        ToHost::Thaw { pid },
        ToHost::Shutdown,
        ToHost::CallHome { pid, later: None },
        ToHost::Remain {
            pid,
            reason: String::new(),
        },
        ToHost::Recall { stream: 0 },
        ToHost::Waits {
            pid,
            tid,
            seq: 0,
            signal: 0,
        },
    ];
    let to_home = [
        ToHome::Ready {
            node: 0,
            pid: 0,
            post_copy: false,
        },
        ToHome::Interrupt { tid, request: 0 },
        ToHome::BodyExited {
            pid,
            wait_status: 0,
        },
        ToHome::ThreadExited { pid, tid },
        ToHome::StopSelf { pid, signal: 0 },
        ToHome::Cannot {
            pid,
            reason: String::new(),
        },
        ToHome::Running { pid, placement: 7 },
        ToHome::Statistics {
            pid,
            forwarded: Vec::new(),
            native: Vec::new(),
        },
        ToHome::Say {
            pid,
            text: String::new(),
        },
        ToHome::AskReturn {
            pid,
            reason: String::new(),
        },
        ToHome::Remains {
            pid,
            reason: String::new(),
        },
        ToHome::Recalled { stream: 0 },
        ToHome::ReadOver { pid, stream: 0 },
        ToHome::Starved {
            pid,
            departure: 0,
            reason: String::new(),
        },
        ToHome::Used {
            pid,
            user_ns: 0,
            system_ns: 0,
            peak_bytes: 0,
        },
    ];
    for (number, message) in to_host.iter().enumerate() {
        assert_eq!(usize::from(encoded(message)[0]), number);
    }
    for (number, message) in to_home.iter().enumerate() {
        assert_eq!(usize::from(encoded(message)[0]), number);
    }
}

/// The longest message that can be sent can also be received.
#[test]
fn longest_message_round_trip() {
    let longest = (0..16).find_map(|less| {
        let reason = "x".repeat(CONTROL_BYTES_MAX - less);
        let message = ToHome::Cannot {
            pid: i32::MIN,
            reason,
        };
        let mut bytes = Vec::new();
        encode(&message, &mut bytes).ok().map(|()| (message, bytes))
    });
    let (message, bytes) = longest.unwrap();
    assert_eq!(bytes.len(), CONTROL_BYTES_MAX);
    assert_eq!(decode::<ToHome>(&bytes).unwrap(), message);
}

#[test]
fn fullest_statistics_fit_into_a_message() {
    let latencies = |buckets| Latencies {
        nr: u32::MAX,
        max_us: u32::MAX,
        buckets: vec![(u32::MAX, u32::MAX); buckets],
    };
    let message = ToHome::Statistics {
        pid: i32::MIN,
        forwarded: (0..400).map(|_| latencies(BUCKETS_MAX / 400)).collect(),
        native: vec![(u32::MAX, u64::MAX); 400],
    };
    assert_eq!(decode::<ToHome>(&encoded(&message)).unwrap(), message);
    let message = ToHome::Statistics {
        pid: i32::MIN,
        forwarded: vec![latencies(BUCKETS_MAX)],
        native: Vec::new(),
    };
    assert_eq!(decode::<ToHome>(&encoded(&message)).unwrap(), message);
}
