//! A guest that is not C: 50 threads with channels, locks, scoped borrows, files and processes.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, RwLock, mpsc};
use std::thread;

const THREADS: u64 = 50;
const ROUNDS: u64 = 200;

fn main() {
    channels();
    locks();
    files();
    processes();
    println!("OK many_threads");
}

/// Each thread passes on what it gets, one higher, to the next.
fn channels() {
    let (first, mut end) = mpsc::channel::<u64>();
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let (to, next) = mpsc::channel();
        let from = std::mem::replace(&mut end, next);
        threads.push(thread::spawn(move || {
            from.iter().try_for_each(|n| to.send(n + 1))
        }));
    }
    for n in 0..ROUNDS {
        first.send(n).expect("a thread that listens");
    }
    drop(first);
    let got: Vec<u64> = end.iter().collect();
    assert_eq!(got, (THREADS..THREADS + ROUNDS).collect::<Vec<_>>());
    for thread in threads {
        thread
            .join()
            .expect("a thread that ends well")
            .expect("a listener to the end");
    }
}

fn locks() {
    let (sum, map) = (AtomicU64::new(0), RwLock::new(HashMap::new()));
    let (list, barrier) = (
        Arc::new(Mutex::new(Vec::new())),
        Barrier::new(THREADS as usize),
    );
    thread::scope(|scope| {
        for me in 0..THREADS {
            let (sum, map, list, barrier) = (&sum, &map, Arc::clone(&list), &barrier);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..ROUNDS {
                    sum.fetch_add(n, Ordering::Relaxed);
                    map.write()
                        .expect("no thread panics")
                        .insert((me, n), me * n);
                    list.lock().expect("no thread panics").push(me);
                }
                let map = map.read().expect("no thread panics");
                assert!((0..ROUNDS).all(|n| map[&(me, n)] == me * n));
            });
        }
    });
    assert_eq!(sum.into_inner(), THREADS * ROUNDS * (ROUNDS - 1) / 2);
    assert_eq!(
        list.lock().expect("no thread panics").len() as u64,
        THREADS * ROUNDS
    );
}

fn files() {
    let threads: Vec<_> = (0..THREADS)
        .map(|me| {
            thread::spawn(move || {
                let (name, text) = (
                    format!("file-{me:02}"),
                    format!("written by thread {me}\n").repeat(1000),
                );
                fs::write(&name, &text).expect("a file of one's own");
                assert_eq!(
                    fs::read_to_string(&name).expect("a file just written"),
                    text
                );
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("a thread that ends well"));
}

fn processes() {
    thread::scope(|scope| {
        for me in 0..8 {
            scope.spawn(move || {
                let output = Command::new("sh")
                    .args(["-c", "echo $1; exit $1", "sh", &me.to_string()])
                    .output();
                let output = output.expect("a shell");
                assert_eq!(output.status.code(), Some(me));
                assert_eq!(output.stdout, format!("{me}\n").into_bytes());
            });
        }
    });
}
