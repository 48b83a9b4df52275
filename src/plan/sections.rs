//! From the tree to the parts of a plan other than its steps: every key by name, every
//! default, every limit.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;

use super::diagnostic::{Diagnostic, did_you_mean};
use super::document::{Kind, Node};
use super::not_built;
use super::read::Reader;
use super::{
    ClusterSpec, Expectation, Keys, Mix, Pick, Pin, ProbeSpec, Reads, RestartPolicy, WorkloadSpec,
};
use crate::clock::Nanos;
use crate::fault::{Rate, Share, Span};
use crate::measure::{Assertion, Subject};
use crate::system::SYSTEMS;

/// The kinds of load that a plan may name.
pub(super) const WORKLOADS: &[&str] = &["register"];

/// Larger clusters do not fit one machine with sensible timing.
pub(super) const MAX_NODES: u8 = 9;

pub(super) const MAX_CLIENTS: u64 = 1_000;
pub(super) const MAX_KEYS: u64 = 100_000;
const MAX_NAME: usize = 64;

/// A percentage point of rounding: 33.3% three times is meant as the whole.
const MIX_TOLERANCE: f64 = 0.002;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterKeys {
    system: Option<String>,
    nodes: Option<u64>,
    #[serde(default)]
    config: BTreeMap<String, String>,
    restart: Option<RestartWord>,
    node_bin: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RestartWord {
    Never,
    OnCrash,
    Always,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkloadKeys {
    kind: Option<String>,
    reads: Option<ReadsWord>,
    clients: Option<u64>,
    rate: Option<Rate>,
    keys: Option<KeysKeys>,
    mix: Option<MixKeys>,
    timeout: Option<Span>,
    pin: Option<PinWord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReadsWord {
    Linear,
    Local,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PinWord {
    Roam,
    Spread,
    Leader,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PickWord {
    Uniform,
    Zipf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysKeys {
    count: Option<u64>,
    pick: Option<PickWord>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MixKeys {
    read: Option<Share>,
    write: Option<Share>,
    cas: Option<Share>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProbeKeys {
    every: Option<Span>,
    deadline: Option<Span>,
    timeout: Option<Span>,
    ops: Option<Vec<ProbeWord>>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum ProbeWord {
    Write,
    Read,
}

impl Default for ClusterSpec {
    /// Three bundled nodes.
    fn default() -> Self {
        Self {
            system: "zab".to_owned(),
            nodes: 3,
            config: BTreeMap::new(),
            restart: RestartPolicy::default(),
            node_bin: None,
        }
    }
}

impl Default for WorkloadSpec {
    /// Eight clients, half reads and half writes over 16 keys, as fast as they go.
    fn default() -> Self {
        Self {
            reads: Reads::default(),
            clients: 8,
            rate: None,
            keys: Keys {
                count: 16,
                pick: Pick::default(),
            },
            mix: Mix {
                read: 0.5,
                write: 0.5,
                cas: 0.0,
            },
            timeout: Nanos::from_secs(2),
            pin: Pin::default(),
        }
    }
}

impl Default for ProbeSpec {
    /// A write and a read every 10 ms, good within 50 ms, given up after 2 s.
    fn default() -> Self {
        Self {
            every: Nanos::from_millis(10),
            deadline: Nanos::from_millis(50),
            timeout: Nanos::from_secs(2),
            write: true,
            read: true,
        }
    }
}

impl Reader {
    /// `name:`, a word for folders.
    pub(super) fn name(&mut self, node: &Node) -> Option<String> {
        let name: String = self.read("name", node)?;
        let is_slug = !name.is_empty()
            && name.len() <= MAX_NAME
            && !name.starts_with(['.', '-'])
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if is_slug {
            return Some(name);
        }
        self.report(
            Diagnostic::error(node.span.clone(), format!("`{name}` cannot name a folder")).help(
                "use up to 64 letters, digits, `-`, `_` and `.`, beginning with a letter or digit",
            ),
        );
        None
    }

    /// `version:`, 1.
    pub(super) fn version(&mut self, node: &Node) -> Option<u32> {
        if node.kind == Kind::Unsigned(1) {
            return Some(1);
        }
        let message = format!("the plan language has version 1, found {}", node.describe());
        self.report(Diagnostic::error(node.span.clone(), message).help("write `version: 1`"));
        None
    }

    /// `cluster:`.
    pub(super) fn cluster(&mut self, node: &Node) -> Option<ClusterSpec> {
        let keys: ClusterKeys = self.read_what_is_right("cluster", node)?;
        let default = ClusterSpec::default();
        let system = keys.system.unwrap_or(default.system);
        let systems: Vec<&str> = SYSTEMS.iter().map(|(name, _)| *name).collect();
        self.one_of(&node.locate(&system), &system, &systems, not_built::SYSTEMS);
        let nodes = keys.nodes.unwrap_or_else(|| u64::from(default.nodes));
        let nodes = self.bounded("nodes", nodes, u64::from(MAX_NODES), node);
        let config = keys.config;
        Some(ClusterSpec {
            system,
            nodes: u8::try_from(nodes?).unwrap_or(MAX_NODES),
            config,
            restart: match keys.restart {
                None | Some(RestartWord::Never) => RestartPolicy::Never,
                Some(RestartWord::OnCrash) => RestartPolicy::OnCrash,
                Some(RestartWord::Always) => RestartPolicy::Always,
            },
            node_bin: keys.node_bin,
        })
    }

    /// `workload:`.
    pub(super) fn workload(&mut self, node: &Node) -> Option<WorkloadSpec> {
        let read: WorkloadKeys = self.read_what_is_right("workload", node)?;
        let default = WorkloadSpec::default();
        if let Some(kind) = &read.kind {
            let place = node.locate(kind);
            self.one_of(&place, kind, WORKLOADS, not_built::WORKLOADS);
        }
        let clients = read.clients.unwrap_or_else(|| u64::from(default.clients));
        let clients = self.bounded("clients", clients, MAX_CLIENTS, node);
        let keys = self.keys(read.keys, default.keys, node);
        let mix = match (&read.mix, node.entry("mix")) {
            (Some(mix), Some(entry)) => self.mix(mix, entry.key_span.clone()),
            _ => Some(default.mix),
        };
        let timeout = self.positive("timeout", read.timeout, default.timeout, node);
        Some(WorkloadSpec {
            reads: match read.reads {
                None | Some(ReadsWord::Linear) => Reads::Linear,
                Some(ReadsWord::Local) => Reads::Local,
            },
            clients: u32::try_from(clients?).unwrap_or(u32::MAX),
            rate: read.rate.map(|rate| rate.0),
            keys: keys?,
            mix: mix?,
            timeout: timeout?,
            pin: match read.pin {
                None | Some(PinWord::Roam) => Pin::Roam,
                Some(PinWord::Spread) => Pin::Spread,
                Some(PinWord::Leader) => Pin::Leader,
            },
        })
    }

    fn keys(&mut self, keys: Option<KeysKeys>, default: Keys, node: &Node) -> Option<Keys> {
        let Some(keys) = keys else {
            return Some(default);
        };
        let place = node.entry("keys").map_or(node, |entry| &entry.value);
        let count = keys.count.unwrap_or_else(|| u64::from(default.count));
        let count = self.bounded("count", count, MAX_KEYS, place)?;
        Some(Keys {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            pick: match keys.pick {
                None | Some(PickWord::Uniform) => Pick::Uniform,
                Some(PickWord::Zipf) => Pick::Zipf,
            },
        })
    }

    fn mix(&mut self, mix: &MixKeys, place: Range<usize>) -> Option<Mix> {
        let share = |share: Option<Share>| share.map_or(0.0, |share| share.0);
        let [read, write, cas] = [share(mix.read), share(mix.write), share(mix.cas)];
        let sum = read + write + cas;
        if (sum - 1.0).abs() > MIX_TOLERANCE {
            let message = format!("the shares of `mix` sum to {}, not to 100%", Share(sum));
            self.report(
                Diagnostic::error(place, message)
                    .help("for example `mix: {read: 50%, write: 30%, cas: 20%}`"),
            );
            return None;
        }
        Some(Mix {
            read: read / sum,
            write: write / sum,
            cas: cas / sum,
        })
    }

    /// `probe:`.
    pub(super) fn probe(&mut self, node: &Node) -> Option<ProbeSpec> {
        let keys: ProbeKeys = self.read_what_is_right("probe", node)?;
        let default = ProbeSpec::default();
        let every = self.positive("every", keys.every, default.every, node);
        let deadline = self.positive("deadline", keys.deadline, default.deadline, node);
        let timeout = self.positive("timeout", keys.timeout, default.timeout, node);
        let (every, deadline, timeout) = (every?, deadline?, timeout?);
        if every < Nanos::from_millis(1) {
            let place = node.locate(&Span(every).to_string());
            let message = "probes more often than every 1ms would be the load itself";
            self.report(Diagnostic::error(place, message).help("10ms to 20ms is gentle enough"));
            return None;
        }
        if timeout < deadline {
            let place = node
                .entry("timeout")
                .map_or_else(|| node.span.clone(), |entry| entry.value.span.clone());
            let message = format!(
                "a probe is given up after {} but would be good until {}",
                Span(timeout),
                Span(deadline)
            );
            self.report(
                Diagnostic::error(place, message).help("make `timeout` at least `deadline`"),
            );
            return None;
        }
        let ops = keys
            .ops
            .unwrap_or_else(|| vec![ProbeWord::Write, ProbeWord::Read]);
        if ops.is_empty() {
            let message = "`ops` names no operation";
            self.report(
                Diagnostic::error(node.span.clone(), message)
                    .help("write `ops: [write, read]`, or leave `probe` out for no probes"),
            );
            return None;
        }
        Some(ProbeSpec {
            every,
            deadline,
            timeout,
            write: ops.contains(&ProbeWord::Write),
            read: ops.contains(&ProbeWord::Read),
        })
    }

    /// `expect:`, each line an assertion.
    pub(super) fn expectations(
        &mut self,
        text: &str,
        node: &Node,
        probe: Option<&ProbeSpec>,
    ) -> Vec<Expectation> {
        let Kind::List(items) = &node.kind else {
            let message = format!(
                "`expect` is a list of assertions, found {}",
                node.describe()
            );
            self.report(
                Diagnostic::error(node.span.clone(), message)
                    .help("put each on its own line: `- lost_writes == 0`"),
            );
            return Vec::new();
        };
        let read = |item: &Node| {
            let expectation = self.expectation(text, item)?;
            self.warn_without_probes(&expectation, item, probe);
            Some(expectation)
        };
        items.iter().filter_map(read).collect()
    }

    fn expectation(&mut self, text: &str, node: &Node) -> Option<Expectation> {
        let written: String = self.read("expect", node)?;
        match Assertion::parse(&written) {
            Ok(assertion) => Some(Expectation {
                line: super::diagnostic::place(text, node.span.start).0,
                text: assertion.text.clone(),
                assertion,
            }),
            Err(error) => {
                // Inside quotes the places of the assertion and of the text differ.
                let is_plain = text.get(node.span.clone()) == Some(written.as_str());
                let span = if is_plain {
                    node.span.start + error.start..node.span.start + error.end
                } else {
                    node.span.clone()
                };
                let diagnostic = Diagnostic::error(span, error.message);
                self.report(if error.help.is_empty() {
                    diagnostic
                } else {
                    diagnostic.help(error.help)
                });
                None
            }
        }
    }

    /// Without probes outages are unknown, so that the run could only end inconclusive.
    fn warn_without_probes(
        &mut self,
        expectation: &Expectation,
        node: &Node,
        probe: Option<&ProbeSpec>,
    ) {
        let Subject::Comparison(comparison) = &expectation.assertion.subject else {
            return;
        };
        let metric = comparison.metric.name;
        let is_probed = match probe {
            _ if !metric.starts_with("outage") && !metric.starts_with("availability") => true,
            None => false,
            Some(probe) if metric.contains(".write") => probe.write,
            Some(probe) if metric.contains(".read") => probe.read,
            Some(_) => true,
        };
        if !is_probed {
            let message = format!("`{metric}` is measured by probes that this plan does not have");
            self.report(
                Diagnostic::warning(node.span.clone(), message)
                    .help("add `probe: {every: 10ms}`, or the run ends inconclusive"),
            );
        }
    }

    /// A run that stops at a violation which nobody asked about would end inconclusive.
    pub(super) fn warn_without_linearizable(
        &mut self,
        root: &Node,
        expect: Option<&[Expectation]>,
    ) {
        let Some(entry) = root.entry("on_violation") else {
            return;
        };
        let is_acted_on = entry.value.kind != Kind::Text("continue".to_owned());
        let lacks = expect.is_some_and(|expect| !expect.iter().any(Expectation::is_linearizable));
        if is_acted_on && lacks {
            let message = "the plan acts on violations but does not expect `linearizable`";
            self.report(
                Diagnostic::warning(entry.value.span.clone(), message)
                    .help("add `- linearizable` under `expect`, or no check fails"),
            );
        }
    }

    /// Refuses a word that is none of `built`, as unbuilt or as unknown.
    fn one_of(&mut self, span: &Range<usize>, word: &str, built: &[&str], later: &[&str]) {
        if built.contains(&word) {
            return;
        }
        self.report(if later.contains(&word) {
            Diagnostic::error(span.clone(), format!("`{word}` is not built yet"))
                .help(format!("for now: {}", built.join(", ")))
        } else {
            Diagnostic::error(span.clone(), format!("`{word}` is not known here"))
                .help(did_you_mean(word, built, "one of"))
        });
    }

    /// A count from 1 to `most`, found under `key` of `node`.
    pub(super) fn bounded(&mut self, key: &str, count: u64, most: u64, node: &Node) -> Option<u64> {
        if (1..=most).contains(&count) {
            return Some(count);
        }
        let place = node
            .entry(key)
            .map_or_else(|| node.span.clone(), |entry| entry.value.span.clone());
        self.report(
            Diagnostic::error(place, format!("`{key}: {count}` is out of range"))
                .help(format!("write a number from 1 to {most}")),
        );
        None
    }

    /// A duration above zero, found under `key` of `node`.
    pub(super) fn positive(
        &mut self,
        key: &str,
        span: Option<Span>,
        default: Nanos,
        node: &Node,
    ) -> Option<Nanos> {
        match span {
            None => Some(default),
            Some(span) if span.0 > Nanos::ZERO => Some(span.0),
            Some(_) => {
                let place = node
                    .entry(key)
                    .map_or_else(|| node.span.clone(), |entry| entry.value.span.clone());
                self.report(
                    Diagnostic::error(place, format!("`{key}` must be longer than zero"))
                        .help(format!("for example `{key}: 1s`")),
                );
                None
            }
        }
    }
}
