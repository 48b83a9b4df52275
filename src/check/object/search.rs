//! Both searches in turns: whichever decides first wins, because each loses on some histories.

use super::depth::{Depth, Slice};
use super::frontier::{Sweep, sweep};
use super::problem::Problem;
use crate::check::linearizable::{Budget, Limit, What};
use crate::model::Model;

/// How many configurations the frontier keeps in each turn.
const WIDTHS: [usize; 3] = [128, 4096, usize::MAX];

/// What part of the steps a turn of one search may take.
const SHARE: u64 = 8;

/// What the searches found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An order exists.
    Order,
    /// No order exists: the item whose return nothing explains.
    Stuck(usize),
    /// A limit was reached first.
    GaveUp(Limit),
}

/// Searches an order; takes what it used from `steps`.
pub(super) fn search<M: Model>(
    problem: &Problem<'_, M>,
    budget: &Budget<'_>,
    steps: &mut u64,
) -> Found {
    let share = (*steps / SHARE).max(1);
    let mut depth = Depth::new(problem, budget);
    let mut limit = None;
    for width in WIDTHS {
        let (mut turn, rest) = split(*steps, share);
        match sweep(problem, budget, &mut turn, width) {
            Ok(Sweep { stuck: None, .. }) => {
                *steps = turn + rest;
                return Found::Order;
            }
            Ok(Sweep {
                stuck: Some(at),
                is_exact: true,
            }) => {
                *steps = turn + rest;
                return Found::Stuck(at);
            }
            Ok(_) => {}
            Err(reached) => {
                if reached.what == What::Time {
                    return Found::GaveUp(reached);
                }
                limit = Some(reached);
            }
        }
        *steps = turn + rest;
        // The last turn is for all that is left.
        let turn = if width == usize::MAX { *steps } else { share };
        match depth.run(turn, steps) {
            Slice::Order => return Found::Order,
            Slice::Stuck(at) => return Found::Stuck(at),
            Slice::Pause => {}
            Slice::Over(what) => {
                return Found::GaveUp(Limit {
                    what,
                    done: depth.done(),
                    of: problem.returns(),
                });
            }
        }
    }
    Found::GaveUp(limit.unwrap_or_else(|| Limit {
        what: What::Steps(budget.steps),
        done: depth.done(),
        of: problem.returns(),
    }))
}

/// What one turn may take, and the rest.
fn split(steps: u64, share: u64) -> (u64, u64) {
    let turn = steps.min(share);
    (turn, steps - turn)
}
