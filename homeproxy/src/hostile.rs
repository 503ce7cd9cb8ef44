//! Tests: a host that knows the job's secret and sends nonsense loses its lane,
//! and the job goes on.

use std::collections::HashMap;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use image::deputy::GEOMETRY;
use image::files::Mappable;
use lane::ahead::{Ahead, End, Pushed};
use lane::{Kind, Lane, LaneError};
use sys::ready::Bell;
use sys::window::Window;
use sys::{memfd, pidfd};

use crate::hosts::Host;
use crate::hosts::accept::{LANES_MAX, accept};
use crate::job::{Deputy, DeputyThread, GONE, Job, Order, Place, lock};
use crate::mapped::Mapped;
use crate::setup::Setup;

/// A thread with a window, which no deputy serves: what is refused, is refused
/// before it gets there.
const BOUND: i32 = 4711;

/// Requests of a host.
const REQUESTS: [Kind; 7] = [
    Kind::Call,
    Kind::Calls,
    Kind::Exec,
    Kind::Fork,
    Kind::FetchImage,
    Kind::DescribeFile,
    Kind::FetchFile,
];

/// Longest time until something happens that will.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A job and one of its hosts.
struct Served {
    job: Arc<Job>,
    host: Arc<Host>,
}

fn job() -> Served {
    job_with(Mapped::within_limits(), LANES_MAX)
}

fn job_with(mapped: Mapped, lanes_max: usize) -> Served {
    let setup = Setup {
        target: 0,
        node: 2,
        nodes: 2,
        memory_per_node: None,
        cluster: None,
        best: false,
        shuffle_ms: None,
        seed: 0,
        kept: Default::default(),
        log: None,
        stats: None,
        post_copy: false,
        later_min: None,
        restart: None,
        checkpoint: None,
        read_ahead: true,
        command: Vec::new(),
        programs: String::new(),
    };
    let mut job = Job::new(setup, Bell::new().expect("a bell"), None);
    job.mapped = mapped;
    let job = Arc::new(job);
    let host = host(&job, 1, lanes_max);
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
        host: Arc::clone(&host),
        pidfd: pidfd::open(me).expect("a pidfd"),
        placement: 0,
        places: Mutex::new(vec![place.clone()]),
        signals: 0.into(),
        parent: 0.into(),
        waiting: Default::default(),
        image: Mutex::new(None),
        has_begun: false.into(),
        is_withheld: false.into(),
        is_leaving: false.into(),
        proc_files: Default::default(),
        heeded: Default::default(),
        kept: Default::default(),
        calls: 0.into(),
    });
    let bound = Arc::new(DeputyThread::new(BOUND, deputy, place, slot));
    *lock(&job.threads) = HashMap::from([(BOUND, bound)]);
    Served { job, host }
}

/// A host on node 2, whose lanes are taken.
fn host(job: &Arc<Job>, number: u64, lanes_max: usize) -> Arc<Host> {
    let host = Arc::new(Host::new(2, &job.hosts.nodes, number).expect("a host"));
    let (accepting, of) = (Arc::clone(job), Arc::clone(&host));
    thread::spawn(move || accept(&accepting, &of, lanes_max));
    host
}

fn connect(host: &Host) -> Lane {
    Lane::connect(host.address().expect("an address"), &host.secret).expect("a lane")
}

fn send(lane: &mut Lane, kind: Kind, payload: &[u8]) -> Result<(), LaneError> {
    send_as(lane, kind, 1, payload)
}

fn send_as(lane: &mut Lane, kind: Kind, request: u64, payload: &[u8]) -> Result<(), LaneError> {
    lane.begin().extend_from_slice(payload);
    lane.send(kind, 1, request)
}

/// A lane bound to thread `tid`.
fn bind(host: &Host, tid: i32) -> Lane {
    let mut lane = connect(host);
    send_as(&mut lane, Kind::Bind, 0, &tid.to_le_bytes()).expect("a bind");
    lane
}

/// Asks about no thread: whether it is said that there is none.
fn is_answered(lane: &mut Lane, kind: Kind, request: u64) -> bool {
    let sent = send_as(lane, kind, request, &[]);
    match sent.and_then(|()| lane.recv()) {
        Ok(answer) => {
            assert_eq!(answer.request, request);
            assert_eq!(answer.payload[..8], GONE.to_le_bytes());
            true
        }
        Err(_) => false,
    }
}

