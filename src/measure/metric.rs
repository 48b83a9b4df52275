//! The registry of metrics: every name that an assertion or a report may use.
//!
//! *Aggregate*: how many samples become one number. *Sampling*: what one sample is, and thereby
//! what it means to have none.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::Unit;

/// To which class an assertion belongs: it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A promise of the system about data; broken = exit 1.
    Safety,
    /// A limit that the plan sets; missed = exit 4.
    Objective,
}

/// How many samples become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Median (nearest rank, never interpolated).
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The arithmetic mean.
    Mean,
    /// How many samples there are, whatever their unit.
    Count,
    /// Their sum.
    Total,
}

/// What one sample of a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// One figure per trial that it applies to. Without samples nothing is known.
    Trial,
    /// One per occurrence. A metric that is present without samples was watched and did not
    /// occur; one that is absent was not watched.
    Occurrence,
    /// One figure per run.
    Run,
    /// Kept as a histogram, not as samples.
    Histogram,
    /// Concluded by a checker.
    Checked,
}

/// One metric of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricInfo {
    /// As written in assertions: `detect.first`.
    pub name: &'static str,
    /// What its numbers mean.
    pub unit: Unit,
    /// One line for `chaos list metrics`.
    pub summary: &'static str,
    /// The aggregate of an assertion that names none: the worst sample of an upper bound, the
    /// sum of a count. (A lower bound of a length without an aggregate takes the smallest.)
    pub default_aggregate: Aggregate,
    /// Decides the exit code.
    pub class: Class,
    /// What one sample is.
    pub sampling: Sampling,
}

impl Aggregate {
    /// All of them, in the order of the help text.
    pub const ALL: [Self; 9] = [
        Self::P50,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::Max,
        Self::Min,
        Self::Mean,
        Self::Count,
        Self::Total,
    ];

    /// The word in assertions.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
            Self::Min => "min",
            Self::Mean => "mean",
            Self::Count => "count",
            Self::Total => "total",
        }
    }

    /// For a percentile: per how many thousand it stands.
    #[must_use]
    pub const fn per_mille(self) -> Option<u32> {
        match self {
            Self::P50 => Some(500),
            Self::P90 => Some(900),
            Self::P99 => Some(990),
            Self::P999 => Some(999),
            Self::Max => Some(1000),
            Self::Min | Self::Mean | Self::Count | Self::Total => None,
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl MetricInfo {
    /// Whether harness lag makes its samples worthless.
    #[must_use]
    pub fn is_timing(&self) -> bool {
        self.unit == Unit::Ns && self.sampling == Sampling::Trial
    }

    const fn trial(name: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            unit: Unit::Ns,
            summary,
            default_aggregate: Aggregate::Max,
            class: Class::Objective,
            sampling: Sampling::Trial,
        }
    }

    const fn occurrence(name: &'static str, summary: &'static str) -> Self {
        let mut info = Self::trial(name, summary);
        info.sampling = Sampling::Occurrence;
        info
    }

    const fn share(name: &'static str, summary: &'static str) -> Self {
        let mut info = Self::trial(name, summary);
        info.unit = Unit::Ratio;
        info.default_aggregate = Aggregate::Min;
        info.sampling = Sampling::Run;
        info
    }

    const fn count(name: &'static str, summary: &'static str) -> Self {
        let mut info = Self::trial(name, summary);
        info.unit = Unit::Count;
        info.default_aggregate = Aggregate::Total;
        info.sampling = Sampling::Run;
        info
    }

    const fn checked(name: &'static str, summary: &'static str) -> Self {
        let mut info = Self::count(name, summary);
        info.class = Class::Safety;
        info.sampling = Sampling::Checked;
        info
    }

    const fn histogram(name: &'static str, summary: &'static str) -> Self {
        let mut info = Self::trial(name, summary);
        info.sampling = Sampling::Histogram;
        info
    }

    const fn per_trial(mut self) -> Self {
        self.sampling = Sampling::Trial;
        self
    }

    const fn largest(mut self) -> Self {
        self.default_aggregate = Aggregate::Max;
        self
    }

    const fn length(mut self) -> Self {
        self.unit = Unit::Ns;
        self
    }

    const fn operations(mut self) -> Self {
        self.unit = Unit::Ops;
        self
    }
}

/// The metric of this name.
#[must_use]
pub fn metric(name: &str) -> Option<&'static MetricInfo> {
    METRICS.iter().find(|info| info.name == name)
}

