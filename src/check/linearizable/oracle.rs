//! Zones and search against brute force on small random histories.
//!
//! Brute force tries every order of the operations that is consistent with real time. The
//! environment variable `CHAOS_CHECK_CASES` sets the number of histories.

use super::items::Items;
use super::search::Found;
use super::zones::{self, Answer, Unsure};
use super::{Budget, KeyHistory, NEVER, check, search, shrink, tick};
use crate::check::testing::{final_state, ok};
use crate::check::{lost_writes, stale_reads};
use crate::clock::Nanos;
use crate::history::{
    Action, Event, FixedSet, Header, History, KeyId, Operation, Outcome, Value, encode,
};
use crate::id::ProcessId;
use crate::model::{Call, Register};
use crate::seed::{Seed, Stream};

const CASES: u64 = 200_000;

/// What kind of history is drawn.
#[derive(Debug, Clone, Copy)]
pub(in crate::check) struct Shape {
    pub(in crate::check) operations: usize,
    /// Values are drawn from so few, instead of being unique.
    pub(in crate::check) values: Option<u64>,
    /// Failed CASes may hide what they saw.
    pub(in crate::check) has_blind: bool,
    /// Times are drawn below this: small = many equal ones.
    pub(in crate::check) horizon: u64,
    /// Operations last at most this long.
    pub(in crate::check) longest: u64,
}

/// An operation as brute force sees it.
#[derive(Debug, Clone, Copy)]
pub(in crate::check) struct Step {
    call: Call,
    invoked: u64,
    returned: u64,
    is_optional: bool,
}

/// Whether some order of `steps` from the value `initial` exists.
pub(in crate::check) fn has_order(steps: &[Step], initial: Value) -> bool {
    fn place(steps: &[Step], left: u32, value: Value, seen: &mut FixedSet<(u32, Value)>) -> bool {
        let rest = || (0..steps.len()).filter(|at| left & (1 << at) != 0);
        if rest().all(|at| steps[at].is_optional) {
            return true;
        }
        if !seen.insert((left, value)) {
            return false;
        }
        let due = rest().filter(|at| !steps[*at].is_optional);
        let deadline = due.map(|at| steps[at].returned).min().unwrap_or(NEVER);
        let placed = (0..steps.len()).filter(|at| left & (1 << at) == 0);
        let now = placed.map(|at| steps[at].invoked).max().unwrap_or(0);
        rest().any(|at| {
            let after = Register::after(value, &steps[at].call);
            (steps[at].invoked <= deadline && steps[at].returned >= now)
                && after.is_some_and(|next| place(steps, left & !(1 << at), next, seen))
        })
    }
    assert!(steps.len() < 32, "brute force is for small histories");
    place(
        steps,
        (1 << steps.len()) - 1,
        initial,
        &mut FixedSet::default(),
    )
}

pub(in crate::check) fn steps(operations: &[Operation]) -> Vec<Step> {
    operations
        .iter()
        .map(|operation| {
            let is_optional = operation.outcome == Outcome::Info;
            Step {
                call: Call::from(operation),
                invoked: tick(operation.invoked),
                returned: if is_optional {
                    NEVER
                } else {
                    tick(operation.completed)
                },
                is_optional,
            }
        })
        .collect()
}

/// A history that a register could have had, and often one detail changed afterwards.
pub(in crate::check) fn draw(random: &mut Stream, shape: Shape) -> Vec<Operation> {
    let (mut operations, _) = draw_versioned(random, shape);
    operations.iter_mut().for_each(|o| o.version = None);
    operations
}

