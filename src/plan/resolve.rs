//! A whole plan from its text, with all of its mistakes at once.

use super::diagnostic::{Diagnostic, Diagnostics, Severity, did_you_mean};
use super::document::{Entry, Kind, MAX_BYTES, Node};
use super::read::Reader;
use super::read_steps::StepReader;
use super::scope::Scope;
use super::steps::{Action, Repeat, Rounds, Step};
use super::{ClusterSpec, OnViolation, Plan, ProbeSpec, WorkloadSpec};
use crate::fault::{FaultSpec, Network};

/// The keys of a plan, in the order in which they are best written.
pub(super) const KEYS: &[&str] = &[
    "version",
    "name",
    "about",
    "seed",
    "cluster",
    "workload",
    "network",
    "on_violation",
    "probe",
    "steps",
    "abort",
    "expect",
];

impl Plan {
    /// Reads a plan. `path` is only shown. Beside the plan come its warnings.
    ///
    /// # Errors
    /// Everything that is wrong with it, warnings included, each at its place.
    pub fn parse(path: &str, text: &str) -> Result<(Self, Diagnostics), Diagnostics> {
        if text.len() > MAX_BYTES {
            let message = format!("the plan has {} bytes, more than 1 MiB", text.len());
            let huge = Diagnostic::error(0..0, message).help("a plan is a page or two of text");
            return Err(Diagnostics::new(path, "", vec![huge]));
        }
        let (root, problems) =
            Node::parse(text).map_err(|error| Diagnostics::new(path, text, vec![*error]))?;
        let mut reader = Reader { list: problems };
        let plan = reader.plan(text, &root);
        let has_errors = reader.list.iter().any(|d| d.severity == Severity::Error);
        let found = Diagnostics::new(path, text, reader.list);
        match plan {
            Some(plan) if !has_errors => Ok((plan, found)),
            _ => Err(found),
        }
    }

    /// Sets the seed, for `--seed`.
    pub const fn set_seed(&mut self, seed: u64) {
        self.seed = Some(seed);
    }

    /// Sets how often every named `repeat` goes round (if none has a name: every outermost one),
    /// for `--trials`. At least 1. False if the plan has no `repeat`.
    pub fn set_trials(&mut self, trials: u32) -> bool {
        let named = set_rounds(&mut self.steps, trials.max(1), true);
        named || set_rounds(&mut self.steps, trials.max(1), false)
    }

    /// Every fault that its steps may inject, in their order.
    #[must_use]
    pub fn faults(&self) -> Vec<&FaultSpec> {
        let mut found = Vec::new();
        collect_faults(&self.steps, &mut found);
        found
    }

    /// Every command that its steps may run, in their order.
    #[must_use]
    pub fn commands(&self) -> Vec<&str> {
        let mut found = Vec::new();
        collect_commands(&self.steps, &mut found);
        found
    }

    /// How many trials it asks for; a `repeat` with `for:` counts as none, for nobody knows.
    #[must_use]
    pub fn trials(&self) -> u32 {
        count_trials(&self.steps)
    }
}

fn collect_faults<'a>(steps: &'a [Step], found: &mut Vec<&'a FaultSpec>) {
    for step in steps {
        match &step.action {
            Action::Fault { fault, .. } => found.push(fault),
            Action::Parallel(branches) => {
                for branch in branches {
                    collect_faults(branch, found);
                }
            }
            Action::Random(random) => {
                for choice in &random.choose {
                    collect_faults(std::slice::from_ref(&choice.step), found);
                }
            }
            other => collect_faults(other.inner(), found),
        }
    }
}

fn collect_commands<'a>(steps: &'a [Step], found: &mut Vec<&'a str>) {
    for step in steps {
        match &step.action {
            Action::Exec(exec) => found.push(&exec.command),
            Action::Parallel(branches) => {
                for branch in branches {
                    collect_commands(branch, found);
                }
            }
            other => collect_commands(other.inner(), found),
        }
    }
}

fn set_rounds(steps: &mut [Step], rounds: u32, only_named: bool) -> bool {
    let mut found = false;
    for step in steps {
        match &mut step.action {
            Action::Repeat(repeat) if !only_named || repeat.name.is_some() => {
                repeat.rounds = Rounds::Times(rounds);
                found = true;
            }
            Action::Repeat(Repeat { steps, .. }) => found |= set_rounds(steps, rounds, only_named),
            Action::Each(each) => found |= set_rounds(&mut each.steps, rounds, only_named),
            Action::Parallel(branches) => {
                for branch in branches {
                    found |= set_rounds(branch, rounds, only_named);
                }
            }
            _ => {}
        }
    }
    found
}

