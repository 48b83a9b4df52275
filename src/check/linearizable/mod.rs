//! Linearizability of registers: does one order of the operations, consistent with real time,
//! explain everything that the clients saw?
//!
//! A history is linearizable if the part of each key is (Horn & Kroening, "Faster linearizability
//! checking via P-compositionality", 2015). Each key goes through three layers: `zones` decide in
//! near-linear time where written values are unique; where they repeat, `versions` told by the
//! store may propose an order; the bounded `search` takes the rest. What
//! neither decides is *undecided*, with the reason, and never a pass.
//!
//! *Initial value*: what a key holds before its first operation. What setup wrote is part of the
//! history like any other operation.

mod ahead;
mod evidence;
mod forget;
mod items;
mod limit;
#[cfg(test)]
pub(super) mod oracle;
#[cfg(test)]
mod oracle_online;
mod search;
mod segments;
mod shrink;
mod values;
mod versions;
mod zones;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{CheckResult, Class, Evidence, attempt};
use crate::clock::Nanos;
use crate::history::{Action, History, Operation, Outcome, Value};
use crate::model::Register;
use crate::verdict::Verdict;
pub(super) use evidence::{Moment, narrate};
pub(super) use forget::{Glance, Rest, glance, is_in_flight};
pub(super) use limit::{Limit, What};
use zones::Unsure;
pub(super) use zones::{Answer, Clash, Hold};

/// How much the check may spend.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// Steps of the search for one key; a step tries one operation, mostly below 1 µs.
    pub steps: u64,
    /// Configurations that the search for one key may hold at once, about 100 bytes each.
    pub configurations: usize,
    /// Threads to share the keys between; 1 = only the caller's.
    pub threads: usize,
    /// Asked now and then; `true` = give up what is not decided yet.
    pub is_over: &'a (dyn Fn() -> bool + Sync),
}

/// What the check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linearizability {
    /// Pass only if every key was decided.
    pub verdict: Verdict,
    /// How many keys were looked at.
    pub keys: usize,
    /// How many operations were looked at.
    pub operations: usize,
    /// How many keys are certainly not linearizable.
    pub violations: usize,
    /// The keys that could not be decided.
    pub undecided: Vec<Undecided>,
    /// Why the first violating key is not linearizable.
    pub evidence: Option<Evidence>,
}

/// A key that could not be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    /// Its name.
    pub key: String,
    /// Why, and how far the search came.
    pub reason: String,
}

/// Later than every instant: an operation of unknown outcome may take effect at any time.
pub(super) const NEVER: u64 = u64::MAX;

/// What every key may spend before it is known whether another one is violated.
const FIRST_STEPS: u64 = 500_000;

/// What the evidence may cost when it comes from a search.
const SHRINK_STEPS: u64 = 5_000_000;

/// Evidence of so many operations is small enough.
const SMALL: usize = 6;

/// Histories below this many operations are not worth a thread.
const PARALLEL_FROM: usize = 20_000;

/// The operations of one key.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyHistory<'a> {
    pub(super) operations: &'a [Operation],
    /// Those of the key, in the order of invocation.
    pub(super) indices: &'a [u32],
    initial: Value,
}

/// What is known about one key.
pub(super) enum KeyAnswer {
    Ok,
    Illegal(Evidence),
    Undecided(String),
}

/// Whether `history` is linearizable, key by key, for `register`s.
///
/// Reads without a value and failed writes say nothing and are left out; so is a failed CAS that
/// hides what it saw and gives another reason for its failure (`error`): it did not happen, and
/// nobody looked at the value.
#[must_use]
pub fn check(history: &History, register: &Register, budget: &Budget<'_>) -> Linearizability {
    let mut found = judge_keys(history, register.initial, budget, &|key, budget| {
        answer(history, key, budget)
    });
    if let Some(evidence) = &mut found.evidence {
        evidence.attempt = attempt::of_register(history, register, evidence);
    }
    found
}

/// Decides one key.
pub(super) type Judge<'a> = dyn Fn(&KeyHistory<'_>, &Budget<'_>) -> KeyAnswer + Sync + 'a;

