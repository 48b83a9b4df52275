//! The search for the longest order of a few operations: depth first, each set of operations with
//! each state once.
//!
//! *Path*: an order under construction. Invariant: the search is deterministic and takes at most the
//! steps that it is given.

use crate::history::{FixedMap, Operation, Outcome, Values};
use crate::model::{Call, Model};

/// An operation with what the order has to account for.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) index: usize,
    pub(super) operation: &'a Operation,
    pub(super) call: Call,
}

/// One operation as the search sees it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) index: usize,
    pub(super) call: Call,
    /// Nobody knows whether it took effect.
    is_optional: bool,
    /// The operations that had returned before it began.
    after: Set,
}

/// The operations that say something, in the order of invocation.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) all: Vec<Step>,
    /// Which of them certainly took effect.
    certain: Set,
    /// When they returned.
    returned: Vec<u64>,
}

/// Which operations, one bit each.
type Set = [u64; 4];

const fn has(set: &Set, at: usize) -> bool {
    set[at / 64] & (1 << (at % 64)) != 0
}

const fn put(set: &mut Set, at: usize) {
    set[at / 64] |= 1 << (at % 64);
}

fn holds(set: &Set, part: &Set) -> bool {
    set.iter().zip(part).all(|(set, part)| part & !set == 0)
}

impl Steps {
    /// `None` if they are too many to be explained to anybody.
    pub(super) fn of(mut told: Vec<Told<'_>>) -> Option<Self> {
        if told.len() > Set::default().len() * 64 {
            return None;
        }
        told.sort_by_key(|told| (told.operation.invoked, told.index));
        let mut steps = Self {
            all: Vec::new(),
            certain: Set::default(),
            returned: Vec::new(),
        };
        for (at, one) in told.iter().enumerate() {
            let operation = one.operation;
            let is_optional = operation.outcome == Outcome::Info;
            let mut after = Set::default();
            for (other, before) in told.iter().enumerate() {
                let before = before.operation;
                let is_before = before.completed < operation.invoked;
                if is_before && before.outcome != Outcome::Info {
                    put(&mut after, other);
                }
            }
            if !is_optional {
                put(&mut steps.certain, at);
            }
            steps.returned.push(operation.completed.0);
            steps.all.push(Step {
                index: one.index,
                call: one.call,
                is_optional,
                after,
            });
        }
        Some(steps)
    }

    /// How many certainly took effect.
    pub(super) fn certain(&self) -> usize {
        self.certain
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Which may come next after those of `done`.
    fn ready(&self, done: &Set) -> impl Iterator<Item = usize> {
        let done = *done;
        let all = self.all.iter().enumerate();
        all.filter(move |(at, step)| !has(&done, *at) && holds(&done, &step.after))
            .map(|(at, _)| at)
    }

    /// The one that has to come next: of those whose turn it is the first to return.
    pub(super) fn next(&self, path: &Path) -> Option<usize> {
        self.ready(&path.done)
            .filter(|at| !self.all[*at].is_optional)
            .min_by_key(|at| (self.returned[*at], *at))
    }
}

/// An order under construction.
#[derive(Debug, Clone, Default)]
pub(super) struct Path {
    pub(super) order: Vec<usize>,
    done: Set,
    pub(super) certain: usize,
}

impl Path {
    /// More operations that certainly happened are better; then fewer of the others.
    pub(super) fn rank(&self) -> (usize, usize) {
        (self.certain, usize::MAX - self.order.len())
    }
}

/// Goes through the orders, depth first, each set with each state once.
pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    values: &'a Values,
    steps: &'a Steps,
    seen: FixedMap<(Set, M::State), ()>,
    pub(super) best: Path,
    pub(super) left: u32,
}

impl<'a, M: Model> Search<'a, M> {
    pub(super) fn new(model: &'a M, values: &'a Values, steps: &'a Steps, left: u32) -> Self {
        Self {
            model,
            values,
            steps,
            seen: FixedMap::default(),
            best: Path::default(),
            left,
        }
    }

    /// Goes on from `path` in `state` and keeps the best order in [`Self::best`].
    pub(super) fn extend(&mut self, path: &mut Path, state: &M::State) {
        if path.rank() > self.best.rank() {
            self.best = path.clone();
        }
        // What is remembered of a large state costs as well.
        let bytes = self.model.bytes(state) / 1024;
        let cost = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(1);
        self.left = self.left.saturating_sub(cost);
        let is_new = self.seen.insert((path.done, state.clone()), ()).is_none();
        if self.left == 0 || !is_new || self.best.certain == self.steps.certain() {
            return;
        }
        let mut others = Vec::new();
        for at in self.steps.ready(&path.done) {
            let step = &self.steps.all[at];
            let Some(after) = self.model.step(state, &step.call, self.values) else {
                continue;
            };
            if self.model.observes(&step.call) && !step.is_optional {
                // It fits and changes nothing: to take it at once is never worse.
                others = vec![(at, after)];
                break;
            }
            if after != *state || !step.is_optional {
                others.push((at, after));
            }
        }
        // What certainly happened is tried first.
        others.sort_by_key(|(at, _)| (self.steps.all[*at].is_optional, *at));
        for (at, after) in others {
            let before = path.clone();
            path.order.push(at);
            put(&mut path.done, at);
            path.certain += usize::from(!self.steps.all[at].is_optional);
            self.extend(path, &after);
            *path = before;
        }
    }
}
