//! The longest order that works: how far the operations of a violation can be explained, and the
//! first one that cannot follow.
//!
//! *Attempt*: a sequence of operations, consistent with real time, each of which ended as the model
//! says. *Stuck*: the operation that has to come next and does not fit. *Start*: the state before
//! the first operation; in a part of a longer history a register may have held any value that the
//! part mentions. From a queue, a list or a set the part takes all that belongs to its values, and
//! what others put there is *left out* of what was found ([`Model::forget`]).
//! Invariant: the search is deterministic and takes about [`STEPS`] steps.

use super::Evidence;
use super::orders::{Path, Search, Steps, Told};
use crate::history::{Action, FixedSet, History, Operation, Outcome, Value, Values};
use crate::model::{Call, Model, Register};

/// How far the operations of a violation can be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The operations that fit one after another, as indices into `History::operations`.
    pub order: Vec<usize>,
    /// What the object is, and the verb before what it holds: `register holds`.
    pub object: &'static str,
    /// What the object held at the start and after each operation of `order`: one more than those.
    pub held: Vec<String>,
    /// The operation that has to come next and does not fit.
    pub stuck: usize,
    /// The start was chosen among several so that the order becomes as long as possible.
    pub is_start_chosen: bool,
    /// What operations beyond the evidence put there is left out of what the others found.
    pub is_part: bool,
    /// All orders were tried; if not, a longer one may exist.
    pub is_longest: bool,
}

/// A state from which an attempt may begin.
#[derive(Debug, Clone)]
struct Start<S> {
    state: S,
    is_chosen: bool,
}

/// The attempt on the evidence of a violation on a register.
pub(super) fn of_register(
    history: &History,
    register: &Register,
    evidence: &Evidence,
) -> Option<Attempt> {
    let values = &history.values;
    let mentioned = mentioned(history, evidence);
    let other = (0..).map(|n| Value(i64::MAX - n));
    let other = other.into_iter().find(|value| !mentioned.contains(value))?;
    let mut starts = vec![Start {
        state: register.initial,
        is_chosen: false,
    }];
    if is_part(history, evidence) {
        let assumed = |state, is_chosen| Start { state, is_chosen };
        starts = vec![assumed(other, false), assumed(register.initial, true)];
        starts.extend(mentioned.into_iter().map(|value| assumed(value, true)));
    }
    let show = |state: &Value| match *state {
        state if state == other => "another value".to_owned(),
        state => super::brief(&values.show(state).to_string(), HELD_WIDTH),
    };
    let told = of_evidence(history, evidence).filter(|told| says_something(told.operation));
    let steps = Steps::of(told.collect())?;
    longest(register, values, &steps, &starts, &show)
}

/// The attempt on the evidence of a violation on any other object, which starts empty.
pub(super) fn of_object<M: Model>(
    history: &History,
    model: &M,
    evidence: &Evidence,
) -> Option<Attempt> {
    let mut values = history.values.clone();
    let tie = |operation: &Operation| model.tie(&Call::from(operation));
    let mut told: Vec<Told<'_>> = of_evidence(history, evidence)
        .filter(|told| !model.says_nothing(&told.call))
        .collect();
    let key = told.first()?.operation.key;
    let known: FixedSet<Value> = told.iter().filter_map(|told| tie(told.operation)).collect();
    let others: FixedSet<Value> = (history.operations.iter())
        .filter(|other| other.key == key)
        .filter_map(tie)
        .filter(|tie| *tie != Value::NIL && !known.contains(tie))
        .collect();
    let mut is_part = false;
    for told in &mut told {
        let whole = told.call;
        told.call = model.forget(&whole, &|value| others.contains(&value), &mut values);
        is_part |= told.call != whole;
    }
    let steps = Steps::of(told)?;
    let start = Start {
        state: model.init(),
        is_chosen: false,
    };
    let show = |state: &M::State| super::brief(&model.show(state, &values), HELD_WIDTH);
    let attempt = longest(model, &values, &steps, &[start], &show)?;
    Some(Attempt { is_part, ..attempt })
}

