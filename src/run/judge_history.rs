//! Judging a history that stands alone, by any model or weaker promise.

use super::judge::within_limit;
use crate::check::{
    CheckResult, Evidence, ModelEntry, ModelError, WEAK, WeakCheck, check_model, model_named,
    propose_model,
};
use crate::clock::Nanos;
use crate::history::{Header, History};

/// What a history is judged by.
#[derive(Debug, Clone, Copy)]
pub enum Measure {
    /// Linearizability for objects of a model.
    Model(&'static ModelEntry),
    /// A weaker promise.
    Weak(&'static str, WeakCheck),
}

/// What was concluded.
#[derive(Debug, Clone)]
pub struct HistoryJudgement {
    /// The first sums up the others.
    pub checks: Vec<CheckResult>,
    /// Of the first violation.
    pub evidence: Option<Evidence>,
}

impl Measure {
    /// The measure of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, ModelError> {
        let dashed = |weak: &str| weak.replace('_', "-") == name.replace('_', "-");
        match WEAK.iter().find(|(weak, ..)| dashed(weak)) {
            Some((weak, _, check)) => Ok(Self::Weak(weak, *check)),
            None => model_named(name).map(Self::Model),
        }
    }

    /// The measure for a history that `header` and its operations tell, and why, for people.
    ///
    /// # Errors
    /// No model knows all operations, or the header names one that there is not.
    pub fn proposed(history: &History, header: &Header) -> Result<(Self, String), ModelError> {
        let proposal = propose_model(history, header.model.as_deref())?;
        Ok((Self::Model(proposal.model), proposal.reason))
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model(model) => model.name,
            Self::Weak(name, _) => name,
        }
    }
}

/// Judges a history; what is not decided after `limit` is unknown.
///
/// # Errors
/// The model does not know one of the operations.
pub fn judge_history(
    history: &History,
    measure: Measure,
    limit: Nanos,
) -> Result<HistoryJudgement, ModelError> {
    within_limit(limit, |budget| match measure {
        Measure::Model(model) => {
            let found = check_model(model, history, budget)?;
            Ok(HistoryJudgement {
                checks: vec![found.result()],
                evidence: found.evidence,
            })
        }
        Measure::Weak(_, check) => {
            let found = check(history, budget);
            Ok(HistoryJudgement {
                checks: found.checks,
                evidence: found.evidence,
            })
        }
    })
}
