//! Work on the disk that nobody waits for: making the next segment, sealing the last one, deleting
//! what is not needed any more.
//!
//! One thread does it in order. A failure is kept, and the storage refuses to go on when it next looks.
//! The queue is short because the log waits for its next segment: at most a few tasks per segment.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use super::error::StorageError;

/// Something to do on the disk.
pub(super) type Task = Box<dyn FnOnce() -> Result<(), StorageError> + Send>;

/// Where tasks go. Dropping it ends the thread after what is queued.
pub(super) struct Background {
    queue: Option<mpsc::Sender<Task>>,
    thread: Option<thread::JoinHandle<()>>,
    failure: Arc<Failure>,
}

#[derive(Debug, Default)]
struct Failure {
    has_happened: AtomicBool,
    error: Mutex<Option<StorageError>>,
}

impl Background {
    /// Tasks run on a thread of their own.
    pub(super) fn thread() -> std::io::Result<Self> {
        let (queue, tasks) = mpsc::channel::<Task>();
        let failure = Arc::new(Failure::default());
        let shared = Arc::clone(&failure);
        let thread = thread::Builder::new()
            .name("disk-prepare".to_owned())
            .spawn(move || {
                for task in tasks {
                    shared.run(task);
                }
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            failure,
        })
    }

    /// Tasks run at once, where they are handed in.
    pub(super) fn inline() -> Self {
        Self {
            queue: None,
            thread: None,
            failure: Arc::default(),
        }
    }

    /// Hands in a task.
    pub(super) fn submit(&self, task: Task) -> Result<(), StorageError> {
        match &self.queue {
            // The thread lives as long as the queue.
            Some(queue) => drop(queue.send(task)),
            None => self.failure.run(task),
        }
        self.check()
    }

    /// The error of a task that failed, once; later ones are refused.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        if !self.failure.has_happened.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut error = self
            .failure
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Err(error.take().unwrap_or(StorageError::Refused))
    }
}

impl Failure {
    /// Runs a task, unless one failed before.
    fn run(&self, task: Task) {
        if self.has_happened.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = task() {
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            self.has_happened.store(true, Ordering::Release);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background")
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}
