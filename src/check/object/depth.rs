//! The depth-first search of Wing & Gong ("Testing and verifying concurrent objects", 1993), with
//! Lowe's memory of what was tried.
//!
//! The operations that must have taken effect stand in a list of invocations and returns. What is
//! invoked before the first return in the list may come next; it leaves the list, and the search
//! goes on with the rest, until the list is empty. What leads nowhere is put back.
//!
//! - An observation that fits comes next, and nothing else is tried instead.
//! - Operations of unknown outcome are tried after the others, and none has to be.
//! - Memory: which operations have come so far (as a hash of 128 bits that grows by one exclusive
//!   or for each) and the state. It is bounded: when full it takes no more, and the search is only
//!   slower.
//! - No order exists if every way was tried. The return that is furthest among those that nothing
//!   could get past ends a beginning of the history that has no order.

use super::frontier::{ASK_EVERY, CONFIGURATION_BYTES};
use super::problem::Problem;
use crate::check::linearizable::{Budget, What};
use crate::history::FixedSet;
use crate::model::Model;

/// What a slice of the search found.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::check) enum Slice {
    /// An order exists.
    Order,
    /// No order exists; the item whose return nothing explains.
    Stuck(usize),
    /// The steps of this slice are used up.
    Pause,
    /// It must not go on.
    Over(What),
}

/// A search that can be continued.
#[derive(Debug)]
pub(in crate::check) struct Depth<'a, M: Model> {
    problem: &'a Problem<'a, M>,
    budget: &'a Budget<'a>,
    list: List,
    /// Items of unknown outcome in the order of invocation, and whether they have come.
    open: Vec<(usize, bool)>,
    /// How many that must come have not.
    left: usize,
    state: M::State,
    hash: u128,
    tried: FixedSet<(u128, M::State)>,
    held: usize,
    path: Vec<Step<M::State>>,
    /// What is tried next.
    cursor: Cursor,
    /// The furthest place of a return that stood in the way, with its item.
    furthest: (usize, usize),
}

/// An operation that has come, and how things stood before.
#[derive(Debug)]
struct Step<S> {
    cursor: Cursor,
    number: usize,
    state: S,
    /// Nothing else has to be tried instead.
    is_forced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    /// A place in the list.
    List(usize),
    /// A place among the open items, which are invoked until that time.
    Open(usize, u64),
}

/// Invocations and returns of the items that must come; place 0 is before the first and behind
/// the last.
#[derive(Debug)]
struct List {
    next: Vec<usize>,
    previous: Vec<usize>,
    /// The item at each place, and its time if it is a return.
    at: Vec<(usize, Option<u64>)>,
    /// Where the invocation and the return of each item are.
    places: Vec<(usize, usize)>,
}

impl<'a, M: Model> Depth<'a, M> {
    pub(in crate::check) fn new(problem: &'a Problem<'a, M>, budget: &'a Budget<'a>) -> Self {
        let optional = (0..problem.items.len()).filter(|at| problem.items[*at].is_optional());
        let list = List::of(problem);
        Self {
            problem,
            budget,
            open: optional.map(|number| (number, false)).collect(),
            left: problem.returns(),
            state: problem.model.init(),
            hash: 0,
            tried: FixedSet::default(),
            held: 0,
            path: Vec::new(),
            cursor: Cursor::List(list.next[0]),
            furthest: (0, 0),
            list,
        }
    }

    /// How many operations the best attempt now stands for.
    pub(super) fn done(&self) -> usize {
        self.problem.returns() - self.left
    }

    /// Goes on for at most so many steps, and takes them from `steps`.
    pub(in crate::check) fn run(&mut self, slice: u64, steps: &mut u64) -> Slice {
        let mut left = slice.min(*steps);
        loop {
            if self.left == 0 {
                return Slice::Order;
            }
            if left == 0 {
                return Slice::Pause;
            }
            left -= 1;
            *steps -= 1;
            if steps.is_multiple_of(ASK_EVERY) && (self.budget.is_over)() {
                return Slice::Over(What::Time);
            }
            if !self.go_on() {
                return Slice::Stuck(self.furthest.1);
            }
        }
    }

