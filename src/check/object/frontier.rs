//! The frontier: just-in-time linearization of any model, breadth first over the returns in the
//! order of time (Lowe, "Testing for linearizability", 2017).
//!
//! *Configuration*: the object's state, and which of the pending operations have taken effect.
//! The words and the ideas are those of the search for registers; what is special about registers
//! (values that nobody sees any more) is not here. States are kept once and known by a number.

use std::collections::VecDeque;
use std::hash::Hash;

use super::problem::{Item, Problem};
use crate::check::linearizable::{Budget, Limit, What};
use crate::history::{FixedMap, FixedSet};
use crate::model::Model;

/// How many operations can be pending at once: the bits of a configuration.
const SLOTS: usize = 128;

/// How many steps pass between two questions whether time is over.
pub(super) const ASK_EVERY: u64 = 4096;

/// Groups larger than this are not searched for dominated configurations: it costs the square.
const DOMINANCE: usize = 64;

/// About how many bytes a configuration takes: the unit of [`Budget::configurations`].
pub(super) const CONFIGURATION_BYTES: usize = 100;

/// States beyond this many are looked through for those that nobody needs any more.
const STATES_MIN: usize = 1024;

/// How far one search came.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The item whose return no remaining configuration explains.
    pub(super) stuck: Option<usize>,
    /// No configuration was left out.
    pub(super) is_exact: bool,
}

/// One search that keeps at most `width` configurations; takes what it used from `steps`.
pub(super) fn sweep<M: Model>(
    problem: &Problem<'_, M>,
    budget: &Budget<'_>,
    steps: &mut u64,
    width: usize,
) -> Result<Sweep, Limit> {
    let mut frontier = Frontier::new(problem, budget, *steps, width);
    let of = problem.returns();
    let mut done = 0;
    let mut stuck = None;
    for instant in problem.instants() {
        let result = if instant.is_return {
            done += 1;
            frontier.finish(instant.number)
        } else {
            frontier.begin(instant.number).map(|()| true)
        };
        *steps = frontier.steps;
        match result {
            Ok(true) => {}
            Ok(false) => {
                stuck = Some(instant.number);
                break;
            }
            Err(what) => return Err(Limit { what, done, of }),
        }
    }
    Ok(Sweep {
        stuck,
        is_exact: frontier.is_exact,
    })
}

/// One way in which things can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Configuration {
    /// The number of the state.
    state: u32,
    /// Slots of pending operations that have taken effect.
    taken: u128,
}

/// States and their numbers.
#[derive(Debug)]
struct States<S> {
    all: Vec<S>,
    numbers: FixedMap<S, u32>,
    bytes: usize,
}

/// All ways in which things can stand after the instants so far.
struct Frontier<'a, M: Model> {
    problem: &'a Problem<'a, M>,
    budget: &'a Budget<'a>,
    steps: u64,
    width: usize,
    is_exact: bool,
    states: States<M::State>,
    configurations: Vec<Configuration>,
    /// The item in each slot.
    slots: [Option<usize>; SLOTS],
    /// Slots in use.
    pending: u128,
    /// Those of operations that can change the state.
    updates: u128,
    /// Those of updates that may never happen.
    open: u128,
}

impl<'a, M: Model> Frontier<'a, M> {
    fn new(problem: &'a Problem<'a, M>, budget: &'a Budget<'a>, steps: u64, width: usize) -> Self {
        let mut states = States::default();
        let state = states.number(problem.model, problem.model.init());
        Self {
            problem,
            budget,
            steps,
            width,
            is_exact: true,
            states,
            configurations: vec![Configuration { state, taken: 0 }],
            slots: [None; SLOTS],
            pending: 0,
            updates: 0,
            open: 0,
        }
    }

    /// An operation is invoked.
    fn begin(&mut self, number: usize) -> Result<(), What> {
        let slot = (!self.pending).trailing_zeros() as usize;
        if slot == SLOTS {
            return Err(What::Pending(SLOTS));
        }
        let bit = 1_u128 << slot;
        let item = &self.problem.items[number];
        self.slots[slot] = Some(number);
        self.pending |= bit;
        if !item.observes {
            self.updates |= bit;
            if item.is_optional() {
                self.open |= bit;
            }
            return Ok(());
        }
        for at in 0..self.configurations.len() {
            if self.fits(self.configurations[at].state, item) {
                self.configurations[at].taken |= bit;
            }
        }
        Ok(())
    }

    /// An operation returns: only configurations in which it has taken effect remain.
    fn finish(&mut self, number: usize) -> Result<bool, What> {
        let slot = (self.slots.iter())
            .position(|slot| *slot == Some(number))
            .expect("an operation is invoked before it returns");
        let bit = 1_u128 << slot;
        let before = std::mem::take(&mut self.configurations);
        let mut after: FixedSet<Configuration> = FixedSet::default();
        let mut seen: FixedSet<Configuration> = FixedSet::default();
        // First in, first out: what takes the fewest updates is found first.
        let mut work: VecDeque<Configuration> = VecDeque::new();
        for configuration in before {
            if configuration.taken & bit != 0 {
                after.insert(configuration.without(bit));
            } else if seen.insert(configuration) {
                work.push_back(configuration);
            }
        }
        let turns = self.turns();
        while let Some(configuration) = work.pop_front() {
            if after.len() >= self.width {
                self.is_exact = false;
                break;
            }
            for candidate in bits(self.updates & !configuration.taken) {
                if turns[candidate] & !configuration.taken != 0 {
                    continue;
                }
                self.pay(after.len() + seen.len())?;
                let Some(next) = self.take(configuration, candidate) else {
                    continue;
                };
                if next.taken & bit != 0 {
                    after.insert(next.without(bit));
                } else if seen.insert(next) {
                    work.push_back(next);
                }
            }
        }
        self.free(bit);
        self.configurations = after.into_iter().collect();
        self.drop_dominated();
        self.narrow();
        self.forget_states();
        Ok(!self.configurations.is_empty())
    }

