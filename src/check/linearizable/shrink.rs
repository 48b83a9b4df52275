//! From a search that got stuck to the few operations that no order explains.
//!
//! Every step keeps the promise that *if the whole history had an order, the part would have one
//! too*; so a part without an order still proves the violation:
//! - What begins after the stuck return goes; what returns later may or may not have happened.
//! - Before a cut the register may have held anything; updates in flight there may or may not
//!   have happened yet.
//! - An operation that changes nothing may go. An update may go with all that depends on its value.

use super::evidence::{Moment, narrate};
use super::items::{Item, Items};
use super::search::{Stuck, run};
use super::{Budget, KeyHistory, NEVER};
use crate::check::Evidence;
use crate::history::{History, Value};

/// How many operations the first window before the stuck return has.
const FIRST_WINDOW: usize = 4;

/// The part of `stuck` that no order explains, made small, and in words.
pub(super) fn evidence(
    history: &History,
    key: &KeyHistory<'_>,
    stuck: &Stuck,
    budget: &Budget<'_>,
) -> Evidence {
    let part = minimal(stuck, budget);
    let mut operations: Vec<usize> = (part.items.all.iter())
        .map(|item| item.index as usize)
        .collect();
    operations.sort_unstable();
    let last = &part.items.all[part.at];
    let since = if part.items.initial.len() > 1 {
        " whatever the register held before them,"
    } else {
        ""
    };
    let sentence = format!(
        "no order explains these {} operations:{since} when {} returned at {}, the register could \
         not have held what it needs",
        operations.len(),
        narrate(history, last.index),
        Moment(key.operations[last.index as usize].completed),
    );
    let name = history.key_name(key.operations[last.index as usize].key);
    Evidence::new(name.to_owned(), operations, sentence)
}

/// A small part of the problem that still has no order. Spends at most the budget's steps again,
/// and then returns what it has.
pub(super) fn minimal(stuck: &Stuck, budget: &Budget<'_>) -> Stuck {
    let mut steps = budget.steps;
    let prefix = prefix(stuck);
    let mut best = Stuck {
        at: position(&prefix, stuck.items.all[stuck.at].index),
        items: prefix,
    };
    if let Some(window) = window(&best, budget, &mut steps) {
        best = window;
    }
    let mut chunk = best.items.all.len() / 2;
    while chunk > 0 {
        let before = best.items.all.len();
        let mut at = 0;
        while at < best.items.all.len() {
            let end = (at + chunk).min(best.items.all.len());
            match without(&best, at..end, budget, &mut steps) {
                Some(smaller) => best = smaller,
                None => at = end,
            }
        }
        // Single removals are repeated until none helps: one may make another possible.
        if chunk > 1 || best.items.all.len() == before {
            chunk /= 2;
        }
    }
    best
}

/// What had begun when the search got stuck; what returned later is left open.
fn prefix(stuck: &Stuck) -> Items {
    let end = stuck.items.all[stuck.at];
    let is_later = |number: usize, item: &Item| (item.returned, number) > (end.returned, stuck.at);
    let all = (stuck.items.all.iter().enumerate())
        .filter(|(_, item)| item.invoked <= end.returned)
        .filter_map(|(number, item)| match is_later(number, item) {
            true => optional(item, NEVER),
            false => Some(*item),
        })
        .collect();
    Items {
        all,
        ..stuck.items.clone()
    }
}

/// An update that may or may not take effect until then; one that changes nothing then says
/// nothing.
fn optional(item: &Item, returned: u64) -> Option<Item> {
    item.written().map(|_| Item {
        returned,
        is_optional: true,
        ..*item
    })
}

/// The shortest of some windows before the end that has no order whatever came before it.
fn window(whole: &Stuck, budget: &Budget<'_>, steps: &mut u64) -> Option<Stuck> {
    let end = whole.items.all[whole.at].index;
    let mut length = FIRST_WINDOW;
    while length < whole.items.all.len() {
        let cut = whole.items.all[whole.items.all.len() - length].invoked;
        let all: Vec<Item> = (whole.items.all.iter())
            .filter(|item| item.returned >= cut)
            .filter_map(|item| match item.invoked < cut && item.index != end {
                true => optional(item, item.returned),
                false => Some(*item),
            })
            .collect();
        let mut initial: Vec<Value> = all.iter().filter_map(Item::looks_for).collect();
        initial.push(whole.items.dead);
        initial.sort_unstable();
        initial.dedup();
        let items = Items {
            all,
            initial,
            dead: whole.items.dead,
        };
        if let Some(part) = stuck(items, budget, steps) {
            return Some(part);
        }
        length *= 2;
    }
    None
}

/// The part without those items and without all that cannot stay without them, if it still has no
/// order.
fn without(
    whole: &Stuck,
    range: std::ops::Range<usize>,
    budget: &Budget<'_>,
    steps: &mut u64,
) -> Option<Stuck> {
    let all = &whole.items.all;
    let mut goes = vec![false; all.len()];
    let mut work: Vec<usize> = range.collect();
    while let Some(number) = work.pop() {
        if std::mem::replace(&mut goes[number], true) {
            continue;
        }
        let Some(value) = all[number].written() else {
            continue;
        };
        let depends = |item: &Item| item.is_blind() || item.looks_for() == Some(value);
        work.extend((0..all.len()).filter(|other| !goes[*other] && depends(&all[*other])));
    }
    let mut goes = goes.iter();
    let rest = Items {
        all: all
            .iter()
            .filter(|_| goes.next() == Some(&false))
            .copied()
            .collect(),
        ..whole.items.clone()
    };
    stuck(rest, budget, steps)
}

/// `items`, if it is certain that they have no order.
fn stuck(items: Items, budget: &Budget<'_>, steps: &mut u64) -> Option<Stuck> {
    match run(&items, budget, steps) {
        Ok(Some(at)) => Some(Stuck { items, at }),
        Ok(None) | Err(_) => None,
    }
}

fn position(items: &Items, index: u32) -> usize {
    let found = items.all.iter().position(|item| item.index == index);
    found.expect("the stuck operation is part of its own prefix")
}
