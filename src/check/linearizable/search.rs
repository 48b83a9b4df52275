//! The search: linearizability of one register when zones cannot tell.
//!
//! Just-in-time linearization after Wing & Gong (1993) and Lowe ("Testing for linearizability",
//! 2017), breadth first over the returns in the order of time.
//!
//! *Configuration*: the register's value, and which of the pending operations have taken effect.
//! *Pending*: invoked and not yet returned; only these have a slot, so a configuration stays small
//! however long the history is. An operation takes effect only when some return needs it.
//!
//! The frontier is first kept *narrow*: of too many configurations those with the fewest updates
//! taken remain, and none that [`Ahead`] shows to be lost. A narrow search that gets through has found an order; one that gets stuck without
//! having left any out has shown that there is none; otherwise a wider one follows.
//!
//! What keeps the frontier small, all without losing an order:
//! - An operation that changes nothing takes effect as soon as it fits.
//! - Values that nobody will see any more are one value ([`Items::dead`]).
//! - Of equal pending updates the one that returns first takes effect first.
//! - Of two configurations that differ in operations of unknown outcome only, the one in which
//!   fewer have taken effect can do all that the other can.
//! - A write whose value nobody will see can hide just before any other write (unless a failed CAS
//!   hides what it saw: then changing the value may itself be of use).

use std::collections::VecDeque;

use super::ahead::Ahead;
use super::items::{Item, Items};
use super::limit::{Limit, What};
use super::{Budget, KeyHistory, NEVER};
use crate::check::object::{Depth, Problem, Slice};
use crate::history::{Action, FixedMap, FixedSet, Value, Values};
use crate::model::Register;

/// How many operations can be pending at once: the bits of a configuration.
const SLOTS: usize = 128;

/// How many steps pass between two questions whether time is over.
const ASK_EVERY: u64 = 4096;

/// How many configurations the searches keep, one after the other.
const WIDTHS: [usize; 3] = [128, 4096, usize::MAX];

/// How many steps for each operation the first turn of the search in depth may take: it is either
/// done by then, or lost in an early wrong choice.
const SLICE: u64 = 128;

/// By how much its turns grow.
const GROWTH: u64 = 8;

/// Groups larger than this are not searched for dominated configurations: it costs the square.
const DOMINANCE: usize = 64;

/// What the search found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An order exists.
    Order,
    /// No order exists.
    Stuck(Stuck),
    /// A limit was reached first.
    GaveUp(Limit),
}

/// Where no configuration was left.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    /// The operations that mattered.
    pub(super) items: Items,
    /// The one whose return nothing explains, as an index into `items`.
    pub(super) at: usize,
}

/// Searches an order of the operations of `key`: breadth first and depth first in turns, because
/// each loses on some histories.
pub(super) fn search(key: &KeyHistory<'_>, budget: &Budget<'_>) -> Found {
    let items = Items::of(key);
    let register = Register {
        initial: key.initial,
    };
    // Registers hold values as they are, whatever they stand for.
    let values = Values::default();
    let problem = Problem::of(&register, &values, key);
    let mut depth = Depth::new(&problem, budget);
    let mut steps = budget.steps;
    let mut slice = SLICE * problem.items.len() as u64;
    for width in WIDTHS {
        // What it shows to have no order is left to the other search, which knows where to look.
        if depth.run(slice, &mut steps) == Slice::Order {
            return Found::Order;
        }
        slice *= GROWTH;
        match sweep(&items, budget, &mut steps, width) {
            Ok(Sweep { stuck: None, .. }) => return Found::Order,
            Ok(Sweep {
                stuck: Some(at),
                is_exact: true,
            }) => return Found::Stuck(Stuck { items, at }),
            Ok(_) => {}
            Err(limit) => return Found::GaveUp(limit),
        }
    }
    unreachable!("a search of unlimited width leaves nothing out");
}

/// The item whose return nothing explains, if there is one; takes what it used from `steps`.
pub(super) fn run(
    items: &Items,
    budget: &Budget<'_>,
    steps: &mut u64,
) -> Result<Option<usize>, Limit> {
    sweep(items, budget, steps, usize::MAX).map(|sweep| sweep.stuck)
}

/// How far one search came.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The item whose return no remaining configuration explains.
    pub(super) stuck: Option<usize>,
    /// No configuration was left out.
    pub(super) is_exact: bool,
}

