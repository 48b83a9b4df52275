//! Samples of earlier runs, kept to compare later ones with: `results/baseline/*.json`, schema
//! `chaos.baseline/1`.
//!
//! *Machine*: what a figure depends on beside the code. Samples from another machine say nothing
//! about this one.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::{FolderError, RunFolder, names};
use super::record::{Environment, PlanFacts, RunRecord};
use crate::clock::Nanos;
use crate::measure::{LatencySummary, Measured, Measurements, Metric, Unit};

/// What earlier runs of a plan have measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// [`Baseline::SCHEMA`].
    pub schema: String,
    /// The plan's name.
    pub plan: String,
    /// The system under test.
    pub system: String,
    /// How many nodes.
    pub nodes: u8,
    /// Where the runs were made.
    pub machine: Machine,
    /// The runs, in the order given.
    pub runs: Vec<BaselineRun>,
}

/// What one run has measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineRun {
    /// Its id.
    pub run_id: String,
    /// Its start, UTC.
    pub started_utc: String,
    /// The program that made it.
    pub chaos: String,
    /// How late the harness's timers were, p99.
    pub harness_lag_p99: Option<Nanos>,
    /// What its links added to a round trip, median.
    pub proxy_rtt_p50: Option<Nanos>,
    /// Time between two probes of one node and kind.
    pub probe_every: Option<Nanos>,
    /// By the names of docs/measuring.md.
    pub metrics: BTreeMap<String, Samples>,
    /// By kind of operation, then by phase.
    pub latency: BTreeMap<String, BTreeMap<String, LatencySummary>>,
}

/// The samples of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    /// What the numbers mean.
    pub unit: Unit,
    /// In the order of trials or of time.
    pub samples: Vec<f64>,
    /// How many of them are lower bounds only.
    pub censored: usize,
    /// How many trials were left out as noisy.
    pub noisy: usize,
}

/// Where a run was made, as far as its figures depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// CPU model.
    pub cpu: String,
    /// Logical CPUs.
    pub cpus: u32,
    /// Memory in whole GiB.
    pub memory_gib: u64,
    /// Kernel, without what its distribution appends.
    pub kernel: String,
    /// `debug` or `release`.
    pub build: String,
}

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// A run's files.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// It cannot be read or written.
    #[error("{what} {path}: {source}")]
    File {
        /// `read`, `write`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no baseline.
    #[error("{path} is no baseline: {problem}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Two runs do not belong together.
    #[error("{first} and {second} do not belong together: {difference}")]
    Mixed {
        /// The first run.
        first: String,
        /// Another one.
        second: String,
        /// What differs.
        difference: String,
    },
}

impl Machine {
    /// The machine of this environment.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        let kernel = environment.kernel.split(['-', '+']).next();
        Self {
            cpu: environment.cpu.clone(),
            cpus: environment.cpus,
            memory_gib: (environment.memory + (1 << 29)) >> 30,
            kernel: kernel.unwrap_or_default().to_owned(),
            build: environment.build.clone(),
        }
    }

    /// In what the two differ, for people; empty if in nothing.
    #[must_use]
    pub fn differences(&self, other: &Self) -> String {
        let mut found = Vec::new();
        let mut note = |name: &str, mine: String, theirs: String| {
            if mine != theirs {
                found.push(format!("{name} {mine}, not {theirs}"));
            }
        };
        note("CPU", self.cpu.clone(), other.cpu.clone());
        note("CPUs", self.cpus.to_string(), other.cpus.to_string());
        note(
            "memory",
            format!("{} GiB", self.memory_gib),
            format!("{} GiB", other.memory_gib),
        );
        note("kernel", self.kernel.clone(), other.kernel.clone());
        note("build", self.build.clone(), other.build.clone());
        found.join("; ")
    }
}

impl BaselineRun {
    fn of(
        run_id: &str,
        plan: &PlanFacts,
        environment: &Environment,
        measurements: &Measurements,
    ) -> Self {
        let metrics = measurements.metrics.iter();
        let metrics = metrics.map(|(name, metric)| (name.clone(), Samples::of(metric)));
        Self {
            run_id: run_id.to_owned(),
            started_utc: environment.started_utc.clone(),
            chaos: environment.chaos.clone(),
            harness_lag_p99: environment.harness_lag_p99,
            proxy_rtt_p50: environment.proxy_rtt_p50,
            probe_every: plan.probe_every,
            metrics: metrics.filter(|(_, metric)| metric.is_kept()).collect(),
            latency: measurements.latency.clone(),
        }
    }

