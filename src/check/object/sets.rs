//! Sets that only grow, each element added once, in linear time but for two sorts.
//!
//! What one read finds must be part of what any larger read finds. Then ranks are given, as for
//! lists: the elements of the smallest read are added in any order, whoever reads them follows,
//! the elements that the next larger read has in addition are added, and so on; what nobody read
//! comes last.

use super::ranks::{Misplaced, Ranked, misplaced};
use super::{Quick, Story};
use crate::history::{FixedMap, Value};
use crate::model::{Model, Set};

/// Decides whether an order exists.
pub(in crate::check) fn quick(story: &Story<'_, Set>) -> Quick {
    let mut adds: FixedMap<Value, usize> = FixedMap::default();
    let mut reads: Vec<usize> = Vec::new();
    for (number, item) in story.problem.items.iter().enumerate() {
        match Set.puts(&item.call) {
            None => reads.push(number),
            Some(element) => {
                if adds.insert(element, number).is_some() {
                    let element = story.show(element);
                    return Quick::Unsure(format!("{element} was added more than once"));
                }
            }
        }
    }
    reads.sort_by_key(|read| story.elements(*read).len());
    let mut sets = Sets {
        story,
        adds,
        classes: Vec::new(),
        class_of: FixedMap::default(),
    };
    match sets.classify(&reads) {
        Ok(ranked) => match misplaced(ranked, &story.problem.items) {
            None => Quick::Order,
            Some(pair) => sets.out_of_order(pair),
        },
        Err(clash) => clash,
    }
}

struct Sets<'a> {
    story: &'a Story<'a, Set>,
    adds: FixedMap<Value, usize>,
    /// One read of each size.
    classes: Vec<usize>,
    /// The first class whose read has the element.
    class_of: FixedMap<Value, usize>,
}

impl Sets<'_> {
    /// The rank of every item; `reads` are in the order of their sizes.
    fn classify(&mut self, reads: &[usize]) -> Result<Vec<Ranked>, Quick> {
        let mut ranked = Vec::with_capacity(self.story.problem.items.len());
        let mut known: FixedMap<Value, usize> = FixedMap::default();
        for read in reads {
            let seen = self.story.item(*read).call.seen.unwrap_or(Value::NIL);
            let class = match known.get(&seen) {
                Some(class) => *class,
                None => self.class(*read)?,
            };
            known.insert(seen, class);
            let rank = 2 * class + 1;
            let number = *read;
            ranked.push(Ranked { rank, number });
        }
        for (number, item) in self.story.problem.items.iter().enumerate() {
            if let Some(element) = Set.puts(&item.call) {
                let class = self.class_of.get(&element).copied();
                let rank = 2 * class.unwrap_or(self.classes.len());
                ranked.push(Ranked { rank, number });
            }
        }
        Ok(ranked)
    }

    /// The class of a read that is not smaller than those before it.
    fn class(&mut self, read: usize) -> Result<usize, Quick> {
        let elements = self.story.elements(read);
        let who = || self.story.narrate(read);
        let before = self.classes.last().copied();
        let size = before.map_or(0, |before| self.story.elements(before).len());
        let class = match before {
            Some(_) if elements.len() == size => self.classes.len() - 1,
            Some(_) | None => self.classes.len(),
        };
        let mut common = 0;
        let mut own: FixedMap<Value, ()> = FixedMap::default();
        for element in elements {
            let Some(add) = self.adds.get(element) else {
                let sentence = format!(
                    "{} found {}, which nobody added",
                    who(),
                    self.story.show(*element)
                );
                return Err(Quick::clash(&[read], sentence));
            };
            if own.insert(*element, ()).is_some() {
                let sentence = format!("{} found {} twice", who(), self.story.show(*element));
                return Err(Quick::clash(&[read, *add], sentence));
            }
            common += usize::from(self.class_of.contains_key(element));
        }
        if let Some(before) = before.filter(|_| common < size) {
            return Err(self.contradiction(before, read));
        }
        if class == self.classes.len() {
            self.classes.push(read);
        }
        for element in elements {
            self.class_of.entry(*element).or_insert(class);
        }
        Ok(class)
    }

    /// Two reads each of which has an element that the other has not.
    fn contradiction(&self, small: usize, large: usize) -> Quick {
        let lacks = |one: usize, other: usize| {
            let others: FixedMap<Value, ()> = self
                .story
                .elements(other)
                .iter()
                .map(|e| (*e, ()))
                .collect();
            let found = self
                .story
                .elements(one)
                .iter()
                .find(|e| !others.contains_key(e));
            *found.expect("the larger read has not all elements of the smaller one")
        };
        let (one, other) = (lacks(small, large), lacks(large, small));
        let sentence = format!(
            "{} found {} without {}, and {} found {} without {}",
            self.story.narrate(small),
            self.story.show(one),
            self.story.show(other),
            self.story.narrate(large),
            self.story.show(other),
            self.story.show(one),
        );
        Quick::clash(
            &[small, large, self.adds[&one], self.adds[&other]],
            sentence,
        )
    }

    fn out_of_order(&self, Misplaced { late, early }: Misplaced) -> Quick {
        let story = self.story;
        let (who_late, who_early) = (story.narrate(late.number), story.narrate(early.number));
        let (began, ended) = (story.began(late.number), story.ended(early.number));
        let put = |number: usize| Set.puts(&story.item(number).call);
        let in_time =
            format!("{who_early} had returned at {ended} before {who_late} began at {began}");
        match (put(late.number), put(early.number)) {
            (Some(first), Some(second)) => {
                let between = self.classes[late.rank / 2];
                Quick::clash(
                    &[late.number, early.number, between],
                    format!(
                        "{in_time}, but {} found {} without {}",
                        story.narrate(between),
                        story.show(first),
                        story.show(second),
                    ),
                )
            }
            (Some(element), None) => Quick::clash(
                &[late.number, early.number],
                format!("{in_time}, but it found {} already", story.show(element)),
            ),
            (None, Some(element)) => Quick::clash(
                &[late.number, early.number],
                format!("{in_time}, which did not find {}", story.show(element)),
            ),
            (None, None) => {
                let class = late.rank / 2;
                let mut more = story.elements(early.number).iter();
                let missing = more.find(|element| self.class_of[*element] > class);
                let missing = missing.expect("a read of a higher rank has more elements");
                Quick::clash(
                    &[late.number, early.number, self.adds[missing]],
                    format!(
                        "{in_time}, which did not find {} any more",
                        story.show(*missing)
                    ),
                )
            }
        }
    }
}