/// The same with the versions that a store would tell, and whether nothing was changed afterwards.
pub(in crate::check) fn draw_versioned(
    random: &mut Stream,
    shape: Shape,
) -> (Vec<Operation>, bool) {
    let mut operations: Vec<(u64, Operation)> = (0..shape.operations)
        .map(|number| {
            let from = random.below(shape.horizon);
            let length = random.below(shape.longest + 1);
            let outcome = match random.below(20) {
                0..3 => Outcome::Info,
                3 => Outcome::Fail,
                _ => Outcome::Ok,
            };
            let effect = match outcome {
                Outcome::Info => from + random.below(shape.horizon),
                Outcome::Ok | Outcome::Fail => from + random.below(length + 1),
            };
            let fresh = Value(shape.values.map_or(number as u64 + 1, |n| random.below(n)) as i64);
            let action = match random.below(10) {
                0..4 => Action::Read,
                4..7 => Action::Write(fresh),
                _ => Action::Cas {
                    from: Value::NIL,
                    to: fresh,
                },
            };
            let operation = Operation {
                process: ProcessId(number as u64),
                key: KeyId(0),
                action,
                invoked: Nanos(from),
                completed: Nanos(from + length),
                outcome,
                seen: None,
                intended: None,
                node: None,
                version: None,
                error: None,
            };
            (effect, operation)
        })
        .collect();
    operations.sort_by_key(|(effect, _)| *effect);
    let mut past = vec![Value::NIL];
    let mut value = Value::NIL;
    let mut version = 0;
    for (_, operation) in &mut operations {
        let before = value;
        value = happen(random, shape, operation, value, &past);
        version += i64::from(value != before || operation.is_acknowledged_update());
        let is_told = operation.outcome == Outcome::Ok || operation.seen.is_some();
        operation.version = is_told.then_some(version);
        past.push(value);
    }
    let mut operations: Vec<Operation> = operations.into_iter().map(|(_, o)| o).collect();
    let is_spoiled = random.below(3) > 0;
    if is_spoiled {
        spoil(random, &mut operations, &past);
    }
    operations.sort_by_key(|o| o.invoked);
    (operations, !is_spoiled)
}

/// Lets an operation take effect on `value`; returns the value after it.
fn happen(
    random: &mut Stream,
    shape: Shape,
    operation: &mut Operation,
    value: Value,
    past: &[Value],
) -> Value {
    if let Action::Cas { from, .. } = &mut operation.action {
        *from = match random.below(10) {
            0..7 => value,
            7 => Value(random.below(9) as i64),
            _ => past[random.index(past.len())],
        };
    }
    let happens = operation.outcome != Outcome::Info || random.below(2) == 0;
    match (operation.action, operation.outcome) {
        (Action::Read, outcome) => {
            operation.seen = (outcome == Outcome::Ok).then_some(value);
            value
        }
        (Action::Write(to), Outcome::Ok | Outcome::Info) => {
            if happens {
                to
            } else {
                value
            }
        }
        (Action::Write(_), Outcome::Fail) | (Action::Do(..), _) => value,
        (Action::Cas { from, to }, Outcome::Info) => {
            if happens && from == value {
                to
            } else {
                value
            }
        }
        (Action::Cas { from, to }, Outcome::Ok | Outcome::Fail) => {
            if from == value {
                operation.outcome = Outcome::Ok;
                return to;
            }
            operation.outcome = Outcome::Fail;
            let hides = shape.has_blind && random.below(2) == 0;
            operation.seen = (!hides).then_some(value);
            value
        }
    }
}

/// Changes one detail: what was seen, an outcome, or a time.
fn spoil(random: &mut Stream, operations: &mut [Operation], past: &[Value]) {
    let at = random.index(operations.len());
    let operation = &mut operations[at];
    match random.below(4) {
        0 | 1 if operation.seen.is_some() => {
            operation.seen = Some(match random.below(6) {
                0 => Value(random.below(9) as i64),
                _ => past[random.index(past.len())],
            });
        }
        2 if operation.action.is_update() && operation.seen.is_none() => {
            operation.outcome = Outcome::Fail;
            if let Action::Cas { from, .. } = operation.action {
                operation.seen = Some(from);
            }
        }
        _ => {
            let by = random.below(6);
            operation.invoked = Nanos(operation.invoked.0 + by);
            operation.completed = Nanos(operation.completed.0 + by);
        }
    }
}

pub(in crate::check) fn cases() -> u64 {
    let asked = std::env::var("CHAOS_CHECK_CASES").ok();
    asked.map_or(CASES, |text| {
        text.parse().expect("CHAOS_CHECK_CASES is a number")
    })
}

pub(in crate::check) fn shape(random: &mut Stream) -> Shape {
    let horizon = [3, 8, 30][random.index(3)];
    Shape {
        operations: 1 + random.index(8),
        values: (random.below(2) == 0).then(|| 1 + random.below(4)),
        has_blind: random.below(2) == 0,
        horizon,
        longest: horizon / 2,
    }
}

