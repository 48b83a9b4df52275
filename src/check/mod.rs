//! Checks of the recorded history: pure functions of operations and events.
//!
//! *Verdict*: pass, unknown or fail; a check that had nothing to look at is unknown. *Evidence*:
//! the few operations that prove a violation, and why in a sentence.

mod attempt;
mod convergence;
mod durability;
mod final_state;
mod lanes;
#[cfg(test)]
mod laws;
pub mod linearizable;
mod models;
mod object;
mod one_order;
pub mod online;
mod orders;
mod rows;
mod sessions;
mod sources;
mod split_brain;
mod staleness;
#[cfg(test)]
mod testing;
mod time_behind;
mod versions_behind;
mod weak;
mod words;
mod zookeeper;

use serde::{Deserialize, Serialize};

pub use attempt::Attempt;
pub use convergence::{Convergence, converged};
pub use durability::{Durability, Lost, lost_writes};
pub use lanes::evidence_lanes;
pub use models::{
    MODELS, ModelEntry, ModelError, Proposal, check_model, model_named, propose_model,
};
pub use rows::{Row, ended, rows};
pub use sessions::{Guarantee, GuaranteeFound, Sessions, session_guarantees};
pub use split_brain::{SplitBrain, split_brain_writes};
pub use staleness::{StaleRead, Staleness, stale_reads};
pub use time_behind::{TimeBehind, time_behind};
pub use versions_behind::{VersionsBehind, versions_behind};
pub use weak::{WEAK, WeakCheck, WeakFound};
pub use words::{brief, describe, shorten};
pub use zookeeper::{Promise, Reads, Versions, ZooKeeper, zookeeper};

use crate::verdict::Verdict;

/// To which class a check belongs: it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A promise of the system about data; broken = exit 1.
    Safety,
    /// A limit that the plan sets; missed = exit 4.
    Objective,
    /// What a meaningful run needs (load, faults that landed); missing = unknown, exit 3.
    Assumption,
}

impl Class {
    /// As in results files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Objective => "objective",
            Self::Assumption => "assumption",
        }
    }
}

/// What one check concluded: a line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The assertion as written (`detect.first p99 <= 1500ms`) or the check's name.
    pub name: String,
    /// Its class.
    pub class: Class,
    /// The conclusion.
    pub verdict: Verdict,
    /// The limit, for people; empty if there is none.
    pub limit: String,
    /// What was measured, for people.
    pub measured: String,
    /// Why it failed or is unknown; empty when passed.
    pub reason: String,
}

/// The part of a history that proves a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The key on which it happened.
    pub key: String,
    /// The operations that cannot be ordered, as indices into `History::operations`.
    pub operations: Vec<usize>,
    /// Why no order explains them, in a sentence.
    pub sentence: String,
    /// How far an order comes, once somebody has looked.
    pub attempt: Option<Attempt>,
}

impl Evidence {
    /// The most operations that are shown of one violation, whatever shows them.
    pub const SHOWN_MAX: usize = 200;

    /// Evidence on which no order has been attempted yet.
    #[must_use]
    pub const fn new(key: String, operations: Vec<usize>, sentence: String) -> Self {
        Self {
            key,
            operations,
            sentence,
            attempt: None,
        }
    }

    /// Changes every index, as where the operations are those of a longer history.
    pub fn renumber(&mut self, number: impl Fn(usize) -> usize) {
        let attempt = self.attempt.iter_mut();
        let attempt =
            attempt.flat_map(|attempt| attempt.order.iter_mut().chain([&mut attempt.stuck]));
        for index in self.operations.iter_mut().chain(attempt) {
            *index = number(*index);
        }
    }

    /// The operations to show: of too many the first and the last ones.
    #[must_use]
    pub fn shown(&self) -> Vec<usize> {
        let hidden = self.hidden();
        let half = Self::SHOWN_MAX / 2;
        let (first, last) = self.operations.split_at(half.min(self.operations.len()));
        [first, last.get(hidden..).unwrap_or(&[])].concat()
    }

    /// How many operations [`Self::shown`] leaves out.
    #[must_use]
    pub const fn hidden(&self) -> usize {
        self.operations.len().saturating_sub(Self::SHOWN_MAX)
    }
}
