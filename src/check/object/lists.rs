//! Append-lists whose elements are unique, in linear time but for one sort.
//!
//! Every read must be a beginning of the longest one. Then the order is given: the element at
//! place i is appended, what reads i elements follows, the next element is appended; what nobody
//! read comes last (it would stand in the longest read otherwise).

use super::ranks::{Misplaced, Ranked, misplaced};
use super::{Quick, Story};
use crate::history::{FixedMap, Value};
use crate::model::{AppendList, Model};

/// Decides whether an order exists.
pub(in crate::check) fn quick(story: &Story<'_, AppendList>) -> Quick {
    let mut appends: FixedMap<Value, usize> = FixedMap::default();
    let mut reads: Vec<usize> = Vec::new();
    for (number, item) in story.problem.items.iter().enumerate() {
        match AppendList.puts(&item.call) {
            None => reads.push(number),
            Some(element) => {
                if appends.insert(element, number).is_some() {
                    let element = story.show(element);
                    return Quick::Unsure(format!("{element} was appended more than once"));
                }
            }
        }
    }
    let lists = Lists {
        story,
        longest: reads.iter().copied().max_by_key(|at| {
            // Of the longest the first one.
            (story.elements(*at).len(), usize::MAX - *at)
        }),
        appends,
    };
    lists.judge(&reads)
}

struct Lists<'a> {
    story: &'a Story<'a, AppendList>,
    /// The read that shows most.
    longest: Option<usize>,
    appends: FixedMap<Value, usize>,
}

impl Lists<'_> {
    fn judge(&self, reads: &[usize]) -> Quick {
        let Some(longest) = self.longest else {
            return Quick::Order;
        };
        let elements = self.story.elements(longest);
        let mut places: FixedMap<Value, usize> = FixedMap::default();
        for (place, element) in elements.iter().enumerate() {
            let who = self.story.narrate(longest);
            let shown = self.story.show(*element);
            let Some(append) = self.appends.get(element) else {
                let sentence = format!("{who} found {shown}, which nobody appended");
                return Quick::clash(&[longest], sentence);
            };
            if places.insert(*element, place).is_some() {
                let sentence = format!("{who} found {shown} twice, which was appended once");
                return Quick::clash(&[longest, *append], sentence);
            }
        }
        let mut compared: FixedMap<Value, ()> = FixedMap::default();
        for read in reads {
            let seen = self.story.item(*read).call.seen.unwrap_or(Value::NIL);
            if compared.insert(seen, ()).is_none()
                && !elements.starts_with(self.story.elements(*read))
            {
                return self.contradiction(*read, longest);
            }
        }
        let appends = self.story.problem.items.iter().enumerate();
        let appends = appends.filter_map(|(number, item)| {
            let element = AppendList.puts(&item.call)?;
            let place = places.get(&element).copied().unwrap_or(elements.len());
            let rank = 2 * place + 1;
            Some(Ranked { rank, number })
        });
        let reads = reads.iter().map(|read| Ranked {
            rank: 2 * self.story.elements(*read).len(),
            number: *read,
        });
        let ranked = appends.chain(reads).collect();
        match misplaced(ranked, &self.story.problem.items) {
            None => Quick::Order,
            Some(pair) => self.out_of_order(pair, longest),
        }
    }

    /// Two reads that show different elements at one place.
    fn contradiction(&self, read: usize, longest: usize) -> Quick {
        let (one, other) = (self.story.elements(read), self.story.elements(longest));
        let pairs = one.iter().zip(other);
        let place = pairs.take_while(|(one, other)| one == other).count();
        let mut items = vec![read, longest];
        items.extend(
            [one[place], other[place]]
                .iter()
                .filter_map(|e| self.appends.get(e)),
        );
        let sentence = format!(
            "{} found {} at place {}, and {} found {} there",
            self.story.narrate(read),
            self.story.show(one[place]),
            place + 1,
            self.story.narrate(longest),
            self.story.show(other[place]),
        );
        Quick::clash(&items, sentence)
    }

    fn out_of_order(&self, Misplaced { late, early }: Misplaced, longest: usize) -> Quick {
        let story = self.story;
        let (who_late, who_early) = (story.narrate(late.number), story.narrate(early.number));
        let (began, ended) = (story.began(late.number), story.ended(early.number));
        let put = |number: usize| AppendList.puts(&story.item(number).call);
        let in_time =
            format!("{who_early} had returned at {ended} before {who_late} began at {began}");
        match (put(late.number), put(early.number)) {
            (Some(first), Some(second)) => Quick::clash(
                &[late.number, early.number, longest],
                format!(
                    "{in_time}, but {} found {} {} {}",
                    story.narrate(longest),
                    story.show(first),
                    if story.elements(longest).contains(&second) {
                        "in front of"
                    } else {
                        "without"
                    },
                    story.show(second),
                ),
            ),
            (Some(element), None) => Quick::clash(
                &[late.number, early.number],
                format!("{in_time}, but it found {} already", story.show(element)),
            ),
            (None, Some(element)) => Quick::clash(
                &[late.number, early.number],
                format!("{in_time}, which did not find {}", story.show(element)),
            ),
            (None, None) => {
                let missing = story.elements(early.number)[story.elements(late.number).len()];
                Quick::clash(
                    &[late.number, early.number, self.appends[&missing]],
                    format!(
                        "{in_time}, which did not find {} any more",
                        story.show(missing)
                    ),
                )
            }
        }
    }
}

impl<M: Model> Story<'_, M> {
    /// What a read found.
    pub(super) fn elements(&self, read: usize) -> &[Value] {
        let problem = self.problem;
        problem
            .model
            .finds(&problem.items[read].call, problem.values)
    }
}
