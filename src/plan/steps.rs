//! Steps: what the conductor executes, in order.

use serde::Deserialize;

use crate::clock::Nanos;
use crate::fault::{DurationSpec, FaultSpec, Selector};

/// One step with its place in the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// For example `steps[0].repeat.steps[2]`.
    pub path: String,
    /// Its line in the plan, from 1.
    pub line: usize,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Put a fault in force.
    Fault {
        /// Which.
        fault: FaultSpec,
        /// Heal it after this long; the step then ends when it has healed. `None`: the step ends
        /// when it has landed, and it stays in force until a `heal`, `start` or `resume`.
        for_: Option<DurationSpec>,
        /// Heal it as soon as this holds; then `for_` is the longest it lasts.
        until: Option<State>,
        /// `as:` names the fault (`heal: name`) and the nodes that it chose (`$name`).
        name: Option<String>,
    },
    /// End every Down and Paused line of these nodes in the ledger.
    Start {
        /// Which nodes.
        node: Selector,
    },
    /// Stop these nodes in an orderly way and start them again, together.
    Restart {
        /// Which nodes.
        node: Selector,
        /// SIGKILL follows SIGTERM after this.
        grace: Nanos,
    },
    /// End every Paused and Down line of these nodes in the ledger.
    Resume {
        /// Which nodes.
        node: Selector,
    },
    /// Heal faults.
    Heal(Healed),
    /// Let time pass.
    Wait(DurationSpec),
    /// Wait until something holds.
    WaitFor(WaitFor),
    /// Do steps several times.
    Repeat(Repeat),
    /// Do steps once for each node.
    Each(Each),
    /// Several lists of steps at the same time; it ends when all have ended. Never empty, nor is
    /// any of them.
    Parallel(Vec<Vec<Step>>),
    /// Faults by chance, for a while.
    Random(Random),
    /// Write a text into the record.
    Mark(String),
    /// Ask nodes for something that their system can do by itself.
    Call(Call),
    /// Run a command of the user.
    Exec(Exec),
}

/// Something that a system can do by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Whom to ask, one after another.
    pub node: Selector,
    /// What, in the system's words.
    pub what: String,
    /// How long each may take.
    pub timeout: Nanos,
    /// What if it fails.
    pub otherwise: Otherwise,
}

/// A command of the user.
#[derive(Debug, Clone, PartialEq)]
pub struct Exec {
    /// For `sh -c`.
    pub command: String,
    /// Once for each of these, one after another; `None` = once.
    pub node: Option<Selector>,
    /// How long it may take before it is killed.
    pub timeout: Nanos,
    /// What if it ends with anything but 0.
    pub otherwise: Otherwise,
}

/// Which faults a `heal` ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healed {
    /// `all`: everything in force.
    All,
    /// The fault that was named `as:` this.
    Named(String),
}

/// Wait until something holds.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitFor {
    /// What must hold.
    pub what: Awaited,
    /// Of which nodes (`synced`, `behind`); `None` = all voters.
    pub node: Option<Selector>,
    /// `behind`: by at least this many entries.
    pub by: u64,
    /// How long to wait at most.
    pub timeout: Nanos,
    /// What if it does not come to hold.
    pub otherwise: Otherwise,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// A state of the cluster.
    State(State),
    /// This many more operations completed since the step began.
    Operations(u64),
    /// An event of this kind, recorded after the step began.
    Event {
        /// Its name in `events.jsonl`.
        name: EventName,
        /// Of one of these nodes.
        node: Option<Selector>,
    },
    /// A line that holds this text, in the log of one of these nodes, written after the step began.
    Log {
        /// Whose.
        node: Selector,
        /// Any part of a line.
        text: String,
    },
}

/// The name of a kind of event that a step can wait for, one of [`EventName::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventName(pub &'static str);

impl EventName {
    /// Every kind that says something of a node: of its process, or by itself.
    pub const ALL: &'static [&'static str] = &[
        "process_started",
        "process_ready",
        "process_exited",
        "process_paused",
        "boot",
        "looking",
        "suspect",
        "trust",
        "candidate",
        "elected",
        "epoch_agreed",
        "sync_start",
        "active",
        "following",
        "synced",
        "evict",
        "rejoin",
        "step_down",
        "stalled",
        "stop",
    ];
}

/// A state of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// One leader, all voters synced, no fault in force, the last 20 probes of every node good.
    Steady,
    /// A write invoked after the last fault began has succeeded.
    Served,
    /// Somebody leads.
    Leader,
    /// Nobody leads.
    NoLeader,
    /// The nodes have applied at least what the leader had committed when the step began.
    Synced,
    /// All nodes hold the same state and nothing is in flight.
    Converged,
    /// The nodes lack at least `by` entries.
    Behind,
}

/// What a `wait_for` does when its time is up, or a `call` or `exec` that fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// `fail`: the trial ends as censored, and the liveness check fails.
    #[default]
    Fail,
    /// `skip`: the trial ends as skipped.
    Skip,
    /// `go_on`: as if it held.
    GoOn,
}

/// Do steps several times.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeat {
    /// How often.
    pub rounds: Rounds,
    /// Makes each round a trial of this name.
    pub name: Option<String>,
    /// The steps of a round. Never empty.
    pub steps: Vec<Step>,
}

/// How often a `repeat` goes round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounds {
    /// This often, at least once.
    Times(u32),
    /// No new round begins after this long.
    For(Nanos),
}

/// Do steps once for each node.
#[derive(Debug, Clone, PartialEq)]
pub struct Each {
    /// Which nodes.
    pub of: Selector,
    /// In which order.
    pub order: Order,
    /// Within a round, `$name` is its node.
    pub name: String,
    /// The steps of a round. Never empty.
    pub steps: Vec<Step>,
}

/// Faults by chance, for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Random {
    /// No fault begins after this long; it ends when the last one has healed.
    pub length: Nanos,
    /// The time between two draws.
    pub every: DurationSpec,
    /// So many faults may be in force together, at least 1.
    pub at_once: u32,
    /// What must be left.
    pub keep: Keep,
    /// What is drawn from. Never empty.
    pub choose: Vec<Choice>,
}

/// One of the faults that may be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// How often it is drawn, relative to the others; at least 1.
    pub weight: u64,
    /// A fault that ends by itself, or a `restart`.
    pub step: Step,
}

/// What random faults must leave of the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// `majority`: the processes (and disks, and clocks) of a majority are untouched.
    #[default]
    Majority,
    /// `quorum_connected`: the same, and somebody untouched reaches a quorum both ways.
    QuorumConnected,
    /// `none`: nothing.
    Nothing,
}

impl Keep {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Majority => "majority",
            Self::QuorumConnected => "quorum_connected",
            Self::Nothing => "none",
        }
    }
}

/// In which order `each` takes its nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// `given`: n1 first.
    #[default]
    Given,
    /// `random`: drawn.
    Random,
    /// `leader_last`: given, but whoever leads when its turn comes goes to the end.
    LeaderLast,
}
