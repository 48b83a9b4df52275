//! From the tree to a fault: its own keys, those that all faults take, and what goes together.

use serde::Deserialize;

use super::diagnostic::Diagnostic;
use super::document::{Entry, Kind, Node};
use super::read_steps::{StepReader, short_form, takes_node};
use super::scope::Bound;
use super::steps::{Action, State};
use crate::clock::Nanos;
use crate::fault::{DurationSpec, FaultSpec};

/// Keys that every fault takes beside its own.
const FAULT_KEYS: &[&str] = &["for", "as", "until"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommonKeys {
    #[serde(rename = "for")]
    for_: Option<DurationSpec>,
    #[serde(rename = "as")]
    name: Option<String>,
    until: Option<UntilWord>,
}

/// States that can hold while a fault is in force.
#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum UntilWord {
    Served,
    Leader,
    NoLeader,
}

impl UntilWord {
    const fn state(self) -> State {
        match self {
            Self::Served => State::Served,
            Self::Leader => State::Leader,
            Self::NoLeader => State::NoLeader,
        }
    }
}

impl StepReader<'_> {
    pub(super) fn fault(&mut self, entry: &Entry) -> Option<Action> {
        let verb = entry.key.as_str();
        let common = self.common(entry);
        let own = Node {
            span: entry.key_span.clone(),
            kind: Kind::Map(vec![Entry {
                key: entry.key.clone(),
                key_span: entry.key_span.clone(),
                value: match &entry.value.kind {
                    Kind::Map(_) => Node {
                        span: entry.key_span.clone(),
                        ..entry.value.without(FAULT_KEYS)
                    },
                    // `kill: leader` where there is one argument.
                    Kind::Text(_) | Kind::List(_) if takes_node(verb) => {
                        short_form("node", &entry.value)
                    }
                    _ => entry.value.clone(),
                },
            }]),
        };
        let fault: Option<FaultSpec> = self.reader.read_below(verb, &own, 1).ok();
        let common = common?;
        let name = common.name.clone();
        if let Some(fault) = &fault {
            self.refuse_for(fault, &common, entry);
            for selector in fault.as_dyn().selectors() {
                self.check_selector(selector, &entry.value);
            }
            let suits = fault.as_dyn().suits(self.scope.network);
            if let Err(misfit) = fault.as_dyn().fits(self.scope.nodes).and(suits) {
                self.reader.report(
                    Diagnostic::error(entry.key_span.clone(), misfit.message).help(misfit.help),
                );
            }
            if common.for_.is_none() {
                self.scope
                    .open(fault, name.as_deref(), entry.key_span.clone());
            }
        }
        // Bound even if the fault is wrong: else every use would be reported too.
        if let Some(name) = &name {
            self.scope.bind(name, Bound::Fault);
        }
        Some(Action::Fault {
            fault: fault?,
            for_: common.for_,
            name,
            until: common.until.map(UntilWord::state),
        })
    }

    /// Harm that is done once does not last.
    fn refuse_for(&mut self, fault: &FaultSpec, common: &CommonKeys, entry: &Entry) {
        if common.for_.is_some() && super::read_control::is_over_at_once(fault.name()) {
            let message = format!("`{}` is done at once and does not last", fault.name());
            self.refuse_key(entry, &message, "take `for` out");
        }
    }

    fn common(&mut self, entry: &Entry) -> Option<CommonKeys> {
        let kept = entry.value.entries().iter();
        let common = Node {
            span: entry.key_span.clone(),
            kind: Kind::Map(
                kept.filter(|entry| FAULT_KEYS.contains(&entry.key.as_str()))
                    .cloned()
                    .collect(),
            ),
        };
        let keys: CommonKeys = self.reader.read(&entry.key, &common)?;
        if keys.until.is_some() && keys.for_.is_none() {
            let place = common.entry("until")?.key_span.clone();
            self.reader.report(
                Diagnostic::error(
                    place,
                    "`until` needs a `for`: the longest that the fault lasts",
                )
                .help("a run must end: add for example `for: 30s`"),
            );
        }
        if keys.for_ == Some(DurationSpec::Fixed(Nanos::ZERO)) {
            let place = common.entry("for")?.value.span.clone();
            self.reader.report(
                Diagnostic::error(place, "a fault for 0s is no fault")
                    .help("for example `for: 5s`"),
            );
        }
        if let Some(name) = &keys.name {
            self.check_binding(name, &common);
        }
        Some(keys)
    }
}
