//! What a node is at the moment: looking for a leader, following one, or leading.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::message::{Entry, SyncMode};
use super::zxid::{Nanos, Sid, Zxid};

/// One of the three roles, with all that is forgotten when it ends.
#[derive(Debug)]
pub(super) enum Role {
    Looking(Looking),
    Following(Following),
    Leading(Leading),
}

/// Without a leader.
#[derive(Debug)]
pub(super) struct Looking {
    /// When to ask for votes, unless something happens before.
    pub(super) start_at: Nanos,
    /// The leader that was lost: peers that still name it are about to look as well.
    pub(super) lost: Option<Sid>,
    pub(super) campaign: Option<Campaign>,
    pub(super) grant: Option<Grant>,
}

/// The votes asked for.
#[derive(Debug)]
pub(super) struct Campaign {
    pub(super) round: u64,
    pub(super) grants: BTreeSet<Sid>,
    pub(super) answered: BTreeSet<Sid>,
    pub(super) ask_again: Nanos,
    pub(super) give_up: Nanos,
}

/// The candidate that is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) to: Sid,
    pub(super) round: u64,
    pub(super) until: Nanos,
}

/// With a leader.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) leader: Sid,
    /// The leader's incarnation: it leads as long as it has this one.
    pub(super) tenure: u64,
    pub(super) stage: FollowerStage,
    /// When the leader last moved us forward; joining must not take forever.
    pub(super) progress: Nanos,
    pub(super) mode: SyncMode,
    /// The snapshot being received.
    pub(super) snapshot: Option<IncomingSnapshot>,
    /// What was received to catch up.
    pub(super) txns: u64,
    pub(super) bytes: u64,
    /// The last transaction for which the leader has our acknowledgement.
    pub(super) acked: Zxid,
    /// All that must be delivered before clients are served.
    pub(super) serve_from: Zxid,
}

/// How far a follower has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FollowerStage {
    /// It waits for the epoch.
    Discovery,
    /// It has acknowledged the epoch and receives the leader's history.
    Sync,
    /// It has all and writes it down.
    Persisting,
    /// It has acknowledged the leader's history.
    Acked,
    /// It was let in.
    Joined,
}

/// A snapshot in pieces, and the entries behind it. Nothing of it counts before all is there.
#[derive(Debug)]
pub(super) struct IncomingSnapshot {
    pub(super) zxid: Zxid,
    pub(super) total: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) entries: Vec<Entry>,
}

/// Elected.
#[derive(Debug)]
pub(super) struct Leading {
    pub(super) stage: LeaderStage,
    /// The agreed epoch; 0 until then.
    pub(super) epoch: u32,
    /// This node's own promise of the epoch is durable.
    pub(super) promised: bool,
    /// This node's own history and epoch are durable.
    pub(super) persisted: bool,
    pub(super) followers: BTreeMap<Sid, Follower>,
    /// When the way to establishment last went forward.
    pub(super) progress: Nanos,
    /// A snapshot of the state machine was asked for.
    pub(super) snapshot_asked: bool,
    pub(super) reads: VecDeque<Read>,
}

/// How far a leader has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaderStage {
    /// It waits for followers, to choose an epoch.
    Gathering,
    /// It waits for a quorum to promise the epoch.
    Promising,
    /// It waits for a quorum to hold its history.
    Syncing,
    /// It may commit.
    Established,
}

/// A follower as its leader sees it.
#[derive(Debug)]
pub(super) struct Follower {
    /// The incarnation in which it follows.
    pub(super) incarnation: u64,
    pub(super) accepted_epoch: u32,
    pub(super) stage: Progress,
    /// It was told the epoch.
    pub(super) told: bool,
    /// The last transaction of each of its epochs, from its answer.
    pub(super) epoch_ends: Vec<Zxid>,
    /// The last transaction known to be durable there. Counts from `Progress::Synced` on.
    pub(super) acked: Zxid,
    /// When it last acknowledged anything new.
    pub(super) progress: Nanos,
    /// The newest of our ping times that it has echoed while following us.
    pub(super) echoed: u64,
}

/// How far a follower has come, as its leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// It announced itself.
    Announced,
    /// It answered, but had promised the epoch before: this is no promise to us.
    Answered,
    /// It promised the epoch.
    Promised,
    /// It waits for the snapshot that was asked for.
    AwaitingSnapshot,
    /// It was sent the history, and is sent all that comes after.
    Receiving,
    /// It holds the history.
    Synced,
    /// It was let in: it serves clients.
    Active,
}

/// A read that waits for a quorum to confirm the leader.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    pub(super) origin: Sid,
    pub(super) request: u64,
    /// What had been committed when it was asked.
    pub(super) zxid: Zxid,
    /// Pings with at least this time were sent after it was asked.
    pub(super) sent_from: u64,
}

impl Leading {
    pub(super) const fn new(now: Nanos) -> Self {
        Self {
            stage: LeaderStage::Gathering,
            epoch: 0,
            promised: false,
            persisted: false,
            followers: BTreeMap::new(),
            progress: now,
            snapshot_asked: false,
            reads: VecDeque::new(),
        }
    }

    /// How many followers have come at least this far.
    pub(super) fn at_least(&self, stage: Progress) -> usize {
        self.followers
            .values()
            .filter(|follower| follower.stage >= stage)
            .count()
    }
}

impl Following {
    pub(super) const fn new(leader: Sid, tenure: u64, now: Nanos) -> Self {
        Self {
            leader,
            tenure,
            stage: FollowerStage::Discovery,
            progress: now,
            mode: SyncMode::Diff,
            snapshot: None,
            txns: 0,
            bytes: 0,
            acked: Zxid::ZERO,
            serve_from: Zxid::ZERO,
        }
    }
}

impl IncomingSnapshot {
    /// Takes the next piece; tells whether it fits.
    #[must_use]
    pub(super) fn extend(&mut self, zxid: Zxid, total: u64, offset: u64, piece: &[u8]) -> bool {
        let fits = zxid == self.zxid
            && total == self.total
            && offset == self.bytes.len() as u64
            && offset + piece.len() as u64 <= total;
        if fits {
            self.bytes.extend_from_slice(piece);
        }
        fits
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.bytes.len() as u64 == self.total
    }
}