/// The job serves a lane that behaves.
fn assert_serves(host: &Host) {
    assert!(is_answered(&mut bind(host, 0), Kind::Call, 1));
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
    let Served { host, .. } = job();
    for kind in REQUESTS {
        for (seed, length) in [0, 1, 3, 4, 31, 32, 39, 71, 72, 73, 96, 4096, 1 << 20]
            .iter()
            .enumerate()
        {
            let mut lane = connect(&host);
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
    assert_serves(&host);
}

#[test]
fn answers_as_requests_lose_the_lane() {
    let Served { host, .. } = job();
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
            let mut lane = connect(&host);
            send(&mut lane, Kind::Bind, &bound.to_le_bytes()).expect("a bind");
            send(&mut lane, kind, b"nonsense").expect("a frame");
            if bound == BOUND {
                assert!(lane.recv().is_err(), "{kind:?}");
            }
        }
        let mut first = connect(&host);
        send(&mut first, kind, b"nonsense").expect("a frame");
        assert!(first.recv().is_err(), "{kind:?} as the first frame");
    }
    assert_serves(&host);
}

#[test]
fn streams_within_streams_lose_the_lane() {
    let Served { host, .. } = job();
    let said = Ahead {
        stream: 1,
        fd: -1,
        start: true,
        stop: false,
        consumed: 0,
        limit: u64::MAX,
    };
    let mut lane = connect(&host);
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
    assert_serves(&host);
}

#[test]
fn nonsense_on_the_control_lane_is_the_loss_of_the_host() {
    let Served { job, host } = job();
    let mut control = connect(&host);
    let ready = lane::control::ToHome::Ready {
        node: 2,
        pid: 1,
        post_copy: true,
    };
    lane::control::encode(&ready, control.begin()).expect("a message");
    control.send(Kind::Control, 0, 0).expect("a frame");
    // Served only after the first: the second control lane is refused.
    assert_serves(&host);
    for bytes in [&b""[..], &[0xff; 64]] {
        let mut other = connect(&host);
        send(&mut other, Kind::Control, bytes).expect("a frame");
        assert!(other.recv().is_err());
    }
    send(&mut control, Kind::Control, &[0xff; 4096]).expect("a frame");
    let lost = || {
        job.take_orders()
            .iter()
            .any(|order| matches!(order, Order::HostLost { .. }))
    };
    let deadline = Instant::now() + TIMEOUT;
    while !lost() {
        assert!(Instant::now() < deadline, "nothing was lost");
        thread::yield_now();
    }
    // It takes no lanes any more; those of others go on.
    let address = host.address().expect("an address");
    while Lane::connect(address, &host.secret).is_ok() {
        assert!(Instant::now() < deadline, "a lost host is served");
    }
    assert_serves(&self::host(&job, 2, LANES_MAX));
}

#[test]
fn no_more_lanes_than_a_job_may_have() {
    let Served { host, .. } = job_with(Mapped::within_limits(), 2);
    // Who does not know the secret does not count.
    let address = host.address().expect("an address");
    let strangers = [(); 4].map(|()| TcpStream::connect(address).expect("a connection"));
    let mut lanes = [(); 2].map(|()| bind(&host, 0));
    for lane in &mut lanes {
        assert!(is_answered(lane, Kind::Call, 1));
    }
    // It may be closed before it is used.
    let is_served = || {
        let mut lane = connect(&host);
        let bound = send_as(&mut lane, Kind::Bind, 0, &0i32.to_le_bytes());
        bound.is_ok() && is_answered(&mut lane, Kind::Call, 1)
    };
    for _ in 0..3 {
        assert!(!is_served());
    }
    for lane in &mut lanes {
        assert!(is_answered(lane, Kind::Call, 2));
    }
    let [first, _second] = lanes;
    drop(first);
    let deadline = Instant::now() + TIMEOUT;
    while !is_served() {
        assert!(
            Instant::now() < deadline,
            "the place of a closed lane stays taken"
        );
        thread::yield_now();
    }
    drop(strangers);
}

