//! What a node keeps on disk: the log, the newest snapshot, and the two epochs.
//!
//! [`Storage::perform`] makes a batch of operations durable in their order; whatever instant the
//! process or the machine dies at, recovery finds the state after some prefix of the operations that
//! contains at least every batch that was reported done (of an append that was under way, some of the
//! first entries may be there). A failed write or fsync is never tried again: what the kernel dropped
//! cannot be known, so the process ends. Damage to what was durable is noticed and refused.

mod background;
mod batch;
mod disk;
mod error;
mod files;
mod home;
mod memory;
mod meta;
mod parse;
mod recovery;
mod segment;
mod shape;
mod snapshot;
mod system;
mod wal;
mod worker;

#[cfg(test)]
mod conformance;

pub use disk::{Aside, DiskStorage, Options};
pub use error::{Damage, StorageError};
pub use files::{Files, OpenFile};
pub use memory::MemoryStorage;
pub use parse::{Epochs, read_epochs, read_segment, read_snapshot};
pub use system::SystemFiles;
pub use worker::{Batch, DiskWorker};

use crate::protocol::blob::Blob;
use crate::protocol::io::{Boot, DiskOp};
use crate::protocol::message::Entry;
use crate::protocol::zxid::Zxid;

/// A place where a node's durable state lives.
pub trait Storage: Send {
    /// Reads everything back. Called once, before the first `perform`.
    ///
    /// # Errors
    /// If the disk cannot be read, or holds what no crash can have left there.
    fn recover(&mut self) -> Result<Recovered, StorageError>;

    /// Does these operations in their order and returns when all are durable.
    ///
    /// # Errors
    /// If the disk refuses. The storage must not be used afterwards.
    fn perform(&mut self, ops: &[StorageOp]) -> Result<(), StorageError>;

    /// Begins to save a snapshot of this node's own state while other operations go on: the task does
    /// the writing, on any thread, and [`Self::saved`] ends it. One at a time.
    ///
    /// # Errors
    /// If the disk refused before.
    fn begin_save(&mut self, zxid: Zxid, bytes: &Blob) -> Result<SaveTask, StorageError>;

    /// The task of [`Self::begin_save`] has succeeded: what the snapshot covers may be deleted.
    ///
    /// # Errors
    /// If the disk refuses. The storage must not be used afterwards.
    fn saved(&mut self) -> Result<(), StorageError>;

    /// Nothing is waiting: a moment for what makes later recoveries better, but nobody relies on.
    ///
    /// # Errors
    /// If the disk refuses. The storage must not be used afterwards.
    fn settle(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Writes a snapshot, durably.
pub type SaveTask = Box<dyn FnOnce() -> Result<(), StorageError> + Send>;

/// One change of the durable state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageOp {
    /// One that the protocol asked for.
    Protocol(DiskOp),
    /// A snapshot of this node's own state: the log stays, but its segments that lie wholly below the
    /// snapshot are deleted once it is durable.
    SaveSnapshot {
        /// The last transaction in it.
        zxid: Zxid,
        /// Its bytes.
        bytes: Blob,
    },
}

/// What was found on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last epoch promised; 0 on a fresh disk.
    pub accepted_epoch: u32,
    /// The last epoch whose history was synchronised; 0 on a fresh disk.
    pub current_epoch: u32,
    /// The newest snapshot.
    pub snapshot: Option<(Zxid, Blob)>,
    /// The transaction before the first of `entries`.
    pub base: Zxid,
    /// The log behind `base`.
    pub entries: Vec<Entry>,
}

impl Recovered {
    /// The last transaction of the log, or of the snapshot if the log is empty.
    #[must_use]
    pub fn last(&self) -> Zxid {
        self.entries.last().map_or(self.base, |entry| entry.zxid)
    }

    /// What the protocol starts from, and the snapshot that the state machine starts from.
    #[must_use]
    pub fn into_boot(self) -> (Boot, Option<Blob>) {
        let (zxid, bytes) = match self.snapshot {
            Some((zxid, bytes)) => (zxid, Some(bytes)),
            None => (Zxid::ZERO, None),
        };
        let boot = Boot {
            accepted_epoch: self.accepted_epoch,
            current_epoch: self.current_epoch,
            snapshot: zxid,
            base: self.base,
            entries: self.entries,
        };
        (boot, bytes)
    }
}
