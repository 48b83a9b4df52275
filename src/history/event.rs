//! Events of a run: faults, phases, trials, probes, and what the nodes themselves report.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::id::{FaultId, NodeId, TrialId};

/// One line of `events.jsonl`: a time on the run's axis and what happened then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, since the run's origin.
    pub time: Nanos,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// A part of the run begins: `setup`, `ready`, `load`, `steps`, `heal`, `drain`, `final_reads`,
    /// `end`.
    Phase {
        /// Its name.
        phase: String,
    },
    /// A trial begins (the cluster need not be steady yet).
    TrialBegin {
        /// Which.
        trial: TrialId,
        /// The name of the `repeat`.
        name: String,
    },
    /// A trial ended.
    TrialEnd {
        /// Which.
        trial: TrialId,
        /// How.
        outcome: TrialOutcome,
        /// Why it was censored or skipped; empty for a completed one.
        reason: String,
    },
    /// A `wait_for` ran out whose `else` is `fail`.
    WaitExpired {
        /// The step: `steps[0].repeat.steps[2]`.
        step: String,
        /// What was waited for, how long, and how the cluster was.
        reason: String,
    },
    /// The plan was not played to its end: a step outside of any trial could not be done.
    BrokeOff {
        /// Which step, and why.
        reason: String,
    },
    /// Just before the first system call of a fault: the intent is in the ledger.
    FaultAsked(FaultAsked),
    /// The fault is confirmed to be in force.
    FaultLanded {
        /// Which.
        fault: FaultId,
    },
    /// The fault did not come into force.
    FaultMissed {
        /// Which.
        fault: FaultId,
        /// Why.
        reason: String,
    },
    /// The fault was lifted; for a kill: its node was started again.
    FaultHealed {
        /// Which.
        fault: FaultId,
    },
    /// What a fault really did, as far as it can be counted, times in nanoseconds: `lost_files`,
    /// `lost_bytes` and `lost_names` when the power failed; `calls` of the kind that a rule of a
    /// disk means, and `hits`, those that it struck; `stopped_for` and `ran_for` of a stutter; and
    /// all that crossed the links of a link's fault while it was in force, by the names of
    /// [`crate::link::Counters`] or of the packets' switch: `bytes` always, the others where they
    /// are not zero.
    FaultMeasured {
        /// Which.
        fault: FaultId,
        /// By name.
        figures: BTreeMap<String, u64>,
    },
    /// A node's process was spawned.
    ProcessStarted {
        /// Whose.
        node: NodeId,
        /// Its process id.
        pid: u32,
        /// 1 for the first start of this node, then 2 …
        incarnation: u32,
    },
    /// A node's process accepts clients or at least answers.
    ProcessReady {
        /// Whose.
        node: NodeId,
    },
    /// A node's process ended.
    ProcessExited {
        /// Whose.
        node: NodeId,
        /// How.
        status: ExitStatus,
        /// Whether a fault or step asked for it.
        asked: bool,
    },
    /// A step made this node stop (SIGSTOP confirmed) or run again.
    ProcessPaused {
        /// Whose.
        node: NodeId,
        /// Stopped, or continued.
        paused: bool,
    },
    /// Something a node reports about itself.
    Node(NodeEvent),
    /// One open-loop probe, written when it completed (its `time` is the completion).
    Probe(Probe),
    /// One sample of how late the harness's own timers fire.
    Lag {
        /// Lateness of this timer.
        late: Nanos,
    },
    /// The state of one node after the run, read directly from it.
    FinalState {
        /// Whose.
        node: NodeId,
        /// The last transaction it has applied.
        zxid: u64,
        /// A digest of its whole state, if it offers one; equal states have equal digests.
        digest: Option<String>,
        /// The registers, in the order of their names.
        keys: Vec<FinalKey>,
    },
    /// The check that runs meanwhile found operations that no order explains.
    Violation {
        /// Of which key.
        key: String,
        /// The operations that prove it, for people.
        operations: Vec<String>,
        /// Why no order explains them.
        sentence: String,
    },
    /// Free text from the plan (`mark`).
    Mark {
        /// The text.
        text: String,
    },
    /// Something odd that the reader should know of.
    Warning {
        /// The text.
        text: String,
    },
}

/// A fault is about to be injected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultAsked {
    /// Which.
    pub fault: FaultId,
    /// In which trial, if in one.
    pub trial: Option<TrialId>,
    /// The plan's verb: `kill`, `pause`, `cut` …
    pub verb: String,
    /// For people: `SIGKILL n1 (leader)`.
    pub label: String,
    /// The nodes it chose: the victims of a process fault, all touched nodes of a link fault.
    pub nodes: Vec<NodeId>,
    /// The victim was the leader when the fault was asked.
    pub on_leader: bool,
    /// What it holds in force until healed.
    pub effects: Vec<Tag>,
}

