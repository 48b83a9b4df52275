//! Durability: every acknowledged write is in the final state, or was overwritten.
//!
//! *Fate* of an acknowledged update, seen from one node's final state:
//! - *lost*: its version is above the final one; or its version is the final one but the value is
//!   another's; or every update that wrote the final value had returned before this one began,
//!   and no acknowledged update began after this one returned;
//! - *kept*: the final value is its own (and nobody else's);
//! - *hidden*: it may have been overwritten. Busy keys hide losses, so the denominator of the
//!   measure is the *decidable* updates only.
//!
//! An update is lost only if every final state says so, and only if a majority of the nodes gave
//! one: an acknowledged write is on a majority, so a node that must have it is among them.
//! Two acknowledged updates of one register with the same version: one of them is lost.

use std::collections::BTreeMap;

use super::final_state::{FinalStates, Register};
use super::{CheckResult, Class};
use crate::clock::Nanos;
use crate::history::{Action, Event, FixedMap, History, Operation, Outcome, Value};
use crate::verdict::Verdict;

/// What became of the acknowledged updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// Pass only if nothing is lost and something was decidable.
    pub verdict: Verdict,
    /// Acknowledged updates.
    pub acknowledged: usize,
    /// Those whose loss would have shown.
    pub decidable: usize,
    /// Those that are lost, in the order of invocation.
    pub lost: Vec<Lost>,
    /// Why it is unknown; empty otherwise.
    pub reason: String,
}

/// One lost update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// As an index into `History::operations`.
    pub operation: usize,
    /// How that is known, in a sentence.
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Kept,
    Hidden,
    Lost(String),
}

/// What the updates of one register say about what may have come last.
#[derive(Debug, Default)]
struct Updates {
    /// Indices of the acknowledged ones.
    acknowledged: Vec<usize>,
    /// Some ended with unknown outcome.
    has_info: bool,
    /// The latest invocation of an acknowledged one.
    last_begun: Nanos,
    /// For every value how many updates may have put it there, and until when.
    writers: FixedMap<Value, Writers>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Writers {
    count: u32,
    until: Nanos,
}

/// Which acknowledged writes are lost, judged by the final states of the nodes `1..=nodes`.
#[must_use]
pub fn lost_writes(history: &History, events: &[Event], nodes: u8) -> Durability {
    let states = FinalStates::of(events);
    let mut all: Vec<Updates> = history.keys.iter().map(|_| Updates::default()).collect();
    for (index, operation) in history.operations.iter().enumerate() {
        all[operation.key.0 as usize].add(index, operation);
    }
    let mut found = Durability {
        verdict: Verdict::Unknown,
        acknowledged: all.iter().map(|updates| updates.acknowledged.len()).sum(),
        decidable: 0,
        lost: Vec::new(),
        reason: String::new(),
    };
    if states.nodes.len() <= usize::from(nodes) / 2 {
        found.reason = format!(
            "final states of only {} of {nodes} nodes: no majority",
            states.nodes.len()
        );
        return found;
    }
    for (name, updates) in history.keys.iter().zip(&all) {
        let finals: Vec<Register> = states
            .nodes
            .values()
            .map(|state| state.register(name))
            .collect();
        updates.judge(history, &finals, &mut found);
    }
    found.lost.sort_by_key(|lost| lost.operation);
    if !found.lost.is_empty() {
        found.verdict = Verdict::Fail;
    } else if found.decidable > 0 {
        found.verdict = Verdict::Pass;
    } else {
        found.reason = "no acknowledged write whose loss would show".to_owned();
    }
    found
}

impl Durability {
    /// As a line of the report.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        CheckResult {
            name: "lost_writes".to_owned(),
            class: Class::Safety,
            verdict: self.verdict,
            limit: "0".to_owned(),
            measured: format!("{} of {} decidable", self.lost.len(), self.decidable),
            reason: (self.lost.first())
                .map_or_else(|| self.reason.clone(), |lost| lost.why.clone()),
        }
    }
}

impl Updates {
    fn add(&mut self, index: usize, operation: &Operation) {
        let value = match operation.action {
            Action::Write(to) | Action::Cas { to, .. } => to,
            Action::Read | Action::Do(..) => return,
        };
        let until = match operation.outcome {
            Outcome::Ok => operation.completed,
            // A failed update whose value is there after all did not fail; until when it may have
            // happened nobody knows then.
            Outcome::Info | Outcome::Fail => Nanos::MAX,
        };
        let writers = self.writers.entry(value).or_default();
        writers.count += 1;
        writers.until = writers.until.max(until);
        self.has_info |= operation.outcome == Outcome::Info;
        if operation.outcome == Outcome::Ok {
            self.acknowledged.push(index);
            self.last_begun = self.last_begun.max(operation.invoked);
        }
    }

