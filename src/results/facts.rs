//! `run.json`: what a run was asked and where it ran, so that every view can be rebuilt from the
//! folder alone.
//!
//! The streams (`history.jsonl`, `events.jsonl`) hold what happened; this file holds what they do
//! not say. Verdicts are not in it: they are judged again from the streams.

use serde::{Deserialize, Serialize};

use super::record::{Environment, PlanFacts};
use crate::clock::Nanos;

/// The contents of `run.json`, written before the run and again at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFacts {
    /// [`RunFacts::SCHEMA`].
    pub schema: String,
    /// The name of the folder when it was written.
    pub run_id: String,
    /// What was asked.
    pub plan: PlanFacts,
    /// The plan's `expect:` lines as written, in their order.
    pub expect: Vec<String>,
    /// Where and with what it ran.
    pub environment: Environment,
    /// The command that repeats it.
    pub reproduce: String,
    /// When the run ended, on its own axis; `None` = it is still going on, or died.
    pub ended: Option<Nanos>,
    /// The signal that interrupted it (2 or 15); `None` = it ran to its end.
    pub interrupted: Option<u8>,
}

impl RunFacts {
    /// Name and version of the format.
    pub const SCHEMA: &'static str = "chaos.run/1";
}
