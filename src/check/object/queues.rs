//! Queues whose values are unique, in near-linear time.
//!
//! After Henzinger, Sezgin & Vafeiadis, "Aspect-oriented linearizability proofs" (CONCUR 2013): an
//! order exists unless
//! - *fresh*: a value was taken that nobody put there, or before that began;
//! - *repeat*: a value was taken twice;
//! - *order* (FIFO only): a was put there before b, and b taken before a (or a never);
//! - *empty*: somebody found the queue empty while at every instant some value was certainly there.
//!
//! A value is certainly there from when it was put to when taking it began. A dequeue of unknown
//! outcome may have taken any value that was never taken, or nothing: what is wrong only because a
//! value was never taken is then left to the searches.

use super::problem::Item;
use super::{Quick, Story};
use crate::check::linearizable::NEVER;
use crate::history::{FixedMap, Value};
use crate::model::{Fifo, Model, Queue};

/// Decides for a queue that keeps the order.
pub(in crate::check) fn fifo(story: &Story<'_, Fifo>) -> Quick {
    judge(story, true)
}

/// Decides for a queue that does not.
pub(in crate::check) fn queue(story: &Story<'_, Queue>) -> Quick {
    judge(story, false)
}

/// A value from being put to being taken.
#[derive(Debug, Clone, Copy)]
struct Stay {
    value: Value,
    put: usize,
    take: Option<usize>,
}

struct Queues<'a, M> {
    story: &'a Story<'a, M>,
    items: &'a [Item],
    keeps_order: bool,
    /// Who found the queue empty.
    empty: Vec<usize>,
}

fn judge<M: Model>(story: &Story<'_, M>, keeps_order: bool) -> Quick {
    let items = &story.problem.items;
    let mut stays: Vec<Stay> = Vec::new();
    let mut numbers: FixedMap<Value, usize> = FixedMap::default();
    for (put, item) in items.iter().enumerate() {
        let Some(value) = story.problem.model.puts(&item.call) else {
            continue;
        };
        if numbers.insert(value, stays.len()).is_some() {
            let value = story.show(value);
            return Quick::Unsure(format!("{value} was enqueued more than once"));
        }
        let take = None;
        stays.push(Stay { value, put, take });
    }
    let mut empty = Vec::new();
    let mut unknown = 0;
    for (number, item) in items.iter().enumerate() {
        match item.call.seen {
            None => unknown += usize::from(story.problem.model.puts(&item.call).is_none()),
            Some(Value::NIL) => empty.push(number),
            Some(value) => {
                let stay = numbers.get(&value).map(|number| &mut stays[*number]);
                if let Some(clash) = take(story, stay, number, value) {
                    return clash;
                }
            }
        }
    }
    let queues = Queues {
        story,
        items,
        keeps_order,
        empty,
    };
    if unknown > 0 {
        let taken: Vec<Stay> = stays.iter().copied().filter(|s| s.take.is_some()).collect();
        if let Some(clash) = queues.clash(&taken) {
            return clash;
        }
    }
    match queues.clash(&stays) {
        None => Quick::Order,
        Some(_) if unknown > 0 => {
            Quick::Unsure(format!("it is unknown what {unknown} dequeues took"))
        }
        Some(clash) => clash,
    }
}

/// Enters that `number` took the value; fresh and repeat.
fn take<M: Model>(
    story: &Story<'_, M>,
    stay: Option<&mut Stay>,
    number: usize,
    value: Value,
) -> Option<Quick> {
    let who = story.narrate(number);
    let Some(stay) = stay else {
        let sentence = format!("{who}, but nobody put {} there", story.show(value));
        return Some(Quick::clash(&[number], sentence));
    };
    if story.item(number).is_before(story.item(stay.put)) {
        let sentence = format!(
            "{who} had returned at {} before {} began at {}",
            story.ended(number),
            story.narrate(stay.put),
            story.began(stay.put),
        );
        return Some(Quick::clash(&[stay.put, number], sentence));
    }
    if let Some(other) = stay.take.replace(number) {
        let sentence = format!(
            "{} and {who}, but {} was put there once",
            story.narrate(other),
            story.show(value),
        );
        return Some(Quick::clash(&[stay.put, other, number], sentence));
    }
    None
}

