//! The search: linearizability of one register when zones cannot tell.
//!
//! Just-in-time linearization after Wing & Gong (1993) and Lowe ("Testing for linearizability",
//! 2017), breadth first over the returns in the order of time.
//!
//! *Configuration*: the register's value, and which of the pending operations have taken effect.
//! *Pending*: invoked and not yet returned; only these have a slot, so a configuration stays small
//! however long the history is. An operation takes effect only when some return needs it.
//!
//! What keeps the frontier small, all without losing an order:
//! - An operation that changes nothing takes effect as soon as it fits.
//! - Values that nobody will see any more are one value ([`Items::dead`]).
//! - Of equal pending updates the one that returns first takes effect first.
//! - Of two configurations that differ in operations of unknown outcome only, the one in which
//!   fewer have taken effect can do all that the other can.
//! - A write whose value nobody will see can hide just before any other write (unless a failed CAS
//!   hides what it saw: then changing the value may itself be of use).

use std::fmt;

use super::{Budget, KeyHistory, NEVER, tick};
use crate::history::{Action, FixedMap, FixedSet, Outcome, Value};
use crate::model::{Call, Model, Register};

/// How many operations can be pending at once: the bits of a configuration.
const SLOTS: usize = 128;

/// How many steps pass between two questions whether time is over.
const ASK_EVERY: u64 = 4096;

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

/// Which limit ended the search, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    what: What,
    /// Returns explained so far.
    done: usize,
    /// Returns in all.
    of: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Steps(u64),
    Configurations(usize),
    Time,
    Pending,
}

/// An operation as the search sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    /// Its index in the history.
    pub(super) index: u32,
    pub(super) call: Call,
    pub(super) invoked: u64,
    /// Until when it may take effect.
    pub(super) returned: u64,
    /// It need not take effect: nobody knows whether it did, or it may have before the first item.
    pub(super) is_optional: bool,
}

/// A problem for the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Items {
    pub(super) all: Vec<Item>,
    /// The values that the register may hold at the start.
    pub(super) initial: Vec<Value>,
    /// A value that nobody writes or sees: stands for all values that nobody will see any more.
    pub(super) dead: Value,
}

/// Searches an order of the operations of `key`.
pub(super) fn search(key: &KeyHistory<'_>, budget: &Budget<'_>) -> Found {
    let items = Items::of(key);
    let mut steps = budget.steps;
    match run(&items, budget, &mut steps) {
        Ok(None) => Found::Order,
        Ok(Some(at)) => Found::Stuck(Stuck { items, at }),
        Err(limit) => Found::GaveUp(limit),
    }
}

/// The item whose return nothing explains, if there is one; takes what it used from `steps`.
pub(super) fn run(
    items: &Items,
    budget: &Budget<'_>,
    steps: &mut u64,
) -> Result<Option<usize>, Limit> {
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(items.all.len() * 2);
    for (number, item) in items.all.iter().enumerate() {
        events.push((item.invoked, false, number));
        if item.returned != NEVER {
            events.push((item.returned, true, number));
        }
    }
    // At equal times invocations come first: such operations are concurrent.
    events.sort_unstable();
    let mut frontier = Frontier::new(items, budget, *steps);
    let of = items
        .all
        .iter()
        .filter(|item| item.returned != NEVER)
        .count();
    let mut done = 0;
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
            Ok(false) => return Ok(Some(number)),
            Err(what) => {
                let what = match what {
                    What::Steps(_) => What::Steps(budget.steps),
                    What::Configurations(_) | What::Time | What::Pending => what,
                };
                return Err(Limit { what, done, of });
            }
        }
    }
    Ok(None)
}

