//! Operations of a history: what a client asked, when, and what it learned.

use std::fmt;

use super::values::Values;
use crate::clock::Nanos;
use crate::id::{NodeId, ProcessId};

/// A value: an integer, or the number of a text or list in [`History::values`]. Absent (never
/// written, or deleted) is [`Value::NIL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub i64);

/// A key, as an index into [`History::keys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

/// What a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Return the value.
    Read,
    /// Replace the value.
    Write(Value),
    /// Replace the value if it is `from`.
    Cas {
        /// The value that must be there.
        from: Value,
        /// The value to put instead.
        to: Value,
    },
    /// What objects other than plain registers can do, with its argument ([`Value::NIL`] if it
    /// takes none).
    Do(Verb, Value),
}

/// What objects other than plain registers can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Put the value behind what is there: behind a text, or as the last element of a list.
    Append,
    /// Put the value into a set, or add it to a counter.
    Add,
    /// Put the value into a queue.
    Enqueue,
    /// Take a value out of a queue and return it; [`Value::NIL`] if there was none.
    Dequeue,
    /// Take a lock that nobody holds.
    Acquire,
    /// Give back the lock that one holds.
    Release,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It happened.
    Ok,
    /// It certainly did not happen. A failed CAS is an observation: the value was not `from`.
    Fail,
    /// Nobody knows: it may take effect at any later time, or never.
    Info,
}

/// One operation of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who asked.
    pub process: ProcessId,
    /// Of which register.
    pub key: KeyId,
    /// What.
    pub action: Action,
    /// When it was invoked.
    pub invoked: Nanos,
    /// When it completed; [`Nanos::MAX`] for an operation without completion. An `info` has the
    /// time at which the client gave up, which bounds nothing.
    pub completed: Nanos,
    /// How it ended.
    pub outcome: Outcome,
    /// The value seen: by an ok read, or by a failed CAS whose system reports it.
    pub seen: Option<Value>,
    /// When the pacer meant to start it (open-loop latency counts from here).
    pub intended: Option<Nanos>,
    /// The node that was asked.
    pub node: Option<NodeId>,
    /// The store's version of the value written or seen, if the reply carried one.
    pub version: Option<i64>,
    /// The error of a fail or info, as an index into [`History::errors`].
    pub error: Option<u32>,
}

/// All operations of a run with the tables that their ids point into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Names of keys, in the order of first appearance.
    pub keys: Vec<String>,
    /// Texts of errors, in the order of first appearance.
    pub errors: Vec<String>,
    /// The texts and lists among the values.
    pub values: Values,
    /// In the order of invocation.
    pub operations: Vec<Operation>,
}

impl Value {
    /// Absent: `null` in a history file. No recorded value may equal it.
    pub const NIL: Self = Self(i64::MIN);
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NIL {
            f.write_str("nil")
        } else {
            write!(f, "{}", self.0)
        }
    }
}

impl Action {
    /// The word in history files: `read`, `write`, `cas`, or that of the verb.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write(_) => "write",
            Self::Cas { .. } => "cas",
            Self::Do(verb, _) => verb.word(),
        }
    }

    /// Whether it can change the object.
    #[must_use]
    pub const fn is_update(&self) -> bool {
        !matches!(self, Self::Read)
    }

    /// Whether it has an argument.
    #[must_use]
    pub const fn takes_value(&self) -> bool {
        match self {
            Self::Read => false,
            Self::Write(_) | Self::Cas { .. } => true,
            Self::Do(verb, _) => verb.takes_value(),
        }
    }
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 6] = [
        Self::Append,
        Self::Add,
        Self::Enqueue,
        Self::Dequeue,
        Self::Acquire,
        Self::Release,
    ];

    /// The word in history files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Add => "add",
            Self::Enqueue => "enqueue",
            Self::Dequeue => "dequeue",
            Self::Acquire => "acquire",
            Self::Release => "release",
        }
    }

    /// Whether it needs an argument.
    #[must_use]
    pub const fn takes_value(self) -> bool {
        matches!(self, Self::Append | Self::Add | Self::Enqueue)
    }
}

impl Outcome {
    /// The word in history files: `ok`, `fail`, `info`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

impl Operation {
    /// The instant from which its latency counts.
    #[must_use]
    pub fn latency_origin(&self) -> Nanos {
        self.intended
            .map_or(self.invoked, |intended| intended.min(self.invoked))
    }

    /// Whether it is an update that was acknowledged.
    #[must_use]
    pub fn is_acknowledged_update(&self) -> bool {
        self.outcome == Outcome::Ok && self.action.is_update()
    }
}

impl History {
    /// The name of a key.
    #[must_use]
    pub fn key_name(&self, key: KeyId) -> &str {
        self.keys.get(key.0 as usize).map_or("?", String::as_str)
    }

    /// The text of an operation's error, if it has one.
    #[must_use]
    pub fn error_text(&self, operation: &Operation) -> Option<&str> {
        self.errors
            .get(operation.error? as usize)
            .map(String::as_str)
    }

    /// Those operations alone, with what they refer to; indices beyond the end are left out.
    #[must_use]
    pub fn part(&self, indices: &[usize]) -> Self {
        let mut part = Self {
            values: self.values.clone(),
            errors: self.errors.clone(),
            ..Self::default()
        };
        let mut keys: Vec<KeyId> = Vec::new();
        for index in indices {
            let Some(operation) = self.operations.get(*index) else {
                continue;
            };
            let known = keys.iter().position(|key| *key == operation.key);
            let number = known.unwrap_or_else(|| {
                keys.push(operation.key);
                part.keys.push(self.key_name(operation.key).to_owned());
                keys.len() - 1
            });
            part.operations.push(Operation {
                key: KeyId(number as u32),
                ..operation.clone()
            });
        }
        part.operations.sort_by_key(|operation| operation.invoked);
        part
    }

    /// How many operations ended in each way: ok, fail, info.
    #[must_use]
    pub fn outcomes(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for operation in &self.operations {
            counts[operation.outcome as usize] += 1;
        }
        counts
    }
}