#[test]
fn requests_that_come_again_lose_the_lane() {
    let Served { host, .. } = job();
    for kind in REQUESTS {
        for again in [7, 6, 0] {
            let mut lane = bind(&host, 0);
            assert!(is_answered(&mut lane, kind, 7), "{kind:?}");
            assert!(!is_answered(&mut lane, kind, again), "{kind:?} {again}");
        }
        let mut lane = bind(&host, 0);
        assert!(is_answered(&mut lane, kind, 7), "{kind:?}");
        assert!(is_answered(&mut lane, kind, 9), "{kind:?} after a gap");
        // The lane counts, whatever thread it is bound to.
        send_as(&mut lane, Kind::Bind, 0, &0i32.to_le_bytes()).expect("a bind");
        assert!(!is_answered(&mut lane, kind, 9), "{kind:?} after a bind");
        assert!(!is_answered(&mut bind(&host, 0), kind, 0), "{kind:?} 0");
    }
    // In parts, all of one number.
    let mut lane = bind(&host, 0);
    for _ in 0..2 {
        send_as(&mut lane, Kind::Part, 3, b"part").expect("a part");
    }
    assert!(is_answered(&mut lane, Kind::Exec, 3));
    assert!(!is_answered(&mut lane, Kind::Exec, 3));
    // Of a thread that there is.
    let mut lane = bind(&host, BOUND);
    assert_eq!(describe(&mut lane, 1, -1), Err(libc::EBADF));
    send_as(&mut lane, Kind::DescribeFile, 1, &[0xff; 5]).expect("a request");
    assert!(lane.recv().is_err());
    assert_serves(&host);
}

/// What is to be done to map a descriptor of ours as it is now, or the errno.
fn describe(lane: &mut Lane, request: u64, fd: i32) -> Result<Mappable, i32> {
    let mut payload = fd.to_le_bytes().to_vec();
    payload.push(4);
    send_as(lane, Kind::DescribeFile, request, &payload).expect("a request");
    let answer = lane.recv().expect("an answer");
    assert_eq!(answer.kind, Kind::FileDescribed);
    let (errno, rest) = answer.payload.split_first_chunk().expect("an errno");
    match i32::from_le_bytes(*errno) {
        0 => Ok(lane::control::decode(rest).expect("what is to be done")),
        errno => Err(errno),
    }
}

#[test]
fn no_more_files_than_are_allowed_are_remembered() {
    let Served { job, host } = job_with(Mapped::at_most(2), LANES_MAX);
    let files = [(); 3].map(|()| memfd::create(c"mapped").expect("a memfd"));
    let mut lane = bind(&host, BOUND);
    let mut request = 0;
    let mut is_kept = |index: usize| {
        request += 1;
        match describe(&mut lane, request, files[index].as_raw_fd()) {
            Ok(Mappable::Copied(_)) => true,
            Ok(Mappable::AtHome(why)) => {
                assert!(why.contains("too many"), "{why}");
                false
            }
            Err(errno) => panic!("errno {errno}"),
        }
    };
    // One that is kept already is no more than it was.
    let kept: Vec<bool> = [0, 1, 2, 0, 1, 2].map(&mut is_kept).to_vec();
    assert_eq!(kept, [true, true, false, true, true, false]);
    job.mapped.release_of(std::process::id() as i32);
    assert!(is_kept(2));
    assert_serves(&host);
}

/// What belongs to one host is no other's, although both are of the same job.
#[test]
fn a_host_has_nothing_to_say_about_guests_of_another() {
    let Served { job, host } = job();
    let other = self::host(&job, 2, LANES_MAX);
    let mut own = bind(&host, BOUND);
    assert_eq!(describe(&mut own, 1, -1), Err(libc::EBADF));
    // As if there were no such thread.
    for kind in REQUESTS {
        assert!(is_answered(&mut bind(&other, BOUND), kind, 1), "{kind:?}");
    }
    // One secret opens no lane of the other.
    let address = other.address().expect("an address");
    assert!(Lane::connect(address, &host.secret).is_err());
    assert_serves(&host);
    assert_serves(&other);
}
