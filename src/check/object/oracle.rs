//! The deciders of every model against brute force on small random histories.
//!
//! Brute force tries every order of the operations that is consistent with real time. The
//! environment variable `CHAOS_CHECK_CASES` sets the number of histories of each model.

use std::fmt::Debug;
use std::hash::Hash;

use super::depth::{Depth, Slice};
use super::frontier::{Sweep, sweep};
use super::problem::{Item, Problem};
use super::search::{Found, search};
use super::{Decide, Quick, Story, shrink};
use crate::check::linearizable::{Budget, KeyAnswer, NEVER, What, judge_keys, tick};
use crate::clock::Nanos;
use crate::history::{
    Action, Content, FixedSet, History, KeyId, Operation, Outcome, Value, Values, Verb,
};
use crate::id::ProcessId;
use crate::model::{AppendList, Call, Counter, Fifo, Kv, Model, Mutex, Queue, Register, Set};
use crate::seed::{Seed, Stream};
use crate::verdict::Verdict;

const CASES: u64 = 20_000;

/// A model of which histories can be drawn.
trait Drawn: Model<State: Eq + Hash + Debug> {
    /// What an operation could ask for; `fresh` is a value that may be unique.
    fn ask(&self, random: &mut Stream, fresh: i64, values: &mut Values) -> Action;

    /// What an operation that succeeds in that state finds.
    fn answer(&self, state: &Self::State, action: Action, values: &mut Values) -> Option<Value>;
}

/// What kind of history is drawn.
#[derive(Debug, Clone, Copy)]
struct Shape {
    operations: usize,
    /// Values are drawn from so few, instead of being unique.
    repeats: Option<u64>,
    /// Every so many-th operation has an unknown outcome; 0 = none.
    unsure: u64,
    /// Times are drawn below this: small = many equal ones.
    horizon: u64,
    /// Processes do one thing at a time.
    in_turn: bool,
}

fn shape(random: &mut Stream) -> Shape {
    Shape {
        operations: match random.below(10) {
            0..7 => 1 + random.index(8),
            _ => 9 + random.index(4),
        },
        repeats: (random.below(3) == 0).then(|| 1 + random.below(4)),
        unsure: [0, 4, 8][random.index(3)],
        horizon: [4, 10, 40][random.index(3)],
        in_turn: random.below(2) == 0,
    }
}

/// A history that the object could have had, and often some details changed afterwards.
fn draw<M: Drawn>(model: &M, random: &mut Stream, shape: Shape) -> History {
    let mut history = History {
        keys: vec!["k".to_owned()],
        ..History::default()
    };
    let mut drawn: Vec<(u64, Operation)> = Vec::new();
    for number in 0..shape.operations {
        let from = random.below(shape.horizon);
        let length = random.below(shape.horizon / 2 + 1);
        let is_unsure = shape.unsure > 0 && random.below(shape.unsure) == 0;
        let fresh = shape
            .repeats
            .map_or(number as i64, |n| random.below(n) as i64);
        let operation = Operation {
            process: ProcessId(random.below(3)),
            key: KeyId(0),
            action: model.ask(random, fresh, &mut history.values),
            invoked: Nanos(from),
            completed: Nanos(from + length),
            outcome: if is_unsure {
                Outcome::Info
            } else {
                Outcome::Ok
            },
            seen: None,
            intended: None,
            node: None,
            version: None,
            error: None,
        };
        let late = if is_unsure { shape.horizon } else { length + 1 };
        drawn.push((from + random.below(late), operation));
    }
    if shape.in_turn {
        take_turns(&mut drawn);
    }
    drawn.sort_by_key(|(effect, _)| *effect);
    let mut state = model.init();
    for (_, operation) in &mut drawn {
        if operation.outcome == Outcome::Info && random.below(2) == 0 {
            continue;
        }
        if operation.outcome == Outcome::Ok {
            operation.seen = model.answer(&state, operation.action, &mut history.values);
        }
        match model.step(&state, &Call::from(&*operation), &history.values) {
            Some(after) => state = after,
            None if operation.outcome == Outcome::Ok => operation.outcome = Outcome::Fail,
            None => {}
        }
    }
    history.operations = drawn.into_iter().map(|(_, operation)| operation).collect();
    if random.below(3) > 0 {
        for _ in 0..1 + random.below(2) {
            spoil(random, &mut history);
        }
    }
    history.operations.sort_by_key(|o| o.invoked);
    history
}