    /// The configuration after the update in `slot` takes effect, and every pending observation
    /// that then fits.
    fn take(&mut self, from: Configuration, slot: usize) -> Option<Configuration> {
        let problem = self.problem;
        let state = &self.states.all[from.state as usize];
        let state = (problem.model).step(state, &self.item(slot).call, problem.values)?;
        let mut next = Configuration {
            state: self.states.number(problem.model, state),
            taken: from.taken | (1_u128 << slot),
        };
        for observer in bits(self.pending & !self.updates & !next.taken) {
            if self.fits(next.state, self.item(observer)) {
                next.taken |= 1_u128 << observer;
            }
        }
        Some(next)
    }

    /// For each slot the slots of equal updates that return earlier: they take effect first.
    fn turns(&self) -> [u128; SLOTS] {
        let mut turns = [0; SLOTS];
        let is_personal = self.problem.model.is_personal();
        for slot in bits(self.updates) {
            let item = self.item(slot);
            for other in bits(self.updates) {
                let earlier = self.item(other);
                let is_equal = earlier.call.action == item.call.action
                    && earlier.call.seen == item.call.seen
                    && (!is_personal || earlier.call.process == item.call.process);
                // The order of their returns among the instants.
                let order =
                    (earlier.returned, self.slots[other]).cmp(&(item.returned, self.slots[slot]));
                if is_equal && order.is_lt() {
                    turns[slot] |= 1_u128 << other;
                }
            }
        }
        turns
    }

    fn free(&mut self, bit: u128) {
        for slot in bits(bit) {
            self.slots[slot] = None;
        }
        self.pending &= !bit;
        self.updates &= !bit;
        self.open &= !bit;
    }

    /// Keeps of configurations that differ in open operations only those with the fewest taken.
    fn drop_dominated(&mut self) {
        let open = self.open;
        let rest = |c: &Configuration| (c.state, c.taken & !open);
        // Sorted in any case: the order of a hash table must not decide what is tried first.
        (self.configurations)
            .sort_unstable_by_key(|c| (rest(c), (c.taken & open).count_ones(), c.taken));
        if open == 0 {
            return;
        }
        let mut kept: Vec<Configuration> = Vec::with_capacity(self.configurations.len());
        let mut group = 0;
        for configuration in &self.configurations {
            if kept
                .get(group)
                .is_none_or(|first| rest(first) != rest(configuration))
            {
                group = kept.len();
            }
            let rivals = kept[group..].iter().take(DOMINANCE);
            let mut rivals = rivals.map(|rival| rival.taken & open);
            if !rivals.any(|rival| rival & !configuration.taken == 0) {
                kept.push(*configuration);
            }
        }
        self.configurations = kept;
    }

    /// Leaves out the configurations in which most has been taken, if there are too many.
    fn narrow(&mut self) {
        if self.configurations.len() > self.width {
            self.is_exact = false;
            // A stable sort: the order before does not depend on chance either.
            self.configurations.sort_by_key(|c| c.taken.count_ones());
            self.configurations.truncate(self.width);
        }
    }

    /// Keeps only the states of configurations.
    fn forget_states(&mut self) {
        if self.states.all.len() <= STATES_MIN + 2 * self.configurations.len() {
            return;
        }
        let mut kept = States::default();
        for configuration in &mut self.configurations {
            let state = self.states.all[configuration.state as usize].clone();
            configuration.state = kept.number(self.problem.model, state);
        }
        self.states = kept;
    }

    fn pay(&mut self, held: usize) -> Result<(), What> {
        if self.steps == 0 {
            return Err(What::Steps(self.budget.steps));
        }
        self.steps -= 1;
        let held = held + self.states.bytes / CONFIGURATION_BYTES;
        if held > self.budget.configurations {
            return Err(What::Configurations(held));
        }
        if self.steps.is_multiple_of(ASK_EVERY) && (self.budget.is_over)() {
            return Err(What::Time);
        }
        Ok(())
    }

    /// Whether an observation could have been made in that state.
    fn fits(&self, state: u32, item: &Item) -> bool {
        let state = &self.states.all[state as usize];
        let after = (self.problem.model).step(state, &item.call, self.problem.values);
        debug_assert!(
            after.as_ref().is_none_or(|after| after == state),
            "an observation leaves the state as it is"
        );
        after.is_some()
    }

    fn item(&self, slot: usize) -> &'a Item {
        let number = self.slots[slot].expect("only slots in use are asked for");
        &self.problem.items[number]
    }
}

impl<S> Default for States<S> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            numbers: FixedMap::default(),
            bytes: 0,
        }
    }
}

impl<S: Clone + Eq + Hash> States<S> {
    fn number<M: Model<State = S>>(&mut self, model: &M, state: S) -> u32 {
        let next = u32::try_from(self.all.len()).expect("the budget ends the search before");
        match self.numbers.entry(state) {
            std::collections::hash_map::Entry::Occupied(known) => *known.get(),
            std::collections::hash_map::Entry::Vacant(new) => {
                self.bytes += CONFIGURATION_BYTES + model.bytes(new.key());
                self.all.push(new.key().clone());
                *new.insert(next)
            }
        }
    }
}

impl Configuration {
    const fn without(self, bit: u128) -> Self {
        Self {
            taken: self.taken & !bit,
            ..self
        }
    }
}

fn bits(mut set: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = set.trailing_zeros() as usize;
        (set != 0).then(|| {
            set &= set - 1;
            lowest
        })
    })
}
