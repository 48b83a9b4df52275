//! Version order: an order of the operations of a key, read off the versions in the replies.
//!
//! Where every acknowledged update carries the version after it, and every observation the version
//! of what it saw, the versions force one order: each update, then those that saw it. That takes a
//! sort, also where values repeat and zones cannot tell.
//!
//! Versions are what the store says of itself, and it may be wrong. So they only *propose* an
//! order; values and times then decide whether it explains the history. If it does, an order
//! exists, whatever became of the versions. If it does not, nothing is known.
//!
//! An update of unknown outcome has no version. It is put where a value of its kind is seen that
//! nothing before explains, as late as possible, and left out if there is no such place.

use super::items::{Item, Items};
use super::{KeyHistory, NEVER};
use crate::history::{Action, FixedMap, Value};
use crate::model::Register;

/// Whether the versions propose an order that explains the operations of `key`.
pub(super) fn explain(key: &KeyHistory<'_>) -> bool {
    let mut updates = key.iter().filter(|(_, op)| op.is_acknowledged_update());
    if updates.any(|(_, operation)| operation.version.is_none()) {
        return false;
    }
    let items = Items::of(key);
    let Some(places) = places(key, &items.all) else {
        return false;
    };
    let mut proposal = Proposal::new(&items.all, key.initial);
    let deadlines = deadlines(&items.all, &places);
    let mut places = places.iter().zip(deadlines);
    places.all(|(place, deadline)| proposal.add(place.number, deadline))
        && proposal.keeps_real_time()
}

/// Where an item belongs: an update before the observations of its version, those as they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    version: i64,
    is_sight: bool,
    invoked: u64,
    number: usize,
}

/// The items of known outcome in the order of versions, if all have one.
fn places(key: &KeyHistory<'_>, items: &[Item]) -> Option<Vec<Place>> {
    let known = items.iter().enumerate().filter(|(_, i)| !i.is_optional);
    let places: Option<Vec<Place>> = known
        .map(|(number, item)| {
            let seen = item.call.seen;
            // What was never written has no version in many stores.
            let is_initial = item.written().is_none() && seen == Some(key.initial);
            let version = key.operations[item.index as usize].version;
            Some(Place {
                version: version.or_else(|| is_initial.then_some(i64::MIN))?,
                is_sight: item.written().is_none(),
                invoked: item.invoked,
                number,
            })
        })
        .collect();
    let mut places = places?;
    places.sort_unstable();
    Some(places)
}

/// For each place when the first item from there on had returned.
fn deadlines(items: &[Item], places: &[Place]) -> Vec<u64> {
    let mut earliest = NEVER;
    let back = places.iter().rev().map(|place| {
        earliest = earliest.min(items[place.number].returned);
        earliest
    });
    let mut deadlines: Vec<u64> = back.collect();
    deadlines.reverse();
    deadlines
}

/// An order in the making.
struct Proposal<'a> {
    items: &'a [Item],
    order: Vec<usize>,
    value: Value,
    spare: Spare,
}

/// The updates of unknown outcome that are not in the order; of each kind those that began first
/// at the end.
#[derive(Default)]
struct Spare {
    writes: FixedMap<Value, Vec<usize>>,
    cas: FixedMap<(Value, Value), Vec<usize>>,
    /// From which values CASes lead to a value.
    origins: FixedMap<Value, Vec<Value>>,
}

impl Spare {
    fn of(items: &[Item]) -> Self {
        let mut spare = Self::default();
        let mut optional: Vec<usize> = (0..items.len())
            .filter(|number| items[*number].is_optional)
            .collect();
        optional.sort_by_key(|number| std::cmp::Reverse(items[*number].invoked));
        for number in optional {
            match items[number].call.action {
                Action::Write(to) => spare.writes.entry(to).or_default().push(number),
                Action::Cas { from, to } if from != to => {
                    let origins = spare.origins.entry(to).or_default();
                    if origins.len() < ORIGINS && !origins.contains(&from) {
                        origins.push(from);
                    }
                    spare.cas.entry((from, to)).or_default().push(number);
                }
                Action::Cas { .. } | Action::Read | Action::Do(..) => {}
            }
        }
        spare
    }
}

impl<'a> Proposal<'a> {
    fn new(items: &'a [Item], initial: Value) -> Self {
        Self {
            items,
            order: Vec::with_capacity(items.len()),
            value: initial,
            spare: Spare::of(items),
        }
    }

    /// Appends an item, after updates of unknown outcome if it needs some; whether it fits. What
    /// began after `deadline` came later.
    fn add(&mut self, number: usize, deadline: u64) -> bool {
        let item = &self.items[number];
        let mut next = Register::after(self.value, &item.call);
        let needs = item.looks_for().filter(|_| next.is_none());
        if needs.is_some_and(|value| self.supply(value, deadline, CHAIN)) {
            next = Register::after(self.value, &item.call);
        }
        if let Some(value) = next {
            self.value = value;
            self.order.push(number);
        }
        next.is_some()
    }

    /// Puts updates of unknown outcome into the order so that the register holds `value`: a CAS
    /// that fits, else a write, else a chain of CASes.
    fn supply(&mut self, value: Value, deadline: u64, depth: usize) -> bool {
        let items = self.items;
        let take = |kind: Option<&mut Vec<usize>>| {
            kind.and_then(|kind| kind.pop_if(|number| items[*number].invoked <= deadline))
        };
        let step = (self.value, value);
        let mut found = take(self.spare.cas.get_mut(&step));
        found = found.or_else(|| take(self.spare.writes.get_mut(&value)));
        if found.is_none() && depth > 0 {
            for from in self.spare.origins.get(&value).cloned().unwrap_or_default() {
                let all = self.spare.cas.get(&(from, value));
                let last = all.and_then(|all| all.last().copied());
                let is_due = last.is_some_and(|number| items[number].invoked <= deadline);
                if is_due && self.supply(from, deadline, depth - 1) {
                    found = self.spare.cas.get_mut(&(from, value)).and_then(Vec::pop);
                    break;
                }
            }
        }
        if let Some(number) = found {
            self.order.push(number);
            self.value = value;
        }
        found.is_some()
    }

