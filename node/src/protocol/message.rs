//! What nodes say to each other.
//!
//! A [`Frame`] is what travels whole over a connection; [`super::wire`] gives its bytes. A network
//! that harms us may lose any frame inside a living connection, so there are two kinds: greetings,
//! pings and votes are repeated until they are answered or out of date; everything that has an
//! order is a [`Message`] inside a [`Segment`], which `stream` numbers, acknowledges and
//! repeats.
//!
//! Every message names the *incarnation* of its sender and of its receiver. A node's incarnation
//! rises with each change of role, so what was said to a former role is dropped.

use std::sync::Arc;

use super::blob::Blob;
use super::zxid::{Sid, Zxid};

/// The content of a transaction, opaque to the protocol.
pub type Payload = Arc<[u8]>;

/// The largest body of a frame, in bytes. The length in front of it is not counted.
pub const MAX_FRAME: usize = 1 << 20;

/// The largest payload of a transaction, in bytes: what a frame holds beside its headers.
pub const MAX_PAYLOAD: usize = MAX_FRAME - 1024;

/// How many transactions a leader proposes before they are committed; it refuses more. Shells keep
/// the sum of their nodes' requests below it.
pub const MAX_TRANSACTIONS: usize = 10_000;

/// One transaction of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub zxid: Zxid,
    /// The node whose client asked for it.
    pub origin: Sid,
    /// The number which that node gave to the request. Unique over all boots of the node.
    pub request: u64,
    /// What to apply.
    pub payload: Payload,
}

/// What travels whole over a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The dialling end says who it is and whom it wants; repeated until welcomed.
    Hello(Hello),
    /// The accepting end knows the dialling one now.
    Welcome(Hello),
    /// A heartbeat with the state of the sender.
    Ping(Ping),
    /// A candidate asks for a grant.
    VoteRequest(VoteRequest),
    /// The answer to a candidate.
    Vote(Vote),
    /// One message of the reliable stream.
    Segment(Segment),
    /// What has arrived of the reliable stream in the other direction.
    StreamAck(StreamAck),
}

/// Who speaks on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The sender.
    pub from: Sid,
    /// Whom it believes to be connected with.
    pub to: Sid,
}

/// A heartbeat. Both directions of a connection carry them, whatever the roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// The sender's incarnation.
    pub incarnation: u64,
    /// What the sender is.
    pub role: PeerRole,
    /// The sender's clock when it was sent, in nanoseconds.
    pub sent_at: u64,
    /// The newest `sent_at` that the sender has received from the receiver on this connection;
    /// 0 before the first.
    pub echo: u64,
    /// For how long the sender has held `echo`, in nanoseconds.
    pub held: u64,
    /// The receiver shall answer with a ping at once.
    pub reply: bool,
    /// The last epoch that the sender has promised.
    pub accepted_epoch: u32,
    /// How good the sender's history is.
    pub standing: Standing,
}

/// What a node says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRole {
    /// It has no leader.
    Looking,
    /// It follows this leader.
    Following(Sid),
    /// It leads, or tries to since it was elected; the epoch is 0 until one is agreed upon.
    Leading {
        /// The agreed epoch.
        epoch: u32,
    },
}

/// How good a history is: elections prefer the greatest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// The last epoch whose history was synchronised.
    pub current_epoch: u32,
    /// The last transaction in the log.
    pub last_zxid: Zxid,
}

/// A candidate asks for a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoteRequest {
    /// The round, rising per candidate.
    pub round: u64,
    /// How good the candidate's history is.
    pub standing: Standing,
}

/// The answer to a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The round that was asked for.
    pub round: u64,
    /// Whether the voter waits for this candidate now.
    pub granted: bool,
}

/// One message of the reliable stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number in the stream of this connection and direction, from 1.
    pub seq: u64,
    /// What has arrived in the other direction.
    pub ack: StreamAck,
    /// The message.
    pub message: Message,
}

/// What has arrived of a reliable stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamAck {
    /// Everything up to this number.
    pub through: u64,
    /// Bit `i` tells that number `through + 2 + i` has arrived as well.
    pub beyond: u64,
}