/// The longest order of `steps` from the best of `starts`, the first of those that do equally
/// well. A start from which everything fits is none: the evidence speaks of another. `show` tells a
/// state in a word.
fn longest<M: Model>(
    model: &M,
    values: &Values,
    steps: &Steps,
    starts: &[Start<M::State>],
    show: &dyn Fn(&M::State) -> String,
) -> Option<Attempt> {
    let mut best: Option<(Path, &Start<M::State>, u32)> = None;
    for start in starts {
        let mut search = Search::new(model, values, steps, STEPS / starts.len() as u32);
        let mut path = Path::default();
        search.extend(&mut path, &start.state);
        let path = search.best.clone();
        let is_better = (best.as_ref()).is_none_or(|(other, ..)| path.rank() > other.rank());
        if is_better && path.certain < steps.certain() {
            best = Some((path, start, search.left));
        }
    }
    let (path, start, left) = best?;
    let mut state = start.state.clone();
    let mut held = vec![show(&state)];
    for step in &path.order {
        state = model.step(&state, &steps.all[*step].call, values)?;
        held.push(show(&state));
    }
    let stuck = steps.next(&path)?;
    Some(Attempt {
        object: model.object(),
        order: path.order.iter().map(|at| steps.all[*at].index).collect(),
        held,
        stuck: steps.all[stuck].index,
        is_start_chosen: start.is_chosen,
        is_part: false,
        is_longest: left > 0,
    })
}

impl Attempt {
    /// `the register holds 1`: what the stuck operation would meet.
    #[must_use]
    pub fn obstacle(&self) -> String {
        let held = self.held.last().map_or("?", String::as_str);
        format!("the {} {held}", self.object)
    }

    /// The attempt in a sentence.
    #[must_use]
    pub fn sentence(&self, history: &History) -> String {
        let tell = |index: &usize| {
            let operation = history.operations.get(*index);
            operation.map_or_else(String::new, |operation| {
                super::describe(operation, &history.values, TOLD_WIDTH)
            })
        };
        let stuck = tell(&self.stuck);
        let start = match self.held.first() {
            Some(held) if self.is_start_chosen => {
                format!(" if the register held {held} before")
            }
            _ => String::new(),
        };
        let obstacle = self.obstacle();
        let part = match self.is_part {
            true => " What other operations put there is left out.",
            false => "",
        };
        let Some((last, before)) = self.order.split_last() else {
            return format!(
                "No operation can come first{start}: {stuck} does not fit: {obstacle}.{part}"
            );
        };
        let longest = match self.is_longest {
            true => "Longest order that works",
            false => "Longest order that was found",
        };
        let mut told: Vec<String> = before.iter().map(tell).collect();
        if told.len() > TOLD {
            let hidden = told.len() - TOLD;
            told.splice(TOLD / 2..TOLD / 2 + hidden, [format!("… {hidden} more …")]);
        }
        told.push(tell(last));
        let told = told.join(", ");
        format!("{longest}{start}: {told}; then {stuck} does not fit: {obstacle}.{part}")
    }
}

/// The values that the operations of the evidence name, in their order.
fn mentioned(history: &History, evidence: &Evidence) -> Vec<Value> {
    let mut mentioned = Vec::new();
    for told in of_evidence(history, evidence) {
        let operation = told.operation;
        let named = match operation.action {
            Action::Read => [None, None],
            Action::Write(to) | Action::Do(_, to) => [Some(to), None],
            Action::Cas { from, to } => [Some(from), Some(to)],
        };
        for value in named.into_iter().flatten().chain(operation.seen) {
            if !mentioned.contains(&value) {
                mentioned.push(value);
            }
        }
    }
    mentioned
}

/// Whether other operations may have changed the object before the last of the evidence returned.
fn is_part(history: &History, evidence: &Evidence) -> bool {
    let operations = || of_evidence(history, evidence).map(|told| told.operation);
    let Some(first) = operations().next() else {
        return false;
    };
    let end = operations().map(|operation| operation.invoked).max();
    let mut evident = evidence.operations.clone();
    evident.sort_unstable();
    (history.operations.iter().enumerate())
        .take_while(|(_, other)| Some(other.invoked) <= end)
        .filter(|(_, other)| other.key == first.key && other.outcome != Outcome::Fail)
        .any(|(at, other)| other.action.is_update() && evident.binary_search(&at).is_err())
}

fn of_evidence<'a>(history: &'a History, evidence: &'a Evidence) -> impl Iterator<Item = Told<'a>> {
    (evidence.operations.iter()).filter_map(|index| {
        let operation = history.operations.get(*index)?;
        Some(Told {
            index: *index,
            operation,
            call: Call::from(operation),
        })
    })
}