    /// For the comparison.
    #[must_use]
    pub fn measured(&self) -> Measured {
        let metrics = self.metrics.iter();
        Measured {
            metrics: metrics
                .map(|(name, samples)| (name.clone(), samples.metric()))
                .collect(),
            latency: vec![self.latency.clone()],
            probe_every: self.probe_every,
        }
    }
}

impl Samples {
    fn of(metric: &Metric) -> Self {
        Self {
            unit: metric.unit,
            samples: metric.samples.clone(),
            censored: metric.censored,
            noisy: metric.noisy,
        }
    }

    /// Timers fire by the thousand, and nothing is compared by them.
    const fn is_kept(&self) -> bool {
        self.samples.len() <= MOST_SAMPLES
    }

    fn metric(&self) -> Metric {
        Metric {
            unit: self.unit,
            samples: self.samples.clone(),
            censored: self.censored,
            noisy: self.noisy,
        }
    }
}

impl Baseline {
    /// Name and version of the format.
    pub const SCHEMA: &'static str = "chaos.baseline/1";

    /// A baseline of one run.
    #[must_use]
    pub fn of(record: &RunRecord) -> Self {
        Self::of_run(
            &record.run_id,
            &record.plan,
            &record.environment,
            &record.measurements,
        )
    }

    pub(crate) fn of_run(
        run_id: &str,
        plan: &PlanFacts,
        environment: &Environment,
        measurements: &Measurements,
    ) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            plan: plan.name.clone(),
            system: plan.system.clone(),
            nodes: plan.nodes,
            machine: Machine::of(environment),
            runs: vec![BaselineRun::of(run_id, plan, environment, measurements)],
        }
    }

    /// Adds a run to those there are, if there are any.
    ///
    /// # Errors
    /// [`BaselineError::Mixed`] if it is of another plan, system or machine.
    pub fn add(there: Option<Self>, one: Self) -> Result<Self, BaselineError> {
        match there {
            None => Ok(one),
            Some(there) => there.join(one),
        }
    }

    /// All runs of both.
    ///
    /// # Errors
    /// [`BaselineError::Mixed`] if they are of different plans, systems or machines.
    fn join(mut self, other: Self) -> Result<Self, BaselineError> {
        if let Some(difference) = self.difference(&other) {
            return Err(BaselineError::Mixed {
                first: self.name(),
                second: other.name(),
                difference,
            });
        }
        self.runs.extend(other.runs);
        Ok(self)
    }

    /// In which of plan, system and machine the two differ.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.plan != other.plan {
            return Some(format!("plan {}, not {}", other.plan, self.plan));
        }
        if self.system != other.system || self.nodes != other.nodes {
            return Some(format!(
                "{} nodes of {}, not {} of {}",
                other.nodes, other.system, self.nodes, self.system
            ));
        }
        let machine = other.machine.differences(&self.machine);
        (!machine.is_empty()).then_some(machine)
    }

    fn name(&self) -> String {
        self.runs
            .first()
            .map_or_else(String::new, |run| run.run_id.clone())
    }

    /// All samples together.
    #[must_use]
    pub fn measured(&self) -> Measured {
        let mut all = Measured::default();
        for run in &self.runs {
            all.merge(run.measured());
        }
        all
    }

    /// The file's name among baselines: one for each plan, system and number of nodes.
    #[must_use]
    pub fn file_name(plan: &str, system: &str, nodes: u8) -> String {
        format!("{plan}-{system}-{nodes}.json")
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`BaselineError::File`], [`BaselineError::Damaged`].
    pub fn read(path: &Path) -> Result<Self, BaselineError> {
        let bytes = fs::read(path).map_err(|source| BaselineError::File {
            what: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, BaselineError> {
        let damaged = |problem| BaselineError::Damaged {
            path: path.to_owned(),
            problem,
        };
        let baseline: Self =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if baseline.schema != Self::SCHEMA {
            let problem = format!("schema `{}`, not `{}`", baseline.schema, Self::SCHEMA);
            return Err(damaged(problem));
        }
        Ok(baseline)
    }

    /// Writes it, whole or not at all; folders are made.
    ///
    /// # Errors
    /// [`BaselineError::File`].
    pub fn write(&self, path: &Path) -> Result<(), BaselineError> {
        let failed = |source| BaselineError::File {
            what: "write",
            path: path.to_owned(),
            source,
        };
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let mut draft = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        draft.write_all(&self.bytes()).map_err(failed)?;
        draft.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// The baseline that a run was or is to be compared with, as it lies in the run's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// Where it came from, for people.
    pub from: String,
    /// It was asked for by name: it counts even if it comes from another machine, and whatever is
    /// worse than it fails the run.
    pub given: bool,
    /// By how much a typical sample may be longer, where no line of the plan says so.
    pub tolerance: f64,
    /// The samples.
    pub baseline: Baseline,
}

impl RunFolder {
    /// Keeps the baseline of a run in its folder.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn keep_baseline(&self, beside: &Beside) -> Result<(), FolderError> {
        self.write(names::BASELINE, |out| {
            serde_json::to_writer_pretty(&mut *out, beside)?;
            out.write_all(b"\n")
        })
        .map(drop)
    }

    /// The baseline that was kept with the run, if there is one.
    ///
    /// # Errors
    /// [`FolderError::Read`], or [`FolderError::Facts`] if it is damaged.
    pub fn baseline(&self) -> Result<Option<Beside>, FolderError> {
        let path = self.file(names::BASELINE);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = self.read(names::BASELINE)?;
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|error| FolderError::Facts {
            path,
            problem: error.to_string(),
        })
    }
}

/// More samples than this come from timers, not from trials.
const MOST_SAMPLES: usize = 999;

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(kernel: &str) -> Environment {
        Environment {
            kernel: kernel.to_owned(),
            cpu: "a CPU".to_owned(),
            cpus: 2,
            memory: 24 << 30,
            build: "release".to_owned(),
            ..Environment::default()
        }
    }

    fn baseline(run_id: &str, plan: &str) -> Baseline {
        let facts = PlanFacts {
            name: plan.to_owned(),
            system: "zab".to_owned(),
            nodes: 3,
            ..crate::results::folder::tests::facts(run_id).plan
        };
        let metric = Metric {
            unit: Unit::Ns,
            samples: vec![1e6, 2e6],
            censored: 1,
            noisy: 0,
        };
        let lag = Metric {
            samples: vec![1.0; 1_000],
            ..metric
        };
        let metrics = [("elect", metric), ("harness_lag", lag)];
        let measurements = Measurements {
            metrics: metrics
                .map(|(name, metric)| (name.to_owned(), metric))
                .into(),
            ..Measurements::default()
        };
        Baseline::of_run(run_id, &facts, &environment("Linux 6.1"), &measurements)
    }

    #[test]
    fn a_baseline_is_read_back_as_it_was_written_and_runs_are_added_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/plan.json");
        let both = baseline("a", "p").join(baseline("b", "p")).unwrap();
        both.write(&path).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), both);
        let measured = both.measured();
        assert_eq!(measured.metrics["elect"].samples.len(), 4);
        assert_eq!(measured.metrics["elect"].censored, 2);
        assert!(!measured.metrics.contains_key("harness_lag"));
    }

    #[test]
    fn what_does_not_belong_together_is_told() {
        let mixed = baseline("a", "p").join(baseline("b", "q")).unwrap_err();
        insta::assert_snapshot!(mixed, @"a and b do not belong together: plan q, not p");
        let mut elsewhere = baseline("b", "p");
        elsewhere.machine.cpus = 64;
        let mixed = baseline("a", "p").join(elsewhere).unwrap_err();
        insta::assert_snapshot!(mixed, @"a and b do not belong together: CPUs 64, not 2");
    }

    #[test]
    fn a_file_that_is_no_baseline_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        fs::write(&path, "{}").unwrap();
        let text = Baseline::read(&path).unwrap_err().to_string();
        assert!(
            text.contains("x.json is no baseline: missing field"),
            "{text}"
        );
        let missing = Baseline::read(&folder.path().join("y.json")).unwrap_err();
        assert!(missing.to_string().starts_with("read "), "{missing}");
    }

    #[test]
    fn a_distributions_suffix_of_the_kernel_makes_no_other_machine() {
        let [one, two] = ["Linux 6.1.0-18-amd64", "Linux 6.1.0-20-amd64"]
            .map(|kernel| Machine::of(&environment(kernel)));
        assert_eq!(one.differences(&two), "");
        let debug = Machine {
            build: "debug".to_owned(),
            ..one.clone()
        };
        assert_eq!(debug.differences(&one), "build debug, not release");
    }
}