    fn judge(&self, history: &History, finals: &[Register], found: &mut Durability) {
        let versions = self.versions(history);
        let counts = self.is_counted(&versions, finals);
        for index in &self.acknowledged {
            let operation = &history.operations[*index];
            let twin = operation.version.and_then(|version| versions.get(&version));
            let twin = twin.filter(|first| **first != *index);
            let fate = match twin {
                Some(first) => Fate::Lost(twin_text(history, *first, *index)),
                None => self.fate(history, operation, finals),
            };
            match fate {
                Fate::Lost(why) => {
                    found.decidable += 1;
                    found.lost.push(Lost {
                        operation: *index,
                        why,
                    });
                }
                Fate::Kept => found.decidable += 1,
                Fate::Hidden => found.decidable += usize::from(counts),
            }
        }
    }

    /// The first acknowledged update of each version.
    fn versions(&self, history: &History) -> BTreeMap<i64, usize> {
        let mut versions = BTreeMap::new();
        for index in &self.acknowledged {
            if let Some(version) = history.operations[*index].version {
                versions.entry(version).or_insert(*index);
            }
        }
        versions
    }

    /// Whether the versions count the updates one by one up to the final one and leave none to an
    /// update of unknown outcome: then the loss of any would give its version to another.
    fn is_counted(&self, versions: &BTreeMap<i64, usize>, finals: &[Register]) -> bool {
        let last = versions.keys().next_back().copied();
        let gapless = versions
            .keys()
            .zip(versions.keys().skip(1))
            .all(|(a, b)| a + 1 == *b);
        let all_versioned = versions.len() >= self.acknowledged.len();
        let is_final = last.is_some() && finals.iter().all(|register| register.version == last);
        gapless && all_versioned && is_final && !self.has_info
    }

    /// Lost if every final state says so; otherwise the best that one of them says.
    fn fate(&self, history: &History, operation: &Operation, finals: &[Register]) -> Fate {
        let mut fates = finals
            .iter()
            .map(|register| self.seen_from(history, operation, register));
        let Some(mut fate) = fates.next() else {
            return Fate::Hidden;
        };
        for other in fates {
            fate = match (fate, other) {
                (Fate::Kept, _) | (_, Fate::Kept) => Fate::Kept,
                (Fate::Hidden, _) | (_, Fate::Hidden) => Fate::Hidden,
                (lost, Fate::Lost(_)) => lost,
            };
        }
        fate
    }

    fn seen_from(&self, history: &History, operation: &Operation, register: &Register) -> Fate {
        let value = match operation.action {
            Action::Write(to) | Action::Cas { to, .. } => to,
            Action::Read | Action::Do(..) => return Fate::Hidden,
        };
        let lost = |how: &str| {
            Fate::Lost(format!(
                "process {}'s write of {value} to {} was acknowledged at {:.3} ms{}, but the \
                 final value is {register}{how}",
                operation.process,
                history.key_name(operation.key),
                operation.completed.as_millis_f64(),
                (operation.version).map_or_else(String::new, |v| format!(" with version {v}")),
            ))
        };
        if let (Some(own), Some(last)) = (operation.version, register.version) {
            if own > last {
                return lost("");
            }
            if own == last {
                return if value == register.value {
                    Fate::Kept
                } else {
                    lost("")
                };
            }
        }
        let writers = self
            .writers
            .get(&register.value)
            .copied()
            .unwrap_or_default();
        if value == register.value {
            return if writers.count == 1 {
                Fate::Kept
            } else {
                Fate::Hidden
            };
        }
        let is_overwritten = self.last_begun > operation.completed;
        if writers.until < operation.invoked && !is_overwritten {
            return lost(", which no later write put there");
        }
        Fate::Hidden
    }
}