/// Whether an order has to account for it: what failed did not happen, unless it tells what was
/// there; a read without a value tells nothing.
fn says_something(operation: &Operation) -> bool {
    match (operation.action, operation.outcome) {
        (Action::Read, outcome) => outcome == Outcome::Ok && operation.seen.is_some(),
        (Action::Cas { .. }, Outcome::Fail) => {
            operation.seen.is_some() || operation.error.is_none()
        }
        (Action::Write(_) | Action::Do(..), Outcome::Fail) => false,
        _ => true,
    }
}

/// Enough for every order of a dozen concurrent operations, and done in a blink.
const STEPS: u32 = 200_000;

/// A value in the chart and in the sentence.
const HELD_WIDTH: usize = 40;

/// An operation in the sentence.
const TOLD_WIDTH: usize = 56;

/// Of a longer order the sentence tells the beginning and the end.
const TOLD: usize = 12;

#[cfg(test)]
mod tests {
    use super::super::linearizable::{Budget, check};
    use super::super::testing::ok;
    use super::*;

    fn attempt(operations: Vec<Operation>) -> (Vec<usize>, usize, String) {
        let history = History {
            keys: vec!["k".to_owned()],
            operations,
            ..History::default()
        };
        let found = check(&history, &Register::default(), &Budget::without_clock(1));
        let evidence = found.evidence.expect("these have no order");
        let attempt = evidence.attempt.expect("few operations are explained");
        assert_eq!(attempt.held.len(), attempt.order.len() + 1);
        let sentence = attempt.sentence(&history);
        (attempt.order, attempt.stuck, sentence)
    }

    fn write(value: i64, from: u64, to: u64) -> Operation {
        ok(Action::Write(Value(value)), from, to, None)
    }

    fn read(value: i64, from: u64, to: u64) -> Operation {
        ok(Action::Read, from, to, Some(Value(value)))
    }

    fn cas(from: i64, to: i64, begin: u64, end: u64) -> Operation {
        let (from, to) = (Value(from), Value(to));
        ok(Action::Cas { from, to }, begin, end, None)
    }

    #[test]
    fn the_order_goes_as_far_as_any_and_then_names_what_does_not_fit() {
        let (order, stuck, sentence) = attempt(vec![
            write(1, 0, 1),
            read(1, 2, 3),
            write(2, 2, 9),
            read(2, 4, 5),
            read(1, 6, 7),
        ]);
        assert_eq!((order, stuck), (vec![0, 2, 3], 4));
        insta::assert_snapshot!(sentence, @"Longest order that works: write 1, write 2, read → 2; then read → 1 does not fit: the register holds 2.");
    }

    #[test]
    fn what_happened_before_the_evidence_is_chosen_so_that_the_order_is_longest() {
        // The value 1 was written and replaced long before; the evidence is the chain after it.
        let (_, stuck, sentence) = attempt(vec![
            write(1, 0, 1),
            cas(1, 2, 10, 11),
            cas(2, 3, 12, 13),
            read(2, 20, 21),
        ]);
        assert_eq!(stuck, 3);
        insta::assert_snapshot!(sentence, @"Longest order that works if the register held 1 before: cas 1 → 2, cas 2 → 3; then read → 2 does not fit: the register holds 3.");
    }

    #[test]
    fn an_operation_of_unknown_outcome_is_used_only_where_it_helps() {
        let mut helps = cas(1, 2, 2, 3);
        helps.outcome = Outcome::Info;
        let mut idle = write(9, 2, 3);
        idle.outcome = Outcome::Info;
        let (order, ..) = attempt(vec![
            write(1, 0, 1),
            helps,
            idle,
            read(2, 5, 6),
            read(1, 7, 8),
        ]);
        assert_eq!(order, [0, 1, 3]);
    }

    #[test]
    fn very_many_concurrent_operations_are_given_up_in_bounded_time() {
        let mut operations: Vec<Operation> = (1..60).map(|at| write(at, at as u64, 99)).collect();
        operations.push(read(1, 100, 101));
        operations.push(read(2, 102, 103));
        let history = History {
            keys: vec!["k".to_owned()],
            operations,
            ..History::default()
        };
        let evidence = Evidence::new("k".to_owned(), (0..61).collect(), String::new());
        let found = of_register(&history, &Register::default(), &evidence);
        let found = found.expect("sixty operations are not too many");
        assert_eq!(found.order.len(), 59, "as far as one comes straight on");
        assert!(!found.is_longest, "not every order was tried");
    }

