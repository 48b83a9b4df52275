//! What else happened to the key meanwhile: the operations nearest to the evidence, packed into a
//! few thin rows.

use crate::check::{Evidence, ended};
use crate::clock::Nanos;
use crate::history::{History, Operation, Outcome};

/// Other operations of the same key.
#[derive(Debug, Default)]
pub(super) struct Context<'a> {
    /// Rows of operations that do not overlap.
    pub(super) rows: Vec<Vec<&'a Operation>>,
    /// How many more there were at that time.
    pub(super) more: usize,
}

impl<'a> Context<'a> {
    /// The neighbours of the operations `shown` within `window`.
    pub(super) fn of(history: &'a History, shown: &[usize], window: (Nanos, Nanos)) -> Self {
        let evidence: Vec<&Operation> = (shown.iter())
            .filter_map(|index| history.operations.get(*index))
            .collect();
        let Some(key) = evidence.first().map(|operation| operation.key) else {
            return Self::default();
        };
        let mut near: Vec<(u64, &Operation)> = (history.operations.iter().enumerate())
            .filter(|(at, other)| {
                other.key == key && is_within(other, window) && !shown.contains(at)
            })
            .map(|(_, other)| (distance(other, &evidence), other))
            .collect();
        near.sort_by_key(|(distance, other)| (*distance, other.invoked, other.process));
        let room = (Evidence::SHOWN_MAX - evidence.len().min(Evidence::SHOWN_MAX)).min(MOST);
        let mut context = Self {
            rows: Vec::new(),
            more: near.len().saturating_sub(room),
        };
        near.truncate(room);
        near.sort_by_key(|(_, other)| (other.invoked, other.process));
        for (_, other) in near {
            context.place(other);
        }
        context
    }

    fn place(&mut self, other: &'a Operation) {
        let is_free = |row: &&mut Vec<&Operation>| {
            let last = row.last().and_then(|last| ended(last));
            last.is_some_and(|end| end < other.invoked)
        };
        if let Some(row) = self.rows.iter_mut().find(is_free) {
            row.push(other);
        } else if self.rows.len() < ROWS {
            self.rows.push(vec![other]);
        } else {
            self.more += 1;
        }
    }
}

/// Whether it was under way in the window; one of unknown outcome is from when it began.
fn is_within(operation: &Operation, (from, to): (Nanos, Nanos)) -> bool {
    let last = ended(operation).unwrap_or(operation.invoked);
    operation.outcome != Outcome::Fail && operation.invoked <= to && last >= from
}

/// How far its end lies from the nearest instant of the evidence.
fn distance(operation: &Operation, evidence: &[&Operation]) -> u64 {
    let instants = |operation: &Operation| {
        let end = ended(operation).unwrap_or(operation.invoked);
        [operation.invoked.0, end.0]
    };
    let mine = instants(operation);
    (evidence.iter().flat_map(|other| instants(other)))
        .flat_map(|other| mine.map(|mine| mine.abs_diff(other)))
        .min()
        .unwrap_or(0)
}

/// Some dozens show what went on; more would hide it.
const MOST: usize = 40;
/// Operations that were under way at once.
const ROWS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn neighbours_are_few_of_the_same_key_and_never_of_the_evidence() {
        let record = sample::failed();
        let shown = record.evidence.as_ref().unwrap().shown();
        let context = Context::of(&record.history, &shown, (Nanos::ZERO, Nanos::MAX));
        let key = record.history.operations[shown[0]].key;
        let found: Vec<_> = context.rows.iter().flatten().collect();
        assert!(!found.is_empty() && found.len() <= MOST && context.more > 0);
        for operation in found {
            assert_eq!(operation.key, key);
            let is_evidence =
                |at: &usize| std::ptr::eq(*operation, &record.history.operations[*at]);
            assert!(!shown.iter().any(is_evidence));
        }
    }
}