/// Judges every key by `judge` and concludes.
///
/// Keys first get a small part of the steps. Only while none is violated the hard ones get the rest:
/// nothing that is found out about them changes the verdict.
pub(super) fn judge_keys(
    history: &History,
    initial: Value,
    budget: &Budget<'_>,
    judge: &Judge<'_>,
) -> Linearizability {
    let partition = Partition::of(history);
    let keys: Vec<KeyHistory<'_>> = (0..history.keys.len())
        .map(|key| KeyHistory {
            operations: &history.operations,
            indices: partition.indices(key),
            initial,
        })
        .collect();
    let all: Vec<usize> = (0..keys.len()).collect();
    let mut answers = answers(history, &keys, &all, &budget.at_most(FIRST_STEPS), judge);
    match answers.iter().position(KeyAnswer::is_illegal) {
        None => {
            let hard = |key: &usize| matches!(answers[*key], KeyAnswer::Undecided(_));
            let hard: Vec<usize> = all.into_iter().filter(hard).collect();
            let again = self::answers(history, &keys, &hard, budget, judge);
            for (key, answer) in hard.into_iter().zip(again) {
                answers[key] = answer;
            }
        }
        Some(first) => {
            if matches!(&answers[first], KeyAnswer::Illegal(found) if found.operations.len() > SMALL)
            {
                // What was found by a search may become smaller.
                answers[first] = judge(&keys[first], &budget.at_most(SHRINK_STEPS));
            }
        }
    }
    let mut result = Linearizability {
        verdict: Verdict::Pass,
        keys: keys.iter().filter(|key| !key.indices.is_empty()).count(),
        operations: history.operations.len(),
        violations: 0,
        undecided: Vec::new(),
        evidence: None,
    };
    for (key, answer) in answers.into_iter().enumerate() {
        match answer {
            KeyAnswer::Ok => {}
            KeyAnswer::Illegal(evidence) => {
                result.violations += 1;
                result.evidence.get_or_insert(evidence);
            }
            KeyAnswer::Undecided(reason) => result.undecided.push(Undecided {
                key: history.keys[key].clone(),
                reason,
            }),
        }
    }
    if result.violations > 0 {
        result.verdict = Verdict::Fail;
    } else if !result.undecided.is_empty() || !history.operations.iter().any(is_telling) {
        result.verdict = Verdict::Unknown;
    }
    result
}

/// Whether a history whose operations are all of one key is linearizable; `None` = undecided.
pub(super) fn decide(history: &History, initial: Value, budget: &Budget<'_>) -> Option<bool> {
    let indices = said(history);
    let key = KeyHistory {
        operations: &history.operations,
        indices: &indices,
        initial,
    };
    match zones::judge(&key) {
        Answer::Ok => Some(true),
        Answer::Illegal(_) => Some(false),
        Answer::Undecided(_) if versions::explain(&key) => Some(true),
        Answer::Undecided(_) => match search::search(&key, budget) {
            search::Found::Order => Some(true),
            search::Found::Stuck(_) => Some(false),
            search::Found::GaveUp(_) => None,
        },
    }
}

/// Why it is not, if it is not.
pub(super) fn prove(history: &History, initial: Value, budget: &Budget<'_>) -> Option<Evidence> {
    let indices = said(history);
    let key = KeyHistory {
        operations: &history.operations,
        indices: &indices,
        initial,
    };
    match answer(history, &key, budget) {
        KeyAnswer::Illegal(evidence) => Some(evidence),
        KeyAnswer::Ok | KeyAnswer::Undecided(_) => None,
    }
}

/// What zones say about operations of one key.
pub(super) fn judge_operations(operations: &[Operation], initial: Value) -> Answer {
    let indices: Vec<u32> = (0..operations.len() as u32).collect();
    zones::judge(&KeyHistory {
        operations,
        indices: &indices,
        initial,
    })
}

/// The operations that were tried.
fn said(history: &History) -> Vec<u32> {
    let all = (0..).zip(&history.operations);
    all.filter(|(_, operation)| !is_untried(operation))
        .map(|(index, _)| index)
        .collect()
}

impl Linearizability {
    /// As a line of the report.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        let reason = match (&self.evidence, self.undecided.first()) {
            (Some(evidence), _) => evidence.sentence.clone(),
            (None, Some(first)) => {
                let more = match self.undecided.len() - 1 {
                    0 => String::new(),
                    more => format!(" (and {more} more keys)"),
                };
                format!("key {}: {}{more}", first.key, first.reason)
            }
            (None, None) if self.verdict == Verdict::Unknown => {
                "no completed operation observed anything".to_owned()
            }
            (None, None) => String::new(),
        };
        let violations = match self.violations {
            0 => String::new(),
            1 => "1 key violated, ".to_owned(),
            n => format!("{n} keys violated, "),
        };
        CheckResult {
            name: "linearizable".to_owned(),
            class: Class::Safety,
            verdict: self.verdict,
            limit: String::new(),
            measured: format!(
                "{violations}{} operations on {} key{}",
                self.operations,
                self.keys,
                if self.keys == 1 { "" } else { "s" }
            ),
            reason,
        }
    }
}

