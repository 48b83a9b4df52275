//! Staleness in time (Δ): how far the reads of a key must be moved back to make it linearizable.
//!
//! Δ of a key is the smallest time such that, with the beginning of every read that much earlier,
//! one order consistent with real time explains the key. 0: it is linearizable as it is. A key that
//! no Δ explains has another mistake than stale reads. Each Δ is decided exactly, and a larger one
//! only allows more orders, so halving an interval finds the smallest, to the nanosecond.

use super::linearizable::{self, Budget};
use super::{CheckResult, Class};
use crate::clock::Nanos;
use crate::history::{Action, History, KeyId, Operation, Outcome, Value};
use crate::verdict::Verdict;

/// How far behind the reads were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeBehind {
    /// Pass: 0 on every key. Fail: more on one, or no Δ explains it. Unknown: not decided.
    pub verdict: Verdict,
    /// The largest Δ of a key; of those keys that were decided and that one explains.
    pub delta: Nanos,
    /// A read that needs it, as an index into `History::operations`.
    pub attained_by: Option<usize>,
    /// Keys with observations.
    pub keys: usize,
    /// Keys that no Δ explains, by name.
    pub unexplained: Vec<String>,
    /// Keys that could not be decided, by name.
    pub undecided: Vec<String>,
}

/// Finds Δ of every key, which holds `initial` at the start.
#[must_use]
pub fn time_behind(history: &History, initial: Value, budget: &Budget<'_>) -> TimeBehind {
    let mut keys: Vec<Vec<usize>> = history.keys.iter().map(|_| Vec::new()).collect();
    for (index, operation) in history.operations.iter().enumerate() {
        keys[operation.key.0 as usize].push(index);
    }
    let mut found = TimeBehind {
        verdict: Verdict::Unknown,
        delta: Nanos::ZERO,
        attained_by: None,
        keys: 0,
        unexplained: Vec::new(),
        undecided: Vec::new(),
    };
    for (indices, name) in keys.into_iter().zip(&history.keys) {
        if !indices
            .iter()
            .any(|index| is_read(&history.operations[*index]))
        {
            continue;
        }
        found.keys += 1;
        let key = Key {
            history,
            indices,
            initial,
            budget,
        };
        match key.delta() {
            Delta::Undecided => found.undecided.push(name.clone()),
            Delta::None => found.unexplained.push(name.clone()),
            Delta::Is(delta, by) if delta > found.delta => {
                (found.delta, found.attained_by) = (delta, by);
            }
            Delta::Is(..) => {}
        }
    }
    found.verdict = if found.delta > Nanos::ZERO || !found.unexplained.is_empty() {
        Verdict::Fail
    } else if !found.undecided.is_empty() || found.keys == 0 {
        Verdict::Unknown
    } else {
        Verdict::Pass
    };
    found
}

impl TimeBehind {
    /// The least that Δ of all keys can be: without end if no Δ explains one.
    #[must_use]
    pub fn at_least(&self) -> Nanos {
        if self.unexplained.is_empty() {
            self.delta
        } else {
            Nanos::MAX
        }
    }

    /// As a line of the report.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        let reason = match (self.unexplained.first(), self.undecided.first()) {
            (Some(key), _) => {
                format!("key {key}: reads moved back by any time do not explain it")
            }
            (None, _) if self.delta > Nanos::ZERO => {
                format!("reads must be moved back by {}", self.delta)
            }
            (None, Some(key)) => format!("key {key} could not be decided"),
            (None, None) if self.keys == 0 => "nobody observed anything".to_owned(),
            (None, None) => String::new(),
        };
        let keys = if self.keys == 1 { "key" } else { "keys" };
        CheckResult {
            name: "stale_time".to_owned(),
            class: Class::Safety,
            verdict: self.verdict,
            limit: "0".to_owned(),
            measured: format!("{} on {} {keys}", self.delta, self.keys),
            reason,
        }
    }
}

/// Δ of one key.
enum Delta {
    Is(Nanos, Option<usize>),
    None,
    Undecided,
}

struct Key<'a> {
    history: &'a History,
    indices: Vec<usize>,
    initial: Value,
    budget: &'a Budget<'a>,
}

impl Key<'_> {
    fn delta(&self) -> Delta {
        match self.decide(0) {
            Some(true) => return Delta::Is(Nanos::ZERO, None),
            None => return Delta::Undecided,
            Some(false) => {}
        }
        let begun = |index: &usize| self.history.operations[*index].invoked.0;
        // From here on every read begins at the origin.
        let (mut illegal, mut legal) = (0, self.indices.iter().map(begun).max().unwrap_or(0));
        match self.decide(legal) {
            Some(true) => {}
            None => return Delta::Undecided,
            Some(false) => return Delta::None,
        }
        while illegal + 1 < legal {
            let middle = illegal + (legal - illegal) / 2;
            match self.decide(middle) {
                Some(true) => legal = middle,
                Some(false) => illegal = middle,
                None => return Delta::Undecided,
            }
        }
        Delta::Is(Nanos(legal), self.needy(illegal))
    }

    /// The read that began last of those that no order explains with this Δ.
    fn needy(&self, delta: u64) -> Option<usize> {
        let (part, order) = self.moved(delta);
        let evidence = linearizable::prove(&part, self.initial, self.budget)?;
        let all = evidence.operations.into_iter().map(|at| order[at]);
        all.filter(|index| is_read(&self.history.operations[*index]))
            .max_by_key(|index| self.history.operations[*index].invoked)
    }

    fn decide(&self, delta: u64) -> Option<bool> {
        linearizable::decide(&self.moved(delta).0, self.initial, self.budget)
    }

    /// The key alone with its reads moved back; with the index of each of its operations.
    fn moved(&self, delta: u64) -> (History, Vec<usize>) {
        let mut moved: Vec<(Operation, usize)> = (self.indices.iter())
            .map(|index| {
                let mut operation = self.history.operations[*index].clone();
                operation.key = KeyId(0);
                if is_read(&operation) {
                    operation.invoked = Nanos(operation.invoked.0.saturating_sub(delta));
                }
                (operation, *index)
            })
            .collect();
        moved.sort_by_key(|(operation, _)| operation.invoked);
        let (operations, order) = moved.into_iter().unzip();
        let part = History {
            keys: vec![String::new()],
            operations,
            ..History::default()
        };
        (part, order)
    }
}

/// Whether it looked and changed nothing; a failed CAS is a read of its kind.
fn is_read(operation: &Operation) -> bool {
    matches!(
        (operation.action, operation.outcome),
        (Action::Read, Outcome::Ok) | (Action::Cas { .. }, Outcome::Fail)
    )
}
