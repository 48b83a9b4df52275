//! What the nodes held when the run was over, from the events.

use std::collections::BTreeMap;

use crate::history::{Event, EventKind, FinalKey, Value};
use crate::id::NodeId;

/// The last recorded final state of each node.
#[derive(Debug)]
pub(super) struct FinalStates<'a> {
    pub(super) nodes: BTreeMap<NodeId, FinalState<'a>>,
}

/// The final state of one node.
#[derive(Debug)]
pub(super) struct FinalState<'a> {
    pub(super) zxid: u64,
    pub(super) digest: Option<&'a str>,
    pub(super) keys: BTreeMap<&'a str, Register>,
}

/// One register of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register {
    pub(super) value: Value,
    pub(super) version: Option<i64>,
}

impl<'a> FinalStates<'a> {
    pub(super) fn of(events: &'a [Event]) -> Self {
        let mut nodes = BTreeMap::new();
        for event in events {
            if let EventKind::FinalState {
                node,
                zxid,
                digest,
                keys,
            } = &event.kind
            {
                let state = FinalState {
                    zxid: *zxid,
                    digest: digest.as_deref(),
                    keys: keys.iter().map(Register::of).collect(),
                };
                nodes.insert(*node, state);
            }
        }
        Self { nodes }
    }

    /// The nodes of `1..=count` that gave none.
    pub(super) fn missing(&self, count: u8) -> Vec<NodeId> {
        let all = NodeId::all(count);
        all.filter(|node| !self.nodes.contains_key(node)).collect()
    }
}

impl FinalState<'_> {
    /// A register that is not listed is absent.
    pub(super) fn register(&self, key: &str) -> Register {
        let absent = Register {
            value: Value::NIL,
            version: None,
        };
        self.keys.get(key).copied().unwrap_or(absent)
    }
}

impl Register {
    fn of(key: &FinalKey) -> (&str, Self) {
        let register = Self {
            value: key.value.map_or(Value::NIL, Value),
            version: key.version,
        };
        (&key.key, register)
    }
}

impl std::fmt::Display for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            Some(version) => write!(f, "{} (version {version})", self.value),
            None => write!(f, "{}", self.value),
        }
    }
}
