//! A man in the middle changes what travels; the receiving end must refuse it.
#![allow(clippy::unwrap_used, reason = "a test ends at the first failure")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use lane::{Kind, Lane, LaneError, Secret};

const HELLO_BYTES: usize = 40;

type Record = Vec<u8>;

/// Reads one record with its length, or none at the end of the stream.
fn read_record(from: &mut TcpStream) -> Option<Record> {
    let mut record = vec![0; 4];
    from.read_exact(&mut record).ok()?;
    let bytes = u32::from_le_bytes([record[0], record[1], record[2], record[3]]) as usize;
    record.resize(4 + bytes, 0);
    from.read_exact(&mut record[4..]).ok()?;
    Some(record)
}

fn copy_hello(from: &mut TcpStream, to: &mut TcpStream) {
    let mut hello = [0; HELLO_BYTES];
    from.read_exact(&mut hello).unwrap();
    to.write_all(&hello).unwrap();
}

/// Carries four frames of 10 bytes, numbered 0 to 3, over a lane whose records (the proof apart)
/// `tamper` may change. Returns the numbers that arrived before the first error, and the error.
fn carry(
    to_client: bool,
    tamper: impl FnOnce(&mut Vec<Record>) + Send + 'static,
) -> (Vec<u64>, LaneError) {
    let secret = Secret::random().unwrap();
    let server_listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let middle_listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let middle_addr = middle_listener.local_addr().unwrap();
    let server_addr = server_listener.local_addr().unwrap();
    let middle = thread::spawn(move || {
        let mut client = middle_listener.accept().unwrap().0;
        let mut server = TcpStream::connect(server_addr).unwrap();
        copy_hello(&mut client, &mut server);
        copy_hello(&mut server, &mut client);
        server
            .write_all(&read_record(&mut client).unwrap())
            .unwrap();
        client
            .write_all(&read_record(&mut server).unwrap())
            .unwrap();
        let (mut from, mut to) = if to_client {
            (server, client)
        } else {
            (client, server)
        };
        let mut records: Vec<Record> = std::iter::from_fn(|| read_record(&mut from)).collect();
        assert_eq!(records.len(), 4);
        tamper(&mut records);
        // The receiver may have dropped the connection already.
        let _ = to.write_all(&records.concat());
        let _ = to.shutdown(Shutdown::Write);
        let _ = to.read_to_end(&mut Vec::new());
    });
    let connecting = thread::spawn({
        let secret = secret.clone();
        move || Lane::connect(middle_addr, &secret).unwrap()
    });
    let server = Lane::accept(server_listener.accept().unwrap().0, &secret).unwrap();
    let client = connecting.join().unwrap();
    let (mut sender, mut receiver) = if to_client {
        (server, client)
    } else {
        (client, server)
    };
    for request in 0..4 {
        sender.begin().extend_from_slice(b"0123456789");
        sender.send(Kind::Call, 5, request).unwrap();
    }
    drop(sender);
    let mut arrived = Vec::new();
    let error = loop {
        match receiver.recv() {
            Ok(frame) => {
                assert_eq!(
                    (frame.payload, frame.lease_epoch),
                    (b"0123456789".as_slice(), 5)
                );
                arrived.push(frame.request);
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(receiver.recv(), Err(LaneError::Closed)));
    drop(receiver);
    middle.join().unwrap();
    (arrived, error)
}

/// Both directions refuse what `tamper` does, having accepted the frames before it.
fn refused(before: &[u64], tamper: impl FnOnce(&mut Vec<Record>) + Clone + Send + 'static) {
    for to_client in [false, true] {
        let (arrived, error) = carry(to_client, tamper.clone());
        assert_eq!(arrived, before);
        assert!(matches!(error, LaneError::Refused(_)), "{error:?}");
    }
}

#[test]
fn untouched_records_arrive() {
    for to_client in [false, true] {
        let (arrived, error) = carry(to_client, |_| ());
        assert_eq!(arrived, [0, 1, 2, 3]);
        assert!(matches!(error, LaneError::Closed), "{error:?}");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    const RECORD_BYTES: usize = 4 + 24 + 10 + 16;
    for byte in 4..RECORD_BYTES {
        for bit in [0, 7] {
            refused(&[0], move |records| records[1][byte] ^= 1 << bit);
        }
    }
    // In the length: too short, too long by less than what follows, beyond the limit.
    refused(&[0], |records| records[1][0] ^= 2);
    refused(&[0], |records| records[1][0] ^= 1);
    refused(&[0], |records| records[1][2] ^= 0x80);
    refused(&[0], |records| records[1][3] ^= 1);
}

#[test]
fn repeated_record_is_refused() {
    refused(&[0, 1], |records| records.insert(2, records[1].clone()));
}

#[test]
fn reordered_records_are_refused() {
    refused(&[0], |records| records.swap(1, 2));
}

#[test]
fn missing_record_is_refused() {
    refused(&[0, 1], |records| drop(records.remove(2)));
}

#[test]
fn shortened_record_is_refused() {
    for cut in [1, 8, 9] {
        refused(&[0], move |records| {
            let record = &mut records[1];
            record.truncate(record.len() - cut);
            record[0] -= cut as u8;
        });
    }
}

#[test]
fn invented_record_is_refused() {
    refused(&[0, 1, 2, 3], |records| {
        let mut record = 40_u32.to_le_bytes().to_vec();
        record.resize(44, 0);
        records.push(record);
    });
}

#[test]
fn record_cut_off_by_the_end_is_never_delivered() {
    for left in [1, 3, 4, 20, 53] {
        for to_client in [false, true] {
            let (arrived, error) = carry(to_client, move |records| {
                records.truncate(2);
                records[1].truncate(left);
            });
            assert_eq!(arrived, [0]);
            assert!(matches!(error, LaneError::Closed), "{error:?}");
        }
    }
}

#[test]
fn recorded_connection_cannot_be_replayed() {
    let secret = Secret::random().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();

    // Record what a client says, behind a relay that lets it finish.
    let middle_listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let middle_addr = middle_listener.local_addr().unwrap();
    let middle = thread::spawn(move || {
        let mut client = middle_listener.accept().unwrap().0;
        let mut server = TcpStream::connect(addr).unwrap();
        let mut said = vec![0; HELLO_BYTES];
        client.read_exact(&mut said).unwrap();
        server.write_all(&said).unwrap();
        copy_hello(&mut server, &mut client);
        let proof = read_record(&mut client).unwrap();
        server.write_all(&proof).unwrap();
        client
            .write_all(&read_record(&mut server).unwrap())
            .unwrap();
        [said, proof].concat()
    });
    let connecting = thread::spawn({
        let secret = secret.clone();
        move || Lane::connect(middle_addr, &secret).map(drop)
    });
    drop(Lane::accept(listener.accept().unwrap().0, &secret).unwrap());
    connecting.join().unwrap().unwrap();
    let said = middle.join().unwrap();

    let mut replayer = TcpStream::connect(addr).unwrap();
    replayer.write_all(&said).unwrap();
    let error = Lane::accept(listener.accept().unwrap().0, &secret).unwrap_err();
    assert!(matches!(error, LaneError::Refused(_)), "{error:?}");
}

/// A server that echoes everything, the client's own proof included.
#[test]
fn reflected_client_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mirror = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut echoed = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut stream, &mut echoed);
    });
    let error = Lane::connect(addr, &Secret::random().unwrap()).unwrap_err();
    assert!(matches!(error, LaneError::Refused(_)), "{error:?}");
    mirror.join().unwrap();
}
