//! From a search that got stuck to the few operations that no order explains.
//!
//! Every step keeps the promise that *if the whole history had an order, the part would have one
//! too*; so a part without an order still proves the violation:
//! - What begins after the stuck return goes; what returns later may or may not have happened.
//! - An observation may go.
//! - Before an update that [resets](Model::resets) the object anything may have happened: what had
//!   returned by then goes, and so do the observations that may have come before it.
//! - All operations of a tie may go together, and their traces in what others found with them
//!   ([`Model::tie`], [`Model::forget`]).

use std::collections::BTreeMap;

use super::problem::{Item, Problem};
use super::search::{Found, search};
use crate::check::linearizable::{Budget, NEVER};
use crate::history::{FixedSet, Value, Values};
use crate::model::Model;

/// A part without an order.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) items: Vec<Item>,
    /// The one whose return nothing explains, as an index into `items`.
    pub(super) at: usize,
    /// With the lists that are left of what was found.
    pub(super) values: Values,
}

/// What can go by itself.
#[derive(Debug, Clone)]
struct Unit {
    /// Items of the whole.
    numbers: Vec<usize>,
    /// Others must forget it.
    tie: Option<Value>,
}

/// A small part of the problem that still has no order. Spends at most the budget's steps again,
/// and then returns what it has.
pub(super) fn minimal<M: Model>(problem: &Problem<'_, M>, at: usize, budget: &Budget<'_>) -> Part {
    let items = prefix(&problem.items, at);
    let end = problem.items[at].index;
    let at = items.iter().position(|item| item.index == end);
    let mut shrinker = Shrinker {
        model: problem.model,
        budget,
        steps: budget.steps,
        best: Part {
            at: at.expect("the stuck operation is part of its own prefix"),
            items: items.clone(),
            values: Values::default(),
        },
        whole: items,
        values: problem.values.clone(),
    };
    shrinker.begin_late();
    shrinker.shrink();
    let Shrinker { best, values, .. } = shrinker;
    Part { values, ..best }
}

/// What had begun when the search got stuck; what returned later is left open.
fn prefix(items: &[Item], at: usize) -> Vec<Item> {
    let end = &items[at];
    (items.iter().enumerate())
        .filter(|(_, item)| item.invoked <= end.returned)
        .filter_map(|(number, item)| {
            let is_later = (item.returned, number) > (end.returned, at);
            let open = Item {
                returned: NEVER,
                ..*item
            };
            match is_later {
                true => (!item.observes).then_some(open),
                false => Some(*item),
            }
        })
        .collect()
}

struct Shrinker<'a, M> {
    model: &'a M,
    budget: &'a Budget<'a>,
    steps: u64,
    whole: Vec<Item>,
    values: Values,
    best: Part,
}

impl<M: Model> Shrinker<'_, M> {
    /// Begins with the latest reset after which there is no order.
    fn begin_late(&mut self) {
        let resets: Vec<Item> = (self.whole.iter().rev())
            .filter(|item| !item.is_optional() && self.model.resets(&item.call))
            .copied()
            .collect();
        // Mostly one of the last; far from the end not every one is tried.
        let tries = (0..FIRST_RESETS).chain((1..32).map(|power| FIRST_RESETS << power));
        for reset in tries.map_while(|number| resets.get(number)) {
            let stays = |item: &&Item| match item.observes {
                true => reset.is_before(item),
                false => !item.is_before(reset),
            };
            let problem = Problem {
                model: self.model,
                values: &self.values,
                items: self.whole.iter().filter(stays).copied().collect(),
            };
            self.steps = self.steps.saturating_sub(self.whole.len() as u64);
            if let Found::Stuck(at) = search(&problem, self.budget, &mut self.steps) {
                self.whole.clone_from(&problem.items);
                self.best = Part {
                    at,
                    items: problem.items,
                    values: Values::default(),
                };
                return;
            }
        }
    }

    fn shrink(&mut self) {
        let mut units = self.units();
        let mut chunk = units.len().div_ceil(2);
        while chunk > 0 && self.steps > 0 {
            let before = units.len();
            let mut at = 0;
            while at < units.len() {
                let end = (at + chunk).min(units.len());
                let rest = [&units[..at], &units[end..]].concat();
                if self.try_only(&rest) {
                    units = rest;
                } else {
                    at = end;
                }
            }
            // Single removals are repeated until none helps: one may make another possible.
            if chunk > 1 || units.len() == before {
                chunk /= 2;
            }
        }
    }

    /// What can go, the latest first.
    fn units(&self) -> Vec<Unit> {
        let mut ties: BTreeMap<Value, Vec<usize>> = BTreeMap::new();
        let mut units = Vec::new();
        for (number, item) in self.whole.iter().enumerate() {
            let tie = self.model.tie(&item.call).filter(|tie| *tie != Value::NIL);
            let is_free = item.observes || item.call.seen == Some(Value::NIL);
            match tie {
                Some(tie) => ties.entry(tie).or_default().push(number),
                None if is_free => units.push(Unit {
                    numbers: vec![number],
                    tie: None,
                }),
                None => {}
            }
        }
        units.extend(ties.into_iter().map(|(tie, numbers)| Unit {
            numbers,
            tie: Some(tie),
        }));
        units.sort_by_key(|unit| std::cmp::Reverse(unit.numbers.last().copied()));
        units
    }

    /// Takes only these units and what cannot go, if it is certain that they have no order.
    fn try_only(&mut self, units: &[Unit]) -> bool {
        if self.steps == 0 {
            return false;
        }
        let mut stays: Vec<bool> = vec![true; self.whole.len()];
        for unit in self.units() {
            for number in unit.numbers {
                stays[number] = false;
            }
        }
        let mut tied: FixedSet<Value> = FixedSet::default();
        for unit in units {
            tied.extend(unit.tie);
            for number in &unit.numbers {
                stays[*number] = true;
            }
        }
        let gone: FixedSet<Value> = (self.whole.iter())
            .filter_map(|item| self.model.tie(&item.call))
            .filter(|tie| *tie != Value::NIL && !tied.contains(tie))
            .collect();
        let mut items = Vec::new();
        for (item, _) in self.whole.iter().zip(&stays).filter(|(_, stays)| **stays) {
            let call = self
                .model
                .forget(&item.call, &|v| gone.contains(&v), &mut self.values);
            items.push(Item { call, ..*item });
        }
        let problem = Problem {
            model: self.model,
            values: &self.values,
            items,
        };
        // Making it costs as well.
        self.steps = self.steps.saturating_sub(self.whole.len() as u64);
        match search(&problem, self.budget, &mut self.steps) {
            Found::Stuck(at) => {
                self.best = Part {
                    at,
                    items: problem.items,
                    values: Values::default(),
                };
                true
            }
            Found::Order | Found::GaveUp(_) => false,
        }
    }
}

/// So many of the last resets are all tried.
const FIRST_RESETS: usize = 16;