/// A message between two incarnations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender's incarnation.
    pub from: u64,
    /// The receiver's incarnation that is addressed.
    pub to: u64,
    /// What is said.
    pub body: Body,
}

/// What is said in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Discovery, follower: I would follow you; this is the last epoch that I promised.
    FollowerInfo {
        /// The follower's accepted epoch.
        accepted_epoch: u32,
    },
    /// Discovery, leader: promise this epoch.
    NewEpoch {
        /// The new epoch, or that of the established leader.
        epoch: u32,
    },
    /// Discovery, follower: this is my history. Sent when all of it is durable.
    AckEpoch {
        /// The epoch was not promised to anybody before; only then the answer counts as a promise.
        promised: bool,
        /// How good the follower's history is.
        standing: Standing,
        /// The last transaction of each epoch in its log, newest first, at most
        /// [`MAX_EPOCH_ENDS`].
        epoch_ends: Vec<Zxid>,
    },
    /// Synchronisation, leader: cut your log behind this transaction.
    Truncate {
        /// The last transaction to keep.
        to: Zxid,
    },
    /// Synchronisation, leader: a piece of the snapshot that replaces your whole history.
    SnapshotChunk {
        /// The last transaction in the snapshot.
        zxid: Zxid,
        /// The size of the whole snapshot in bytes.
        total: u64,
        /// Where this piece begins. Pieces come in order and without gaps.
        offset: u64,
        /// The piece.
        bytes: Blob,
    },
    /// Synchronisation, leader: transactions that the follower lacks, in order.
    SyncEntries {
        /// The transactions.
        entries: Vec<Entry>,
    },
    /// Synchronisation, leader: now you have my history.
    NewLeader {
        /// The epoch.
        epoch: u32,
        /// The last transaction of what was sent or shared.
        zxid: Zxid,
        /// By which means it was sent.
        mode: SyncMode,
    },
    /// Synchronisation, follower: that history and its epoch are durable here.
    AckNewLeader {
        /// The last transaction of it.
        zxid: Zxid,
    },
    /// Synchronisation, leader: you may serve once you have applied `commit`.
    UpToDate {
        /// All that the leader has committed.
        commit: Zxid,
    },
    /// Broadcast, leader: the next transaction.
    Proposal {
        /// The transaction.
        entry: Entry,
        /// All that the leader has committed.
        commit: Zxid,
    },
    /// Broadcast, follower: everything up to here is durable.
    Ack {
        /// The last durable transaction.
        zxid: Zxid,
    },
    /// Broadcast, leader: everything up to here is committed.
    Commit {
        /// The last committed transaction.
        zxid: Zxid,
    },
    /// Broadcast, follower: propose this for my client.
    Request {
        /// The follower's number of the request.
        request: u64,
        /// What to apply.
        payload: Payload,
    },
    /// Broadcast, leader: the request was not proposed and never will be.
    RequestRefused {
        /// The follower's number of the request.
        request: u64,
    },
    /// Which transaction must a read that begins now have seen?
    ReadIndex {
        /// The follower's number of the request.
        request: u64,
    },
    /// The answer, given after a quorum has confirmed the leader.
    ReadIndexReply {
        /// The follower's number of the request.
        request: u64,
        /// The transaction.
        zxid: Zxid,
    },
}

/// The most epochs whose ends are reported in an [`Body::AckEpoch`]. A leader that finds no common
/// point among them sends a snapshot.
pub const MAX_EPOCH_ENDS: usize = 32;

/// How a follower is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// The transactions that it lacked.
    Diff,
    /// Its log was cut back first, then the transactions that it lacked.
    Trunc,
    /// A whole snapshot, then the transactions behind it.
    Snap,
}

impl SyncMode {
    /// The word of the trace: `DIFF`, `TRUNC` or `SNAP`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Diff => "DIFF",
            Self::Trunc => "TRUNC",
            Self::Snap => "SNAP",
        }
    }
}
