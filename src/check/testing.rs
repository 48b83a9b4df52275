//! Operations and events for the tests of the checkers.

use crate::clock::Nanos;
use crate::history::{Action, Event, EventKind, FinalKey, KeyId, Operation, Outcome, Value};
use crate::id::{NodeId, ProcessId};

/// An acknowledged operation of process 0 on the first key.
pub(super) fn ok(action: Action, from: u64, to: u64, seen: Option<Value>) -> Operation {
    Operation {
        process: ProcessId(0),
        key: KeyId(0),
        action,
        invoked: Nanos(from),
        completed: Nanos(to),
        outcome: Outcome::Ok,
        seen,
        intended: None,
        node: None,
        version: None,
        error: None,
    }
}

/// The final state of a node with one register.
pub(super) fn final_state(node: u8, key: &str, value: i64, version: Option<i64>) -> Event {
    Event {
        time: Nanos(1_000),
        kind: EventKind::FinalState {
            node: NodeId(node),
            zxid: 1,
            digest: None,
            keys: vec![FinalKey {
                key: key.to_owned(),
                value: Some(value),
                version,
            }],
        },
    }
}
