//! The seam between the protocol and the world: what the core is told and what it asks for.
//!
//! The shell owns sockets, the disk, the clock and the state machine. It calls
//! `Core::step` with one [`Input`] at a time and executes the [`Output`]s **in the order
//! given**. Rules for the shell:
//!
//! * `now` never goes back and is the monotonic clock in nanoseconds, read just before the step.
//! * Disk batches are executed in the order of their tickets, each durable (fsynced) before it is
//!   reported. `DiskDone { ticket }` reports that ticket *and all earlier ones*: one report per
//!   fsync is enough. A disk error ends the process.
//! * After a wake-up that comes late, whatever the sockets hold is fed in before `Tick`.
//! * A frame for a connection that is gone is dropped silently.

use thiserror::Error;

use crate::bug::Bugs;

use super::blob::Blob;
use super::message::{Entry, Frame, Payload, SyncMode};
use super::zxid::{ConnId, Nanos, Sid, Ticket, Zxid};

/// Who the node is and how it measures time.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// This node.
    pub me: Sid,
    /// All voters, this node among them. Never changes.
    pub voters: Vec<Sid>,
    /// Seeds the jitter of elections and dials. Differs between nodes and boots.
    pub seed: u64,
    /// The timing of liveness.
    pub timing: Timing,
    /// How many log entries behind a snapshot are kept for followers that lag; 5000 is plenty.
    pub keep_entries: usize,
    /// Rules that are broken on purpose; none in a real node.
    pub bugs: Bugs,
}

/// The timing of liveness.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How often each peer is pinged. 20 ms by default.
    pub heartbeat: Nanos,
    /// The shortest silence that makes a peer suspected. 120 ms by default.
    pub suspect_floor: Nanos,
    /// The longest silence that is tolerated, however irregular the pings are. 1 s by default.
    pub suspect_cap: Nanos,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Nanos::from_millis(20),
            suspect_floor: Nanos::from_millis(120),
            suspect_cap: Nanos::from_millis(1000),
        }
    }
}

/// What the disk holds when the process starts.
#[derive(Debug, Clone, Default)]
pub struct Boot {
    /// The last epoch promised; 0 on a fresh disk.
    pub accepted_epoch: u32,
    /// The last epoch whose history was synchronised; 0 on a fresh disk.
    pub current_epoch: u32,
    /// The last transaction of the snapshot with which the state machine was started, or zero.
    pub snapshot: Zxid,
    /// The transaction before the first of `entries`; at most `snapshot`. Equal to it if no
    /// entries older than the snapshot are kept.
    pub base: Zxid,
    /// The log behind `base`. Those up to `snapshot` are in the state machine already; the later
    /// ones must **not** be applied before the core delivers them.
    pub entries: Vec<Entry>,
}

/// A disk from which a node must not start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BootError {
    /// The promise must be written before anything is done under it.
    #[error("accepted epoch {accepted} is behind current epoch {current}")]
    AcceptedBehindCurrent {
        /// The accepted epoch.
        accepted: u32,
        /// The current epoch.
        current: u32,
    },
    /// The log has transactions of an epoch that was never promised.
    #[error("accepted epoch {accepted} is behind the log, which ends with {last}")]
    AcceptedBehindLog {
        /// The accepted epoch.
        accepted: u32,
        /// The last transaction.
        last: Zxid,
    },
    /// The log has a hole or goes back.
    #[error("transaction {next} cannot stand behind {previous} in the log")]
    Gap {
        /// The transaction before.
        previous: Zxid,
        /// The offending one.
        next: Zxid,
    },
    /// The snapshot lies outside the log.
    #[error("snapshot {snapshot} does not lie within the log from {base} to {last}")]
    SnapshotOutsideLog {
        /// The snapshot's last transaction.
        snapshot: Zxid,
        /// The transaction before the log.
        base: Zxid,
        /// The last transaction of the log.
        last: Zxid,
    },
    /// The node is not one of the voters.
    #[error("{0} is not among the voters")]
    NotAVoter(Sid),
}