impl Budget<'static> {
    /// No limit of time: `steps` and `configurations` alone decide, so that the same history gets
    /// the same answer everywhere.
    #[must_use]
    pub const fn without_clock(threads: usize) -> Self {
        Self {
            steps: 50_000_000,
            configurations: 1_000_000,
            threads,
            is_over: &|| false,
        }
    }
}

impl Budget<'_> {
    /// The same with at most so many steps.
    const fn at_most(&self, steps: u64) -> Self {
        Self {
            steps: if steps < self.steps {
                steps
            } else {
                self.steps
            },
            ..*self
        }
    }
}

impl KeyAnswer {
    const fn is_illegal(&self) -> bool {
        matches!(self, Self::Illegal(_))
    }
}

impl fmt::Debug for Budget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("steps", &self.steps)
            .field("configurations", &self.configurations)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl<'a> KeyHistory<'a> {
    /// The operations with their indices in the history, in the order of invocation.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &'a Operation)> + Clone + use<'a> {
        let operations = self.operations;
        let indices = self.indices.iter();
        indices.map(move |index| (*index, &operations[*index as usize]))
    }
}

/// Whether a wrong system could have got it wrong.
fn is_telling(operation: &Operation) -> bool {
    let is_failed_cas =
        matches!(operation.action, Action::Cas { .. }) && operation.outcome == Outcome::Fail;
    operation.outcome == Outcome::Ok || (is_failed_cas && !is_untried(operation))
}

/// Whether it is a CAS that failed for a reason of its own before it saw the value.
fn is_untried(operation: &Operation) -> bool {
    matches!(operation.action, Action::Cas { .. })
        && operation.outcome == Outcome::Fail
        && operation.seen.is_none()
        && operation.error.is_some()
}

/// The answers of those keys, in their order.
fn answers(
    history: &History,
    keys: &[KeyHistory<'_>],
    numbers: &[usize],
    budget: &Budget<'_>,
    judge: &Judge<'_>,
) -> Vec<KeyAnswer> {
    let threads = budget.threads.min(numbers.len());
    if threads <= 1 || history.operations.len() < PARALLEL_FROM {
        return (numbers.iter().map(|key| judge(&keys[*key], budget))).collect();
    }
    // Keys are handed out one by one: some are much larger than others.
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(key) = numbers.get(place) else {
                return done;
            };
            done.push((place, judge(&keys[*key], budget)));
        }
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, answer)| answer).collect()
}

/// Zones first, then the search. Versions come between: they need a sort where zones need none, and
/// can only say yes.
fn answer(history: &History, key: &KeyHistory<'_>, budget: &Budget<'_>) -> KeyAnswer {
    match zones::judge(key) {
        Answer::Ok => KeyAnswer::Ok,
        Answer::Illegal(clash) => KeyAnswer::Illegal(evidence::of_clash(history, key, &clash)),
        Answer::Undecided(_) if versions::explain(key) => KeyAnswer::Ok,
        Answer::Undecided(unsure) => match search::search(key, budget) {
            search::Found::Order => KeyAnswer::Ok,
            search::Found::Stuck(stuck) => {
                KeyAnswer::Illegal(shrink::evidence(history, key, &stuck, budget))
            }
            search::Found::GaveUp(limit) => KeyAnswer::Undecided(format!("{unsure}, and {limit}")),
        },
    }
}

impl fmt::Display for Unsure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated(value) => write!(f, "value {value} was written more than once"),
            Self::Blind(1) => f.write_str("a failed cas hides the value that it saw"),
            Self::Blind(count) => {
                write!(f, "{count} failed cas hide the values that they saw")
            }
        }
    }
}

/// Indices of operations grouped by key, in one allocation.
#[derive(Debug)]
struct Partition {
    /// Where the group of each key begins; one more at the end.
    begins: Vec<u32>,
    indices: Vec<u32>,
}

impl Partition {
    /// Groups by counting: two passes, order kept. Leaves out what was never tried.
    fn of(history: &History) -> Self {
        debug_assert!(
            history.operations.len() < u32::MAX as usize,
            "ids are 32 bits"
        );
        let mut begins = vec![0_u32; history.keys.len() + 1];
        for operation in history.operations.iter().filter(|op| !is_untried(op)) {
            begins[operation.key.0 as usize + 1] += 1;
        }
        for key in 1..begins.len() {
            begins[key] += begins[key - 1];
        }
        let mut next = begins.clone();
        let mut indices = vec![0; begins[history.keys.len()] as usize];
        let all = (0..).zip(&history.operations);
        for (index, operation) in all.filter(|(_, op)| !is_untried(op)) {
            let slot = &mut next[operation.key.0 as usize];
            indices[*slot as usize] = index;
            *slot += 1;
        }
        Self { begins, indices }
    }