impl<M: Model> Queues<'_, M> {
    /// What contradicts these stays.
    fn clash(&self, stays: &[Stay]) -> Option<Quick> {
        let overtaken = || self.overtaken(stays).map(|(a, b)| self.tell_order(a, b));
        (self.keeps_order.then(overtaken).flatten()).or_else(|| self.never_empty(stays))
    }

    /// A value that was put there before another, and left after it.
    fn overtaken(&self, stays: &[Stay]) -> Option<(Stay, Stay)> {
        let mut by_put: Vec<&Stay> = stays.iter().collect();
        by_put.sort_by_key(|stay| self.items[stay.put].returned);
        let mut by_begin: Vec<&Stay> = stays.iter().collect();
        by_begin.sort_by_key(|stay| self.items[stay.put].invoked);
        let mut earlier = by_put.into_iter().peekable();
        let mut last: Option<&Stay> = None;
        for stay in by_begin {
            let begun = &self.items[stay.put];
            while let Some(before) = earlier.next_if(|b| self.items[b.put].is_before(begun)) {
                if last.is_none_or(|last| self.taken_from(last) < self.taken_from(before)) {
                    last = Some(before);
                }
            }
            let (Some(take), Some(last)) = (stay.take, last) else {
                continue;
            };
            if self.items[take].returned < self.taken_from(last) {
                return Some((*last, *stay));
            }
        }
        None
    }

    /// When taking it began.
    fn taken_from(&self, stay: &Stay) -> u64 {
        stay.take.map_or(NEVER, |take| self.items[take].invoked)
    }

    fn tell_order(&self, first: Stay, second: Stay) -> Quick {
        let story = self.story;
        let mut items = vec![first.put, second.put];
        items.extend(first.take);
        items.extend(second.take);
        let took = second
            .take
            .map_or_else(String::new, |take| story.narrate(take));
        let left = first.take.map_or_else(
            || format!("{} never left", story.show(first.value)),
            |take| format!("{} began only after that had returned", story.narrate(take)),
        );
        let sentence = format!(
            "{} had returned at {} before {} began at {}, but {took} came first: {left}",
            story.narrate(first.put),
            story.ended(first.put),
            story.narrate(second.put),
            story.began(second.put),
        );
        Quick::clash(&items, sentence)
    }

    /// Somebody who found the queue empty when it certainly never was.
    fn never_empty(&self, stays: &[Stay]) -> Option<Quick> {
        let mut held: Vec<(u64, u64, Stay)> = (stays.iter())
            .map(|stay| (self.items[stay.put].returned, self.taken_from(stay), *stay))
            .filter(|(from, to, _)| from < to)
            .collect();
        held.sort_by_key(|(from, to, _)| (*from, *to));
        // Without the ends: at these instants it may be there or not.
        let mut times: Vec<(u64, u64)> = Vec::new();
        for (from, to, _) in &held {
            match times.last_mut() {
                Some((_, end)) if from < end => *end = (*end).max(*to),
                Some(_) | None => times.push((*from, *to)),
            }
        }
        for number in &self.empty {
            let item = &self.items[*number];
            let after = times.partition_point(|(from, _)| *from < item.invoked);
            let around = after.checked_sub(1).map(|at| times[at]);
            if around.is_some_and(|(_, to)| item.returned < to) {
                return Some(self.tell_empty(*number, &held));
            }
        }
        None
    }

    /// The fewest values that were there all the time.
    fn tell_empty(&self, number: usize, held: &[(u64, u64, Stay)]) -> Quick {
        let item = &self.items[number];
        let (mut items, mut values) = (vec![number], Vec::new());
        let mut until = item.invoked;
        while until <= item.returned {
            let there = held.iter().filter(|(from, ..)| *from < until);
            let longest = there.max_by_key(|(_, to, _)| *to);
            let (_, to, stay) = longest.expect("the caller found values all the time");
            items.push(stay.put);
            items.extend(stay.take);
            values.push(self.story.show(stay.value));
            until = *to;
        }
        let sentence = format!(
            "{} from {} to {}, but the queue held {} all that time",
            self.story.narrate(number),
            self.story.began(number),
            self.story.ended(number),
            values.join(", then "),
        );
        Quick::clash(&items, sentence)
    }
}