    /// Whether nothing stands behind an item that began after it had returned.
    fn keeps_real_time(&self) -> bool {
        let mut begun = 0;
        self.order.iter().all(|number| {
            let item = &self.items[*number];
            begun = item.invoked.max(begun);
            item.returned == NEVER || begun <= item.returned
        })
    }
}

/// How many CASes of unknown outcome in a row may lead to a value.
const CHAIN: usize = 4;

/// From so many values CASes of unknown outcome are tried as a chain: more would cost too much.
const ORIGINS: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::oracle::{Shape, cases, draw_versioned, has_order, shape, steps};
    use super::super::zones::{self, Answer};
    use super::*;
    use crate::check::testing::ok;
    use crate::history::{Operation, Outcome};
    use crate::seed::Seed;

    fn judge(operations: &[Operation]) -> bool {
        let indices: Vec<u32> = (0..operations.len() as u32).collect();
        explain(&KeyHistory {
            operations,
            indices: &indices,
            initial: Value::NIL,
        })
    }

    fn versioned(mut operation: Operation, version: i64) -> Operation {
        operation.version = Some(version);
        operation
    }

    fn write(value: i64, from: u64, to: u64, version: i64) -> Operation {
        versioned(ok(Action::Write(Value(value)), from, to, None), version)
    }

    fn read(value: i64, from: u64, to: u64, version: i64) -> Operation {
        versioned(ok(Action::Read, from, to, Some(Value(value))), version)
    }

    #[test]
    fn versions_tell_apart_values_that_repeat() {
        let mut operations = vec![
            write(1, 0, 9, 3),
            write(2, 0, 9, 2),
            write(1, 0, 9, 1),
            read(1, 10, 11, 3),
            ok(Action::Read, 0, 1, Some(Value::NIL)),
        ];
        assert!(judge(&operations));
        // The versions say that the read is stale: no order is proposed, though one exists.
        operations[3].version = Some(1);
        assert!(!judge(&operations));
    }

    #[test]
    fn updates_of_unknown_outcome_are_put_where_they_are_needed() {
        let info = |action| Operation {
            outcome: Outcome::Info,
            ..ok(action, 0, 1, None)
        };
        let cas = Action::Cas {
            from: Value(7),
            to: Value(1),
        };
        let operations = [
            info(Action::Write(Value(9))),
            info(cas),
            info(Action::Write(Value(7))),
            write(1, 0, 9, 1),
            write(2, 10, 11, 2),
            read(1, 20, 21, 4),
        ];
        assert!(judge(&operations));
    }

    #[test]
    fn one_update_without_a_version_leaves_it_open() {
        let plain = ok(Action::Write(Value(1)), 0, 1, None);
        assert!(!judge(&[plain, write(2, 3, 4, 2), read(2, 5, 6, 2)]));
    }

    #[test]
    fn the_order_of_versions_agrees_with_brute_force() {
        let mut random = Seed(0x7e5).stream("versions");
        let (mut legal, mut proved, mut refused) = (0, 0, 0);
        for case in 0..cases() / 2 {
            let shape = Shape {
                values: Some(1 + random.below(4)),
                ..shape(&mut random)
            };
            let (mut operations, is_true) = draw_versioned(&mut random, shape);
            let is_spoiled = random.below(2) == 0;
            if is_spoiled {
                let at = random.index(operations.len());
                operations[at].version = Some(random.below(6) as i64);
            }
            let truth = has_order(&steps(&operations), Value::NIL);
            let found = judge(&operations);
            let context = || format!("case {case}: {operations:#?}");
            assert!(
                truth || !found,
                "versions order what has none, {}",
                context()
            );
            // Of what the register did, true versions miss only what hides values or outcomes.
            let hides = |o: &Operation| {
                o.outcome == Outcome::Info
                    || (o.outcome == Outcome::Fail && o.action.is_update() && o.seen.is_none())
            };
            if is_true && !is_spoiled && !operations.iter().any(hides) {
                assert!(found, "true versions are refused, {}", context());
            }
            legal += u64::from(truth);
            proved += u64::from(found);
            refused += u64::from(!found);
        }
        for (count, what) in [(legal, "legal"), (proved, "proved"), (refused, "refused")] {
            assert!(count * 10 > cases(), "only {count} histories are {what}");
        }
    }

    #[test]
    fn true_versions_decide_large_histories_that_zones_leave_open() {
        let mut random = Seed(0x7e6).stream("versions");
        let (mut open, mut proved) = (0, 0);
        for _ in 0..200 {
            let operations = 2_000;
            let shape = Shape {
                operations,
                values: Some(9),
                has_blind: false,
                horizon: operations as u64,
                longest: 40,
            };
            let (operations, is_true) = draw_versioned(&mut random, shape);
            let indices: Vec<u32> = (0..operations.len() as u32).collect();
            let key = KeyHistory {
                operations: &operations,
                indices: &indices,
                initial: Value::NIL,
            };
            if is_true && matches!(zones::judge(&key), Answer::Undecided(_)) {
                open += 1;
                proved += usize::from(explain(&key));
            }
        }
        assert!(open > 50 && proved * 100 >= open * 99, "{proved} of {open}");
    }
}