/// Moves the operations of each process behind each other.
fn take_turns(drawn: &mut [(u64, Operation)]) {
    drawn.sort_by_key(|(_, operation)| operation.invoked);
    let mut free = [0_u64; 3];
    let mut lost = 3;
    for (effect, operation) in drawn {
        let process = &mut operation.process;
        let free = &mut free[process.0 as usize];
        let by = free.saturating_sub(operation.invoked.0);
        *effect += by;
        operation.invoked.0 += by;
        operation.completed.0 += by;
        *free = operation.completed.0 + 1;
        if operation.outcome == Outcome::Info {
            // Nobody hears of it again.
            *process = ProcessId(lost);
            lost += 1;
        }
    }
}

/// Changes one detail.
fn spoil(random: &mut Stream, history: &mut History) {
    let seen: Vec<Value> = history.operations.iter().filter_map(|o| o.seen).collect();
    let count = history.operations.len();
    let at = random.index(count);
    let operation = &mut history.operations[at];
    match (random.below(8), operation.seen) {
        (0..3, Some(_)) => operation.seen = Some(seen[random.index(seen.len())]),
        (3, Some(found)) => {
            operation.seen = Some(change(random, found, &mut history.values));
        }
        (4, _) if operation.outcome == Outcome::Ok && operation.action != Action::Read => {
            operation.outcome = Outcome::Info;
            operation.seen = None;
        }
        (5, _) if count > 1 => {
            history.operations.remove(at);
        }
        (6, None) if operation.outcome == Outcome::Fail => operation.outcome = Outcome::Ok,
        _ => {
            let by = random.below(6);
            operation.invoked.0 += by;
            operation.completed.0 += by;
        }
    }
}

/// Another value of the same kind.
fn change(random: &mut Stream, found: Value, values: &mut Values) -> Value {
    match values.content(found) {
        Content::Integer(number) => Value(number + 1 - 2 * random.below(2) as i64),
        Content::List(list) if !list.is_empty() => {
            let mut list = list.to_vec();
            let at = random.index(list.len());
            match random.below(4) {
                0 => list.push(list[at]),
                1 => {
                    list.remove(at);
                }
                2 => list[at] = Value(random.below(5) as i64),
                _ => random.shuffle(&mut list),
            }
            values.list(&list)
        }
        Content::Text(text) if !text.is_empty() => {
            let shorter = text[1..].to_owned();
            values.text(&shorter)
        }
        Content::Nil | Content::List(_) | Content::Text(_) => Value::NIL,
    }
}

impl Drawn for AppendList {
    fn ask(&self, random: &mut Stream, fresh: i64, _values: &mut Values) -> Action {
        match random.below(2) {
            0 => Action::Read,
            _ => Action::Do(Verb::Append, Value(fresh)),
        }
    }

    fn answer(&self, state: &Self::State, action: Action, values: &mut Values) -> Option<Value> {
        (action == Action::Read).then(|| values.list(state))
    }
}

impl Drawn for Set {
    fn ask(&self, random: &mut Stream, fresh: i64, _values: &mut Values) -> Action {
        match random.below(2) {
            0 => Action::Read,
            _ => Action::Do(Verb::Add, Value(fresh)),
        }
    }

    fn answer(&self, state: &Self::State, action: Action, values: &mut Values) -> Option<Value> {
        let mut list = state.to_vec();
        list.rotate_left(state.len() / 2);
        (action == Action::Read).then(|| values.list(&list))
    }
}