/// What the core is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// The time asked for by [`Output::WakeAt`] has come (or any other time).
    Tick,
    /// A connection is open. `dialed` names the peer if this node dialled it; of an accepted one
    /// the core learns the peer from its first frame.
    Connected {
        /// The connection.
        conn: ConnId,
        /// The peer of a dialled connection.
        dialed: Option<Sid>,
    },
    /// A connection is gone. Not reported for those closed by [`Output::Close`] (but harmless).
    Disconnected {
        /// The connection.
        conn: ConnId,
        /// How it ended.
        reason: BreakReason,
    },
    /// A dial failed. Exactly one of this and `Connected` answers each [`Output::Dial`].
    DialFailed {
        /// The peer.
        peer: Sid,
        /// Why.
        reason: BreakReason,
    },
    /// A frame arrived.
    Frame {
        /// On which connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// This disk batch and all earlier ones are durable.
    DiskDone {
        /// The batch.
        ticket: Ticket,
    },
    /// A client of this node wants this applied. Answered by a [`Output::Deliver`] whose origin is
    /// this node and whose request is this one, or by [`Output::Rejected`].
    Propose {
        /// The shell's number, unique over all boots of this node.
        request: u64,
        /// What to apply; at most [`super::message::MAX_PAYLOAD`] bytes.
        payload: Payload,
    },
    /// A client of this node wants a linearizable read (or `sync`). Answered by
    /// [`Output::ReadReady`] or [`Output::Rejected`].
    ReadIndex {
        /// The shell's number; from the same sequence as those of `Propose`.
        request: u64,
    },
    /// The answer to [`Output::SnapshotWanted`]: the state machine as it is now.
    Snapshot {
        /// The last transaction applied to it.
        zxid: Zxid,
        /// Its bytes, as [`DiskOp::InstallSnapshot`] will hand them to another node.
        bytes: Blob,
    },
    /// A snapshot of this node's own state machine is durable, so the core need not keep the log
    /// up to here (it keeps some thousands for followers that lag).
    Compacted {
        /// The last transaction of the snapshot.
        zxid: Zxid,
    },
}

/// How a connection ended or could not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakReason {
    /// The peer closed it.
    Eof,
    /// The peer or the network reset it, or an error of the socket.
    Reset,
    /// Nobody listens there.
    Refused,
    /// No answer to the dial.
    Timeout,
}

impl BreakReason {
    /// The word of the trace's `channel`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Eof => "eof",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
        }
    }
}

/// What the core asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Open a connection to this peer. The greater sid of a pair dials.
    Dial {
        /// The peer.
        peer: Sid,
    },
    /// Send a frame.
    Send {
        /// On which connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// Close a connection at once, abortively: what is not yet sent is lost.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Make this durable, then report [`Input::DiskDone`].
    Disk {
        /// The number of the batch: one more than the last.
        ticket: Ticket,
        /// What to do, in order.
        ops: Vec<DiskOp>,
    },
    /// Apply this transaction. They come in order, each once; it is committed and durable here.
    Deliver(Entry),
    /// Replace the state machine by this snapshot, which is installed and durable. `Deliver`
    /// continues behind it.
    Restore {
        /// The last transaction of the snapshot.
        zxid: Zxid,
        /// Its bytes.
        bytes: Blob,
    },
    /// A follower needs a snapshot: serialise the state machine as it stands at this point of the
    /// outputs and answer with [`Input::Snapshot`]. Asked again only after the answer.
    SnapshotWanted,
    /// Serve this read once the state machine has applied `zxid` (the core has not necessarily
    /// delivered it yet).
    ReadReady {
        /// The shell's number.
        request: u64,
        /// What must have been applied.
        zxid: Zxid,
    },
    /// A `Propose` or `ReadIndex` ends without its answer.
    Rejected {
        /// The shell's number.
        request: u64,
        /// Why, and whether a write may still happen.
        reason: RejectReason,
    },
    /// Clients may be served from here on; all that the leader had committed is delivered.
    Serving {
        /// The leader, perhaps this node.
        leader: Sid,
        /// Its epoch.
        epoch: u32,
    },
    /// Clients must not be served any more: close their connections.
    NotServing,
    /// Something for the trace.
    Trace(TraceEvent),
    /// Call `step` with [`Input::Tick`] at this time if nothing comes before it. Replaces the one
    /// asked for before.
    WakeAt(Nanos),
    /// An invariant is broken; going on would harm data. Say why and end the process.
    Fatal(String),
}

