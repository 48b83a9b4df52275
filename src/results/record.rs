//! The record of one run: everything a report needs, rebuilt from the results folder by
//! `chaos report RUN`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::{CheckResult, Evidence};
use crate::clock::Nanos;
use crate::exit::Exit;
use crate::history::{Event, History};
use crate::link::Calibration;
use crate::measure::{Measured, Measurements, Row};
use crate::verdict::Verdict;

/// One run, judged.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// The name of its results folder: `<UTC>-<plan>-<4 hex>`.
    pub run_id: String,
    /// Its results folder, as the user would type it.
    pub folder: String,
    /// What was asked.
    pub plan: PlanFacts,
    /// The worst of its checks.
    pub verdict: Verdict,
    /// The exit code of the run.
    pub exit: Exit,
    /// From the origin to the last event.
    pub duration: Nanos,
    /// All checks in the order of the report.
    pub checks: Vec<CheckResult>,
    /// The part of the history that proves a violation, if one was found.
    pub evidence: Option<Evidence>,
    /// All measures.
    pub measurements: Measurements,
    /// The run against its baseline, if it has one or should have one.
    pub compared: Option<Compared>,
    /// The client operations.
    pub history: History,
    /// Everything else, in the order of time.
    pub events: Vec<Event>,
    /// Where and with what it ran.
    pub environment: Environment,
    /// The command that repeats it.
    pub reproduce: String,
}

/// What the plan asked for, as far as a report shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanFacts {
    /// Its `name`.
    pub name: String,
    /// Its `about`.
    pub about: String,
    /// The file that it was read from, as given.
    pub path: String,
    /// The system under test: `zab` …
    pub system: String,
    /// How many nodes.
    pub nodes: u8,
    /// How many closed-loop clients.
    pub clients: u32,
    /// Operations per second over all clients; `None` = as fast as they go.
    pub rate: Option<f64>,
    /// How many trials it asks for; 0 if it has none.
    pub trials: u32,
    /// The seed, drawn or given.
    pub seed: u64,
    /// Time between two probes of one node and kind; `None` if there are no probes.
    pub probe_every: Option<Nanos>,
    /// A probe later than this is bad.
    pub probe_deadline: Nanos,
    /// Operations are given up after this.
    pub timeout: Nanos,
    /// The bugs that were planted in the nodes, by name; `None` if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<String>,
}

/// A run against a baseline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compared {
    /// Where the baseline came from; `None` if the plan speaks of one and there is none.
    pub from: Option<String>,
    /// How many runs it is made of.
    pub runs: usize,
    /// It was asked for by name.
    pub given: bool,
    /// In what its machine differs from this one; empty if in nothing.
    pub elsewhere: String,
    /// By how much a typical sample may be longer, where no line of the plan says so.
    pub tolerance: f64,
    /// Metric by metric, the baseline first.
    pub rows: Vec<Row>,
    /// What the baseline has measured.
    pub baseline: Measured,
    /// Lines of the plan's `expect:` that were not judged, because there is no baseline of this
    /// machine.
    pub unjudged: Vec<String>,
}

impl Compared {
    /// Whether it says anything about this run: the baseline is of this machine, or was asked for.
    #[must_use]
    pub const fn is_judged(&self) -> bool {
        self.from.is_some() && (self.given || self.elsewhere.is_empty())
    }
}

/// Where and with what a run was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// `chaos` and its version.
    pub chaos: String,
    /// Kernel release.
    pub kernel: String,
    /// CPU model.
    pub cpu: String,
    /// Logical CPUs.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// `debug` or `release`.
    pub build: String,
    /// UTC start of the run, RFC 3339.
    pub started_utc: String,
    /// Harness lag p99 over the run (the noise floor).
    pub harness_lag_p99: Option<Nanos>,
    /// Added round-trip time of one proxied link, median.
    pub proxy_rtt_p50: Option<Nanos>,
    /// What a delay and a loss did on a link that carried nothing else.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// Anything else worth showing, by name.
    pub extra: BTreeMap<String, String>,
}
