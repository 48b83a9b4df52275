//! The disk thread: takes everything that is queued, makes it durable together, and reports.
//!
//! That is group commit: while one `fdatasync` runs, what arrives meanwhile waits for the next one,
//! and all of it shares that one. A snapshot is written on a thread of its own meanwhile; a second one
//! waits for the first, and everything behind it.

use std::io;
use std::sync::mpsc;
use std::thread;

use super::{SaveTask, Storage, StorageError, StorageOp};

/// Operations that are reported together.
#[derive(Debug)]
pub struct Batch<T> {
    /// What to do.
    pub ops: Vec<StorageOp>,
    /// Given back when everything up to here is durable. Tokens come back in the order in which they
    /// were sent, but for those of batches that end with a snapshot of the own state: they come later.
    pub token: T,
}

/// The sender's side of the disk thread. Dropping it ends the thread after what is queued.
#[derive(Debug)]
pub struct DiskWorker<T> {
    queue: mpsc::Sender<Message<T>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
enum Message<T> {
    Batch(Batch<T>),
    /// The snapshot of this number is written, or cannot be.
    Saved(u64),
    Stop,
}

impl<T: Send + 'static> DiskWorker<T> {
    /// Starts the thread. `report` is called there: with the tokens of each durable group, or once with
    /// the error that ended the thread.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start<S, R>(storage: S, report: R) -> io::Result<Self>
    where
        S: Storage + 'static,
        R: FnMut(Result<Vec<T>, StorageError>) + Send + 'static,
    {
        let (queue, messages) = mpsc::channel();
        let mut disk = DiskThread {
            storage,
            report,
            notify: queue.clone(),
            saving: None,
            saves: 0,
        };
        let thread = thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || {
                if let Err(error) = disk.run(&messages) {
                    (disk.report)(Err(error));
                }
                disk.abandon();
            })?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }
}

impl<T> DiskWorker<T> {
    /// Queues a batch. After a failure it is dropped: the failure was reported.
    pub fn send(&self, batch: Batch<T>) {
        let _ = self.queue.send(Message::Batch(batch));
    }
}