/// One change of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskOp {
    /// Append to the log. The first follows the last transaction of the log.
    Append(Vec<Entry>),
    /// Remove everything after this transaction from the log.
    Truncate {
        /// The last transaction to keep.
        after: Zxid,
    },
    /// Replace both epochs, atomically. They must not be durable before what stands ahead of them
    /// in this batch or in earlier ones: fsync the log first.
    SetMeta {
        /// The last epoch promised.
        accepted_epoch: u32,
        /// The last epoch whose history was synchronised.
        current_epoch: u32,
    },
    /// Replace snapshot and log by this snapshot and a log of these entries, **atomically**: after
    /// a crash there is either the old history or the whole new one. A snapshot without its
    /// entries would be a shorter history than the node has vouched for. (One way: the installed
    /// file carries the entries, and one rename puts both into force.)
    InstallSnapshot {
        /// The last transaction of the snapshot.
        zxid: Zxid,
        /// Its bytes.
        bytes: Blob,
        /// What follows it.
        entries: Vec<Entry>,
    },
}

/// Why a request ends without its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// The node does not serve. The write certainly does not happen.
    NotServing,
    /// Too much is outstanding. The write certainly does not happen.
    Busy,
    /// The payload is too large. The write certainly does not happen.
    TooLarge,
    /// The leader was lost meanwhile. Whether the write happens is unknown.
    LeaderLost,
}

/// Something for the trace, stamped by the shell. Names and fields are those of the harness's
/// `NodeEventKind`; epochs and rounds are plain numbers there, sids are `n1` ….
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are those documented by the harness's NodeEventKind"
)]
pub enum TraceEvent {
    /// `boot`
    Boot {
        accepted_epoch: u32,
        current_epoch: u32,
        last_zxid: Zxid,
    },
    /// `looking`
    Looking { reason: &'static str },
    /// `suspect`
    Suspect {
        of: Sid,
        channel: &'static str,
        silence: Nanos,
        timeout: Nanos,
    },
    /// `trust`
    Trust { of: Sid },
    /// `candidate`
    Candidate { round: u64 },
    /// `elected`
    Elected { round: u64 },
    /// `epoch_agreed`
    EpochAgreed { epoch: u32 },
    /// `sync_start`
    SyncStart {
        peer: Sid,
        mode: SyncMode,
        txns: u64,
        bytes: u64,
    },
    /// `active`
    Active { epoch: u32, zxid: Zxid },
    /// `following`
    Following { leader: Sid },
    /// `synced`
    Synced {
        leader: Sid,
        epoch: u32,
        mode: SyncMode,
        txns: u64,
        bytes: u64,
        zxid: Zxid,
    },
    /// `evict`
    Evict { of: Sid, reason: &'static str },
    /// `rejoin`
    Rejoin { of: Sid },
    /// `step_down`
    StepDown { epoch: u32, reason: &'static str },
    /// `stalled`
    Stalled { late: Nanos },
}

/// The state of a node for people and monitors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub phase: Phase,
    /// Whether clients are served.
    pub serving: bool,
    /// The leader that it follows or is.
    pub leader: Option<Sid>,
    /// The last epoch promised.
    pub accepted_epoch: u32,
    /// The last epoch whose history was synchronised.
    pub current_epoch: u32,
    /// The last transaction known to be committed.
    pub committed: Zxid,
    /// The last transaction delivered.
    pub delivered: Zxid,
    /// The last transaction in the log, durable or not yet.
    pub last_logged: Zxid,
    /// Leader: followers connected, in whatever phase.
    pub followers: usize,
    /// Leader: followers in its active set.
    pub synced_followers: usize,
    /// Leader: transactions proposed and not yet committed.
    pub outstanding: usize,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Without a leader.
    Looking,
    /// A follower not yet let in.
    Joining,
    /// A follower.
    Following,
    /// Elected, but not yet established.
    Electing,
    /// The established leader.
    Leading,
}