/// An effect as recorded in the stream. The words mirror `cluster::Effect`, which lies in a
/// higher layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tag {
    /// The node's process is gone.
    Down(NodeId),
    /// The node's process is stopped.
    Paused(NodeId),
    /// The node runs, and something of it is wrong.
    Hampered {
        /// Whose.
        node: NodeId,
        /// `stutter`, `fd_limit`, `disk`, `clock`.
        how: String,
    },
    /// A link is wrong. Ends are `n1` … or `clients`.
    Link {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
        /// `cut`, `drop`, `delay`.
        rule: String,
        /// Whether nothing at all passes (a cut, or a loss of 100 %).
        total: bool,
    },
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialOutcome {
    /// All its steps were done.
    Completed,
    /// A wait ran out: the trial never recovered within its limit.
    Censored,
    /// It could not be tried, for instance because no leader could be found.
    Skipped,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Which kind of probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeOp {
    /// A read of the probe's own key.
    Read,
    /// A write of the probe's own key.
    Write,
}

/// One open-loop probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The node that was asked: the vantage.
    pub node: NodeId,
    /// Read or write.
    pub op: ProbeOp,
    /// When it was meant to start.
    pub intended: Nanos,
    /// When it really was sent.
    pub started: Nanos,
    /// Whether it succeeded. Whether it was in time is judged later, against the plan's deadline.
    pub ok: bool,
    /// Why not, if not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Something a node reports about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeEvent {
    /// Which node reports.
    pub node: NodeId,
    /// What.
    #[serde(flatten)]
    pub what: NodeEventKind,
}

/// What nodes report. The bundled node writes these itself; drivers of other systems translate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum NodeEventKind {
    /// It has read its disk and begins.
    Boot {
        /// The last epoch promised.
        accepted_epoch: u64,
        /// The last epoch whose history was synchronised.
        current_epoch: u64,
        /// The last transaction in its log.
        last_zxid: u64,
    },
    /// It has no leader and looks for one.
    Looking {
        /// Why: `boot`, `leader_lost`, `quorum_lost`, `deposed`, …
        reason: String,
    },
    /// It stops treating a peer as alive.
    Suspect {
        /// Which peer.
        of: NodeId,
        /// `eof`, `refused`, `timeout`, `ack_lag` …: everything but `timeout` and `ack_lag` counts
        /// as transport.
        channel: String,
        /// How long the peer had been silent.
        silence_ns: u64,
        /// The timeout that was in force (0 where the channel is not a timeout).
        timeout_ns: u64,
    },
    /// It hears a suspected peer again.
    Trust {
        /// Which peer.
        of: NodeId,
    },
    /// It asks for votes.
    Candidate {
        /// The round of the election, per node and rising.
        round: u64,
    },
    /// It knows that it won an election; discovery and synchronisation follow.
    Elected {
        /// The round that it won.
        round: u64,
    },
    /// Leader: a quorum has promised this epoch.
    EpochAgreed {
        /// Which epoch.
        epoch: u64,
    },
    /// Leader: begins to synchronise a follower.
    SyncStart {
        /// The follower.
        peer: NodeId,
        /// By which means.
        mode: SyncMode,
        /// How many transactions are sent.
        txns: u64,
        /// How many bytes are sent.
        bytes: u64,
    },
    /// Leader: a quorum has acknowledged the epoch's history; it may commit.
    Active {
        /// Which epoch.
        epoch: u64,
        /// The last transaction of the initial history.
        zxid: u64,
    },
    /// Follower: (re)connected to a leader and begins discovery with it.
    Following {
        /// The leader.
        leader: NodeId,
    },
    /// Follower: it has applied all that the leader had committed when it was let in, and serves
    /// clients.
    Synced {
        /// The leader.
        leader: NodeId,
        /// The leader's epoch.
        epoch: u64,
        /// By which means it was synchronised.
        mode: SyncMode,
        /// How many transactions it received for that.
        txns: u64,
        /// How many bytes it received for that.
        bytes: u64,
        /// The last transaction applied.
        zxid: u64,
    },
    /// Leader: takes a follower out of its active set.
    Evict {
        /// The follower.
        of: NodeId,
        /// `eof`, `timeout`, `ack_lag`, …
        reason: String,
    },
    /// Leader: a follower is in the active set again.
    Rejoin {
        /// The follower.
        of: NodeId,
    },
    /// Leader: gives up leading.
    StepDown {
        /// The epoch that it led.
        epoch: u64,
        /// Why.
        reason: String,
    },
    /// Its own event loop was late by this much (it was paused, or starved of CPU).
    Stalled {
        /// By how long.
        late_ns: u64,
    },
    /// It ends in an orderly way.
    Stop,
}

/// How a follower was brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SyncMode {
    /// The transactions that it lacked.
    Diff,
    /// Its log was cut back first, then the transactions that it lacked.
    Trunc,
    /// A whole snapshot.
    Snap,
}

/// One register of a node's final state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalKey {
    /// Its name.
    pub key: String,
    /// Its value; `None` if absent.
    pub value: Option<i64>,
    /// Its version, if the store has one.
    pub version: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let event = Event {
            time: Nanos(5),
            kind: EventKind::Node(NodeEvent {
                node: NodeId(2),
                what: NodeEventKind::Suspect {
                    of: NodeId(1),
                    channel: "eof".to_owned(),
                    silence_ns: 7,
                    timeout_ns: 0,
                },
            }),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(
            line,
            r#"{"time":5,"kind":"node","node":"n2","what":"suspect","of":"n1","channel":"eof","silence_ns":7,"timeout_ns":0}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
