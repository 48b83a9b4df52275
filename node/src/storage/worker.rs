//! The disk thread: takes everything that is queued, makes it durable together, and reports.
//!
//! That is group commit: while one `fdatasync` runs, what arrives meanwhile waits for the next one,
//! and all of it shares that one.

use std::io;
use std::sync::mpsc;
use std::thread;

use super::{Storage, StorageError, StorageOp};

/// Operations that are reported together, in the order in which they were sent.
#[derive(Debug)]
pub struct Batch<T> {
    /// What to do.
    pub ops: Vec<StorageOp>,
    /// Given back when everything up to here is durable.
    pub token: T,
}

/// The sender's side of the disk thread. Dropping it ends the thread after what is queued.
#[derive(Debug)]
pub struct DiskWorker<T> {
    queue: Option<mpsc::Sender<Batch<T>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<T: Send + 'static> DiskWorker<T> {
    /// Starts the thread. `report` is called there: with the newest token of each durable group, or
    /// once with the error that ended the thread.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start<S, R>(mut storage: S, mut report: R) -> io::Result<Self>
    where
        S: Storage + 'static,
        R: FnMut(Result<Vec<T>, StorageError>) + Send + 'static,
    {
        let (queue, batches) = mpsc::channel::<Batch<T>>();
        let thread = thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || {
                while let Ok(first) = batches.recv() {
                    let Batch { mut ops, token } = first;
                    let mut tokens = vec![token];
                    for batch in batches.try_iter() {
                        ops.extend(batch.ops);
                        tokens.push(batch.token);
                    }
                    let result = storage.perform(&ops);
                    let has_failed = result.is_err();
                    report(result.map(|()| tokens));
                    if has_failed {
                        return;
                    }
                }
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Queues a batch. After a failure it is dropped: the failure was reported.
    pub fn send(&self, batch: Batch<T>) {
        if let Some(queue) = &self.queue {
            let _ = queue.send(batch);
        }
    }
}

impl<T> Drop for DiskWorker<T> {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::io::DiskOp;
    use crate::storage::MemoryStorage;

    #[test]
    fn every_batch_is_reported_once_and_in_order() {
        let (sender, reports) = mpsc::channel();
        let mut storage = MemoryStorage::default();
        let worker = DiskWorker::start(storage.clone(), move |report: Result<Vec<u32>, _>| {
            sender.send(report.unwrap()).unwrap();
        })
        .unwrap();
        for token in 1..=20 {
            let ops = vec![StorageOp::Protocol(DiskOp::SetMeta {
                accepted_epoch: token,
                current_epoch: 0,
            })];
            worker.send(Batch { ops, token });
        }
        drop(worker);
        let tokens: Vec<u32> = reports.iter().flatten().collect();
        assert_eq!(tokens, (1..=20).collect::<Vec<_>>());
        assert_eq!(storage.recover().unwrap().accepted_epoch, 20);
    }
}
