//! The online check against the check of whole histories, event by event, on random histories.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::oracle::{Shape, cases, draw, shape};
use super::{Budget, check};
use crate::check::online::{Bounds, Online, Violation};
use crate::clock::Nanos;
use crate::history::{
    Action, Completion, FixedSet, History, Invocation, Operation, Outcome, Value, Values,
};
use crate::id::{NodeId, ProcessId};
use crate::model::Register;
use crate::seed::{Seed, Stream};
use crate::verdict::Verdict;

/// Looks at every key after every completion.
const EAGER: Bounds = Bounds {
    operations: 100_000,
    unknown: 1_000,
    look_after: 1,
};

fn invocation(operation: &Operation, key: &Arc<str>) -> Invocation {
    Invocation {
        process: operation.process,
        key: Arc::clone(key),
        action: operation.action,
        time: operation.invoked,
        intended: operation.invoked,
        node: NodeId(1),
    }
}

fn completion(operation: &Operation, key: &Arc<str>) -> Completion {
    Completion {
        process: operation.process,
        key: Arc::clone(key),
        action: operation.action,
        time: operation.completed,
        outcome: operation.outcome,
        seen: operation.seen,
        version: None,
        error: None,
    }
}

/// Begins and ends of operations in the order of time.
fn events(operations: &[Operation]) -> Vec<(Nanos, bool, usize)> {
    let mut events: Vec<(Nanos, bool, usize)> = (0..operations.len())
        .flat_map(|at| {
            let operation = &operations[at];
            [
                (operation.invoked, false, at),
                (operation.completed, true, at),
            ]
        })
        .collect();
    events.sort_unstable();
    events
}

/// Feeds all events; the first violation with the number of events before it.
fn feed(online: &mut Online, operations: &[Operation]) -> Option<(usize, Violation)> {
    let key = Arc::from("k");
    for (number, (_, is_end, at)) in (1..).zip(events(operations)) {
        if is_end {
            online.complete(&completion(&operations[at], &key));
        } else {
            online.invoke(&invocation(&operations[at], &key));
        }
        if let Some(violation) = online.settle() {
            return Some((number, violation));
        }
    }
    online.finish();
    let last = online.settle()?;
    Some((operations.len() * 2, last))
}

/// What had happened after so many events.
fn prefix(operations: &[Operation], events_seen: usize) -> Vec<Operation> {
    let mut so_far: BTreeMap<usize, Operation> = BTreeMap::new();
    for (_, is_end, at) in events(operations).into_iter().take(events_seen) {
        let mut operation = operations[at].clone();
        if !is_end {
            operation.completed = Nanos::MAX;
            operation.outcome = Outcome::Info;
            operation.seen = None;
        }
        so_far.insert(at, operation);
    }
    let mut so_far: Vec<Operation> = so_far.into_values().collect();
    so_far.sort_by_key(|operation| operation.invoked);
    so_far
}

fn is_illegal(operations: Vec<Operation>) -> bool {
    let history = History {
        keys: vec!["k".to_owned()],
        errors: vec![],
        values: Values::default(),
        operations,
    };
    let budget = Budget::without_clock(1);
    check(&history, &Register::default(), &budget).verdict == Verdict::Fail
}

/// Compares both; true if the key was given up.
fn compare(operations: &[Operation], bounds: Bounds, context: &dyn Fn() -> String) -> bool {
    let mut online = Online::new(Value::NIL, bounds);
    let found = feed(&mut online, operations);
    let truth = is_illegal(operations.to_vec());
    let is_given_up = !online.given_up().is_empty();
    match found {
        Some((events_seen, violation)) => {
            assert!(truth, "{violation:#?} is none, {}", context());
            assert!(
                is_illegal(prefix(operations, events_seen)),
                "{violation:#?} was found too early, {}",
                context()
            );
        }
        None => assert!(
            !truth || is_given_up,
            "a violation is missed, {}",
            context()
        ),
    }
    is_given_up
}

#[test]
fn online_and_offline_agree_on_small_histories() {
    let mut random = Seed(0x0911).stream("online");
    let mut given_up = 0;
    for case in 0..cases() / 4 {
        let shape = shape(&mut random);
        let operations = draw(&mut random, shape);
        let bounds = [EAGER, Bounds::default()][random.index(2)];
        let context = || format!("case {case}: {operations:#?}");
        let is_given_up = compare(&operations, bounds, &context);
        if shape.values.is_none() && !shape.has_blind {
            assert!(!is_given_up, "zones can tell, {}", context());
        }
        given_up += u64::from(is_given_up);
    }
    assert!(given_up * 8 < cases(), "{given_up} keys were given up");
}

#[test]
fn online_and_offline_agree_on_larger_histories() {
    let mut random = Seed(0x0912).stream("online");
    let mut illegal = 0;
    for case in 0..cases() / 40 {
        let operations = 10 + random.index(120);
        let shape = Shape {
            operations,
            values: None,
            has_blind: false,
            // From hardly anything to nearly everything in flight at once.
            horizon: [
                operations as u64 / 4,
                operations as u64,
                3 * operations as u64,
            ][random.index(3)],
            longest: [2, 12, 40][random.index(3)],
        };
        let operations = draw(&mut random, shape);
        let context = || format!("case {case}: {operations:#?}");
        assert!(!compare(&operations, EAGER, &context), "{}", context());
        illegal += u64::from(is_illegal(operations));
    }
    assert!(illegal * 400 > cases(), "only {illegal} are illegal");
}

