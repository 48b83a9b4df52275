//! The weaker promises against brute force, and against a replicated log that keeps them.

use super::linearizable::Budget;
use super::linearizable::oracle::{Shape, cases, draw, draw_versioned, has_order, shape, steps};
use super::testing::ok;
use super::zookeeper::{Promise, Reads, Versions, zookeeper};
use super::{session_guarantees, time_behind, versions_behind};
use crate::clock::Nanos;
use crate::history::{Action, History, KeyId, Operation, Outcome, Value};
use crate::id::ProcessId;
use crate::seed::{Seed, Stream};
use crate::verdict::Verdict;

fn history(operations: Vec<Operation>) -> History {
    History {
        keys: vec!["k1".to_owned(), "k2".to_owned()],
        operations,
        ..History::default()
    }
}

/// Gives the operations to as few sessions as can do them one after the other.
fn share_out(operations: &mut [Operation]) {
    let mut ends: Vec<Option<Nanos>> = Vec::new();
    for operation in operations {
        let free = ends
            .iter()
            .position(|end| end.is_some_and(|end| end < operation.invoked));
        let process = free.unwrap_or(ends.len());
        ends.resize(ends.len().max(process + 1), None);
        ends[process] = (operation.outcome != Outcome::Info).then_some(operation.completed);
        operation.process = ProcessId(process as u64);
    }
}

#[test]
fn a_linearizable_history_keeps_every_weaker_promise() {
    let mut random = Seed(0x3ea).stream("weak");
    let budget = Budget::without_clock(1);
    let (mut legal, mut passed) = (0, 0);
    for case in 0..cases() / 4 {
        let drawn = shape(&mut random);
        let (mut operations, is_true) = draw_versioned(&mut random, drawn);
        share_out(&mut operations);
        if !is_true {
            operations.iter_mut().for_each(|o| o.version = None);
        }
        if !has_order(&steps(&operations), Value::NIL) {
            continue;
        }
        legal += 1;
        let history = history(operations);
        let context = || format!("case {case}: {:#?}", history.operations);
        let sessions = session_guarantees(&history, Value::NIL);
        assert_ne!(
            sessions.verdict(),
            Verdict::Fail,
            "{sessions:?}, {}",
            context()
        );
        let missed = versions_behind(&history, Value::NIL);
        assert_eq!(missed.max(), 0, "{}", context());
        for versions in [Versions::PerKey, Versions::Zxid] {
            let promise = Promise {
                versions,
                ..Promise::default()
            };
            let found = zookeeper(&history, promise, &budget);
            assert_ne!(found.verdict, Verdict::Fail, "{found:?}, {}", context());
            passed += u64::from(found.verdict == Verdict::Pass);
        }
        let promise = Promise {
            reads: Reads::Synced,
            ..Promise::default()
        };
        let found = zookeeper(&history, promise, &budget);
        assert_ne!(found.verdict, Verdict::Fail, "{found:?}, {}", context());
    }
    assert!(
        legal * 10 > cases() && passed * 10 > legal,
        "{legal}, {passed}"
    );
}

/// Whether some order of the updates is consistent with real time and followed by every session.
fn has_session_order(operations: &[Operation]) -> bool {
    fn place(operations: &[Operation], order: &mut Vec<usize>, value: Value) -> bool {
        let is_left = |at: usize, order: &[usize]| {
            let operation = &operations[at];
            operation.action.is_update()
                && operation.outcome != Outcome::Fail
                && !order.contains(&at)
        };
        let due = (0..operations.len())
            .any(|at| is_left(at, order) && operations[at].outcome == Outcome::Ok);
        if !due && is_followed(operations, order) {
            return true;
        }
        for at in 0..operations.len() {
            let next = match operations[at].action {
                Action::Write(to) => to,
                Action::Cas { from, to } if from == value => to,
                _ => continue,
            };
            if is_left(at, order) {
                order.push(at);
                if place(operations, order, next) {
                    return true;
                }
                order.pop();
            }
        }
        false
    }
    place(operations, &mut Vec::new(), Value::NIL)
}