/// The operations of the evidence alone. Where one needs a value that is written outside, a CAS
/// becomes a write and an observation goes: that can only make an order easier to find.
fn part(history: &History, operations: &[usize]) -> Vec<Step> {
    let chosen: Vec<Operation> = operations
        .iter()
        .map(|at| history.operations[*at].clone())
        .collect();
    let puts = |operations: &[Operation], value: Value| {
        value == Value::NIL
            || operations.iter().any(|o| match o.action {
                Action::Write(to) | Action::Cas { to, .. } => {
                    to == value && o.outcome != Outcome::Fail
                }
                Action::Read | Action::Do(..) => false,
            })
    };
    let mut relaxed = chosen.clone();
    for operation in &mut relaxed {
        if let Action::Cas { from, to } = operation.action
            && operation.outcome != Outcome::Fail
            && !puts(&chosen, from)
            && puts(&history.operations, from)
        {
            operation.action = Action::Write(to);
        }
    }
    relaxed.retain(|operation| {
        let seen = operation.seen.unwrap_or(Value::NIL);
        puts(&chosen, seen) || !puts(&history.operations, seen)
    });
    steps(&relaxed)
}

#[test]
fn zones_and_search_agree_with_brute_force() {
    let mut random = Seed(0x20b).stream("oracle");
    let (mut legal, mut illegal, mut unsure) = (0, 0, 0);
    for case in 0..cases() {
        let shape = shape(&mut random);
        let history = History {
            keys: vec!["k".to_owned()],
            errors: vec![],
            values: crate::history::Values::default(),
            operations: draw(&mut random, shape),
        };
        let truth = has_order(&steps(&history.operations), Value::NIL);
        let indices: Vec<u32> = (0..history.operations.len() as u32).collect();
        let key = KeyHistory {
            operations: &history.operations,
            indices: &indices,
            initial: Value::NIL,
        };
        let zones = zones::judge(&key);
        let context = || {
            let lines = encode(&Header::default(), &history);
            format!(
                "case {case}, {zones:?}:\n{}",
                String::from_utf8_lossy(&lines)
            )
        };
        match &zones {
            Answer::Ok => assert!(truth, "zones find an order that is none, {}", context()),
            Answer::Illegal(clash) => {
                assert!(!truth, "zones miss an order, {}", context());
                let evidence = super::evidence::of_clash(&history, &key, clash);
                let is_explained = has_order(&part(&history, &evidence.operations), Value::NIL);
                assert!(!is_explained, "{evidence:?} proves nothing, {}", context());
            }
            Answer::Undecided(Unsure::Repeated(_)) => {
                unsure += 1;
                assert!(shape.values.is_some(), "values are unique, {}", context());
            }
            Answer::Undecided(Unsure::Blind(_)) => {
                unsure += 1;
                assert!(shape.has_blind, "nothing is hidden, {}", context());
            }
        }
        compare_search(&key, truth, &context);
        if truth { legal += 1 } else { illegal += 1 }
    }
    // A generator that only drew one kind would test nothing.
    for (count, what) in [
        (legal, "legal"),
        (illegal, "illegal"),
        (unsure, "undecided by zones"),
    ] {
        assert!(count * 10 > cases(), "only {count} histories are {what}");
    }
}

/// The search must always know, and its evidence must have no order by itself.
fn compare_search(key: &KeyHistory<'_>, truth: bool, context: &dyn Fn() -> String) {
    let budget = Budget::without_clock(1);
    let mut steps = budget.steps;
    for width in [1, 3] {
        let sweep = search::sweep(&Items::of(key), &budget, &mut steps, width);
        let sweep = sweep.expect("the budget is ample");
        assert!(
            truth || sweep.stuck.is_some(),
            "no order of width {width}, {}",
            context()
        );
        assert!(
            !sweep.is_exact || truth == sweep.stuck.is_none(),
            "{width}, {}",
            context()
        );
    }
    match search::search(key, &budget) {
        Found::Order => assert!(truth, "search finds an order that is none, {}", context()),
        Found::Stuck(stuck) => {
            assert!(!truth, "search misses an order, {}", context());
            let Items { all, initial, .. } = shrink::minimal(&stuck, &budget).items;
            let part: Vec<Step> = (all.iter())
                .map(|item| Step {
                    call: item.call,
                    invoked: item.invoked,
                    returned: item.returned,
                    is_optional: item.is_optional,
                })
                .collect();
            let is_explained = initial.iter().any(|value| has_order(&part, *value));
            assert!(
                !is_explained,
                "{part:?} from {initial:?} proves nothing, {}",
                context()
            );
        }
        Found::GaveUp(limit) => panic!("{limit}, {}", context()),
    }
}

