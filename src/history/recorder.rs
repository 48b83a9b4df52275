//! The recorder: collects the operations of a run in memory and as lines for `history.jsonl`.
//!
//! It does no IO: whoever owns the file takes the finished lines with [`Recorder::take_lines`].
//! Invariant: the lines handed out so far decode to the history so far.

use super::Header;
use super::encode::{encode_complete, encode_header, encode_invoke};
use super::op::{Action, History, KeyId, Operation, Outcome, Value};
use super::table::FixedMap;
use crate::clock::Nanos;
use crate::id::{NodeId, ProcessId};

/// Collects the operations of one run.
#[derive(Debug, Default)]
pub struct Recorder {
    history: History,
    keys: FixedMap<String, KeyId>,
    errors: FixedMap<String, u32>,
    lines: Vec<u8>,
}

/// What is known when an operation is invoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invocation {
    /// Who asks.
    pub process: ProcessId,
    /// Of which register.
    pub key: KeyId,
    /// What.
    pub action: Action,
    /// When.
    pub time: Nanos,
    /// When it was meant to start.
    pub intended: Option<Nanos>,
    /// The node that is asked.
    pub node: Option<NodeId>,
}

/// What is learned when an operation completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion<'a> {
    /// When.
    pub time: Nanos,
    /// How.
    pub outcome: Outcome,
    /// The value read, or the one that made a CAS fail.
    pub seen: Option<Value>,
    /// The store's version of the value written or seen.
    pub version: Option<i64>,
    /// Why it did not succeed.
    pub error: Option<&'a str>,
}

/// An operation in flight: what [`Recorder::invoke`] returns and [`Recorder::complete`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(usize);

impl Recorder {
    /// An empty one whose first line is `header`.
    #[must_use]
    pub fn new(header: &Header) -> Self {
        let mut recorder = Self::default();
        encode_header(&mut recorder.lines, header);
        recorder
    }

    /// The id of the key of this name, known or new.
    pub fn key(&mut self, name: &str) -> KeyId {
        if let Some(key) = self.keys.get(name) {
            return *key;
        }
        let key = KeyId(self.history.keys.len() as u32);
        self.history.keys.push(name.to_owned());
        self.keys.insert(name.to_owned(), key);
        key
    }

    /// Records that an operation begins. Calls must come in the order of their times.
    pub fn invoke(&mut self, invocation: Invocation) -> OperationId {
        let operation = Operation {
            process: invocation.process,
            key: invocation.key,
            action: invocation.action,
            invoked: invocation.time,
            completed: Nanos::MAX,
            outcome: Outcome::Info,
            seen: None,
            intended: invocation.intended,
            node: invocation.node,
            version: None,
            error: None,
        };
        encode_invoke(
            &mut self.lines,
            &operation,
            self.history.key_name(operation.key),
        );
        self.history.operations.push(operation);
        OperationId(self.history.operations.len() - 1)
    }

    /// Records how an operation ended. Each operation completes at most once.
    pub fn complete(&mut self, id: OperationId, completion: Completion<'_>) {
        let error = completion.error.map(|text| self.error(text));
        let operation = &mut self.history.operations[id.0];
        debug_assert_eq!(operation.completed, Nanos::MAX, "completed twice");
        operation.completed = completion.time;
        operation.outcome = completion.outcome;
        operation.seen = completion.seen;
        operation.version = completion.version;
        operation.error = error;
        let operation = &self.history.operations[id.0];
        let key = self.history.key_name(operation.key);
        encode_complete(&mut self.lines, operation, key, completion.error);
    }

    /// The lines written since the last call.
    pub fn take_lines(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.lines)
    }

    /// The history, operations still in flight being info.
    #[must_use]
    pub fn finish(self) -> History {
        self.history
    }

    /// What has been recorded so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    fn error(&mut self, text: &str) -> u32 {
        if let Some(index) = self.errors.get(text) {
            return *index;
        }
        let index = self.history.errors.len() as u32;
        self.history.errors.push(text.to_owned());
        self.errors.insert(text.to_owned(), index);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_handed_out_decode_to_the_history_in_memory() {
        let header = Header {
            plan: Some("kill \"leader\"".to_owned()),
            seed: Some(7),
            ..Header::default()
        };
        let mut recorder = Recorder::new(&header);
        let key = recorder.key("k1");
        let begin = |process, action, time| Invocation {
            process: ProcessId(process),
            key,
            action,
            time: Nanos(time),
            intended: Some(Nanos(time - 1)),
            node: Some(NodeId(2)),
        };
        let write = recorder.invoke(begin(1, Action::Write(Value(5)), 10));
        let read = recorder.invoke(begin(2, Action::Read, 12));
        let _pending = recorder.invoke(begin(3, Action::Read, 13));
        recorder.complete(
            write,
            Completion {
                time: Nanos(20),
                outcome: Outcome::Info,
                seen: None,
                version: None,
                error: Some("connection reset\nby peer"),
            },
        );
        let mut lines = recorder.take_lines();
        recorder.complete(
            read,
            Completion {
                time: Nanos(21),
                outcome: Outcome::Ok,
                seen: Some(Value::NIL),
                version: Some(3),
                error: None,
            },
        );
        lines.extend(recorder.take_lines());
        let (read_header, history) = super::super::decode(&lines, "h").unwrap();
        assert_eq!(read_header, header);
        assert_eq!(history, recorder.finish());
        assert_eq!(history.keys, ["k1"]);
    }
}
