//! Tests: what home may send unasked, and when it is forgotten.
#![allow(clippy::unwrap_used, reason = "a test ends at the first failure")]

use std::net::TcpListener;

use lane::{Lane, Secret};

use super::*;

const NUMBER: u64 = 7;

/// A reader of one stream, of which home may send `limit` bytes, and home's
/// end of its lane.
fn reader(limit: u64) -> (Reader, Lane) {
    let secret = Secret::random().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let home = std::thread::spawn({
        let secret = secret.clone();
        move || Lane::accept(listener.accept().unwrap().0, &secret).unwrap()
    });
    let (sender, _) = Lane::connect(address, &secret).unwrap().split().unwrap();
    let now = Instant::now();
    let stream = Arc::new(Stream {
        number: NUMBER,
        pid: 1,
        tid: 1,
        fd: 3,
        sender: Arc::new(Mutex::new(sender)),
        lane_told: Arc::default(),
        process: Arc::default(),
        state: Mutex::new(State {
            consumed: 0,
            told: 0,
            told_at: now,
            limit,
            is_over: false,
            is_recalled: false,
            is_given_back: false,
            is_over_told: false,
            valid_at: now,
            valid_from: VecDeque::new(),
        }),
    });
    let streams = Streams::new(true);
    lock(&streams.by_number).insert(NUMBER, Arc::clone(&stream));
    let reading = Reading {
        stream,
        streams,
        received: 0,
        end: End::No,
        kept: Vec::new(),
        kept_from: 0,
        current: 0..0,
        signals: 0,
    };
    let reader = Reader {
        reading: Some(reading),
        ..Reader::default()
    };
    (reader, home.join().unwrap())
}

fn pushed(stream: u64, end: End, bytes: usize) -> Vec<u8> {
    let mut front = [0; Pushed::BYTES];
    let signals = 0;
    Pushed {
        stream,
        signals,
        end,
    }
    .encode(&mut front);
    let mut payload = front.to_vec();
    payload.resize(Pushed::BYTES + bytes, 1);
    payload
}

#[test]
fn what_home_sends_unasked_is_refused() {
    let (mut reader, _home) = reader(100);
    assert!(reader.arrived(&pushed(NUMBER + 1, End::No, 1)).is_err());
    reader.arrived(&pushed(NUMBER, End::No, 60)).unwrap();
    assert!(reader.arrived(&pushed(NUMBER, End::No, 41)).is_err());
    assert!(reader.arrived(&[1, 2, 3]).is_err());
}

#[test]
fn nothing_comes_after_the_end() {
    let (mut reader, _home) = reader(100);
    reader.arrived(&pushed(NUMBER, End::OfFile, 60)).unwrap();
    assert_eq!(reader.reading.as_ref().unwrap().kept.len(), 60);
    assert!(reader.arrived(&pushed(NUMBER, End::No, 1)).is_err());
}

#[test]
fn what_is_recalled_is_forgotten() {
    let (mut reader, mut home) = reader(100);
    reader.arrived(&pushed(NUMBER, End::No, 60)).unwrap();
    let streams = Arc::clone(&reader.reading.as_ref().unwrap().streams);
    streams.recall(NUMBER);
    streams.recall(NUMBER + 1);
    reader.arrived(&pushed(NUMBER, End::No, 40)).unwrap();
    assert!(reader.leaves());
    let said = Ahead::decode(home.recv().unwrap().payload).unwrap();
    assert!(said.stop && said.consumed == 0);
    reader.arrived(&pushed(NUMBER, End::Refused, 0)).unwrap();
    assert!(!reader.leaves());
    assert!(lock(&streams.by_number).is_empty());
}