impl<T> Drop for DiskWorker<T> {
    fn drop(&mut self) {
        let _ = self.queue.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct DiskThread<S, R, T> {
    storage: S,
    report: R,
    notify: mpsc::Sender<Message<T>>,
    saving: Option<Saving<T>>,
    /// Snapshots so far.
    saves: u64,
}

/// A snapshot that is being written.
struct Saving<T> {
    thread: thread::JoinHandle<Result<(), StorageError>>,
    token: T,
}

impl<S, R, T> DiskThread<S, R, T>
where
    S: Storage,
    R: FnMut(Result<Vec<T>, StorageError>),
    T: Send + 'static,
{
    fn run(&mut self, messages: &mpsc::Receiver<Message<T>>) -> Result<(), StorageError> {
        let mut group = Vec::new();
        let mut is_stopping = false;
        while !is_stopping {
            match messages.try_recv() {
                Ok(message) => group.push(message),
                Err(_) => {
                    self.storage.settle()?;
                    // This thread holds a sender, so the queue never closes.
                    group.extend(messages.recv());
                }
            }
            group.extend(messages.try_iter());
            is_stopping = self.group(group.drain(..))?;
        }
        self.finish_saving()
    }

    /// Performs a group; tells whether it was the last.
    fn group(&mut self, group: impl Iterator<Item = Message<T>>) -> Result<bool, StorageError> {
        let mut ops = Vec::new();
        let mut tokens = Vec::new();
        let mut is_stopping = false;
        for message in group {
            match message {
                Message::Batch(mut batch) => {
                    let save = batch
                        .ops
                        .pop_if(|op| matches!(op, StorageOp::SaveSnapshot { .. }));
                    ops.append(&mut batch.ops);
                    match save {
                        Some(StorageOp::SaveSnapshot { zxid, bytes }) => {
                            self.perform(&mut ops, &mut tokens)?;
                            self.finish_saving()?;
                            let task = self.storage.begin_save(zxid, &bytes)?;
                            self.save(task, batch.token)?;
                        }
                        _ => tokens.push(batch.token),
                    }
                }
                // One that another snapshot had to wait for is finished already.
                Message::Saved(number) if number == self.saves => self.finish_saving()?,
                Message::Saved(_) => {}
                Message::Stop => is_stopping = true,
            }
        }
        self.perform(&mut ops, &mut tokens)?;
        Ok(is_stopping)
    }

    fn perform(
        &mut self,
        ops: &mut Vec<StorageOp>,
        tokens: &mut Vec<T>,
    ) -> Result<(), StorageError> {
        if !tokens.is_empty() || !ops.is_empty() {
            self.storage.perform(ops)?;
            ops.clear();
            (self.report)(Ok(std::mem::take(tokens)));
        }
        Ok(())
    }

    /// Starts the thread that writes a snapshot.
    fn save(&mut self, task: SaveTask, token: T) -> Result<(), StorageError> {
        self.saves += 1;
        let (notify, number) = (self.notify.clone(), self.saves);
        let thread = thread::Builder::new()
            .name("disk-snapshot".to_owned())
            .spawn(move || {
                let result = task();
                let _ = notify.send(Message::Saved(number));
                result
            })
            .map_err(StorageError::io(
                "start the thread for",
                "snapshot".as_ref(),
            ))?;
        self.saving = Some(Saving { thread, token });
        Ok(())
    }

    /// Waits for the snapshot that is being written, if one is.
    fn finish_saving(&mut self) -> Result<(), StorageError> {
        if let Some(Saving { thread, token }) = self.saving.take() {
            thread.join().unwrap_or(Err(StorageError::Refused))?;
            self.storage.saved()?;
            (self.report)(Ok(vec![token]));
        }
        Ok(())
    }

    /// Waits for the snapshot that is being written, whatever becomes of it.
    fn abandon(&mut self) {
        if let Some(saving) = self.saving.take() {
            let _ = saving.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::protocol::blob::Blob;
    use std::collections::BTreeSet;

    use super::*;
    use crate::protocol::io::DiskOp;
    use crate::protocol::zxid::Zxid;
    use crate::storage::MemoryStorage;

    fn epochs(accepted_epoch: u32) -> StorageOp {
        StorageOp::Protocol(DiskOp::SetMeta {
            accepted_epoch,
            current_epoch: 0,
        })
    }

    #[test]
    fn every_batch_is_reported_once_and_in_order() {
        let (sender, reports) = mpsc::channel();
        let mut storage = MemoryStorage::default();
        let worker = DiskWorker::start(storage.clone(), move |report: Result<Vec<u32>, _>| {
            sender.send(report.unwrap()).unwrap();
        })
        .unwrap();
        for token in 1..=20 {
            let ops = vec![epochs(token)];
            worker.send(Batch { ops, token });
        }
        drop(worker);
        let tokens: Vec<u32> = reports.iter().flatten().collect();
        assert_eq!(tokens, (1..=20).collect::<Vec<_>>());
        assert_eq!(storage.recover().unwrap().accepted_epoch, 20);
    }

    #[test]
    fn snapshots_are_reported_once_and_other_batches_stay_in_order() {
        let (sender, reports) = mpsc::channel();
        let mut storage = MemoryStorage::default();
        let worker = DiskWorker::start(storage.clone(), move |report: Result<Vec<u32>, _>| {
            sender.send(report.unwrap()).unwrap();
        })
        .unwrap();
        for token in 1..=60 {
            let mut ops = vec![epochs(token)];
            if token % 3 == 0 {
                ops.push(StorageOp::SaveSnapshot {
                    zxid: Zxid::new(1, token),
                    bytes: Blob::from(b"state"),
                });
            }
            worker.send(Batch { ops, token });
        }
        drop(worker);
        let tokens: Vec<u32> = reports.iter().flatten().collect();
        let others: Vec<u32> = tokens.iter().copied().filter(|n| n % 3 != 0).collect();
        assert!(others.is_sorted());
        assert_eq!(tokens.len(), 60);
        assert_eq!(tokens.into_iter().collect::<BTreeSet<_>>().len(), 60);
        let found = storage.recover().unwrap();
        assert_eq!(found.accepted_epoch, 60);
        assert_eq!(found.snapshot.unwrap().0, Zxid::new(1, 60));
    }
}
