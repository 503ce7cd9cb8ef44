//! Threads that wait at home on the tracer's behalf, so that it need not.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use crate::host::{STACK_BYTES, lock};

type Task = Box<dyn FnOnce() + Send>;

/// A few threads that take tasks in turn; more are started while all wait.
pub(crate) struct Helpers {
    tasks: Sender<Task>,
    queue: Arc<Mutex<Receiver<Task>>>,
    /// Tasks under way or waiting, and threads.
    load: Arc<Mutex<(usize, usize)>>,
}

impl Helpers {
    pub(crate) fn new() -> Helpers {
        let (tasks, queue) = mpsc::channel();
        Helpers {
            tasks,
            queue: Arc::new(Mutex::new(queue)),
            load: Arc::default(),
        }
    }

    /// Runs `task` on another thread, at once.
    pub(crate) fn run(&self, task: Task) {
        let mut load = lock(&self.load);
        load.0 += 1;
        let start = load.0 > load.1;
        load.1 += usize::from(start);
        drop(load);
        // The queue lives as long as we do.
        let _ = self.tasks.send(task);
        if start {
            let (queue, load) = (Arc::clone(&self.queue), Arc::clone(&self.load));
            let started = std::thread::Builder::new()
                .name("helper".into())
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    loop {
                        let task = lock(&queue).recv();
                        let Ok(task) = task else { return };
                        task();
                        lock(&load).0 -= 1;
                    }
                });
            if let Err(error) = started {
                tracing::error!("no thread to wait at home: {error}");
            }
        }
    }
}
