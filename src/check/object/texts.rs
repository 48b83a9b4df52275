//! Stores of texts whose updates write different texts, in near-linear time.
//!
//! A text that was read is taken apart into what was written: a put at its beginning, or nothing,
//! and the appends behind it in their order. That order is unique where no written text begins
//! another, and where of equal texts only one can be meant. So the history is one of a register: every beginning of a text that was read is a value,
//! a put writes it, an append is a compare-and-set from the text before it, and an update that
//! nobody saw writes a value that nobody read. Zones decide that.

use super::{Quick, Story};
use crate::check::linearizable::{Answer, Clash as Zones, Hold, judge_operations};
use crate::clock::Nanos;
use crate::history::{Action, Content, FixedMap, KeyId, Operation, Outcome, Value, Verb};
use crate::model::Kv;

/// No operation, no text.
const NONE: u32 = u32::MAX;

/// The empty text.
const EMPTY: u32 = 0;

/// Decides whether an order exists.
pub(in crate::check) fn quick(story: &Story<'_, Kv>) -> Quick {
    let words = match Words::of(story) {
        Ok(words) => words,
        Err(why) => return Quick::Unsure(why),
    };
    let mut latest: FixedMap<Value, u64> = FixedMap::default();
    let (mut first_done, mut first) = (u64::MAX, NONE);
    for (number, item) in (0..).zip(&story.problem.items) {
        if item.call.action == Action::Read {
            let last = latest.entry(item.call.seen.unwrap_or(Value::NIL));
            let last = last.or_insert(item.returned);
            *last = item.returned.max(*last);
        } else if item.returned < first_done {
            (first_done, first) = (item.returned, number);
        }
    }
    let mut tree = Tree {
        story,
        nodes: vec![Node {
            parent: NONE,
            witness: NONE,
        }],
        of_update: vec![NONE; story.problem.items.len()],
        of_text: FixedMap::default(),
        latest,
        first,
        first_done,
        words,
    };
    for (number, item) in story.problem.items.iter().enumerate() {
        if item.call.action == Action::Read
            && let Err(clash) = tree.enter(number as u32)
        {
            return clash;
        }
    }
    tree.judge()
}

/// What was written, in the order of texts.
struct Words<'a> {
    all: Vec<(&'a str, u32)>,
}

impl<'a> Words<'a> {
    fn of(story: &Story<'a, Kv>) -> Result<Self, String> {
        let mut all = Vec::new();
        for (number, item) in story.problem.items.iter().enumerate() {
            let (Action::Write(value) | Action::Do(_, value)) = item.call.action else {
                let seen = item.call.seen.unwrap_or(Value::NIL);
                match story.problem.values.content(seen) {
                    Content::Text(_) | Content::Nil => continue,
                    _ => return Err("not everything read is a text".to_owned()),
                }
            };
            match story.problem.values.content(value) {
                Content::Text(text) if !text.is_empty() => all.push((text, number as u32)),
                _ => return Err("not everything written is a text".to_owned()),
            }
        }
        all.sort_unstable();
        let mut pairs = all.windows(2).map(|pair| [pair[0].0, pair[1].0]);
        match pairs.find(|[one, next]| next != one && next.starts_with(one)) {
            Some([one, next]) => Err(format!("the texts {one:?} and {next:?} begin alike")),
            None => Ok(Self { all }),
        }
    }

