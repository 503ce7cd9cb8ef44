//! Tests: a host that knows the job's secret and sends nonsense loses its lane,
//! and the job goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use image::deputy::GEOMETRY;
use lane::ahead::{Ahead, End, Pushed};
use lane::{Kind, Lane, LaneError};
use sys::ready::Bell;
use sys::window::Window;
use sys::{memfd, pidfd};

use crate::hosts;
use crate::job::{Deputy, DeputyThread, GONE, Job, Order, Place, lock};
use crate::setup::Setup;

/// A thread with a window, which no deputy serves: what is refused, is refused
/// before it gets there.
const BOUND: i32 = 4711;

/// Requests of a host.
const REQUESTS: [Kind; 6] = [
    Kind::Call,
    Kind::Exec,
    Kind::Fork,
    Kind::FetchImage,
    Kind::DescribeFile,
    Kind::FetchFile,
];

fn job() -> Arc<Job> {
    let setup = Setup {
        target: 0,
        node: 2,
        nodes: 2,
        shuffle_ms: None,
        log: None,
        stats: None,
        post_copy: false,
        later_min: None,
        read_ahead: true,
        command: Vec::new(),
        programs: String::new(),
    };
    let job = Job::new(&setup, Bell::new().expect("a bell"), String::new()).expect("a job");
    let job = Arc::new(job);
    let me = std::process::id() as i32;
    let file = memfd::create(c"window").expect("a memfd");
    let window = Window::create(&file, GEOMETRY).expect("a window");
    let slot = window.take_slot().expect("a slot");
    let place = Place {
        window,
        address: 1 << 32,
    };
    let deputy = Arc::new(Deputy {
        pid: me,
        pidfd: pidfd::open(me).expect("a pidfd"),
        places: Mutex::new(vec![place.clone()]),
        signals: 0.into(),
        parent: 0.into(),
        image: Mutex::new(None),
        proc_files: Default::default(),
        heeded: Default::default(),
        kept: Default::default(),
    });
    let bound = Arc::new(DeputyThread::new(BOUND, deputy, place, slot));
    *lock(&job.threads) = HashMap::from([(BOUND, bound)]);
    let accepting = Arc::clone(&job);
    let (ready, _) = mpsc::channel();
    thread::spawn(move || hosts::accept(&accepting, &ready));
    job
}

fn connect(job: &Job) -> Lane {
    Lane::connect(job.address().expect("an address"), &job.secret).expect("a lane")
}

fn send(lane: &mut Lane, kind: Kind, payload: &[u8]) -> Result<(), LaneError> {
    lane.begin().extend_from_slice(payload);
    lane.send(kind, 1, 1)
}

/// The job serves a lane that behaves.
fn assert_serves(job: &Job) {
    let mut lane = connect(job);
    send(&mut lane, Kind::Bind, &0i32.to_le_bytes()).expect("a bind");
    send(&mut lane, Kind::Call, &[]).expect("a call");
    let answer = lane.recv().expect("an answer");
    assert_eq!(answer.payload[..8], GONE.to_le_bytes());
}

/// Bytes without pattern, the same in each run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Small numbers are more dangerous than large ones.
        if state & 0x300 == 0 {
            state as u8
        } else {
            (state & 3) as u8
        }
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn malformed_requests_lose_the_lane_only() {
    let job = job();
    for kind in REQUESTS {
        for (seed, length) in [0, 1, 3, 4, 31, 32, 39, 71, 72, 73, 96, 4096, 1 << 20]
            .iter()
            .enumerate()
        {
            let mut lane = connect(&job);
            send(&mut lane, Kind::Bind, &BOUND.to_le_bytes()).expect("a bind");
            // Too short to be complete, or with lengths that do not fit: a call
            // is never executed, since nobody would answer it.
            let payload = noise(seed as u64 + 1, *length);
            if send(&mut lane, kind, &payload).is_ok() {
                // Closed, or an answer that says no.
                let _ = lane.recv();
            }
        }
    }
    assert_serves(&job);
}

#[test]
fn answers_as_requests_lose_the_lane() {
    let job = job();
    for kind in [
        Kind::Bound,
        Kind::Result,
        Kind::Error,
        Kind::ImagePart,
        Kind::FilePart,
        Kind::Pushed,
        Kind::Ahead,
    ] {
        for bound in [0, BOUND] {
            let mut lane = connect(&job);
            send(&mut lane, Kind::Bind, &bound.to_le_bytes()).expect("a bind");
            send(&mut lane, kind, b"nonsense").expect("a frame");
            if bound == BOUND {
                assert!(lane.recv().is_err(), "{kind:?}");
            }
        }
        let mut first = connect(&job);
        send(&mut first, kind, b"nonsense").expect("a frame");
        assert!(first.recv().is_err(), "{kind:?} as the first frame");
    }
    assert_serves(&job);
}

#[test]
fn streams_within_streams_lose_the_lane() {
    let job = job();
    let said = Ahead {
        stream: 1,
        fd: -1,
        start: true,
        stop: false,
        consumed: 0,
        limit: u64::MAX,
    };
    let mut lane = connect(&job);
    send(&mut lane, Kind::Bind, &BOUND.to_le_bytes()).expect("a bind");
    let mut say = |said: Ahead| {
        said.encode(lane.begin());
        lane.send(Kind::Ahead, 1, 0).expect("words");
        lane.recv().map(|frame| {
            let (pushed, content) = Pushed::decode(frame.payload).expect("a front");
            (frame.kind, pushed.stream, pushed.end, content.len())
        })
    };
    // There is no such descriptor.
    let refused = (Kind::Pushed, 1, End::Refused, 0);
    assert_eq!(say(said).expect("an answer"), refused);
    assert!(say(Ahead { stream: 2, ..said }).is_err());
    assert_serves(&job);
}

#[test]
fn nonsense_on_the_control_lane_is_the_loss_of_the_host() {
    let job = job();
    let mut control = connect(&job);
    let ready = lane::control::ToHome::Ready { node: 2, pid: 1 };
    lane::control::encode(&ready, control.begin()).expect("a message");
    control.send(Kind::Control, 0, 0).expect("a frame");
    // Served only after the first: the second control lane is refused.
    assert_serves(&job);
    for bytes in [&b""[..], &[0xff; 64]] {
        let mut other = connect(&job);
        send(&mut other, Kind::Control, bytes).expect("a frame");
        assert!(other.recv().is_err());
    }
    send(&mut control, Kind::Control, &[0xff; 4096]).expect("a frame");
    let lost = || {
        job.take_orders()
            .iter()
            .any(|order| matches!(order, Order::HostLost { .. }))
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !lost() {
        assert!(std::time::Instant::now() < deadline, "nothing was lost");
        thread::yield_now();
    }
    assert_serves(&job);
}