/// Every metric, in the order of docs/measuring.md.
pub const METRICS: &[MetricInfo] = &[
    MetricInfo::trial(
        "detect.first",
        "fault … the first survivor gives up the victim",
    ),
    MetricInfo::trial(
        "detect.quorum",
        "leader fault … a quorum of voters gives it up",
    ),
    MetricInfo::trial(
        "detect.last",
        "fault … the last survivor gives up the victim",
    ),
    MetricInfo::trial("detect.evict", "fault … the leader evicts a dead follower"),
    MetricInfo::share(
        "detect.ratio",
        "detection by timeout ÷ the timeout in force (100 % is ideal)",
    )
    .per_trial()
    .largest(),
    MetricInfo::trial("elect", "first detection … the winner knows that it won"),
    MetricInfo::count("elect.rounds", "rounds of the election")
        .per_trial()
        .largest(),
    MetricInfo::count("elect.split", "elections with more than one candidate").per_trial(),
    MetricInfo::trial("sync.leader", "elected … the new leader may commit"),
    MetricInfo::occurrence(
        "sync.node",
        "a node reaches its leader … it is in sync and serves",
    ),
    MetricInfo::trial(
        "reroute",
        "new leader may commit … first successful write is answered",
    ),
    MetricInfo::trial(
        "recover.first",
        "fault … first success of a write invoked after it",
    ),
    MetricInfo::trial(
        "recover.steady",
        "fault … goodput, p99 and errors as before it",
    ),
    MetricInfo::trial("redundancy", "fault … all voters are in sync again"),
    MetricInfo::occurrence(
        "outage.read",
        "run of failed read probes on every node at once",
    ),
    MetricInfo::occurrence(
        "outage.write",
        "run of failed write probes on every node at once",
    ),
    MetricInfo::occurrence(
        "outage.read.all",
        "run of failed read probes on one node or more",
    ),
    MetricInfo::occurrence(
        "outage.write.all",
        "run of failed write probes on one node or more",
    ),
    MetricInfo::share(
        "availability.read",
        "share of the run without a read outage",
    ),
    MetricInfo::share(
        "availability.write",
        "share of the run without a write outage",
    ),
    MetricInfo::share(
        "availability.unexcused.read",
        "the same, over the time in which a connected quorum existed",
    ),
    MetricInfo::share(
        "availability.unexcused.write",
        "the same, over the time in which a connected quorum existed",
    ),
    MetricInfo::count(
        "goodput.dip",
        "operations lost to a fault and its aftermath",
    )
    .per_trial()
    .operations(),
    MetricInfo::count(
        "false_suspicions",
        "suspicions of a node that ran on clean links",
    ),
    MetricInfo::count(
        "false_suspicions.grey",
        "suspicions under loss or delay, no cut",
    ),
    MetricInfo::count(
        "missed",
        "total faults longer than the timeout that nobody suspected",
    ),
    MetricInfo::count(
        "leader_changes",
        "epochs activated after the first steady state",
    ),
    MetricInfo::count(
        "flaps",
        "pairs of leader changes in quick succession without a fault",
    ),
    MetricInfo::occurrence(
        "dual_leader",
        "time in which two running nodes claim to lead",
    ),
    MetricInfo::checked(
        "lost_writes",
        "acknowledged writes that are gone in the end",
    ),
    MetricInfo::checked(
        "stale_reads",
        "reads older than a write acknowledged before them",
    ),
    MetricInfo::checked(
        "stale_versions",
        "acknowledged updates that the most stale read missed",
    )
    .largest(),
    MetricInfo::checked(
        "stale_time",
        "by how much reads must be moved back to be linearizable",
    )
    .largest()
    .length(),
    MetricInfo::checked(
        "split_brain_writes",
        "writes acknowledged by a deposed leader and lost",
    ),
    MetricInfo::occurrence(
        "harness_lag",
        "how late the harness's own timers fire (noise floor)",
    ),
    MetricInfo::histogram(
        "latency.all",
        "latency of all operations, from their intended start",
    ),
    MetricInfo::histogram(
        "latency.all.steady",
        "the same, while no fault was in force",
    ),
    MetricInfo::histogram(
        "latency.all.fault",
        "the same, from a fault to the end of its trial",
    ),
    MetricInfo::histogram("latency.read", "latency of reads"),
    MetricInfo::histogram(
        "latency.read.steady",
        "the same, while no fault was in force",
    ),
    MetricInfo::histogram(
        "latency.read.fault",
        "the same, from a fault to the end of its trial",
    ),
    MetricInfo::histogram("latency.write", "latency of writes"),
    MetricInfo::histogram(
        "latency.write.steady",
        "the same, while no fault was in force",
    ),
    MetricInfo::histogram(
        "latency.write.fault",
        "the same, from a fault to the end of its trial",
    ),
    MetricInfo::histogram("latency.cas", "latency of compare-and-set"),
    MetricInfo::histogram(
        "latency.cas.steady",
        "the same, while no fault was in force",
    ),
    MetricInfo::histogram(
        "latency.cas.fault",
        "the same, from a fault to the end of its trial",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_own_name_and_a_summary_that_fits_a_terminal() {
        for (place, info) in METRICS.iter().enumerate() {
            assert_eq!(
                METRICS.iter().position(|m| m.name == info.name),
                Some(place)
            );
            assert!(
                info.name.len() + info.summary.chars().count() <= 100,
                "{}",
                info.name
            );
            assert!(!info.summary.is_empty());
        }
    }

    #[test]
    fn only_promises_about_data_are_safety() {
        let safety: Vec<_> = METRICS
            .iter()
            .filter(|m| m.class == Class::Safety)
            .map(|m| m.name)
            .collect();
        let promises = [
            "lost_writes",
            "stale_reads",
            "stale_versions",
            "stale_time",
            "split_brain_writes",
        ];
        assert_eq!(safety, promises);
    }
}