    /// What the check of a model says about operations that have no order.
    fn told(model: &str, lines: &[&str]) -> String {
        let lines: Vec<String> = (lines.iter().enumerate())
            .flat_map(|(at, line)| {
                let (process, f, value, seen) = split(line);
                let of = |kind: &str, value: &str, time: usize| {
                    format!(
                        r#"{{"process":{process},"type":"{kind}","f":"{f}","key":"k","value":{value},"time":{time}}}"#
                    )
                };
                [of("invoke", value, 10 * at), of("ok", seen, 10 * at + 5)]
            })
            .collect();
        let history = crate::history::decode(lines.join("\n").as_bytes(), "h")
            .unwrap()
            .1;
        let model = super::super::model_named(model).unwrap();
        let found = super::super::check_model(model, &history, &Budget::without_clock(1)).unwrap();
        let evidence = found.evidence.expect("these have no order");
        let attempt = evidence.attempt.expect("few operations are explained");
        assert_eq!(attempt.held.len(), attempt.order.len() + 1);
        let of_evidence = |index: &usize| evidence.operations.contains(index);
        assert!(
            attempt
                .order
                .iter()
                .chain([&attempt.stuck])
                .all(of_evidence)
        );
        attempt.sentence(&history)
    }

    /// `1 enqueue 5`, `2 dequeue -> 5`.
    fn split(line: &str) -> (&str, &str, &str, &str) {
        let (asked, seen) = line.split_once(" -> ").unwrap_or((line, ""));
        let mut words = asked.splitn(3, ' ');
        let [process, f] = [(); 2].map(|()| words.next().expect("a process and a word"));
        let value = words.next().unwrap_or("null");
        (
            process,
            f,
            value,
            if seen.is_empty() { value } else { seen },
        )
    }

    #[test]
    fn every_object_tells_what_it_holds_where_the_order_ends() {
        let lines = [
            told(
                "kv",
                &[r#"0 write "a""#, r#"1 append "b""#, r#"2 read -> "a""#],
            ),
            told(
                "append-list",
                &["0 append 1", "1 append 2", "2 append 3", "3 read -> [1,3]"],
            ),
            told("set", &["0 add 1", "1 add 2", "2 read -> [1]"]),
            told("counter", &["0 add 1", "1 add 2", "2 read -> 1"]),
            told(
                "queue",
                &["0 enqueue 1", "1 dequeue -> 1", "2 dequeue -> 1"],
            ),
            told("queue", &["0 enqueue 1", "2 dequeue -> null"]),
            told(
                "fifo",
                &[
                    "0 enqueue 1",
                    "0 enqueue 2",
                    "1 dequeue -> 2",
                    "2 dequeue -> 1",
                ],
            ),
            told("mutex", &["0 acquire", "1 acquire"]),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        Longest order that works: write "a", append "b"; then read → "a" does not fit: the text is "ab".
        Longest order that works: append 1, append 2, append 3; then read → [1 3] does not fit: the list is [1 2 3].
        Longest order that works: add 1, add 2; then read → [1] does not fit: the set is {1 2}.
        Longest order that works: add 1, add 2; then read → 1 does not fit: the sum is 3.
        Longest order that works: enqueue 1, dequeue → 1; then dequeue → 1 does not fit: the queue holds nothing.
        Longest order that works: enqueue 1; then dequeue → nil does not fit: the queue holds 1.
        Longest order that works: enqueue 1, enqueue 2; then dequeue → 2 does not fit: the queue holds 1 2.
        Longest order that works: acquire; then acquire does not fit: the lock is held by process 0.
        "#);
    }

    #[test]
    fn of_very_long_lists_only_what_matters_is_looked_at() {
        let all: Vec<String> = (1..=40).map(|at| at.to_string()).collect();
        let appends = all.iter().map(|at| format!("0 append {at}"));
        let mut lines: Vec<String> = appends.collect();
        lines.push(format!("1 read -> [{}]", all.join(",")));
        lines.push(format!("2 read -> [{},40,39]", all[..38].join(",")));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        insta::assert_snapshot!(told("append-list", &lines), @"Longest order that works: append 39, append 40, read → [1 2 3 4 5 6 … 28 more … 35 36 37 38 39 40]; then read → [1 2 3 4 5 6 … 28 more … 35 36 37 38 40 39] does not fit: the list is [39 40]. What other operations put there is left out.");
    }
}