impl Drawn for Counter {
    fn ask(&self, random: &mut Stream, fresh: i64, _values: &mut Values) -> Action {
        match random.below(2) {
            0 => Action::Read,
            _ => Action::Do(Verb::Add, Value(fresh - random.below(3) as i64)),
        }
    }

    fn answer(&self, state: &i128, action: Action, _values: &mut Values) -> Option<Value> {
        (action == Action::Read).then_some(Value(*state as i64))
    }
}

impl Drawn for Kv {
    fn ask(&self, random: &mut Stream, fresh: i64, values: &mut Values) -> Action {
        let letter = char::from(b'a' + fresh as u8).to_string();
        match random.below(5) {
            0 | 1 => Action::Read,
            2 => Action::Write(values.text(&letter)),
            _ => Action::Do(Verb::Append, values.text(&letter)),
        }
    }

    fn answer(&self, state: &Self::State, action: Action, values: &mut Values) -> Option<Value> {
        (action == Action::Read).then(|| values.text(state))
    }
}

fn ask_queue(random: &mut Stream, fresh: i64) -> Action {
    match random.below(2) {
        0 => Action::Do(Verb::Dequeue, Value::NIL),
        _ => Action::Do(Verb::Enqueue, Value(fresh)),
    }
}

impl Drawn for Fifo {
    fn ask(&self, random: &mut Stream, fresh: i64, _values: &mut Values) -> Action {
        ask_queue(random, fresh)
    }

    fn answer(&self, state: &Self::State, action: Action, _values: &mut Values) -> Option<Value> {
        let is_take = matches!(action, Action::Do(Verb::Dequeue, _));
        is_take.then(|| state.first().copied().unwrap_or(Value::NIL))
    }
}

impl Drawn for Queue {
    fn ask(&self, random: &mut Stream, fresh: i64, _values: &mut Values) -> Action {
        ask_queue(random, fresh)
    }

    fn answer(&self, state: &Self::State, action: Action, _values: &mut Values) -> Option<Value> {
        let is_take = matches!(action, Action::Do(Verb::Dequeue, _));
        let elements = state.elements();
        let any = elements.get(elements.len() / 2).copied();
        is_take.then(|| any.unwrap_or(Value::NIL))
    }
}

impl Drawn for Mutex {
    fn ask(&self, random: &mut Stream, _fresh: i64, _values: &mut Values) -> Action {
        let verb = [Verb::Acquire, Verb::Release][random.index(2)];
        Action::Do(verb, Value::NIL)
    }

    fn answer(&self, _state: &Self::State, _: Action, _values: &mut Values) -> Option<Value> {
        None
    }
}

impl Drawn for Register {
    fn ask(&self, random: &mut Stream, fresh: i64, _values: &mut Values) -> Action {
        let to = Value(fresh);
        match random.below(5) {
            0 | 1 => Action::Read,
            2 | 3 => Action::Write(to),
            _ => Action::Cas {
                from: Value(fresh - 1),
                to,
            },
        }
    }

    fn answer(&self, state: &Value, action: Action, _values: &mut Values) -> Option<Value> {
        (action == Action::Read).then_some(*state)
    }
}

/// Whether some order of `items` exists.
fn has_order<M: Model>(model: &M, items: &[Item], values: &Values) -> bool {
    fn place<M: Model>(
        (model, items, values): (&M, &[Item], &Values),
        left: u32,
        state: &M::State,
        seen: &mut FixedSet<(u32, M::State)>,
    ) -> bool {
        let rest = || (0..items.len()).filter(|at| left & (1 << at) != 0);
        if rest().all(|at| items[at].is_optional()) {
            return true;
        }
        if !seen.insert((left, state.clone())) {
            return false;
        }
        let deadline = rest().map(|at| items[at].returned).min().unwrap_or(NEVER);
        rest()
            .filter(|at| items[*at].invoked <= deadline)
            .any(|at| {
                let after = model.step(state, &items[at].call, values);
                after.is_some_and(|after| {
                    place((model, items, values), left & !(1 << at), &after, seen)
                })
            })
    }
    assert!(items.len() < 32, "brute force is for small histories");
    let all = (1 << items.len()) - 1;
    place(
        (model, items, values),
        all,
        &model.init(),
        &mut FixedSet::default(),
    )
}