/// One search that keeps at most `width` configurations.
pub(super) fn sweep(
    items: &Items,
    budget: &Budget<'_>,
    steps: &mut u64,
    width: usize,
) -> Result<Sweep, Limit> {
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(items.all.len() * 2);
    for (number, item) in items.all.iter().enumerate() {
        events.push((item.invoked, false, number));
        if item.returned != NEVER {
            events.push((item.returned, true, number));
        }
    }
    // At equal times invocations come first: such operations are concurrent.
    events.sort_unstable();
    let mut frontier = Frontier::new(items, budget, *steps, width);
    let of = events.len() - items.all.len();
    let mut done = 0;
    let mut stuck = None;
    for (time, is_return, number) in events {
        let result = if is_return {
            done += 1;
            frontier.finish(number, time)
        } else {
            frontier.begin(number, time)
        };
        *steps = frontier.steps;
        match result {
            Ok(true) => {}
            Ok(false) => {
                stuck = Some(number);
                break;
            }
            Err(what) => {
                let what = match what {
                    What::Steps(_) => What::Steps(budget.steps),
                    What::Configurations(_) | What::Time | What::Pending(_) => what,
                };
                return Err(Limit { what, done, of });
            }
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
    value: Value,
    /// Slots of pending operations that have taken effect.
    taken: u128,
}

/// All ways in which things can stand after the events so far.
struct Frontier<'a> {
    items: &'a Items,
    budget: &'a Budget<'a>,
    steps: u64,
    width: usize,
    /// No configuration was left out.
    is_exact: bool,
    /// For narrow searches only: a wide one must get stuck where no order is left, not before.
    ahead: Option<Ahead>,
    last_seen: FixedMap<Value, u64>,
    hides_allowed: bool,
    configurations: Vec<Configuration>,
    /// The item in each slot.
    slots: [Option<usize>; SLOTS],
    /// Slots in use.
    pending: u128,
    /// Those of updates.
    updates: u128,
    /// Those of updates that may never happen.
    open: u128,
}

impl<'a> Frontier<'a> {
    fn new(items: &'a Items, budget: &'a Budget<'a>, steps: u64, width: usize) -> Self {
        let start = |value: &Value| Configuration {
            value: *value,
            taken: 0,
        };
        Self {
            items,
            budget,
            steps,
            width,
            is_exact: true,
            ahead: (width < usize::MAX).then(|| Ahead::of(items)),
            last_seen: items.last_seen(),
            hides_allowed: !items.has_blind(),
            configurations: items.initial.iter().map(start).collect(),
            slots: [None; SLOTS],
            pending: 0,
            updates: 0,
            open: 0,
        }
    }

    /// An operation is invoked.
    fn begin(&mut self, number: usize, time: u64) -> Result<bool, What> {
        if self.pending == u128::MAX {
            self.retire(time);
        }
        let slot = (!self.pending).trailing_zeros() as usize;
        if slot == SLOTS {
            return Err(What::Pending(SLOTS));
        }
        let bit = 1_u128 << slot;
        self.slots[slot] = Some(number);
        self.pending |= bit;
        let item = &self.items.all[number];
        if item.written().is_some() {
            self.updates |= bit;
            if item.returned == NEVER {
                self.open |= bit;
            }
            return Ok(true);
        }
        for configuration in &mut self.configurations {
            if fits(configuration.value, item) {
                configuration.taken |= bit;
            }
        }
        Ok(true)
    }

    /// An operation returns: only configurations in which it has taken effect remain.
    fn finish(&mut self, number: usize, time: u64) -> Result<bool, What> {
        let slot = (self.slots.iter())
            .position(|slot| *slot == Some(number))
            .expect("an operation is invoked before it returns");
        let bit = 1_u128 << slot;
        let is_optional = self.items.all[number].is_optional;
        let before = std::mem::take(&mut self.configurations);
        let mut after: FixedSet<Configuration> = FixedSet::default();
        let mut seen: FixedSet<Configuration> = FixedSet::default();
        // First in, first out: what takes the fewest updates is found first.
        let mut work: VecDeque<Configuration> = VecDeque::new();
        for configuration in before {
            let configuration = self.bury(configuration, time);
            if configuration.taken & bit != 0 {
                after.insert(configuration.without(bit));
            } else if seen.insert(configuration) {
                work.push_back(configuration);
                if is_optional {
                    after.insert(configuration);
                }
            }
        }
        let turns = self.turns();
        let hidden = self.hidden(time);
        while let Some(configuration) = work.pop_front() {
            if after.len() >= self.width {
                self.is_exact = false;
                break;
            }
            let mut candidates = self.updates & !configuration.taken;
            while candidates != 0 {
                let candidate = candidates.trailing_zeros() as usize;
                candidates &= candidates - 1;
                if turns[candidate] & !configuration.taken != 0 {
                    continue;
                }
                self.pay(after.len() + seen.len())?;
                let Some(next) = self.take(configuration, candidate, hidden, time) else {
                    continue;
                };
                if self.loses(configuration, next, time) {
                    self.is_exact = false;
                    continue;
                }
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
        Ok(!self.configurations.is_empty())
    }

    /// The configuration after the update in `slot` takes effect.
    fn take(
        &self,
        from: Configuration,
        slot: usize,
        hidden: u128,
        time: u64,
    ) -> Option<Configuration> {
        let item = self.item(slot);
        let value = Register::after(from.value, &item.call)?;
        let mut taken = from.taken | (1_u128 << slot);
        if matches!(item.call.action, Action::Write(_)) {
            taken |= hidden;
        }
        let mut next = self.bury(Configuration { value, taken }, time);
        let mut observers = self.pending & !self.updates & !next.taken;
        while observers != 0 {
            let observer = observers.trailing_zeros() as usize;
            observers &= observers - 1;
            if fits(next.value, self.item(observer)) {
                next.taken |= 1_u128 << observer;
            }
        }
        Some(next)
    }

    /// Whether the step replaces a value that somebody must still see and nobody can write in time.
    fn loses(&self, from: Configuration, to: Configuration, time: u64) -> bool {
        let Some(ahead) = self.ahead.as_ref().filter(|_| from.value != to.value) else {
            return false;
        };
        let due_now = bits(self.pending & !to.taken)
            .map(|slot| self.item(slot))
            .filter(|item| item.must_see() == Some(from.value))
            .map(|item| item.returned);
        let Some(due) = due_now.chain(ahead.due(from.value, time)).min() else {
            return false;
        };
        let is_pending = bits(self.updates & !to.taken)
            .any(|slot| self.item(slot).written() == Some(from.value));
        !is_pending && !ahead.is_written(from.value, time, due)
    }

    /// A value that nobody can see at `time` or later is as good as any other such value.
    fn bury(&self, mut configuration: Configuration, time: u64) -> Configuration {
        if !self.is_seen_from(configuration.value, time) {
            configuration.value = self.items.dead;
        }
        configuration
    }

    fn is_seen_from(&self, value: Value, time: u64) -> bool {
        self.last_seen.get(&value).is_some_and(|last| *last >= time)
    }

    /// For each slot the slots of equal updates that return earlier: they take effect first.
    /// Not so an optional one that can take effect for some time only: it may be skipped.
    fn turns(&self) -> [u128; SLOTS] {
        let mut turns = [0; SLOTS];
        for slot in bits(self.updates) {
            let item = self.item(slot);
            for other in bits(self.updates) {
                let earlier = self.item(other);
                let is_lasting = !earlier.is_optional || earlier.returned == NEVER;
                let is_equal = is_lasting && earlier.call.action == item.call.action;
                // The order of their returns among the events.
                let order =
                    (earlier.returned, self.slots[other]).cmp(&(item.returned, self.slots[slot]));
                if is_equal && order.is_lt() {
                    turns[slot] |= 1_u128 << other;
                }
            }
        }
        turns
    }

    /// The plain writes whose values nobody will see.
    fn hidden(&self, time: u64) -> u128 {
        if !self.hides_allowed {
            return 0;
        }
        bits(self.updates)
            .filter(|slot| match self.item(*slot).call.action {
                Action::Write(to) => !self.is_seen_from(to, time),
                Action::Read | Action::Cas { .. } | Action::Do(..) => false,
            })
            .fold(0, |hidden, slot| hidden | (1_u128 << slot))
    }

    /// Frees the slots of updates of unknown outcome whose values nobody will see.
    fn retire(&mut self, time: u64) {
        if !self.hides_allowed {
            return;
        }
        let useless = bits(self.open)
            .filter(|slot| {
                let written = self.item(*slot).written();
                written.is_none_or(|value| !self.is_seen_from(value, time))
            })
            .fold(0, |useless, slot| useless | (1_u128 << slot));
        for configuration in &mut self.configurations {
            configuration.taken &= !useless;
        }
        self.configurations.sort_unstable();
        self.configurations.dedup();
        self.free(useless);
    }

    fn free(&mut self, slots: u128) {
        for slot in bits(slots) {
            self.slots[slot] = None;
        }
        self.pending &= !slots;
        self.updates &= !slots;
        self.open &= !slots;
    }

    /// Keeps of configurations that differ in open operations only those with the fewest taken.
    fn drop_dominated(&mut self) {
        let open = self.open;
        let rest = |c: &Configuration| (c.value, c.taken & !open);
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

    fn pay(&mut self, held: usize) -> Result<(), What> {
        if self.steps == 0 {
            return Err(What::Steps(0));
        }
        self.steps -= 1;
        if held > self.budget.configurations {
            return Err(What::Configurations(held));
        }
        if self.steps.is_multiple_of(ASK_EVERY) && (self.budget.is_over)() {
            return Err(What::Time);
        }
        Ok(())
    }

    fn item(&self, slot: usize) -> &'a Item {
        let number = self.slots[slot].expect("only slots in use are asked for");
        &self.items.all[number]
    }
}

impl Configuration {
    const fn without(self, bit: u128) -> Self {
        Self {
            value: self.value,
            taken: self.taken & !bit,
        }
    }
}

/// Whether an operation that changes nothing could end as it did.
fn fits(value: Value, item: &Item) -> bool {
    Register::after(value, &item.call).is_some()
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
