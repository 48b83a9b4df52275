//! From the tree to a `wait_for`: which state, of which nodes, for how long.

use serde::Deserialize;

use super::diagnostic::{Diagnostic, did_you_mean};
use super::document::{Entry, Kind};
use super::read_steps::StepReader;
use super::steps::{Action, Awaited, EventName, Otherwise, State, WaitFor};
use crate::clock::Nanos;
use crate::fault::{Selector, Span};

pub(super) const MAX_OPERATIONS: u64 = 1_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitForKeys {
    state: Option<StateWord>,
    ops: Option<u64>,
    event: Option<EventKeys>,
    log: Option<LogKeys>,
    node: Option<Selector>,
    by: Option<u64>,
    timeout: Option<Span>,
    #[serde(rename = "else")]
    otherwise: Option<Otherwise>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventKeys {
    kind: String,
    node: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogKeys {
    node: Selector,
    #[serde(rename = "match")]
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateWord {
    Steady,
    Served,
    Leader,
    NoLeader,
    Synced,
    Converged,
    Behind,
}

impl StepReader<'_> {
    pub(super) fn wait_for(&mut self, entry: &Entry) -> Option<Action> {
        if let Kind::Text(state) = &entry.value.kind {
            let help = format!("write `wait_for: {{state: {state}, timeout: 30s}}`");
            self.reader.report(
                Diagnostic::error(entry.key_span.clone(), "`wait_for` needs a `timeout`")
                    .help(help),
            );
            return None;
        }
        let value = &entry.value;
        let keys: WaitForKeys = self.reader.read("wait_for", value)?;
        if let Some(node) = &keys.node {
            self.check_selector(node, value);
        }
        let what = self.awaited(&keys, entry);
        let timeout = if keys.timeout.is_some() {
            self.reader
                .positive("timeout", keys.timeout, Nanos::ZERO, value)
        } else {
            self.reader.report(
                Diagnostic::error(entry.key_span.clone(), "`wait_for` needs a `timeout`")
                    .help("a run must end: add for example `timeout: 30s`"),
            );
            None
        };
        if matches!(what, Some(Awaited::State(State::Steady | State::Converged))) {
            self.warn_of_open_faults(entry);
        }
        Some(Action::WaitFor(WaitFor {
            what: what?,
            node: keys.node,
            by: keys.by.unwrap_or(1),
            timeout: timeout?,
            otherwise: keys.otherwise.unwrap_or_default(),
        }))
    }

    fn awaited(&mut self, keys: &WaitForKeys, entry: &Entry) -> Option<Awaited> {
        let value = &entry.value;
        let given = [
            keys.state.is_some(),
            keys.ops.is_some(),
            keys.event.is_some(),
            keys.log.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() > 1 {
            let message = "`wait_for` waits for one thing, found two";
            self.refuse_key(entry, message, "wait for one, then for the other");
            return None;
        }
        if let Some(event) = &keys.event {
            return self.event(event, keys, entry);
        }
        if let Some(log) = &keys.log {
            return self.log(log, keys, entry);
        }
        let what = match (&keys.state, keys.ops) {
            (Some(state), None) => Awaited::State(match state {
                StateWord::Steady => State::Steady,
                StateWord::Served => State::Served,
                StateWord::Leader => State::Leader,
                StateWord::NoLeader => State::NoLeader,
                StateWord::Synced => State::Synced,
                StateWord::Converged => State::Converged,
                StateWord::Behind => State::Behind,
            }),
            (None, Some(count)) => {
                let count = self.reader.bounded("ops", count, MAX_OPERATIONS, value)?;
                Awaited::Operations(count)
            }
            _ => {
                let message = "`wait_for` does not say for what";
                self.refuse_key(entry, message, "add `state: steady` or `ops: 1000`");
                return None;
            }
        };
        let of_nodes = matches!(what, Awaited::State(State::Synced | State::Behind));
        if keys.node.is_some() && !of_nodes {
            self.refuse_key(
                entry,
                "`node` goes with `state: synced` and `state: behind` only",
                "this state is one of the whole cluster: take `node` out",
            );
        }
        if what == Awaited::State(State::Behind) && keys.node.is_none() {
            let message = "`state: behind` needs the `node` that lags";
            self.refuse_key(entry, message, "for example `node: $victim`");
        }
        if keys.by.is_some() && what != Awaited::State(State::Behind) {
            let message = "`by` goes with `state: behind` only";
            self.refuse_key(entry, message, "take `by` out");
        }
        Some(what)
    }

    fn event(&mut self, event: &EventKeys, keys: &WaitForKeys, entry: &Entry) -> Option<Awaited> {
        self.alone("event", keys, entry)?;
        if let Some(node) = &event.node {
            self.check_selector(node, &entry.value);
        }
        let known = EventName::ALL.iter().find(|name| **name == event.kind);
        let Some(name) = known else {
            let message = format!("there is no event `{}`", event.kind);
            let help = did_you_mean(&event.kind, EventName::ALL, "events of nodes are");
            let place = entry.value.locate(&event.kind);
            self.reader
                .report(Diagnostic::error(place, message).help(help));
            return None;
        };
        Some(Awaited::Event {
            name: EventName(name),
            node: event.node.clone(),
        })
    }

    fn log(&mut self, log: &LogKeys, keys: &WaitForKeys, entry: &Entry) -> Option<Awaited> {
        self.alone("log", keys, entry)?;
        self.check_selector(&log.node, &entry.value);
        if log.text.trim().is_empty() {
            let message = "`match` is empty: every line holds it";
            self.refuse_key(entry, message, "write a part of the line to wait for");
            return None;
        }
        Some(Awaited::Log {
            node: log.node.clone(),
            text: log.text.clone(),
        })
    }

    /// `node` and `by` of the step itself belong to states.
    fn alone(&mut self, what: &str, keys: &WaitForKeys, entry: &Entry) -> Option<()> {
        if keys.node.is_none() && keys.by.is_none() {
            return Some(());
        }
        let message = format!("`node` and `by` beside `{what}` belong to a `state`");
        let help = format!("write the node inside: `{what}: {{node: n1, ...}}`");
        self.refuse_key(entry, &message, &help);
        None
    }

    fn warn_of_open_faults(&mut self, entry: &Entry) {
        let Some(open) = self.scope.still_open().first() else {
            return;
        };
        let warning = Diagnostic::warning(
            entry.key_span.clone(),
            format!("this waits in vain while the `{}` is in force", open.verb),
        )
        .also(open.place.clone(), "still in force")
        .help("end the fault first: `start`, `resume`, `heal`, or `for:`");
        self.reader.report(warning);
    }
}
