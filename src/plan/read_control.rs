//! From the tree to `parallel` and `random`: steps that overlap.

use serde::Deserialize;

use super::diagnostic::Diagnostic;
use super::document::{Entry, Kind, Node};
use super::read_steps::StepReader;
use super::steps::{Action, Choice, Keep, Random, Step};
use crate::clock::Nanos;
use crate::fault::{DurationSpec, Span};

/// More branches or faults at once than a cluster has nodes and links help nobody.
pub(super) const MAX_AT_ONCE: u64 = 64;

pub(super) const MAX_WEIGHT: u64 = 1_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RandomKeys {
    #[serde(rename = "for")]
    length: Span,
    every: DurationSpec,
    at_once: Option<u64>,
    keep: Option<KeepWord>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeepWord {
    Majority,
    QuorumConnected,
    None,
}

/// Beside `branches`: none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParallelKeys {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChoiceKeys {
    weight: Option<u64>,
}

impl StepReader<'_> {
    /// `parallel: {branches: [[...], [...]]}`.
    pub(super) fn parallel(&mut self, path: &str, entry: &Entry) -> Option<Action> {
        let lists = self.list_of("parallel", "branches", entry)?;
        let own = entry.value.without(&["branches"]);
        let alone: Option<ParallelKeys> = self.reader.read("parallel", &own);
        let outer = std::mem::replace(&mut self.scope.in_parallel, true);
        let branches: Vec<Vec<Step>> = (0_usize..)
            .zip(lists)
            .map(|(at, list)| self.list(&format!("{path}.parallel.branches[{at}]"), list))
            .collect();
        self.scope.in_parallel = outer;
        let complete = branches.iter().all(|branch| !branch.is_empty());
        alone?;
        complete.then_some(Action::Parallel(branches))
    }

    /// `random: {for, every, at_once, keep, choose: [{weight, do: step}]}`.
    pub(super) fn random(&mut self, path: &str, entry: &Entry) -> Option<Action> {
        let own = Node {
            span: entry.key_span.clone(),
            ..entry.value.without(&["choose"])
        };
        let keys: Option<RandomKeys> = self.reader.read("random", &own);
        let items = self.list_of("random", "choose", entry)?;
        let choose: Vec<Option<Choice>> = (0_usize..)
            .zip(items)
            .map(|(at, item)| self.choice(&format!("{path}.random.choose[{at}]"), item))
            .collect();
        let keys = keys?;
        let length = self
            .reader
            .positive("for", Some(keys.length), Nanos::ZERO, &entry.value)?;
        let at_once = keys.at_once.unwrap_or(1);
        let at_once = self
            .reader
            .bounded("at_once", at_once, MAX_AT_ONCE, &entry.value)?;
        if keys.every.mean() == Nanos::ZERO {
            self.refuse_key(
                entry,
                "`every` is always 0s",
                "for example `every: {exp: 5s}`",
            );
            return None;
        }
        Some(Action::Random(Random {
            length,
            every: keys.every,
            at_once: u32::try_from(at_once).unwrap_or(u32::MAX),
            keep: match keys.keep {
                None | Some(KeepWord::Majority) => Keep::Majority,
                Some(KeepWord::QuorumConnected) => Keep::QuorumConnected,
                Some(KeepWord::None) => Keep::Nothing,
            },
            choose: choose.into_iter().collect::<Option<_>>()?,
        }))
    }

    fn choice(&mut self, path: &str, item: &Node) -> Option<Choice> {
        let keys: ChoiceKeys = self.reader.read("choose", &item.without(&["do"]))?;
        let Some(what) = item.entry("do") else {
            self.refuse(
                item,
                "a choice lacks the key `do`",
                "write `{weight: 2, do: {kill: {node: leader, for: 5s}}}`",
            );
            return None;
        };
        let weight = self
            .reader
            .bounded("weight", keys.weight.unwrap_or(1), MAX_WEIGHT, item)?;
        let step = self.step(format!("{path}.do"), &what.value)?;
        let ends = match &step.action {
            Action::Fault {
                name: Some(name), ..
            } => {
                let message = format!("nothing can refer to `{name}`, which is drawn by chance");
                self.refuse(&what.value, &message, "take `as` out");
                return None;
            }
            Action::Fault { until: Some(_), .. } => {
                let message = "`until` does not go with faults by chance, of which others may be in \
                               force";
                self.refuse(&what.value, message, "take `until` out");
                return None;
            }
            Action::Fault { fault, for_, .. } => for_.is_some() || is_over_at_once(fault.name()),
            Action::Restart { .. } => true,
            _ => {
                self.refuse(
                    &what.value,
                    "a random choice is a fault or `restart`",
                    "take steps that wait or repeat out of `random`",
                );
                return None;
            }
        };
        if !ends {
            self.refuse(
                &what.value,
                "a random fault must say how long it lasts",
                "add for example `for: 2s..10s`",
            );
            return None;
        }
        Some(Choice { weight, step })
    }

    /// The list under `key`, which must not be empty.
    fn list_of<'a>(&mut self, verb: &str, key: &str, entry: &'a Entry) -> Option<&'a [Node]> {
        let found = entry.value.entry(key).map(|entry| &entry.value);
        let message = match found.map(|node| &node.kind) {
            Some(Kind::List(items)) if !items.is_empty() => return Some(items),
            Some(Kind::List(_)) => format!("`{key}` of `{verb}` is empty"),
            Some(_) => format!("`{key}` of `{verb}` is no list"),
            None => format!("`{verb}` lacks the key `{key}`"),
        };
        let place = found.map_or_else(|| entry.key_span.clone(), |node| node.span.clone());
        let help = format!("add `{key}:` with a list below it");
        self.reader
            .report(Diagnostic::error(place, message).help(help));
        None
    }
}

/// Faults that leave nothing in force.
pub(super) fn is_over_at_once(verb: &str) -> bool {
    matches!(verb, "file" | "reset" | "half_open")
}