    /// One step; `false` if everything was tried.
    fn go_on(&mut self) -> bool {
        match self.cursor {
            Cursor::List(place) => {
                let (number, returned) = self.list.at[place];
                debug_assert_ne!(place, 0, "a return comes before the end of the list");
                match returned {
                    Some(time) => {
                        self.furthest = self.furthest.max((place, number));
                        self.cursor = Cursor::Open(0, time);
                        true
                    }
                    None => self.attempt(number, Cursor::List(self.list.next[place])),
                }
            }
            Cursor::Open(at, until) => match self.open.get(at) {
                Some((number, has_come)) if self.problem.items[*number].invoked <= until => {
                    let behind = Cursor::Open(at + 1, until);
                    if *has_come {
                        self.cursor = behind;
                        return true;
                    }
                    self.attempt(*number, behind)
                }
                Some(_) | None => self.put_back(),
            },
        }
    }

    /// Lets an item come next, if it fits and leads to something new.
    fn attempt(&mut self, number: usize, behind: Cursor) -> bool {
        let item = &self.problem.items[number];
        let after = (self.problem.model).step(&self.state, &item.call, self.problem.values);
        let Some(after) = after else {
            self.cursor = behind;
            return true;
        };
        let hash = self.hash ^ mark(number);
        if !self.remember(hash, &after) {
            // Where an observation leads nowhere, nothing else leads anywhere.
            if item.observes {
                return self.put_back();
            }
            self.cursor = behind;
            return true;
        }
        self.hash = hash;
        let state = std::mem::replace(&mut self.state, after);
        self.path.push(Step {
            cursor: behind,
            number,
            state,
            is_forced: item.observes,
        });
        self.mark_open(number, true);
        self.cursor = Cursor::List(self.list.next[0]);
        true
    }

    /// Takes back what came last, and all that was forced before it; `false` if nothing is left.
    fn put_back(&mut self) -> bool {
        while let Some(step) = self.path.pop() {
            self.hash ^= mark(step.number);
            self.state = step.state;
            self.mark_open(step.number, false);
            self.cursor = step.cursor;
            if !step.is_forced {
                return true;
            }
        }
        false
    }

    /// Takes an item out of its list or puts it back.
    fn mark_open(&mut self, number: usize, comes: bool) {
        if self.problem.items[number].is_optional() {
            let place = self
                .open
                .binary_search_by_key(&number, |(number, _)| *number);
            let place = place.expect("an optional item stands among the open ones");
            self.open[place].1 = comes;
        } else if comes {
            self.left -= 1;
            self.list.take_out(number);
        } else {
            self.left += 1;
            self.list.put_back(number);
        }
    }

    /// Whether this was not tried before.
    fn remember(&mut self, hash: u128, state: &M::State) -> bool {
        let key = (hash, state.clone());
        if self.held > self.budget.configurations {
            return !self.tried.contains(&key);
        }
        let bytes = self.problem.model.bytes(state);
        let is_new = self.tried.insert(key);
        if is_new {
            self.held += 1 + bytes / CONFIGURATION_BYTES;
        }
        is_new
    }
}

impl List {
    fn of<M: Model>(problem: &Problem<'_, M>) -> Self {
        let mut at = vec![(usize::MAX, None)];
        let mut places = vec![(0, 0); problem.items.len()];
        for instant in problem.instants() {
            if problem.items[instant.number].is_optional() {
                continue;
            }
            if instant.is_return {
                places[instant.number].1 = at.len();
            } else {
                places[instant.number].0 = at.len();
            }
            at.push((instant.number, instant.is_return.then_some(instant.time)));
        }
        let count = at.len();
        Self {
            next: (0..count).map(|place| (place + 1) % count).collect(),
            previous: (0..count)
                .map(|place| (place + count - 1) % count)
                .collect(),
            at,
            places,
        }
    }

    fn take_out(&mut self, number: usize) {
        let (invoked, returned) = self.places[number];
        for place in [invoked, returned] {
            self.next[self.previous[place]] = self.next[place];
            self.previous[self.next[place]] = self.previous[place];
        }
    }

    /// The reverse, in the reverse order.
    fn put_back(&mut self, number: usize) {
        let (invoked, returned) = self.places[number];
        for place in [returned, invoked] {
            self.next[self.previous[place]] = place;
            self.previous[self.next[place]] = place;
        }
    }
}

/// 128 bits that stand for an item: two rounds of splitmix.
fn mark(number: usize) -> u128 {
    let mix = |seed: u64| {
        let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let number = number as u64;
    (u128::from(mix(2 * number + 1)) << 64) | u128::from(mix(2 * number + 2))
}
