//! Writing a history, such as a counterexample, for other tools.
//!
//! Formats without times get their lines in the order of time, at equal times invocations before
//! completions, and processes numbered anew so that none has two operations in flight. What a
//! format cannot say is refused. A failed CAS
//! that tells what it saw is written as the read that it is, where there is no place for it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::codec::Header;
use super::super::encode::encode;
use super::super::op::{Action, History, Operation, Outcome, Value, Verb};
use super::super::table::FixedMap;
use super::super::values::Content;
use super::Format;
use crate::clock::Nanos;

/// What a format cannot say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{format} cannot say {what}: write --export jsonl:PATH or edn:PATH")]
pub struct Inexpressible {
    /// The name of the format.
    pub format: &'static str,
    /// What it is.
    pub what: String,
}

/// The history in that format.
///
/// # Errors
/// The format cannot say an operation.
pub fn export(
    history: &History,
    header: &Header,
    format: Format,
) -> Result<Vec<u8>, Inexpressible> {
    let writer = Writer { history, format };
    match format {
        Format::Jsonl => return Ok(encode(header, history)),
        Format::JepsenLog if history.keys.len() > 1 => {
            return Err(writer.cannot("more than one key"));
        }
        Format::Edn | Format::JepsenLog | Format::PorcupineKv => {}
    }
    let mut out = String::new();
    let mut desks = Desks::default();
    for (index, is_end) in lines(history, format) {
        let operation = &history.operations[index];
        if is_untried(operation) {
            continue;
        }
        let process = match format {
            Format::Jsonl | Format::Edn => operation.process.0,
            Format::JepsenLog | Format::PorcupineKv if is_end => desks.leave(index, operation),
            Format::JepsenLog | Format::PorcupineKv => desks.take(index),
        };
        writer.line(&mut out, operation, process, is_end)?;
    }
    Ok(out.into_bytes())
}

/// Operations, and whether it is their completion, in the order of lines.
fn lines(history: &History, format: Format) -> Vec<(usize, bool)> {
    let mut lines: Vec<(u64, bool, usize, bool)> = Vec::with_capacity(history.operations.len() * 2);
    let has_times = format == Format::Edn;
    for (index, operation) in history.operations.iter().enumerate() {
        lines.push((operation.invoked.0, false, index, false));
        if operation.completed != Nanos::MAX {
            // Where times tell what is concurrent, a process completes before it goes on.
            lines.push((operation.completed.0, !has_times, index, true));
        }
    }
    lines.sort_unstable();
    lines
        .into_iter()
        .map(|(_, _, index, is_end)| (index, is_end))
        .collect()
}

/// Processes numbered anew: the lowest number that has nothing in flight.
#[derive(Debug, Default)]
struct Desks {
    free: BTreeSet<u64>,
    next: u64,
    of: FixedMap<usize, u64>,
}

impl Desks {
    fn take(&mut self, index: usize) -> u64 {
        let desk = self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.of.insert(index, desk);
        desk
    }

    /// An operation whose outcome nobody knows keeps its number.
    fn leave(&mut self, index: usize, operation: &Operation) -> u64 {
        let desk = self.of.remove(&index).unwrap_or_default();
        if operation.outcome != Outcome::Info {
            self.free.insert(desk);
        }
        desk
    }
}

/// A CAS that failed before it compared says nothing.
fn is_untried(operation: &Operation) -> bool {
    let is_cas = matches!(operation.action, Action::Cas { .. });
    is_cas
        && operation.outcome == Outcome::Fail
        && operation.seen.is_none()
        && operation.error.is_some()
}

/// A CAS that failed and tells what it saw read that.
fn is_read(operation: &Operation) -> bool {
    matches!(
        (operation.action, operation.outcome, operation.seen),
        (Action::Cas { .. }, Outcome::Fail, Some(_))
    )
}

struct Writer<'a> {
    history: &'a History,
    format: Format,
}

