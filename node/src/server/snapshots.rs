//! Whole states are encoded, decoded and dropped on a thread of their own: for a hundred megabytes each
//! takes long enough that the others would think this node dead if the loop did it.
//!
//! The loop hands in a [`Task`] and gets a [`Finished`] later. While a state is decoded that replaces
//! the one in force, what the protocol asks of the state waits.
//!
//! Invariant: at most one task of each kind is under way, so the queue is short.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::sync::mpsc::UnboundedSender;

use super::error::ServerError;
use super::event_loop::Server;
use super::inbox::Durable;
use crate::protocol::blob::Blob;
use crate::protocol::io::Input;
use crate::protocol::zxid::Zxid;
use crate::state::{Snapshot, SnapshotError, State};
use crate::storage::{Batch, StorageOp};

/// What an encoded snapshot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The node's own disk.
    Save,
    /// Followers that lack too much.
    Send,
}

/// Something to do for the thread.
#[derive(Debug)]
enum Task {
    Encode(Purpose, Snapshot),
    Decode(Zxid, Blob),
    /// A state that is not needed any more.
    Drop(Box<State>),
}

/// Something that the thread has done.
#[derive(Debug)]
pub(super) enum Finished {
    Encoded {
        purpose: Purpose,
        zxid: Zxid,
        bytes: Blob,
    },
    Decoded {
        zxid: Zxid,
        state: Result<Box<State>, SnapshotError>,
    },
}

/// The thread, and what depends on it. Dropping it ends the thread after what is queued.
#[derive(Debug)]
pub(super) struct Snapshots {
    queue: Option<mpsc::Sender<Task>>,
    thread: Option<thread::JoinHandle<()>>,
    /// Whether a snapshot of the own state is under way to the disk.
    is_saving: bool,
    /// Whether a state is being decoded that replaces the one in force.
    is_restoring: bool,
}

impl Snapshots {
    /// Starts the thread, which reports to `finished`.
    pub(super) fn start(finished: UnboundedSender<Finished>) -> io::Result<Self> {
        let (queue, tasks) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(move || {
                for done in tasks.into_iter().filter_map(perform) {
                    // The loop is gone only when the process ends.
                    let _ = finished.send(done);
                }
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            is_saving: false,
            is_restoring: false,
        })
    }

    /// Whether the state in force is about to be replaced: nothing may be read from it.
    pub(super) const fn is_restoring(&self) -> bool {
        self.is_restoring
    }

    /// Whether a snapshot of the own state may be saved now.
    pub(super) const fn may_save(&self) -> bool {
        !self.is_saving && !self.is_restoring
    }

    /// The snapshot of the own state is durable.
    pub(super) const fn saved(&mut self) {
        self.is_saving = false;
    }

    pub(super) fn encode(&mut self, purpose: Purpose, snapshot: Snapshot) {
        self.is_saving |= purpose == Purpose::Save;
        self.give(Task::Encode(purpose, snapshot));
    }

    pub(super) fn restore(&mut self, zxid: Zxid, bytes: Blob) {
        self.is_restoring = true;
        self.give(Task::Decode(zxid, bytes));
    }

    fn give(&self, task: Task) {
        if let Some(queue) = &self.queue {
            // The thread ends only with the queue.
            let _ = queue.send(task);
        }
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

impl Server {
    /// Saves a snapshot when enough was applied since the last one.
    pub(super) fn save_snapshot(&mut self) {
        if self.applied_since_snapshot >= self.config.snapshot_every && self.snapshots.may_save() {
            self.applied_since_snapshot = 0;
            self.snapshots.encode(Purpose::Save, self.state.snapshot());
        }
    }

    /// Saves a snapshot now, because somebody asks for it; what becomes of that, for people.
    pub(super) fn snapshot_on_demand(&mut self) -> String {
        if !self.snapshots.may_save() {
            return "A snapshot is under way already.\n".to_owned();
        }
        self.applied_since_snapshot = 0;
        self.snapshots.encode(Purpose::Save, self.state.snapshot());
        format!("Snapshot of zxid 0x{:x} begun.\n", self.state.applied())
    }

    pub(super) fn on_finished(&mut self, finished: Finished) -> Result<(), ServerError> {
        match finished {
            Finished::Encoded {
                purpose: Purpose::Save,
                zxid,
                bytes,
            } => self.worker.send(Batch {
                ops: vec![StorageOp::SaveSnapshot { zxid, bytes }],
                token: Durable::Saved(zxid),
            }),
            Finished::Encoded {
                purpose: Purpose::Send,
                zxid,
                bytes,
            } => self.step(Input::Snapshot { zxid, bytes }),
            Finished::Decoded { zxid, state } => self.replace_state(zxid, state)?,
        }
        Ok(())
    }

    fn replace_state(
        &mut self,
        zxid: Zxid,
        state: Result<Box<State>, SnapshotError>,
    ) -> Result<(), ServerError> {
        let state = state.map_err(|source| ServerError::Snapshot { zxid, source })?;
        let mut state = Box::new(state.with_bugs(self.config.bugs));
        if state.applied() != zxid.0 {
            let holds = Zxid(state.applied());
            let text = format!("snapshot {zxid} holds the state as of {holds}");
            return Err(ServerError::Invariant(text));
        }
        std::mem::swap(&mut self.state, &mut *state);
        self.snapshots.give(Task::Drop(state));
        self.applied_since_snapshot = self.config.snapshot_phase();
        self.snapshots.is_restoring = false;
        Ok(())
    }
}

fn perform(task: Task) -> Option<Finished> {
    match task {
        Task::Encode(purpose, snapshot) => Some(Finished::Encoded {
            purpose,
            zxid: Zxid(snapshot.applied()),
            bytes: Blob::from(snapshot.encode()),
        }),
        Task::Decode(zxid, bytes) => Some(Finished::Decoded {
            zxid,
            state: State::decode(&bytes).map(Box::new),
        }),
        Task::Drop(state) => {
            drop(state);
            None
        }
    }
}