    fn indices(&self, key: usize) -> &[u32] {
        &self.indices[self.begins[key] as usize..self.begins[key + 1] as usize]
    }
}

/// An instant for comparisons: 0 is before everything, [`NEVER`] after everything.
pub(super) const fn tick(time: Nanos) -> u64 {
    time.0.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::ok;
    use crate::history::KeyId;

    fn history(operations: Vec<Operation>) -> History {
        History {
            keys: vec!["k1".to_owned(), "k2".to_owned()],
            errors: vec![],
            values: crate::history::Values::default(),
            operations,
        }
    }

    fn write(value: i64, from: u64, to: u64) -> Operation {
        ok(Action::Write(Value(value)), from, to, None)
    }

    fn read(value: i64, from: u64, to: u64) -> Operation {
        ok(Action::Read, from, to, Some(Value(value)))
    }

    fn judge(history: &History, budget: &Budget<'_>) -> Linearizability {
        check(history, &Register::default(), budget)
    }

    #[test]
    fn an_empty_history_is_unknown() {
        let found = judge(&history(vec![]), &Budget::without_clock(1));
        assert_eq!(found.verdict, Verdict::Unknown);
        assert_eq!(
            found.result().reason,
            "no completed operation observed anything"
        );
    }

    #[test]
    fn a_search_that_may_not_go_on_is_unknown_with_the_reason() {
        let repeated = vec![
            write(1, 0, 9),
            write(1, 0, 9),
            write(2, 0, 9),
            read(1, 10, 11),
        ];
        let history = history(repeated);
        let budget = Budget {
            steps: 1,
            ..Budget::without_clock(1)
        };
        let found = judge(&history, &budget);
        assert_eq!(found.verdict, Verdict::Unknown);
        insta::assert_snapshot!(found.result().reason, @"key k1: value 1 was written more than once, and the search gave up after 1 steps, with 1 of 4 operations explained");
        assert_eq!(
            judge(&history, &Budget::without_clock(1)).verdict,
            Verdict::Pass
        );
    }

    #[test]
    fn a_violation_on_one_key_outweighs_an_undecided_other() {
        let mut operations = vec![
            write(1, 0, 9),
            write(1, 0, 9),
            write(2, 0, 9),
            read(1, 10, 11),
        ];
        let mut stray = read(7, 12, 13);
        stray.key = KeyId(1);
        operations.push(stray);
        let budget = Budget {
            steps: 0,
            ..Budget::without_clock(1)
        };
        let found = judge(&history(operations), &budget);
        assert_eq!((found.verdict, found.violations), (Verdict::Fail, 1));
        assert_eq!(found.undecided.len(), 1);
        let evidence = found.evidence.as_ref().expect("a violation has evidence");
        assert_eq!(
            (evidence.key.as_str(), &evidence.operations[..]),
            ("k2", &[4][..])
        );
        assert_eq!(
            found.result().measured,
            "1 key violated, 5 operations on 2 keys"
        );
    }

    #[test]
    fn the_initial_value_is_there_before_everything() {
        let history = history(vec![read(5, 0, 1), write(6, 2, 3), read(6, 4, 5)]);
        let register = Register { initial: Value(5) };
        let budget = Budget::without_clock(1);
        assert_eq!(check(&history, &register, &budget).verdict, Verdict::Pass);
        assert_eq!(judge(&history, &budget).verdict, Verdict::Fail);
    }

    /// A write of 1, then a CAS from 1 that failed while the register held 1.
    fn cas_failed_on_its_value(error: Option<u32>) -> History {
        let (from, to) = (Value(1), Value(2));
        let mut cas = ok(Action::Cas { from, to }, 3, 4, None);
        cas.outcome = Outcome::Fail;
        cas.error = error;
        let read = ok(Action::Read, 5, 6, Some(from));
        History {
            keys: vec!["x".to_owned()],
            errors: vec!["connection refused".to_owned()],
            values: crate::history::Values::default(),
            operations: vec![ok(Action::Write(from), 1, 2, None), cas, read],
        }
    }

    #[test]
    fn a_cas_that_failed_for_another_reason_is_no_observation() {
        let judge = |history: &History| judge(history, &Budget::without_clock(1)).verdict;
        assert_eq!(judge(&cas_failed_on_its_value(None)), Verdict::Fail);
        assert_eq!(judge(&cas_failed_on_its_value(Some(0))), Verdict::Pass);
    }
}
