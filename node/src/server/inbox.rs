//! Everything that the loop waits for, in one place.

use tokio::signal::unix::Signal;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::time::sleep;

use super::snapshots::Finished;
use crate::clock;
use crate::protocol::zxid::{Ticket, Zxid};
use crate::storage::StorageError;
use crate::transport::{ClientEvent, PeerEvent};

/// What the disk thread gives back when a batch is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    /// A batch of the protocol.
    Batch(Ticket),
    /// A snapshot of this node's own state.
    Saved(Zxid),
}

/// Something happened.
#[derive(Debug)]
pub(super) enum Event {
    Disk(Result<Vec<Durable>, StorageError>),
    Peer(PeerEvent),
    Client(ClientEvent),
    Snapshot(Finished),
}

/// Why the loop wakes up.
#[derive(Debug)]
pub(super) enum Wake {
    Event(Event),
    Time,
    Stop,
}

/// The receiving ends of everything that sends to the loop.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) disk: UnboundedReceiver<Result<Vec<Durable>, StorageError>>,
    pub(super) peers: Receiver<PeerEvent>,
    pub(super) clients: Receiver<ClientEvent>,
    pub(super) snapshots: UnboundedReceiver<Finished>,
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
}

impl Inbox {
    /// Waits for the next event, but no longer than until `deadline` in monotonic nanoseconds. Clients
    /// wait while `clients` is false.
    pub(super) async fn wait(&mut self, deadline: u64, clients: bool) -> Wake {
        let left = clock::until(deadline);
        // The senders of all four live as long as the loop, so none of them ends.
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Wake::Stop,
            _ = self.interrupt.recv() => Wake::Stop,
            Some(done) = self.disk.recv() => Wake::Event(Event::Disk(done)),
            Some(done) = self.snapshots.recv() => Wake::Event(Event::Snapshot(done)),
            Some(event) = self.peers.recv() => Wake::Event(Event::Peer(event)),
            Some(event) = self.clients.recv(), if clients => Wake::Event(Event::Client(event)),
            () = sleep(left) => Wake::Time,
        }
    }

    /// What has happened already, peers and disk before clients. Clients wait while `clients` is
    /// false.
    pub(super) fn ready(&mut self, clients: bool) -> Option<Event> {
        if let Ok(done) = self.disk.try_recv() {
            return Some(Event::Disk(done));
        }
        if let Ok(done) = self.snapshots.try_recv() {
            return Some(Event::Snapshot(done));
        }
        if let Ok(event) = self.peers.try_recv() {
            return Some(Event::Peer(event));
        }
        if !clients {
            return None;
        }
        self.clients.try_recv().ok().map(Event::Client)
    }
}