fn is_followed(operations: &[Operation], order: &[usize]) -> bool {
    let tick = |time: Nanos| time.0 + 1;
    let value = |at: usize| match operations[at].action {
        Action::Write(to) | Action::Cas { to, .. } => to,
        Action::Read | Action::Do(..) => Value::NIL,
    };
    let mut values = vec![Value::NIL];
    values.extend(order.iter().map(|at| value(*at)));
    let mut ends: Vec<u64> = vec![0];
    ends.extend(order.iter().map(|at| match operations[*at].outcome {
        Outcome::Ok => tick(operations[*at].completed),
        Outcome::Info | Outcome::Fail => u64::MAX,
    }));
    let mut at = vec![0; operations.len()];
    for (index, operation) in operations.iter().enumerate() {
        let place = &mut at[operation.process.0 as usize];
        if operation.is_acknowledged_update() {
            let own = 1 + order.iter().position(|o| *o == index).unwrap_or(0);
            if own < *place {
                return false;
            }
            *place = own;
        } else if let Some(seen) = operation
            .seen
            .filter(|_| operation.outcome != Outcome::Info)
        {
            let Some(next) = (*place..values.len()).find(|p| values[*p] == seen) else {
                return false;
            };
            *place = next;
            ends[next] = ends[next].min(tick(operation.completed));
        }
    }
    ends[0] = u64::MAX;
    let mut begun = 0;
    (1..values.len()).all(|place| {
        begun = begun.max(tick(operations[order[place - 1]].invoked));
        begun <= ends[place]
    })
}

#[test]
fn the_promise_of_zookeeper_agrees_with_brute_force_where_values_are_unique() {
    let mut random = Seed(0x200).stream("weak");
    let budget = Budget::without_clock(1);
    let (mut kept, mut broken, mut stale) = (0, 0, 0);
    for case in 0..cases() / 4 {
        let drawn = Shape {
            values: None,
            ..shape(&mut random)
        };
        let mut operations = draw(&mut random, drawn);
        let values: Vec<Value> = operations.iter().filter_map(|o| o.seen).collect();
        for operation in &mut operations {
            if operation.seen.is_some() && random.below(3) == 0 {
                operation.seen = Some(values[random.index(values.len())]);
            }
        }
        share_out(&mut operations);
        let truth = has_session_order(&operations);
        let is_linear = has_order(&steps(&operations), Value::NIL);
        let history = history(operations);
        let found = zookeeper(&history, Promise::default(), &budget);
        let context = || format!("case {case}: {found:?}\n{:#?}", history.operations);
        assert_eq!(found.verdict == Verdict::Fail, !truth, "{}", context());
        assert_eq!(found.evidence.is_some(), !truth, "{}", context());
        kept += u64::from(truth);
        broken += u64::from(!truth);
        stale += u64::from(truth && !is_linear);
    }
    for (count, what) in [
        (kept, "kept"),
        (broken, "broken"),
        (5 * stale, "kept and stale"),
    ] {
        assert!(count * 100 > cases(), "only {count} are {what}");
    }
}

#[test]
fn a_broken_session_guarantee_breaks_linearizability() {
    let mut random = Seed(0x5e5).stream("weak");
    let mut broken = 0;
    for case in 0..cases() / 4 {
        let drawn = shape(&mut random);
        let mut operations = draw(&mut random, drawn);
        share_out(&mut operations);
        let truth = has_order(&steps(&operations), Value::NIL);
        let found = session_guarantees(&history(operations.clone()), Value::NIL);
        let is_broken = found.verdict() == Verdict::Fail;
        assert!(
            !is_broken || !truth,
            "case {case}: {found:?} {operations:#?}"
        );
        broken += u64::from(is_broken);
    }
    assert!(broken * 1000 > cases(), "only {broken} are broken");
}

#[test]
fn the_time_by_which_reads_lag_agrees_with_brute_force() {
    let mut random = Seed(0xde17a).stream("weak");
    let budget = Budget::without_clock(1);
    let (mut late, mut none) = (0, 0);
    for case in 0..cases() / 10 {
        let drawn = shape(&mut random);
        let operations = draw(&mut random, drawn);
        let is_read = |o: &Operation| {
            o.action == Action::Read && o.outcome == Outcome::Ok
                || o.action.is_update() && o.outcome == Outcome::Fail
        };
        let explains = |delta: u64| {
            let mut moved = operations.clone();
            for operation in moved.iter_mut().filter(|o| is_read(o)) {
                operation.invoked = Nanos(operation.invoked.0.saturating_sub(delta));
            }
            has_order(&steps(&moved), Value::NIL)
        };
        let truth = (0..60).find(|delta| explains(*delta));
        let found = time_behind(&history(operations.clone()), Value::NIL, &budget);
        let context = || format!("case {case}: {truth:?} {found:?} {operations:#?}");
        if found.keys == 0 {
            continue;
        }
        match truth {
            None => assert_eq!(found.unexplained.len(), 1, "{}", context()),
            Some(delta) => {
                assert_eq!(found.delta, Nanos(delta), "{}", context());
                let is_pass = found.verdict == Verdict::Pass;
                assert_eq!(is_pass, delta == 0, "{}", context());
                assert_eq!(found.attained_by.is_some(), delta > 0, "{}", context());
            }
        }
        late += u64::from(truth.is_some_and(|delta| delta > 0));
        none += u64::from(truth.is_none());
    }
    for (count, what) in [(late, "late"), (none, "unexplained")] {
        assert!(count * 500 > cases(), "only {count} are {what}");
    }
}

