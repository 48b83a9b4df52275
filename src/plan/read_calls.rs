//! From the tree to `call` and `exec`: what a system, or a command of one's own, is asked to do.

use serde::Deserialize;

use super::diagnostic::{Diagnostic, did_you_mean};
use super::document::{Entry, Kind};
use super::read_steps::StepReader;
use super::steps::{Action, Call, Exec, Otherwise};
use crate::clock::Nanos;
use crate::fault::{Selector, Span};
use crate::system::calls;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallKeys {
    node: Selector,
    #[serde(rename = "do")]
    what: String,
    timeout: Option<Span>,
    #[serde(rename = "else")]
    otherwise: Option<Otherwise>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecKeys {
    command: String,
    node: Option<Selector>,
    timeout: Option<Span>,
    #[serde(rename = "else")]
    otherwise: Option<Otherwise>,
}

/// Administration takes moments; who needs longer says so.
const TIMEOUT: Nanos = Nanos::from_secs(30);

impl StepReader<'_> {
    /// `call: {node, do, timeout, else}`.
    pub(super) fn call(&mut self, entry: &Entry) -> Option<Action> {
        let value = &entry.value;
        let keys: CallKeys = self.reader.read("call", value)?;
        self.check_selector(&keys.node, value);
        let known: Vec<&str> = calls(&self.system).iter().map(|(name, _)| *name).collect();
        if !known.contains(&keys.what.as_str()) {
            let message = format!("{} has no call `{}`", self.system, keys.what);
            let help = did_you_mean(&keys.what, &known, "its calls are");
            let place = value.locate(&keys.what);
            let diagnostic = Diagnostic::error(place, message).help(help);
            self.reader.report(diagnostic);
            return None;
        }
        Some(Action::Call(Call {
            node: keys.node,
            what: keys.what,
            timeout: self.limit(keys.timeout, entry)?,
            otherwise: keys.otherwise.unwrap_or_default(),
        }))
    }

    /// `exec: {command, node, timeout, else}`, or `exec: COMMAND`.
    pub(super) fn exec(&mut self, entry: &Entry) -> Option<Action> {
        let value = &entry.value;
        let keys: ExecKeys = match &value.kind {
            Kind::Text(command) => ExecKeys {
                command: command.clone(),
                node: None,
                timeout: None,
                otherwise: None,
            },
            _ => self.reader.read("exec", value)?,
        };
        if let Some(node) = &keys.node {
            self.check_selector(node, value);
        }
        if keys.command.trim().is_empty() {
            self.refuse_key(
                entry,
                "there is no command",
                "for example `exec: make load`",
            );
            return None;
        }
        Some(Action::Exec(Exec {
            command: keys.command,
            node: keys.node,
            timeout: self.limit(keys.timeout, entry)?,
            otherwise: keys.otherwise.unwrap_or_default(),
        }))
    }

    fn limit(&mut self, timeout: Option<Span>, entry: &Entry) -> Option<Nanos> {
        self.reader
            .positive("timeout", timeout, TIMEOUT, &entry.value)
    }
}
