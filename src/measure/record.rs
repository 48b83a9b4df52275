//! The result of measuring: what reports print and assertions judge.
//!
//! *Sample*: one observation of a metric. *Censored*: the truth is at least the sample, because
//! the trial ended before the thing happened. *Noisy*: left out because the harness was late.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::coverage::Covered;
use crate::clock::Nanos;
use crate::history::{SyncMode, TrialOutcome};
use crate::id::{FaultId, NodeId, TrialId};

/// Everything measured in a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// By the names of docs/measuring.md, for instance `detect.first`, `outage.write`.
    pub metrics: BTreeMap<String, Metric>,
    /// One per fault, in the order of injection.
    pub trials: Vec<TrialMeasure>,
    /// Open-loop outages, in the order of time.
    pub outages: Vec<Outage>,
    /// Latency by op kind (`read`, `write`, `cas`, `all`), then by phase (`steady`, `fault`, `all`).
    pub latency: BTreeMap<String, BTreeMap<String, LatencySummary>>,
    /// Which faults landed on whom, and when.
    #[serde(default)]
    pub coverage: Vec<Covered>,
}

/// One metric with its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What its numbers mean.
    pub unit: Unit,
    /// The samples in the order of trials (or time). A censored trial's sample is its limit.
    pub samples: Vec<f64>,
    /// How many samples are censored: the truth is at least the sample.
    pub censored: usize,
    /// How many trials were left out because the harness was late (noisy).
    pub noisy: usize,
}

/// What a metric's numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// A count.
    Count,
    /// A share from 0 to 1.
    Ratio,
    /// Operations.
    Ops,
}

/// How the first detection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// EOF, reset or refused.
    Transport,
    /// Silence for longer than a timeout.
    Timeout,
}

/// One fault with everything measured about it. Times of phases are lengths, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialMeasure {
    /// The trial it belongs to, if it was injected in one.
    pub trial: Option<TrialId>,
    /// Which fault.
    pub fault: FaultId,
    /// The plan's verb.
    pub verb: String,
    /// For people: `SIGKILL n1 (leader)`.
    pub label: String,
    /// The nodes that it chose.
    pub nodes: Vec<NodeId>,
    /// Whether the victim led when the fault was asked.
    pub on_leader: bool,
    /// When it was asked.
    pub asked: Nanos,
    /// When it was confirmed; `None` = it did not land, the trial is unknown.
    pub landed: Option<Nanos>,
    /// When it was healed.
    pub healed: Option<Nanos>,
    /// When the trial ended (or the next fault began, or the run).
    pub end: Nanos,
    /// How the trial ended; `None` for a fault outside any trial.
    pub outcome: Option<TrialOutcome>,
    /// Harness lag p99 within the trial over 50 ms: its timing is not to be trusted.
    pub noisy: bool,
    /// The origin `t0` of all lengths below: asked for process faults, landed for link faults.
    pub origin: Nanos,
    /// t0 … the first survivor suspects the victim.
    pub detect_first: Option<Nanos>,
    /// t0 … a quorum of voters does. Only for leader faults.
    pub detect_quorum: Option<Nanos>,
    /// t0 … the last survivor does.
    pub detect_last: Option<Nanos>,
    /// t0 … the leader evicts a dead follower.
    pub detect_evict: Option<Nanos>,
    /// How the first detection came about.
    pub channel: Option<Channel>,
    /// For a timeout: detection ÷ configured timeout.
    pub detect_ratio: Option<f64>,
    /// detect.first … the winner knows that it won.
    pub elect: Option<Nanos>,
    /// Rounds of the election.
    pub elect_rounds: Option<u32>,
    /// More than one candidate in the deciding time.
    pub elect_split: bool,
    /// Winner elected … may commit.
    pub sync_leader: Option<Nanos>,
    /// Winner may commit … completion of the write of `recover.first`.
    pub reroute: Option<Nanos>,
    /// t0 … completion of the first successful write invoked after t0.
    pub recover_first: Option<Nanos>,
    /// t0 … service as before, see docs/measuring.md.
    pub recover_steady: Option<Nanos>,
    /// t0 … all voters in sync again.
    pub redundancy: Option<Nanos>,
    /// Lost goodput in operations.
    pub goodput_dip: Option<f64>,
    /// The new leader.
    pub winner: Option<NodeId>,
    /// Synchronisations of nodes within the trial.
    pub syncs: Vec<NodeSync>,
    /// What the fault really did, by the names of [`crate::history::EventKind::FaultMeasured`];
    /// empty where nothing is counted.
    #[serde(default)]
    pub figures: BTreeMap<String, u64>,
}

/// One node brought up to date.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeSync {
    /// Which node.
    pub node: NodeId,
    /// When it connected to the leader.
    pub began: Nanos,
    /// How long until it had applied all that the leader had committed, and served.
    pub took: Nanos,
    /// By which means.
    pub mode: SyncMode,
    /// Transactions received.
    pub txns: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Whether the node had been down, stopped or cut off (a rejoin), rather than merely changing
    /// leaders.
    pub rejoin: bool,
}

/// A maximal run of bad probes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// `read` or `write`.
    pub op: String,
    /// From which vantage; `None` = bad from every vantage (`any`).
    pub node: Option<NodeId>,
    /// Intended time of its first bad probe.
    pub from: Nanos,
    /// Completion of the first good one after it; the end of the run if open.
    pub to: Nanos,
    /// Last bad intended − first bad intended.
    pub lower: Nanos,
    /// First good completion after − last good intended before.
    pub upper: Nanos,
    /// It was still bad when the run ended.
    pub open: bool,
}

/// A latency distribution in nanoseconds, counted from the intended start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// How many operations.
    pub n: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}