#[test]
fn missed_updates_are_counted_as_defined() {
    let mut random = Seed(0xc0).stream("weak");
    let mut behind = 0;
    for case in 0..cases() / 10 {
        let drawn = Shape {
            values: None,
            operations: 12,
            ..shape(&mut random)
        };
        let operations = draw(&mut random, drawn);
        let writer = |value: Value| {
            operations.iter().find(|o| match o.action {
                Action::Write(to) | Action::Cas { to, .. } => {
                    to == value && o.outcome != Outcome::Fail
                }
                _ => false,
            })
        };
        let saw = |o: &Operation| match (o.action, o.outcome) {
            (Action::Cas { from, .. }, Outcome::Ok) => Some(from),
            (_, Outcome::Info) => None,
            _ => o.seen,
        };
        let there = |value: Value| {
            let sights = operations.iter().filter(|o| saw(o) == Some(value));
            let update = writer(value);
            let own = update
                .filter(|o| o.outcome == Outcome::Ok)
                .map(|o| o.completed);
            let begun = update.map_or(Nanos::ZERO, |o| o.invoked);
            sights.map(|o| o.completed.max(begun)).chain(own).min()
        };
        let most = operations.iter().filter_map(|read| {
            let seen = read.seen.filter(|_| saw(read) == read.seen)?;
            let since = if seen == Value::NIL {
                None
            } else {
                writer(seen).and_then(|_| there(seen))
            };
            if since.is_none() && seen != Value::NIL {
                return None;
            }
            let missed = operations.iter().filter(|o| {
                o.is_acknowledged_update()
                    && since.is_none_or(|since| o.invoked > since)
                    && o.completed < read.invoked
            });
            Some(missed.count() as u64)
        });
        let most = most.max().unwrap_or(0);
        let found = versions_behind(&history(operations.clone()), Value::NIL);
        assert_eq!(found.max(), most, "case {case}: {operations:#?}");
        behind += u64::from(most > 1);
    }
    assert!(behind * 1000 > cases(), "only {behind} are behind");
}

/// What goes wrong in the replicated log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// A replica forgets what it had applied.
    GoesBack,
    /// Acknowledged updates vanish from the log.
    Loses,
    /// Two acknowledged updates change places in the log.
    Reorders,
}

/// A log, and replicas that apply it with delay. Sessions hold to one replica each.
struct Store {
    log: Vec<(u32, Value)>,
    applied: [usize; 3],
    clients: Vec<Client>,
    done: Vec<Operation>,
    processes: u64,
    values: i64,
    counts_all: bool,
}

struct Client {
    process: ProcessId,
    replica: usize,
    /// The operation in flight, and where in the log its update is.
    pending: Option<(Operation, Option<usize>)>,
}

impl Store {
    fn run(random: &mut Stream, mistake: Mistake, counts_all: bool) -> History {
        let clients = (0..4).map(|number| Client {
            process: ProcessId(number),
            replica: number as usize % 3,
            pending: None,
        });
        let mut store = Self {
            log: Vec::new(),
            applied: [0; 3],
            clients: clients.collect(),
            done: Vec::new(),
            processes: 4,
            values: 0,
            counts_all,
        };
        for now in 0..300 {
            if now == 200 {
                store.fail(mistake);
            }
            match random.below(6) {
                0 => {
                    let applied = &mut store.applied[random.index(3)];
                    *applied = store.log.len().min(*applied + 1);
                }
                _ => store.step(random, Nanos(now)),
            }
        }
        for mut client in std::mem::take(&mut store.clients) {
            store.give_up(&mut client, Nanos(300));
        }
        store.done.sort_by_key(|operation| operation.invoked);
        history(store.done)
    }

    fn fail(&mut self, mistake: Mistake) {
        let last = self.log.len().saturating_sub(1);
        match mistake {
            Mistake::None => {}
            Mistake::GoesBack => self.applied = self.applied.map(|applied| applied / 2),
            Mistake::Loses => {
                self.log.truncate(self.log.len() / 2);
                self.applied = self.applied.map(|applied| applied.min(self.log.len()));
            }
            Mistake::Reorders => self.log[..last].reverse(),
        }
    }

    /// The value and version of a key after so much of the log.
    fn state(&self, key: KeyId, applied: usize) -> (Value, Option<i64>) {
        let part = &self.log[..applied.min(self.log.len())];
        let last = part.iter().rposition(|(of, _)| *of == key.0);
        let Some(last) = last else {
            return (Value::NIL, None);
        };
        let own = part.iter().filter(|(of, _)| *of == key.0).count();
        let version = if self.counts_all { last + 1 } else { own };
        (self.log[last].1, Some(version as i64))
    }