fn twin_text(history: &History, first: usize, second: usize) -> String {
    let [a, b] = [first, second].map(|index| &history.operations[index]);
    format!(
        "processes {} and {} both wrote {} and both were told version {}: one of the writes is lost",
        a.process,
        b.process,
        history.key_name(a.key),
        a.version.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{final_state, ok};
    use super::*;

    fn write(value: i64, from: u64, to: u64) -> Operation {
        ok(Action::Write(Value(value)), from, to, None)
    }

    fn versioned(value: i64, from: u64, to: u64, version: i64) -> Operation {
        Operation {
            version: Some(version),
            ..write(value, from, to)
        }
    }

    fn judge(operations: Vec<Operation>, finals: &[(i64, Option<i64>)]) -> Durability {
        let history = History {
            keys: vec!["k1".to_owned()],
            errors: vec![],
            values: crate::history::Values::default(),
            operations,
        };
        let events: Vec<Event> = (1..)
            .zip(finals)
            .map(|(node, (value, version))| final_state(node, "k1", *value, *version))
            .collect();
        lost_writes(&history, &events, finals.len() as u8)
    }

    fn lost(found: &Durability) -> Vec<usize> {
        found.lost.iter().map(|lost| lost.operation).collect()
    }

    #[test]
    fn the_last_write_missing_from_the_final_state_is_lost() {
        let found = judge(vec![write(1, 0, 1), write(2, 2, 3)], &[(1, None); 3]);
        assert_eq!((found.verdict, lost(&found)), (Verdict::Fail, vec![1]));
        insta::assert_snapshot!(found.lost[0].why, @"process 0's write of 2 to k1 was acknowledged at 0.000 ms, but the final value is 1, which no later write put there");
    }

    #[test]
    fn a_write_that_may_have_been_overwritten_is_not_lost() {
        // Concurrent with the final value's write.
        let found = judge(vec![write(1, 0, 5), write(2, 2, 3)], &[(1, None); 3]);
        assert_eq!((found.verdict, found.decidable), (Verdict::Pass, 1));
        // The final value's write has no known end.
        let info = Operation {
            outcome: Outcome::Info,
            ..write(1, 0, 1)
        };
        let found = judge(vec![info, write(2, 2, 3)], &[(1, None); 3]);
        assert_eq!((found.verdict, found.decidable), (Verdict::Unknown, 0));
    }

    #[test]
    fn a_write_is_lost_only_if_no_node_has_it() {
        let operations = vec![write(1, 0, 1), write(2, 2, 3)];
        let found = judge(operations, &[(1, None), (2, None), (1, None)]);
        assert_eq!((found.verdict, lost(&found)), (Verdict::Pass, vec![]));
    }

    #[test]
    fn a_version_above_the_final_one_is_lost_even_if_overwritten() {
        let operations = vec![
            versioned(1, 0, 1, 1),
            versioned(2, 2, 3, 2),
            versioned(3, 4, 5, 3),
        ];
        let found = judge(operations, &[(1, Some(1)); 3]);
        assert_eq!((lost(&found), found.decidable), (vec![1, 2], 3));
    }

    #[test]
    fn two_acknowledged_writes_of_one_version_mean_a_loss() {
        let operations = vec![
            versioned(1, 0, 1, 1),
            versioned(2, 2, 3, 1),
            versioned(3, 4, 5, 2),
        ];
        let found = judge(operations, &[(3, Some(2)); 3]);
        assert_eq!((found.verdict, lost(&found)), (Verdict::Fail, vec![1]));
    }

    #[test]
    fn counted_versions_make_overwritten_writes_decidable() {
        let mut operations = vec![versioned(1, 0, 1, 1), versioned(2, 2, 3, 2)];
        let found = judge(operations.clone(), &[(2, Some(2)); 3]);
        assert_eq!((found.verdict, found.decidable), (Verdict::Pass, 2));
        operations.push(Operation {
            outcome: Outcome::Info,
            ..write(3, 2, 3)
        });
        let found = judge(operations, &[(2, Some(2)); 3]);
        assert_eq!((found.verdict, found.decidable), (Verdict::Pass, 1));
    }

    #[test]
    fn without_a_majority_of_final_states_nothing_is_known() {
        let history = History {
            keys: vec!["k1".to_owned()],
            errors: vec![],
            values: crate::history::Values::default(),
            operations: vec![write(1, 0, 1)],
        };
        let events = [final_state(1, "k1", 1, None)];
        let found = lost_writes(&history, &events, 3);
        assert_eq!(found.verdict, Verdict::Unknown);
        assert_eq!(
            found.reason,
            "final states of only 1 of 3 nodes: no majority"
        );
    }

    #[test]
    fn a_register_gone_from_all_nodes_is_a_loss_of_its_last_write_only() {
        let history = History {
            keys: vec!["k1".to_owned()],
            errors: vec![],
            values: crate::history::Values::default(),
            operations: vec![write(1, 0, 1), write(2, 2, 3)],
        };
        let events = [final_state(1, "other", 1, None)];
        assert_eq!(lost(&lost_writes(&history, &events, 1)), [1]);
    }
}
