//! What happened in a run: operations of clients, and events of faults, nodes and phases.
//!
//! *Operation*: one invocation with its completion. *Outcome*: ok, fail (certainly did not
//! happen) or info (nobody knows). *Event*: everything else, one line of `events.jsonl`.
//! Checkers, measures and reports are pure functions of these two streams.

mod event;
mod op;

pub use event::{
    Event, EventKind, ExitStatus, FaultAsked, FinalKey, NodeEvent, NodeEventKind, Probe, ProbeOp,
    SyncMode, Tag, TrialOutcome,
};
pub use op::{Action, History, KeyId, Operation, Outcome, Value};