fn count_trials(steps: &[Step]) -> u32 {
    let count = |step: &Step| match &step.action {
        Action::Repeat(repeat) => {
            let times = match repeat.rounds {
                Rounds::Times(times) => times,
                Rounds::For(_) => 0,
            };
            match repeat.name {
                Some(_) => times,
                None => times.saturating_mul(count_trials(&repeat.steps)),
            }
        }
        // How many nodes it has is known only when it begins; all but single ones are rare.
        Action::Each(each) => count_trials(&each.steps),
        _ => 0,
    };
    steps.iter().map(count).fold(0, u32::saturating_add)
}

impl Reader {
    fn plan(&mut self, text: &str, root: &Node) -> Option<Plan> {
        if !matches!(root.kind, Kind::Map(_)) {
            let message = format!("a plan is a map of keys, found {}", root.describe());
            self.report(
                Diagnostic::error(root.span.clone(), message)
                    .help("begin with `version: 1` and `name: ...`"),
            );
            return None;
        }
        for entry in root.entries() {
            self.top_level(entry);
        }
        let version = self
            .required(root, "version", "1")
            .and_then(|node| self.version(node));
        let name = self
            .required(root, "name", "my-plan")
            .and_then(|node| self.name(node));
        let about = self.section(root, "about", |reader, node| reader.read("about", node));
        let seed = self.section(root, "seed", |reader, node| reader.read("seed", node));
        let mistakes = self.list.len();
        let cluster = self.section(root, "cluster", Self::cluster);
        let cluster = cluster.filter(|_| self.list.len() == mistakes);
        let workload = self.section(root, "workload", Self::workload);
        let network = self.section(root, "network", |reader, node| {
            reader.read::<Network>("network", node)
        });
        let on_violation = self.section(root, "on_violation", |reader, node| {
            reader.read::<OnViolation>("on_violation", node)
        });
        let probe: Option<Option<ProbeSpec>> = self.section(root, "probe", Self::probe);
        let expect = root.entry("expect").map(|entry| {
            // Wrong probes are reported already: they count as all that is wanted.
            let all = ProbeSpec::default();
            let probe = probe.as_ref().map_or(Some(&all), Option::as_ref);
            self.expectations(text, &entry.value, probe)
        });
        self.warn_without_linearizable(root, expect.as_deref());
        // Steps are read even with a wrong cluster; its size is then unknown and not held against
        // them.
        let nodes = match &cluster {
            Some(Some(cluster)) => cluster.nodes,
            Some(None) => ClusterSpec::default().nodes,
            None => super::sections::MAX_NODES,
        };
        let system = match &cluster {
            Some(Some(cluster)) => cluster.system.clone(),
            _ => ClusterSpec::default().system,
        };
        let steps = self.required(root, "steps", "...").map(|node| {
            let network = network.flatten().unwrap_or_default();
            let scope = Scope::new(nodes, network, node);
            StepReader {
                reader: self,
                scope,
                text,
                system,
            }
            .plan(node)
        });
        Some(Plan {
            version: version?,
            name: name?,
            about: about?.unwrap_or_default(),
            seed: seed?,
            cluster: cluster?.unwrap_or_default(),
            workload: workload?.unwrap_or_else(WorkloadSpec::default),
            network: network?.unwrap_or_default(),
            on_violation: on_violation?.unwrap_or_default(),
            probe: probe?,
            steps: steps?,
            expect: expect.unwrap_or_default(),
        })
    }

    /// Keys that are unknown, unbuilt, or a single word.
    fn top_level(&mut self, entry: &Entry) {
        match entry.key.as_str() {
            "abort" => self.report(
                Diagnostic::error(entry.key_span.clone(), "`abort` is not built yet")
                    .help("put the assertions under `expect`"),
            ),
            key if KEYS.contains(&key) => {}
            key => {
                let help = did_you_mean(key, KEYS, "keys of a plan are");
                self.report(
                    Diagnostic::error(entry.key_span.clone(), format!("unknown key `{key}`"))
                        .help(help),
                );
            }
        }
    }

    fn required<'a>(&mut self, root: &'a Node, key: &str, example: &str) -> Option<&'a Node> {
        let found = root.entry(key).map(|entry| &entry.value);
        if found.is_none() {
            self.report(
                Diagnostic::error(root.span.clone(), format!("the plan lacks the key `{key}`"))
                    .help(format!("add `{key}: {example}`")),
            );
        }
        found
    }

    /// An optional section: `None` if it is wrong, `Some(None)` if it is absent.
    #[expect(
        clippy::option_option,
        reason = "wrong and absent are different answers"
    )]
    fn section<T>(
        &mut self,
        root: &Node,
        key: &str,
        read: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Option<Option<T>> {
        match root.entry(key) {
            None => Some(None),
            Some(entry) => read(self, &entry.value).map(Some),
        }
    }
}