/// Clients of a register that works, one operation in flight each; times count events.
struct World {
    random: Stream,
    keys: Vec<Arc<str>>,
    values: Vec<Value>,
    next: i64,
    time: u64,
    /// Key, action, whether it has taken effect, and how it will end.
    clients: Vec<Option<(usize, Operation, bool)>>,
    processes: u64,
    /// Shares of a hundred: reads, plain writes.
    mix: [u64; 2],
}

impl World {
    fn new(seed: u64, keys: usize, clients: usize, mix: [u64; 2]) -> Self {
        Self {
            random: Seed(seed).stream("world"),
            keys: (0..keys).map(|key| Arc::from(format!("k{key}"))).collect(),
            values: vec![Value::NIL; keys],
            next: 1,
            time: 0,
            clients: vec![None; clients],
            processes: 0,
            mix,
        }
    }

    /// One client does its next thing.
    fn step(&mut self, online: &mut Online) {
        self.time += 1;
        let client = self.random.index(self.clients.len());
        match self.clients[client].take() {
            None => self.begin(client, online),
            Some((key, operation, false)) => self.take_effect(client, key, operation),
            Some((key, mut operation, true)) => {
                operation.completed = Nanos(self.time);
                online.complete(&completion(&operation, &self.keys[key]));
            }
        }
    }

    fn begin(&mut self, client: usize, online: &mut Online) {
        let key = self.random.index(self.keys.len());
        let fresh = Value(self.next);
        self.next += 1;
        self.processes += 1;
        let action = match self.random.below(100) {
            share if share < self.mix[0] => Action::Read,
            share if share < self.mix[0] + self.mix[1] => Action::Write(fresh),
            _ => Action::Cas {
                from: self.values[key],
                to: fresh,
            },
        };
        let operation = Operation {
            process: ProcessId(self.processes),
            key: crate::history::KeyId(0),
            action,
            invoked: Nanos(self.time),
            completed: Nanos::MAX,
            outcome: Outcome::Ok,
            seen: None,
            intended: None,
            node: None,
            version: None,
            error: None,
        };
        online.invoke(&invocation(&operation, &self.keys[key]));
        self.clients[client] = Some((key, operation, false));
    }

    fn take_effect(&mut self, client: usize, key: usize, mut operation: Operation) {
        let value = &mut self.values[key];
        // Some answers are lost, before or after the effect.
        let is_lost = operation.action.is_update() && self.random.below(2_000) == 0;
        match operation.action {
            Action::Read => operation.seen = Some(*value),
            Action::Write(to) if !is_lost || self.random.below(2) == 0 => *value = to,
            Action::Cas { from, to } if from == *value => *value = to,
            Action::Cas { .. } => {
                operation.outcome = Outcome::Fail;
                operation.seen = Some(*value);
            }
            Action::Write(_) | Action::Do(..) => {}
        }
        if is_lost {
            (operation.outcome, operation.seen) = (Outcome::Info, None);
        }
        self.clients[client] = Some((key, operation, true));
    }
}

/// Runs until so many operations have completed; the first violation.
fn run(world: &mut World, online: &mut Online, operations: u64) -> Option<Violation> {
    while online.completed() < operations {
        world.step(online);
        if let Some(violation) = online.settle() {
            return Some(violation);
        }
    }
    None
}

#[test]
fn memory_stays_bounded_however_long_a_run_lasts() {
    for (keys, mix, most) in [
        // On one key something is always in flight; then only cas, which make endless chains.
        (8, [50, 30], 1_000),
        (1, [50, 30], 400),
        (8, [0, 0], 1_000),
        (1, [90, 10], 400),
    ] {
        let mut world = World::new(7, keys, 16, mix);
        let mut online = Online::new(Value::NIL, Bounds::default());
        assert_eq!(run(&mut world, &mut online, 100_000), None);
        assert!(online.given_up().is_empty(), "{:?}", online.given_up());
        let kept = online.most_kept();
        assert!(kept < most, "{kept} were kept of {keys} keys, {mix:?}");
    }
}

#[test]
fn a_stale_read_is_found_soon_after_a_long_time() {
    for (keys, mix) in [(8, [50, 30]), (1, [50, 30]), (8, [20, 0])] {
        let mut world = World::new(8, keys, 16, mix);
        let mut online = Online::new(Value::NIL, Bounds::default());
        assert_eq!(run(&mut world, &mut online, 20_000), None);
        let old = world.values[0];
        assert_eq!(run(&mut world, &mut online, 30_000), None);
        world.values[0] = old;
        let found = run(&mut world, &mut online, 30_500).expect("a value came back");
        assert_eq!(found.key, "k0");
        assert!(found.sentence.contains(&old.to_string()), "{found:?}");
        let processes: FixedSet<_> = found.operations.iter().map(|op| op.process).collect();
        assert!(!processes.contains(&ProcessId(u64::MAX)), "{found:?}");
    }
}

#[test]
fn a_key_that_cannot_be_told_is_given_up_with_the_reason() {
    let bounds = Bounds {
        operations: 10,
        ..Bounds::default()
    };
    let mut world = World::new(9, 1, 16, [0, 100]);
    let mut online = Online::new(Value::NIL, bounds);
    assert_eq!(run(&mut world, &mut online, 1_000), None);
    let reasons: Vec<&String> = online.given_up().values().collect();
    assert!(
        reasons[0].ends_with("operations would have to be kept"),
        "{reasons:?}"
    );
}
