//! Two ends of one lane on the loopback interface.
#![allow(clippy::unwrap_used, reason = "a test ends at the first failure")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use lane::{Frame, Kind, Lane, LaneError, PAYLOAD_BYTES_MAX, PAYLOAD_START, Secret};

fn lanes() -> (Lane, Lane) {
    let secret = Secret::random().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let client = thread::spawn({
        let secret = secret.clone();
        move || Lane::connect(addr, &secret).unwrap()
    });
    let server = Lane::accept(listener.accept().unwrap().0, &secret).unwrap();
    (client.join().unwrap(), server)
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + bytes) as u8).collect()
}

/// Sends every frame back as it came.
fn echo(mut lane: Lane) {
    loop {
        match lane.recv() {
            Ok(Frame {
                kind,
                lease_epoch,
                request,
                payload,
            }) => {
                let payload = payload.to_vec();
                lane.begin().extend_from_slice(&payload);
                lane.send(kind, lease_epoch, request).unwrap();
            }
            Err(LaneError::Closed) => return,
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn every_size_comes_back() {
    let (mut client, server) = lanes();
    let echo = thread::spawn(move || echo(server));
    let around = |n: usize| [n - 1, n, n + 1];
    let mut sizes = vec![0, 1, 2, PAYLOAD_BYTES_MAX - 1, PAYLOAD_BYTES_MAX, 3, 100];
    sizes.extend(
        [4096, 8192 - 44, 8192, 65536, 1 << 18, 1 << 20]
            .into_iter()
            .flat_map(around),
    );
    for (request, bytes) in sizes.into_iter().enumerate() {
        let request = u64::MAX - request as u64;
        let sent = pattern(bytes);
        client.begin().extend_from_slice(&sent);
        client.send(Kind::Call, 0xdead_beef, request).unwrap();
        let frame = client.recv().unwrap();
        let header = (frame.kind, frame.lease_epoch, frame.request);
        assert_eq!(header, (Kind::Call, 0xdead_beef, request));
        assert!(frame.payload == sent, "payload of {bytes} bytes differs");
    }
    drop(client);
    echo.join().unwrap();
}

#[test]
fn many_frames_in_one_read_and_frames_over_many_reads() {
    let (mut client, mut server) = lanes();
    let sizes: Vec<usize> = (0..600)
        .map(|n| if n % 50 == 49 { n * 1000 } else { n })
        .collect();
    let sender = thread::spawn({
        let sizes = sizes.clone();
        move || {
            for (request, bytes) in sizes.into_iter().enumerate() {
                client.begin().extend_from_slice(&pattern(bytes));
                client.send(Kind::FilePart, 1, request as u64).unwrap();
            }
            client
        }
    });
    thread::sleep(Duration::from_millis(50));
    for (request, bytes) in sizes.into_iter().enumerate() {
        let frame = server.recv().unwrap();
        assert_eq!(frame.request, request as u64);
        assert!(
            frame.payload == pattern(bytes),
            "payload of {bytes} bytes differs"
        );
    }
    drop(sender.join().unwrap());
    assert!(matches!(server.recv(), Err(LaneError::Closed)));
    assert!(matches!(server.recv(), Err(LaneError::Closed)));
}

#[test]
fn begin_discards_what_was_not_sent_and_send_without_begin_is_empty() {
    let (mut client, mut server) = lanes();
    client.begin().extend_from_slice(b"never sent");
    client.begin().extend_from_slice(b"sent");
    client.send(Kind::Call, 0, 1).unwrap();
    client.send(Kind::Call, 0, 2).unwrap();
    assert_eq!(server.recv().unwrap().payload, b"sent");
    assert_eq!(server.recv().unwrap().payload, b"");
}

#[test]
fn payload_begun_before_a_receive_is_kept() {
    let (mut client, mut server) = lanes();
    client.begin().extend_from_slice(b"begun");
    server.send(Kind::Call, 0, 1).unwrap();
    client.recv().unwrap();
    client.send(Kind::Result, 0, 1).unwrap();
    assert_eq!(server.recv().unwrap().payload, b"begun");
}

#[test]
fn callers_mistakes_leave_the_lane_usable() {
    let (mut client, mut server) = lanes();
    client
        .begin()
        .resize(PAYLOAD_START + PAYLOAD_BYTES_MAX + 1, 0);
    let error = client.send(Kind::Call, 0, 1).unwrap_err();
    assert!(
        matches!(error, LaneError::TooLarge { bytes, .. } if bytes == PAYLOAD_BYTES_MAX + 1),
        "{error}"
    );
    client.begin().clear();
    assert!(matches!(
        client.send(Kind::Call, 0, 2),
        Err(LaneError::Misuse(_))
    ));
    let buffer = client.begin();
    buffer.fill(0xff);
    buffer.push(7);
    client.send(Kind::Call, 0, 3).unwrap();
    let frame = server.recv().unwrap();
    assert_eq!((frame.request, frame.payload), (3, [7].as_slice()));
}

#[test]
fn halves_work_in_two_threads() {
    const FRAMES: u64 = 20_000;
    let (client, server) = lanes();
    let (mut to_server, mut from_server) = client.split().unwrap();
    let echo = thread::spawn(move || echo(server));
    let sending = thread::spawn(move || {
        for request in 0..FRAMES {
            to_server
                .begin()
                .extend_from_slice(&pattern(request as usize % 300));
            to_server.send(Kind::Control, 0, request).unwrap();
        }
        to_server
    });
    for request in 0..FRAMES {
        let frame = from_server.recv().unwrap();
        assert_eq!(frame.request, request);
        assert!(frame.payload == pattern(request as usize % 300));
    }
    let to_server = sending.join().unwrap();
    drop((to_server, from_server));
    echo.join().unwrap();
}

#[test]
fn a_sender_alone_shrinks_and_still_sends() {
    let (client, mut server) = lanes();
    let (mut sender, _receiver) = client.split().unwrap();
    let sending = thread::spawn(move || {
        sender.begin().resize(1 << 20, 1);
        sender.send(Kind::Control, 0, 0).unwrap();
        for request in 1..1000 {
            sender.send(Kind::Control, 0, request).unwrap();
        }
        assert!(sender.begin().capacity() < 1 << 16);
    });
    for request in 0..1000 {
        assert_eq!(server.recv().unwrap().request, request);
    }
    sending.join().unwrap();
}

#[test]
fn closer_ends_a_blocked_receive_and_does_not_hold_the_connection() {
    let (client, mut server) = lanes();
    let closer = client.shutdown_handle().unwrap();
    let (mut sender, mut receiver) = client.split().unwrap();
    let blocked = thread::spawn(move || matches!(receiver.recv(), Err(LaneError::Closed)));
    thread::sleep(Duration::from_millis(50));
    closer.close();
    assert!(blocked.join().unwrap());
    assert!(matches!(
        sender.send(Kind::Call, 0, 1),
        Err(LaneError::Closed)
    ));
    assert!(matches!(server.recv(), Err(LaneError::Closed)));
    closer.close();

    let (client, mut server) = lanes();
    let closer = client.shutdown_handle().unwrap();
    drop(client);
    assert!(matches!(server.recv(), Err(LaneError::Closed)));
    closer.close();
    assert!(matches!(server.shutdown_handle(), Err(LaneError::Closed)));
    assert!(matches!(server.split(), Err(LaneError::Closed)));
}

#[test]
fn last_words_can_be_read_after_a_failed_send() {
    let (mut client, mut server) = lanes();
    server.begin().extend_from_slice(b"why");
    server.send(Kind::Error, 0, 1).unwrap();
    drop(server);
    // The first sends may still go into the dead connection.
    let failed = (0..1000).find_map(|request| {
        thread::sleep(Duration::from_millis(1));
        client.send(Kind::Call, 0, request).err()
    });
    assert!(matches!(failed, Some(LaneError::Closed)));
    // A reset may have discarded them, but nothing else can come.
    match client.recv() {
        Ok(frame) => assert_eq!(
            (frame.kind, frame.payload),
            (Kind::Error, b"why".as_slice())
        ),
        Err(error) => assert!(matches!(error, LaneError::Closed), "{error}"),
    }
}

#[test]
fn wrong_secret_is_refused_on_both_sides() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let client = thread::spawn(move || Lane::connect(addr, &Secret::random().unwrap()));
    let stream = listener.accept().unwrap().0;
    let server = Lane::accept(stream, &Secret::random().unwrap());
    assert!(matches!(server, Err(LaneError::Refused(_))), "{server:?}");
    let client = client.join().unwrap();
    assert!(matches!(client, Err(LaneError::Refused(_))), "{client:?}");
}

#[test]
fn nobody_listening_is_an_io_error() {
    let addr: SocketAddr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = Lane::connect(addr, &Secret::random().unwrap()).unwrap_err();
    assert!(
        matches!(
            error,
            LaneError::Io {
                doing: "connecting",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_nonblocking_stream_is_accepted() {
    let secret = Secret::random().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let client = thread::spawn({
        let secret = secret.clone();
        move || {
            Lane::connect(addr, &secret)
                .unwrap()
                .send(Kind::Call, 0, 1)
                .unwrap()
        }
    });
    let stream: TcpStream = listener.accept().unwrap().0;
    stream.set_nonblocking(true).unwrap();
    let mut server = Lane::accept(stream, &secret).unwrap();
    assert_eq!(server.recv().unwrap().request, 1);
    client.join().unwrap();
}