/// Every operation that may have happened, as brute force sees it: nothing is left out.
fn all_items<M: Model>(model: &M, history: &History) -> Vec<Item> {
    let happened = |o: &&Operation| !model.says_nothing(&Call::from(*o));
    (history.operations.iter().filter(happened))
        .map(|operation| {
            let call = Call::from(operation);
            Item {
                index: 0,
                call,
                invoked: tick(operation.invoked),
                returned: match call.outcome {
                    Outcome::Info => NEVER,
                    Outcome::Ok | Outcome::Fail => tick(operation.completed),
                },
                observes: false,
            }
        })
        .collect()
}

/// What was counted while the deciders agreed.
#[derive(Debug, Default)]
struct Counts {
    legal: u64,
    illegal: u64,
    /// Decided by the quick decider.
    quick: u64,
}

/// Compares all deciders of one model with brute force.
fn agree<M: Drawn>(name: &str, model: &M, quick: Option<Decide<M>>) {
    let mut random = Seed(0x0b1ec7).stream(name);
    let mut counts = Counts::default();
    for case in 0..cases() {
        let shape = shape(&mut random);
        let history = draw(model, &mut random, shape);
        let truth = has_order(model, &all_items(model, &history), &history.values);
        let context = || format!("{name} {case}, an order: {truth}, {}", lines(&history));
        let judged = judge_keys(
            &history,
            Value::NIL,
            &Budget::without_clock(1),
            &|key, _| {
                let problem = Problem::of(model, &history.values, key);
                compare(&problem, truth, case % 4 == 0, &context);
                let story = Story {
                    history: &history,
                    problem: &problem,
                };
                match quick.map(|quick| quick(&story)) {
                    None | Some(Quick::Unsure(_)) => KeyAnswer::Undecided(String::new()),
                    Some(Quick::Order) => KeyAnswer::Ok,
                    Some(Quick::Clash(clash)) => {
                        let (part, values) = alone(&problem, &clash.items);
                        let is_explained = has_order(model, &part, &values);
                        assert!(!is_explained, "{clash:?} proves nothing, {}", context());
                        KeyAnswer::Illegal(story.evidence(clash.items, clash.sentence))
                    }
                }
            },
        );
        match judged.verdict {
            Verdict::Pass => assert!(truth, "quick finds an order that is none, {}", context()),
            Verdict::Fail => assert!(!truth, "quick misses an order, {judged:?}, {}", context()),
            Verdict::Unknown => {}
        }
        counts.quick += u64::from(judged.undecided.is_empty());
        *(if truth {
            &mut counts.legal
        } else {
            &mut counts.illegal
        }) += 1;
    }
    // A generator that only drew one kind would test nothing.
    assert!(counts.legal * 20 > cases(), "{name}: {counts:?}");
    assert!(counts.illegal * 20 > cases(), "{name}: {counts:?}");
    assert!(
        quick.is_none() || counts.quick * 5 > cases(),
        "{name}: {counts:?}"
    );
}