#[test]
fn zones_and_search_agree_on_larger_histories() {
    let budget = Budget::without_clock(1);
    let mut random = Seed(0x1a6e).stream("oracle");
    let mut illegal = 0;
    for case in 0..cases() / 200 {
        let operations = 30 + random.index(170);
        let shape = Shape {
            operations,
            values: None,
            has_blind: false,
            horizon: 3 * operations as u64,
            longest: 12,
        };
        let operations = draw(&mut random, shape);
        let indices: Vec<u32> = (0..operations.len() as u32).collect();
        let key = KeyHistory {
            operations: &operations,
            indices: &indices,
            initial: Value::NIL,
        };
        let by_zones = match zones::judge(&key) {
            Answer::Ok => true,
            Answer::Illegal(_) => false,
            Answer::Undecided(unsure) => panic!("case {case}: {unsure}"),
        };
        match search::search(&key, &budget) {
            Found::Order => assert!(by_zones, "case {case}"),
            Found::Stuck(_) => assert!(!by_zones, "case {case}"),
            Found::GaveUp(limit) => panic!("case {case}: {limit}"),
        }
        illegal += u64::from(!by_zones);
    }
    let share = illegal * 2000 / cases();
    assert!((1..10).contains(&share), "{illegal} are illegal");
}

/// Both judge by less than all orders: where an order exists they must find nothing.
#[test]
fn a_linearizable_history_has_no_stale_read_and_no_lost_write() {
    let mut random = Seed(0x10c).stream("oracle");
    let (mut legal, mut stale, mut lost) = (0, 0, 0);
    for case in 0..cases() / 2 {
        let shape = shape(&mut random);
        let mut operations = draw(&mut random, shape);
        let written = operations.iter().filter_map(|o| o.seen);
        let values: Vec<Value> = written.chain([Value::NIL, Value(1), Value(2)]).collect();
        let last = values[random.index(values.len())];
        let end = 1 + operations.iter().map(|o| o.completed.0).max().unwrap_or(0);
        let history = History {
            keys: vec!["k".to_owned()],
            errors: vec![],
            values: crate::history::Values::default(),
            operations: operations.clone(),
        };
        let events: Vec<Event> = (1..=3)
            .map(|node| final_state(node, "k", last.0, None))
            .collect();
        let found_stale = stale_reads(&history, Value::NIL).stale;
        let found_lost = lost_writes(&history, &events, 3).lost;
        operations.push(ok(Action::Read, end, end + 1, Some(last)));
        if has_order(&steps(&operations), Value::NIL) {
            legal += 1;
            let context = || format!("case {case}, final {last}: {operations:#?}");
            assert!(found_stale.is_empty(), "{found_stale:?}, {}", context());
            assert!(found_lost.is_empty(), "{found_lost:?}, {}", context());
        }
        stale += u64::from(!found_stale.is_empty());
        lost += u64::from(!found_lost.is_empty());
    }
    for (count, what) in [(legal, "legal"), (stale, "stale"), (lost, "lost")] {
        assert!(count * 100 > cases(), "only {count} histories are {what}");
    }
}

#[test]
fn keys_checked_on_many_threads_give_the_same_answers_as_on_one() {
    let mut random = Seed(7).stream("threads");
    let mut history = History::default();
    for key in 0..4_000 {
        let shape = Shape {
            operations: 7,
            values: None,
            has_blind: false,
            horizon: 30,
            longest: 15,
        };
        for mut operation in draw(&mut random, shape) {
            operation.key = KeyId(key);
            history.operations.push(operation);
        }
        history.keys.push(format!("k{key}"));
    }
    history.operations.sort_by_key(|o| o.invoked);
    let one = check(&history, &Register::default(), &Budget::without_clock(1));
    let many = check(&history, &Register::default(), &Budget::without_clock(4));
    assert_eq!(one, many);
    assert!(
        one.violations > 100 && one.violations < 3_900,
        "{}",
        one.violations
    );
}
