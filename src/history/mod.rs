//! What happened in a run: operations of clients, and events of faults, nodes and phases.
//!
//! *Operation*: one invocation with its completion. *Outcome*: ok, fail (certainly did not
//! happen) or info (nobody knows). *Event*: everything else, one line of `events.jsonl`.
//! *Recorder*: writes both while a run lasts.
//! Checkers, measures and reports are pure functions of these two streams.

mod codec;
mod decode;
mod encode;
mod event;
mod event_lines;
mod line;
mod op;
mod recorder;
mod table;
mod values;

pub use codec::{CodecError, EVENTS_SCHEMA, HISTORY_SCHEMA, Header, Problem};
pub use decode::{ReadError, decode, decode_from};
pub use encode::{encode, encode_complete, encode_header, encode_invoke};
pub use event::{
    Event, EventKind, ExitStatus, FaultAsked, FinalKey, NodeEvent, NodeEventKind, Probe, ProbeOp,
    SyncMode, Tag, TrialOutcome,
};
pub use event_lines::{decode_events, encode_event, encode_events_header};
pub use op::{Action, History, KeyId, Operation, Outcome, Value, Verb};
pub use recorder::{Completion, Invocation, Recorded, Recorder, Recording, Tap};
pub use table::{FixedHasher, FixedMap, FixedSet};
pub use values::{Content, Shown, Values};