    fn step(&mut self, random: &mut Stream, now: Nanos) {
        let number = random.index(self.clients.len());
        let mut client = self.clients.remove(number);
        match client.pending.take() {
            None => {
                self.values += 1;
                let key = KeyId(random.below(2) as u32);
                let to = Value(self.values);
                let action = match random.below(4) {
                    0 | 1 => Action::Read,
                    2 => Action::Write(to),
                    _ => {
                        let (from, _) = self.state(key, self.applied[client.replica]);
                        Action::Cas { from, to }
                    }
                };
                let operation = Operation {
                    process: client.process,
                    key,
                    ..ok(action, now.0, now.0, None)
                };
                client.pending = Some((operation, None));
            }
            Some(pending) if random.below(20) == 0 => {
                client.pending = Some(pending);
                self.give_up(&mut client, now);
            }
            Some((operation, at)) => self.go_on(&mut client, operation, at, now),
        }
        self.clients.insert(number, client);
    }

    fn go_on(&mut self, client: &mut Client, operation: Operation, at: Option<usize>, now: Nanos) {
        let mut operation = operation;
        operation.completed = now;
        let key = operation.key;
        match (operation.action, at) {
            (Action::Write(to), None) => {
                self.log.push((key.0, to));
                client.pending = Some((operation, Some(self.log.len())));
                return;
            }
            (Action::Cas { from, to }, None) => {
                let (value, version) = self.state(key, self.log.len());
                if value == from {
                    self.log.push((key.0, to));
                    client.pending = Some((operation, Some(self.log.len())));
                    return;
                }
                // The refusal comes with the state at the leader.
                self.applied[client.replica] = self.log.len();
                operation.outcome = Outcome::Fail;
                operation.seen = Some(value);
                operation.version = version;
            }
            (Action::Write(_) | Action::Cas { .. }, Some(at)) => {
                // The session's replica answers when it has applied the update.
                let applied = &mut self.applied[client.replica];
                *applied = at.max(*applied);
                operation.version = self.state(key, at).1;
            }
            (Action::Read | Action::Do(..), _) => {
                let (value, version) = self.state(key, self.applied[client.replica]);
                operation.seen = Some(value);
                operation.version = version;
            }
        }
        self.done.push(operation);
    }

    /// The client does not wait for the answer; it goes on as a new process.
    fn give_up(&mut self, client: &mut Client, now: Nanos) {
        if let Some((mut operation, _)) = client.pending.take() {
            operation.completed = now;
            operation.outcome = Outcome::Info;
            self.done.push(operation);
            client.process = ProcessId(self.processes);
            self.processes += 1;
        }
    }
}

#[test]
fn a_replicated_log_with_lagging_replicas_keeps_the_promise_of_zookeeper() {
    let mut random = Seed(0x10c).stream("log");
    let budget = Budget::without_clock(1);
    let mut stale = 0;
    for case in 0..1_000 {
        for versions in [Versions::PerKey, Versions::Zxid] {
            let history = Store::run(&mut random, Mistake::None, versions == Versions::Zxid);
            let promise = Promise {
                versions,
                ..Promise::default()
            };
            let found = zookeeper(&history, promise, &budget);
            assert_eq!(
                found.verdict,
                Verdict::Pass,
                "case {case}: {:#?}",
                found.parts
            );
            let sessions = session_guarantees(&history, Value::NIL);
            assert_eq!(
                sessions.verdict(),
                Verdict::Pass,
                "case {case}: {sessions:?}"
            );
            stale += usize::from(versions_behind(&history, Value::NIL).max() > 0);
        }
    }
    assert!(
        stale > 1_000,
        "only {stale} of 2000 histories have stale reads"
    );
}

#[test]
fn a_replicated_log_that_errs_is_found_out() {
    let mut random = Seed(0x10d).stream("log");
    let budget = Budget::without_clock(1);
    for mistake in [Mistake::GoesBack, Mistake::Loses, Mistake::Reorders] {
        for versions in [Versions::PerKey, Versions::Zxid] {
            let mut found = 0;
            for _ in 0..200 {
                let history = Store::run(&mut random, mistake, versions == Versions::Zxid);
                let promise = Promise {
                    versions,
                    ..Promise::default()
                };
                let judged = zookeeper(&history, promise, &budget);
                found += usize::from(judged.verdict == Verdict::Fail);
            }
            // Where nobody looks before the next write, nobody can tell.
            assert!(
                found > 100,
                "{mistake:?} by {versions:?}: found {found} of 200"
            );
        }
    }
}