    /// The updates with the text that `rest` begins with, and what is behind it. There is only one
    /// such text: one between another and what begins with that begins with it as well.
    fn first<'t>(&self, rest: &'t str) -> Option<(&[(&'a str, u32)], &'t str)> {
        let end = self.all.partition_point(|(text, _)| *text <= rest);
        let (text, _) = self.all[end.checked_sub(1)?];
        let behind = rest.strip_prefix(text)?;
        let start = self.all[..end].partition_point(|(other, _)| *other < text);
        Some((&self.all[start..end], behind))
    }
}

/// A text that was read, or the beginning of one.
struct Node {
    /// The text before the last update; `NONE` for a put.
    parent: u32,
    /// A read that showed it.
    witness: u32,
}

struct Tree<'a, 's> {
    story: &'s Story<'a, Kv>,
    words: Words<'a>,
    nodes: Vec<Node>,
    /// The text that ends with each update.
    of_update: Vec<u32>,
    of_text: FixedMap<Value, u32>,
    /// When the last read of each text returned.
    latest: FixedMap<Value, u64>,
    /// The update that was the first to return, and when.
    first: u32,
    first_done: u64,
}

impl Tree<'_, '_> {
    /// Takes the text of a read apart.
    fn enter(&mut self, read: u32) -> Result<(), Quick> {
        let value = self.seen(read);
        if self.of_text.contains_key(&value) {
            return Ok(());
        }
        let mut places = self.places(read)?;
        self.sift(&mut places, self.latest[&value]);
        let mut node = EMPTY;
        for possible in &places {
            let update = match possible[..] {
                [only] => only,
                [one, ..] => {
                    let writer = self.narrate(one);
                    return Err(Quick::Unsure(format!(
                        "{writer} was not the only one of its text"
                    )));
                }
                [] => return Err(self.untimely(read)),
            };
            let parent = if self.is_put(update) { NONE } else { node };
            node = self.of_update[update as usize];
            if node != NONE && self.nodes[node as usize].parent != parent {
                return Err(self.misplaced(read, update));
            }
            if node == NONE {
                node = self.nodes.len() as u32;
                self.of_update[update as usize] = node;
                self.nodes.push(Node {
                    parent,
                    witness: read,
                });
            }
        }
        self.of_text.insert(value, node);
        Ok(())
    }

    /// For each place of the text of a read the updates that can have written it.
    fn places(&self, read: u32) -> Result<Vec<Vec<u32>>, Quick> {
        let mut places = Vec::new();
        let mut rest = self.text(self.seen(read));
        while !rest.is_empty() {
            let Some((updates, behind)) = self.words.first(rest) else {
                let sentence = format!(
                    "{} shows a text that nobody wrote, {} characters from its end",
                    self.narrate(read),
                    rest.chars().count(),
                );
                return Err(self.clash(&[read], sentence));
            };
            let is_at_start = places.is_empty();
            let updates = updates.iter().map(|(_, update)| *update);
            let possible = updates.filter(|update| match (self.is_put(*update), is_at_start) {
                (is_put, false) => !is_put,
                (true, true) => true,
                // Behind the first update that has happened no text is empty.
                (false, true) => self.invoked(*update) <= self.first_done,
            });
            places.push(possible.collect());
            rest = behind;
        }
        Ok(places)
    }

    /// Leaves out what began after something behind it had returned, or the other way round, where
    /// equal texts leave a choice.
    fn sift(&self, places: &mut [Vec<u32>], returned: u64) {
        let returns = |update: u32| self.story.item(update as usize).returned;
        let has_choice = |places: &[Vec<u32>]| places.iter().any(|possible| possible.len() > 1);
        let mut before = usize::MAX;
        while has_choice(places) {
            let count = places.iter().map(Vec::len).sum();
            if count == before {
                return;
            }
            before = count;
            let mut begun = 0;
            for possible in places.iter_mut() {
                possible.retain(|update| returns(*update) >= begun);
                let first = possible.iter().map(|update| self.invoked(*update)).min();
                begun = begun.max(first.unwrap_or(0));
            }
            let mut ended = returned;
            for possible in places.iter_mut().rev() {
                possible.retain(|update| self.invoked(*update) <= ended);
                let last = possible.iter().map(|update| returns(*update)).max();
                ended = ended.min(last.unwrap_or(u64::MAX));
            }
        }
    }

    /// A read of something that nobody can have written there in time.
    fn untimely(&self, read: u32) -> Quick {
        let sentence = format!(
            "{} shows a text that nobody can have written there by then",
            self.narrate(read)
        );
        self.clash(&[read, self.first], sentence)
    }

    /// The history as one of a register.
    fn judge(&self) -> Quick {
        let items = &self.story.problem.items;
        let mut unseen = self.nodes.len() as i64;
        let operations: Vec<Operation> = (items.iter().enumerate())
            .map(|(number, item)| {
                let node = self.of_update[number];
                let value = Value(i64::from(node));
                let (action, seen) = match item.call.action {
                    Action::Read => (Action::Read, self.of_text.get(&self.seen(number as u32))),
                    _ if node == NONE => {
                        unseen += 1;
                        (Action::Write(Value(unseen)), None)
                    }
                    Action::Do(..) => {
                        let from = Value(i64::from(self.nodes[node as usize].parent));
                        (Action::Cas { from, to: value }, None)
                    }
                    Action::Write(_) | Action::Cas { .. } => (Action::Write(value), None),
                };
                let is_open = item.is_optional();
                Operation {
                    process: item.call.process,
                    key: KeyId(0),
                    action,
                    invoked: Nanos(item.invoked - 1),
                    completed: if is_open {
                        Nanos::MAX
                    } else {
                        Nanos(item.returned - 1)
                    },
                    outcome: if is_open { Outcome::Info } else { Outcome::Ok },
                    seen: seen.map(|node| Value(i64::from(*node))),
                    intended: None,
                    node: None,
                    version: None,
                    error: None,
                }
            })
            .collect();
        match judge_operations(&operations, Value(i64::from(EMPTY))) {
            Answer::Ok => Quick::Order,
            Answer::Illegal(clash) => self.told(&clash),
            Answer::Undecided(unsure) => Quick::Unsure(unsure.to_string()),
        }
    }

    /// An update that stands where it cannot.
    fn misplaced(&self, read: u32, update: u32) -> Quick {
        let (reader, writer) = (self.narrate(read), self.narrate(update));
        let known = self.of_update[update as usize];
        let witness = self.nodes[known as usize].witness;
        let sentence = if witness == read {
            format!("{reader} shows twice what {writer} wrote once")
        } else {
            let other = self.narrate(witness);
            format!("{reader} and {other} show what {writer} wrote once, behind different texts")
        };
        self.clash(&[read, update, witness], sentence)
    }

    /// A clash of zones in words.
    fn told(&self, clash: &Zones) -> Quick {
        let in_time = |early: u32, late: u32| {
            format!(
                "{} had returned at {} before {} began at {}",
                self.narrate(early),
                self.story.ended(early as usize),
                self.narrate(late),
                self.story.began(late as usize),
            )
        };
        match clash {
            Zones::Unwritten { reader, .. } => self.clash(
                &[*reader],
                format!("{} shows a text that nobody wrote", self.narrate(*reader)),
            ),
            Zones::Future { writer, reader } => {
                let sentence = format!("{}, but shows what it wrote", in_time(*reader, *writer));
                self.clash(&[*writer, *reader], sentence)
            }
            Zones::TwoCas {
                cas: [one, other], ..
            } => {
                let sentence = format!(
                    "{} and {} are both shown next behind the same text",
                    self.narrate(*one),
                    self.narrate(*other)
                );
                self.clash(&[*one, *other], sentence)
            }
            Zones::Cycle { cas, .. } => self.clash(
                cas,
                "each of these texts was appended to another of them".to_owned(),
            ),
            Zones::Order { late, early, links } => {
                let how = match self.story.item(*late as usize).call.action {
                    Action::Read => "which shows less than was there by then",
                    _ => "which the texts show first",
                };
                let sentence = format!("{}, {how}", in_time(*early, *late));
                self.clash(&[&[*late, *early], &links[..]].concat(), sentence)
            }
            Zones::Overlap { holds } => {
                let [outer, inner] = &**holds;
                let sentence = if inner.is_forward {
                    format!(
                        "{}, yet {}: these times overlap",
                        self.held(outer),
                        self.held(inner)
                    )
                } else {
                    format!(
                        "{}, yet in between {}",
                        self.held(outer),
                        self.passed(inner)
                    )
                };
                let of = |hold: &Hold| [&[hold.since, hold.until], &hold.links[..]].concat();
                self.clash(&[of(outer), of(inner)].concat(), sentence)
            }
        }
    }

    fn held(&self, hold: &Hold) -> String {
        let since = match hold.since {
            NONE => "from the start".to_owned(),
            since => format!(
                "from {}, which returned at {},",
                self.narrate(since),
                self.story.ended(since as usize)
            ),
        };
        let until = match hold.until {
            NONE => "then".to_owned(),
            until => format!(
                "{}, which began at {}",
                self.narrate(until),
                self.story.began(until as usize)
            ),
        };
        format!("one text was only appended to {since} until {until}")
    }

    fn passed(&self, hold: &Hold) -> String {
        let what = [hold.until, hold.since].map(|number| match number {
            NONE => "the start".to_owned(),
            number => self.narrate(number),
        });
        format!(
            "{} began and {} returned, which belong to another text",
            what[0], what[1]
        )
    }

    /// Those items with all that their texts consist of, so that they prove the clash alone.
    fn clash(&self, numbers: &[u32], sentence: String) -> Quick {
        let mut all: Vec<u32> = Vec::new();
        let mut work: Vec<u32> = numbers.to_vec();
        while let Some(number) = work.pop() {
            if number == NONE || all.contains(&number) {
                continue;
            }
            all.push(number);
            let node = self.of_update[number as usize];
            if node != NONE {
                work.push(self.nodes[node as usize].witness);
            }
            if self.story.item(number as usize).call.action == Action::Read {
                let mut rest = self.text(self.seen(number));
                while let Some((updates, behind)) = self.words.first(rest) {
                    work.extend(updates.iter().map(|(_, update)| *update));
                    if updates.len() > 1 {
                        // It shows which of them is not meant.
                        work.push(self.first);
                    }
                    rest = behind;
                }
            }
        }
        let items: Vec<usize> = all.into_iter().map(|number| number as usize).collect();
        Quick::clash(&items, sentence)
    }

    fn invoked(&self, number: u32) -> u64 {
        self.story.item(number as usize).invoked
    }

    fn narrate(&self, number: u32) -> String {
        self.story.narrate(number as usize)
    }

    fn seen(&self, read: u32) -> Value {
        self.story
            .item(read as usize)
            .call
            .seen
            .unwrap_or(Value::NIL)
    }

    fn is_put(&self, update: u32) -> bool {
        !matches!(
            self.story.item(update as usize).call.action,
            Action::Do(Verb::Append, _)
        )
    }
}

impl<'a> Tree<'a, '_> {
    fn text(&self, value: Value) -> &'a str {
        match self.story.problem.values.content(value) {
            Content::Text(text) => text,
            // A number that nobody wrote as a text is found by nobody.
            Content::Integer(_) | Content::Nil | Content::List(_) => "",
        }
    }
}