/// The searches must always know, and what they shrink to must have no order by itself.
fn compare<M: Model>(
    problem: &Problem<'_, M>,
    truth: bool,
    shrinks: bool,
    context: &dyn Fn() -> String,
) {
    let budget = Budget::without_clock(1);
    for width in [1, 3, usize::MAX] {
        let mut steps = budget.steps;
        let (stuck, is_exact) = match sweep(problem, &budget, &mut steps, width) {
            Ok(Sweep { stuck, is_exact }) => (stuck, is_exact),
            // Twelve concurrent appends have 12! results.
            Err(limit) if matches!(limit.what, What::Configurations(_)) => continue,
            Err(limit) => panic!("the budget is ample, but {limit}"),
        };
        assert!(
            truth || stuck.is_some(),
            "no order, width {width}, {}",
            context()
        );
        assert!(
            !is_exact || truth == stuck.is_none(),
            "width {width}, {}",
            context()
        );
        assert!(is_exact || width < usize::MAX, "{}", context());
    }
    for memory in [0, usize::MAX] {
        let narrow = Budget {
            configurations: memory,
            ..budget
        };
        let mut depth = Depth::new(problem, &narrow);
        let mut steps = budget.steps;
        let found = loop {
            match depth.run(7, &mut steps) {
                Slice::Pause => {}
                found => break found,
            }
        };
        assert_eq!(
            found == Slice::Order,
            truth,
            "depth first, {found:?}, {}",
            context()
        );
        if let (Slice::Stuck(at), true) = (found, shrinks) {
            proves(problem, at, context);
        }
    }
    let mut steps = budget.steps;
    match search(problem, &budget, &mut steps) {
        Found::Order => assert!(truth, "{}", context()),
        Found::Stuck(at) => {
            assert!(!truth, "{}", context());
            if shrinks {
                proves(problem, at, context);
            }
        }
        Found::GaveUp(limit) => panic!("{limit}, {}", context()),
    }
}

/// The part that remains has no order.
fn proves<M: Model>(problem: &Problem<'_, M>, at: usize, context: &dyn Fn() -> String) {
    let part = shrink::minimal(problem, at, &Budget::without_clock(1));
    let is_explained = has_order(problem.model, &part.items, &part.values);
    assert!(!is_explained, "{part:?} proves nothing, {}", context());
}

/// Some items, without the ties that are not among them.
fn alone<M: Model>(problem: &Problem<'_, M>, chosen: &[usize]) -> (Vec<Item>, Values) {
    let model = problem.model;
    let tie = |number: &usize| model.tie(&problem.items[*number].call);
    let stays: FixedSet<Value> = chosen.iter().filter_map(tie).collect();
    let all = (0..problem.items.len()).collect::<Vec<usize>>();
    let gone: FixedSet<Value> = all
        .iter()
        .filter_map(tie)
        .filter(|v| !stays.contains(v))
        .collect();
    let mut values = problem.values.clone();
    let part = chosen.iter().map(|number| {
        let item = &problem.items[*number];
        let call = model.forget(&item.call, &|value| gone.contains(&value), &mut values);
        Item { call, ..*item }
    });
    (part.collect(), values)
}

fn lines(history: &History) -> String {
    let line = |operation: &Operation| {
        format!(
            "\n{} {:?} [{}, {}]: {}",
            operation.process,
            operation.outcome,
            operation.invoked.0,
            operation.completed.0,
            Call::from(operation).describe(&history.values)
        )
    };
    history.operations.iter().map(line).collect()
}

fn cases() -> u64 {
    let asked = std::env::var("CHAOS_CHECK_CASES").ok();
    asked.map_or(CASES, |text| {
        text.parse().expect("CHAOS_CHECK_CASES is a number")
    })
}

#[test]
fn lists_agree_with_brute_force() {
    agree("append-list", &AppendList, Some(super::quick_list));
}

#[test]
fn sets_agree_with_brute_force() {
    agree("set", &Set, Some(super::quick_set));
}

#[test]
fn counters_agree_with_brute_force() {
    agree("counter", &Counter, None);
}

#[test]
fn texts_agree_with_brute_force() {
    agree("kv", &Kv, Some(super::quick_text));
}

#[test]
fn ordered_queues_agree_with_brute_force() {
    agree("fifo", &Fifo, Some(super::quick_fifo));
}

#[test]
fn queues_agree_with_brute_force() {
    agree("queue", &Queue, Some(super::quick_queue));
}

#[test]
fn locks_agree_with_brute_force() {
    agree("mutex", &Mutex, Some(super::quick_lock));
}

#[test]
fn registers_agree_with_brute_force_in_the_general_searches_too() {
    agree("register", &Register::default(), None);
}