impl Items {
    /// Those operations of a key that say something.
    fn of(key: &KeyHistory<'_>) -> Self {
        let mut items = Self {
            all: Vec::with_capacity(key.indices.len()),
            initial: vec![key.initial],
            dead: Value::NIL,
        };
        for (index, operation) in key.iter() {
            let call = Call::from(operation);
            let says_nothing = match (call.action, call.outcome) {
                (Action::Read, _) => call.outcome != Outcome::Ok || call.seen.is_none(),
                (Action::Write(_), outcome) => outcome == Outcome::Fail,
                (Action::Cas { .. }, _) => false,
            };
            if says_nothing {
                continue;
            }
            let returned = match call.outcome {
                Outcome::Ok | Outcome::Fail => tick(operation.completed),
                Outcome::Info => NEVER,
            };
            items.all.push(Item {
                index,
                call,
                invoked: tick(operation.invoked),
                returned,
                is_optional: returned == NEVER,
            });
        }
        let last_seen = items.last_seen();
        if !items.has_blind() {
            // Nobody sees its value, so it need not have happened.
            items.all.retain(|item| {
                item.returned != NEVER || item.written().is_none_or(|v| last_seen.contains_key(&v))
            });
        }
        items.dead = items.unused_value();
        items
    }

    /// A value that no item names; with `initial` such a value too it would be equally dead.
    fn unused_value(&self) -> Value {
        let mut used: Vec<Value> = self.initial.clone();
        for item in &self.all {
            used.extend(item.written().into_iter().chain(item.looks_for()));
        }
        used.sort_unstable();
        let mut unused = i64::MIN + 1;
        for value in used {
            unused += i64::from(value.0 == unused);
        }
        Value(unused)
    }

    /// Until when each value may still be seen.
    fn last_seen(&self) -> FixedMap<Value, u64> {
        let mut last_seen = FixedMap::default();
        for item in &self.all {
            if let Some(value) = item.looks_for() {
                let last = last_seen.entry(value).or_insert(0);
                *last = item.returned.max(*last);
            }
        }
        last_seen
    }

    /// Whether a failed CAS hides what it saw.
    pub(super) fn has_blind(&self) -> bool {
        self.all.iter().any(Item::is_blind)
    }
}

impl Item {
    /// The value that it puts there.
    pub(super) fn written(&self) -> Option<Value> {
        match self.call.action {
            Action::Write(to) => Some(to),
            Action::Cas { to, .. } if self.call.outcome != Outcome::Fail => Some(to),
            Action::Read | Action::Cas { .. } => None,
        }
    }

    /// The value on which it depends.
    pub(super) fn looks_for(&self) -> Option<Value> {
        match self.call.action {
            Action::Read => self.call.seen,
            Action::Write(_) => None,
            Action::Cas { from, .. } => Some(self.call.seen.unwrap_or(from)),
        }
    }

    /// Whether it is a failed CAS that hides what it saw.
    pub(super) fn is_blind(&self) -> bool {
        let is_failed = self.call.outcome == Outcome::Fail;
        is_failed && self.call.seen.is_none() && matches!(self.call.action, Action::Cas { .. })
    }
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
    fn new(items: &'a Items, budget: &'a Budget<'a>, steps: u64) -> Self {
        let start = |value: &Value| Configuration {
            value: *value,
            taken: 0,
        };
        Self {
            items,
            budget,
            steps,
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
            return Err(What::Pending);
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
        let mut work: Vec<Configuration> = Vec::new();
        for configuration in before {
            let configuration = self.bury(configuration, time);
            if configuration.taken & bit != 0 {
                after.insert(configuration.without(bit));
            } else if seen.insert(configuration) {
                work.push(configuration);
                if is_optional {
                    after.insert(configuration);
                }
            }
        }
        let turns = self.turns();
        let hidden = self.hidden(time);
        while let Some(configuration) = work.pop() {
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
                if next.taken & bit != 0 {
                    after.insert(next.without(bit));
                } else if seen.insert(next) {
                    work.push(next);
                }
            }
        }
        self.free(bit);
        self.configurations = after.into_iter().collect();
        self.drop_dominated();
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
        let value = Register::default().step(from.value, &item.call)?;
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
                Action::Read | Action::Cas { .. } => false,
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
    Register::default().step(value, &item.call).is_some()
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

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Steps(steps) => write!(f, "the search gave up after {steps} steps")?,
            What::Configurations(held) => {
                write!(f, "the search gave up holding {held} configurations")?;
            }
            What::Time => f.write_str("the time for the search was over")?,
            What::Pending => write!(f, "more than {SLOTS} operations were pending at once")?,
        }
        write!(
            f,
            ", with {} of {} operations explained",
            self.done, self.of
        )
    }
}
