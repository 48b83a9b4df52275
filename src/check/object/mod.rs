//! Linearizability of any [`Model`]: each key alone, in up to three layers.
//!
//! *Quick*: a near-linear decider for one model, where values are unique; it says why it cannot
//! tell if it cannot. The *searches* take the rest, within the budget: a frontier and a depth-first
//! search in turns. What none decides is undecided, with the reason, and never a pass. A search
//! that finds no order is *shrunk* to a small part that has none either.

mod depth;
mod frontier;
mod lists;
mod locks;
#[cfg(test)]
mod oracle;

mod problem;
mod queues;
mod ranks;
mod search;
mod sets;
mod shrink;
mod texts;

pub(super) use depth::{Depth, Slice};
pub(super) use lists::quick as quick_list;
pub(super) use locks::quick as quick_lock;
pub(super) use queues::{fifo as quick_fifo, queue as quick_queue};
pub(super) use sets::quick as quick_set;
pub(super) use texts::quick as quick_text;

use problem::Item;
pub(super) use problem::Problem;
use search::Found;

use super::linearizable::{
    Budget, KeyAnswer, KeyHistory, Linearizability, Moment, judge_keys, narrate,
};
use super::{Evidence, attempt};
use crate::history::{FixedSet, History, Value};
use crate::model::Model;

/// What a quick decider says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Quick {
    /// An order exists.
    Order,
    /// No order exists.
    Clash(Clash),
    /// It cannot tell, because of this.
    Unsure(String),
}

/// The few operations that no order explains.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clash {
    /// As numbers of items.
    items: Vec<usize>,
    /// Why, in a sentence.
    sentence: String,
}

/// A quick decider.
type Decide<M> = fn(&Story<'_, M>) -> Quick;

/// A problem with the history that it comes from, to tell it.
#[derive(Debug)]
pub(super) struct Story<'a, M> {
    history: &'a History,
    problem: &'a Problem<'a, M>,
}

/// Whether `history` is linearizable, key by key, for such objects.
pub(super) fn check<M: Model>(
    history: &History,
    model: &M,
    quick: Option<Decide<M>>,
    budget: &Budget<'_>,
) -> Linearizability {
    let mut found = judge_keys(history, Value::NIL, budget, &|key, budget| {
        answer(history, key, model, quick, budget)
    });
    if let Some(evidence) = &mut found.evidence {
        evidence.attempt = attempt::of_object(history, model, evidence);
    }
    found
}

fn answer<M: Model>(
    history: &History,
    key: &KeyHistory<'_>,
    model: &M,
    quick: Option<Decide<M>>,
    budget: &Budget<'_>,
) -> KeyAnswer {
    let problem = Problem::of(model, &history.values, key);
    let story = Story {
        history,
        problem: &problem,
    };
    let unsure = match quick.map(|quick| quick(&story)) {
        Some(Quick::Order) => return KeyAnswer::Ok,
        Some(Quick::Clash(clash)) => {
            return KeyAnswer::Illegal(story.evidence(clash.items, clash.sentence));
        }
        Some(Quick::Unsure(why)) => format!("{why}, and "),
        None => String::new(),
    };
    let mut steps = budget.steps;
    match search::search(&problem, budget, &mut steps) {
        Found::Order => KeyAnswer::Ok,
        Found::GaveUp(limit) => KeyAnswer::Undecided(format!("{unsure}{limit}")),
        Found::Stuck(at) => {
            let part = shrink::minimal(&problem, at, budget);
            let last = &part.items[part.at];
            let indices = part.items.iter().map(|item| item.index).collect();
            let indices = story.complete(indices);
            let sentence = format!(
                "no order explains these {} operations: when {} returned at {}, {}",
                indices.len(),
                narrate(history, last.index),
                story.returned(last),
                model.complaint(&last.call, &part.values),
            );
            KeyAnswer::Illegal(story.told(indices, sentence))
        }
    }
}

impl<M: Model> Story<'_, M> {
    /// Those items as evidence.
    fn evidence(&self, items: Vec<usize>, sentence: String) -> Evidence {
        let index = |number: usize| self.item(number).index;
        let indices = self.complete(items.into_iter().map(index).collect());
        self.told(indices, sentence)
    }

    /// With whoever put there what these found, if that leaves few enough to be looked at; in
    /// order, each once.
    fn complete(&self, indices: Vec<u32>) -> Vec<u32> {
        let model = self.problem.model;
        let mut known: FixedSet<u32> = FixedSet::default();
        known.extend(&indices);
        let mut found: FixedSet<Value> = FixedSet::default();
        for item in self
            .problem
            .items
            .iter()
            .filter(|item| known.contains(&item.index))
        {
            found.extend(model.finds(&item.call, self.problem.values));
        }
        let mut all = indices.clone();
        let items = self.problem.items.iter();
        let put = items.filter(|item| model.puts(&item.call).is_some_and(|v| found.contains(&v)));
        all.extend(put.map(|item| item.index));
        let mut kept = [indices, all].map(|mut some| {
            some.sort_unstable();
            some.dedup();
            some
        });
        let [few, all] = &mut kept;
        std::mem::take(if all.len() <= COMPLETE_MAX { all } else { few })
    }

    fn told(&self, indices: Vec<u32>, sentence: String) -> Evidence {
        let key = indices.first().map_or("?", |index| {
            let operation = &self.history.operations[*index as usize];
            self.history.key_name(operation.key)
        });
        Evidence {
            key: key.to_owned(),
            operations: indices.into_iter().map(|index| index as usize).collect(),
            sentence,
            attempt: None,
        }
    }

    fn item(&self, number: usize) -> &Item {
        &self.problem.items[number]
    }

    /// `process 3's enqueue 5`.
    fn narrate(&self, number: usize) -> String {
        narrate(self.history, self.item(number).index)
    }

    fn show(&self, value: Value) -> String {
        self.history.values.show(value).to_string()
    }

    fn began(&self, number: usize) -> Moment {
        let index = self.item(number).index;
        Moment(self.history.operations[index as usize].invoked)
    }

    fn ended(&self, number: usize) -> Moment {
        self.returned(self.item(number))
    }

    fn returned(&self, item: &Item) -> Moment {
        Moment(self.history.operations[item.index as usize].completed)
    }
}

impl Quick {
    fn clash(items: &[usize], sentence: String) -> Self {
        Self::Clash(Clash {
            items: items.to_vec(),
            sentence,
        })
    }
}

/// More operations than these hide what is wrong.
const COMPLETE_MAX: usize = 24;
