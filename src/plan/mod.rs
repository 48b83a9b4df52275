//! Plans: what a run does, written in YAML, parsed once and never checked again.
//!
//! *Plan*: cluster, workload, probes, steps and expectations. *Step*: one verb with its
//! arguments. *Round*: one pass through a `repeat` or `each`; a round of a named `repeat` is a
//! trial. Parsing keeps every position, so that all mistakes of a plan are shown together, each
//! at its place.
//!
//! Everything a [`Plan`] holds is valid: names are bound before they are used, nodes exist,
//! shares add up, every wait has a limit.

mod diagnostic;
mod document;
#[cfg(test)]
mod mistakes;
mod not_built;
mod read;
mod read_calls;
mod read_control;
mod read_faults;
mod read_steps;
mod read_waits;
mod resolve;
mod schema;
mod scope;
mod sections;
mod steps;
mod timeline;
mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use read_steps::VERBS;
pub use schema::plan_schema;
pub use steps::{
    Action, Awaited, Call, Choice, Each, EventName, Exec, Healed, Keep, Order, Otherwise, Random,
    Repeat, Rounds, State, Step, WaitFor,
};

pub use crate::fault::{DurationSpec, Network, Selector};

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::clock::Nanos;
use crate::history::ExitStatus;
use crate::measure::{Assertion, Subject};
use crate::system::BUG_SETTING;

/// One plan, valid throughout.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The version of the language: 1.
    pub version: u32,
    /// A word for results folders.
    pub name: String,
    /// One sentence on what it shows; may be empty.
    pub about: String,
    /// `None`: to be drawn by whoever runs it.
    pub seed: Option<u64>,
    /// The system under test.
    pub cluster: ClusterSpec,
    /// The load.
    pub workload: WorkloadSpec,
    /// What carries the data between nodes, and between them and clients.
    pub network: Network,
    /// What happens once the check that runs meanwhile finds a violation.
    pub on_violation: OnViolation,
    /// The open-loop probes; `None` if the plan has none.
    pub probe: Option<ProbeSpec>,
    /// What happens, in order. Never empty.
    pub steps: Vec<Step>,
    /// What must hold afterwards.
    pub expect: Vec<Expectation>,
}

impl Plan {
    /// Whether the check runs during the run: if linearizability is expected (or nothing is, which
    /// means all that is safe), or if the plan acts on violations.
    #[must_use]
    pub fn is_checked_online(&self) -> bool {
        self.on_violation != OnViolation::Continue
            || self.expect.is_empty()
            || self.expect.iter().any(Expectation::is_linearizable)
    }
}

/// The system under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    /// `zab`.
    pub system: String,
    /// How many nodes, 1 to 9.
    pub nodes: u8,
    /// Settings of the system, by name, as written.
    pub config: BTreeMap<String, String>,
    /// What to do with a node that ends without being asked to.
    pub restart: RestartPolicy,
    /// Another build of the node to run; relative to the working directory.
    pub node_bin: Option<String>,
}

impl ClusterSpec {
    /// The bugs to be planted in the nodes, unless their setting says `none`.
    #[must_use]
    pub fn planted_bug(&self) -> Option<&str> {
        let bug = self.config.get(BUG_SETTING)?;
        (bug != "none").then_some(bug.as_str())
    }
}

/// What happens once the check that runs meanwhile finds a violation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnViolation {
    /// `continue`: it is reported, and the steps go on.
    #[default]
    Continue,
    /// `stop`: the steps end; faults are healed, final states read, and the run is judged.
    Stop,
    /// `freeze`: all nodes are paused and the scene is collected, then as `stop`.
    Freeze,
}

/// What to do with a node that ends without being asked to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// `never`: leave it down.
    #[default]
    Never,
    /// `on_crash`: start it again, unless its exit code was 0.
    OnCrash,
    /// `always`: start it again, even if it ended of its own will.
    Always,
}

impl RestartPolicy {
    /// Whether a node is started again that ended with this status and was not asked to.
    #[must_use]
    pub const fn covers(self, status: ExitStatus) -> bool {
        match self {
            Self::Never => false,
            Self::OnCrash => !matches!(status, ExitStatus::Code(0)),
            Self::Always => true,
        }
    }
}

/// The load.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadSpec {
    /// How strong the reads are.
    pub reads: Reads,
    /// Closed-loop clients, 1 to 1000.
    pub clients: u32,
    /// Operations per second over all clients; `None` = as fast as they go.
    pub rate: Option<f64>,
    /// The registers.
    pub keys: Keys,
    /// Shares of the operations.
    pub mix: Mix,
    /// An operation is given up after this.
    pub timeout: Nanos,
    /// Which node a client talks to.
    pub pin: Pin,
}

/// How strong reads are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reads {
    /// `linear`: a read sees every write acknowledged before it began.
    #[default]
    Linear,
    /// `local`: the asked node answers from what it has, which may be old.
    Local,
}

/// The registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// How many, at least 1.
    pub count: u32,
    /// How an operation picks one.
    pub pick: Pick,
}

/// How an operation picks its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pick {
    /// `uniform`: each equally likely.
    #[default]
    Uniform,
    /// `zipf`: the k-th with weight 1/k: a few hot keys.
    Zipf,
}

/// Shares of the operations; they sum to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// Of reads.
    pub read: f64,
    /// Of writes.
    pub write: f64,
    /// Of compare-and-set operations.
    pub cas: f64,
}

/// Which node a client talks to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pin {
    /// `roam`: moves to another node after a failure.
    #[default]
    Roam,
    /// `spread`: client i stays on node i mod n.
    Spread,
    /// `leader`: follows the leader.
    Leader,
}

/// Open-loop probes of every node: the clock of availability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSpec {
    /// Time between two probes of one node and kind.
    pub every: Nanos,
    /// A probe later than this is bad.
    pub deadline: Nanos,
    /// A probe is given up after this.
    pub timeout: Nanos,
    /// Probe writes.
    pub write: bool,
    /// Probe reads.
    pub read: bool,
}

/// One line of `expect:`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// As written.
    pub text: String,
    /// What it says.
    pub assertion: Assertion,
    /// Its line in the plan, from 1.
    pub line: usize,
}

impl Expectation {
    /// Whether it is the bare predicate `linearizable`.
    #[must_use]
    pub fn is_linearizable(&self) -> bool {
        matches!(
            self.assertion.subject,
            Subject::Predicate {
                name: "linearizable",
                ..
            }
        )
    }
}