impl Writer<'_> {
    fn cannot(&self, what: &str) -> Inexpressible {
        Inexpressible {
            format: self.format.name(),
            what: what.to_owned(),
        }
    }

    fn line(
        &self,
        out: &mut String,
        operation: &Operation,
        process: u64,
        is_end: bool,
    ) -> Result<(), Inexpressible> {
        let kind = match operation.outcome.word() {
            _ if !is_end => "invoke",
            _ if is_read(operation) => "ok",
            outcome => outcome,
        };
        let (f, value) = self.told(operation, is_end)?;
        let key = quoted(self.history.key_name(operation.key));
        // Writing to a text cannot fail.
        let _ = match self.format {
            Format::JepsenLog => {
                if matches!(operation.action, Action::Do(..)) {
                    return Err(self.cannot(&format!("`{f}`")));
                }
                let value = match operation.outcome {
                    Outcome::Info if is_end => ":timed-out",
                    Outcome::Fail if is_end && operation.action == Action::Read => ":timed-out",
                    _ => &value,
                };
                writeln!(out, "INFO  jepsen.util - {process}\t:{kind}\t:{f}\t{value}")
            }
            Format::PorcupineKv => {
                let f = match operation.action {
                    Action::Read => "get",
                    Action::Write(_) => "put",
                    Action::Do(Verb::Append, _) => "append",
                    Action::Cas { .. } | Action::Do(..) => {
                        return Err(self.cannot(&format!("`{f}`")));
                    }
                };
                writeln!(
                    out,
                    "{{:process {process}, :type :{kind}, :f :{f}, :key {key}, :value {value}}}"
                )
            }
            Format::Edn | Format::Jsonl => {
                let (time, error) = match is_end {
                    true if is_read(operation) => (operation.completed, None),
                    true => (operation.completed, self.history.error_text(operation)),
                    false => (operation.invoked, None),
                };
                let error = error.map(|text| format!(", :error {}", quoted(text)));
                writeln!(
                    out,
                    "{{:process {process}, :type :{kind}, :f :{f}, :key {key}, :value {value}, \
                     :time {}{}}}",
                    time.0,
                    error.unwrap_or_default()
                )
            }
        };
        Ok(())
    }

    /// The name of an operation and its value.
    fn told(
        &self,
        operation: &Operation,
        is_end: bool,
    ) -> Result<(&'static str, String), Inexpressible> {
        Ok(match operation.action {
            Action::Cas { .. } if is_read(operation) => ("read", self.seen(operation, is_end)?),
            Action::Read => ("read", self.seen(operation, is_end)?),
            Action::Do(Verb::Dequeue, _) => ("dequeue", self.seen(operation, is_end)?),
            Action::Write(to) => ("write", self.value(to)?),
            Action::Cas { from, to } => {
                let pair = [self.value(from)?, self.value(to)?];
                ("cas", format!("[{}]", pair.join(" ")))
            }
            Action::Do(verb, value) if verb.takes_value() => (verb.word(), self.value(value)?),
            Action::Do(verb, _) => (verb.word(), "nil".to_owned()),
        })
    }

    /// What was seen, at the end of an operation that saw something.
    fn seen(&self, operation: &Operation, is_end: bool) -> Result<String, Inexpressible> {
        match operation.seen.filter(|_| is_end) {
            Some(seen) if self.format == Format::PorcupineKv && seen == Value::NIL => {
                Ok("\"\"".to_owned())
            }
            Some(seen) => self.value(seen),
            None => Ok("nil".to_owned()),
        }
    }

    fn value(&self, value: Value) -> Result<String, Inexpressible> {
        let is_log = self.format == Format::JepsenLog;
        match self.history.values.content(value) {
            Content::Nil => Ok("nil".to_owned()),
            Content::Integer(number) if self.format == Format::PorcupineKv => {
                Ok(format!("\"{number}\""))
            }
            Content::Integer(number) => Ok(number.to_string()),
            Content::Text(_) if is_log => Err(self.cannot("a text")),
            Content::List(_) if self.format != Format::Edn => Err(self.cannot("a list")),
            Content::Text(text) => Ok(quoted(text)),
            Content::List(list) => {
                let values = list.iter().map(|one| self.value(*one));
                Ok(format!(
                    "[{}]",
                    values.collect::<Result<Vec<_>, _>>()?.join(" ")
                ))
            }
        }
    }
}

/// A text in quotes with the escapes that EDN knows.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
