//! Which operations of a counterexample stand side by side: one row for each process, and more
//! where operations of one process overlap.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::history::{Operation, Outcome};
use crate::id::ProcessId;

/// Operations of one process that do not overlap, in the order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub process: ProcessId,
    /// Not the first row of this process.
    pub is_more: bool,
    /// As indices into the operations that were given.
    pub operations: Vec<usize>,
}

/// When an operation had certainly taken effect, if ever.
#[must_use]
pub fn ended(operation: &Operation) -> Option<Nanos> {
    let ended = operation.outcome != Outcome::Info && operation.completed != Nanos::MAX;
    ended.then_some(operation.completed)
}

/// The rows in the order of their first invocations; those of one process stay together.
#[must_use]
pub fn rows(operations: &[&Operation]) -> Vec<Row> {
    let mut sorted: Vec<usize> = (0..operations.len()).collect();
    sorted.sort_by_key(|at| (operations[*at].invoked, *at));
    // The rank of a process, then its rows with their ends.
    let mut ranks: BTreeMap<ProcessId, usize> = BTreeMap::new();
    let mut rows: Vec<Vec<(Option<Nanos>, Row)>> = Vec::new();
    for at in sorted {
        let operation = operations[at];
        let process = operation.process;
        let rank = *ranks.entry(process).or_insert(rows.len());
        if rank == rows.len() {
            rows.push(Vec::new());
        }
        let mine = &mut rows[rank];
        let is_free = |until: &Option<Nanos>| until.is_some_and(|end| end <= operation.invoked);
        if let Some((until, row)) = mine.iter_mut().find(|(until, _)| is_free(until)) {
            row.operations.push(at);
            *until = ended(operation);
        } else {
            let row = Row {
                process,
                is_more: !mine.is_empty(),
                operations: vec![at],
            };
            mine.push((ended(operation), row));
        }
    }
    rows.into_iter().flatten().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::ok;
    use super::*;
    use crate::history::Action;

    #[test]
    fn a_process_has_one_row_unless_its_operations_overlap() {
        let mut operations = [
            ok(Action::Read, 5, 6, None),
            ok(Action::Read, 1, 2, None),
            ok(Action::Read, 2, 9, None),
            ok(Action::Read, 0, 3, None),
        ];
        operations[3].process = ProcessId(7);
        let refs: Vec<&Operation> = operations.iter().collect();
        let found: Vec<_> = rows(&refs)
            .into_iter()
            .map(|row| (row.process.0, row.is_more, row.operations))
            .collect();
        assert_eq!(
            found,
            [
                (7, false, vec![3]),
                (0, false, vec![1, 2]),
                (0, true, vec![0])
            ]
        );
    }

    #[test]
    fn an_operation_of_unknown_outcome_never_ends() {
        let mut operations = [ok(Action::Read, 1, 2, None), ok(Action::Read, 5, 6, None)];
        operations[0].outcome = Outcome::Info;
        let refs: Vec<&Operation> = operations.iter().collect();
        assert_eq!(rows(&refs).len(), 2);
    }
}
