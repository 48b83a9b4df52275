//! Stores of texts whose updates write different texts, in near-linear time.
//!
//! A text that was read is taken apart into what was written: a put at its beginning, or nothing,
//! and the appends behind it in their order. That order is unique where no written text begins
//! another. So the history is one of a register: every beginning of a text that was read is a value,
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
    let mut tree = Tree {
        story,
        nodes: vec![Node {
            parent: NONE,
            witness: NONE,
        }],
        of_update: vec![NONE; story.problem.items.len()],
        of_text: FixedMap::default(),
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
        let pairs = all.windows(2).map(|pair| [pair[0].0, pair[1].0]);
        match pairs.into_iter().find(|[one, next]| next.starts_with(one)) {
            Some([one, next]) if one == next => Err(format!("{one:?} was written more than once")),
            Some([one, next]) => Err(format!("the texts {one:?} and {next:?} begin alike")),
            None => Ok(Self { all }),
        }
    }

    /// The update whose text `rest` begins with, and what is behind it. There is only one: a text
    /// between another and what begins with that begins with it as well.
    fn first<'t>(&self, rest: &'t str) -> Option<(u32, &'t str)> {
        let behind = self.all.partition_point(|(text, _)| *text <= rest);
        let (text, update) = self.all[behind.checked_sub(1)?];
        Some((update, rest.strip_prefix(text)?))
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
}

impl Tree<'_, '_> {
    /// Takes the text of a read apart.
    fn enter(&mut self, read: u32) -> Result<(), Quick> {
        let value = self.seen(read);
        if self.of_text.contains_key(&value) {
            return Ok(());
        }
        let text = self.text(value);
        let (mut node, mut rest) = (EMPTY, text);
        while !rest.is_empty() {
            let Some((update, behind)) = self.words.first(rest) else {
                let sentence = format!(
                    "{} shows a text that nobody wrote, {} characters from its end",
                    self.story.narrate(read as usize),
                    rest.chars().count(),
                );
                return Err(self.clash(&[read], sentence));
            };
            let parent = if self.is_put(update) { NONE } else { node };
            let known = self.of_update[update as usize];
            let is_at_start = rest.len() == text.len();
            if self.is_put(update) && !is_at_start
                || known != NONE && self.nodes[known as usize].parent != parent
            {
                return Err(self.misplaced(read, update));
            }
            node = known;
            if known == NONE {
                node = self.nodes.len() as u32;
                self.of_update[update as usize] = node;
                self.nodes.push(Node {
                    parent,
                    witness: read,
                });
            }
            rest = behind;
        }
        self.of_text.insert(value, node);
        Ok(())
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
        if self.is_put(update) {
            let sentence =
                format!("{reader} shows what {writer} wrote behind other texts, which it replaced");
            return self.clash(&[read, update], sentence);
        }
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
                let sentence = format!(
                    "{}, but its text ends with what follows on that",
                    in_time(*early, *late)
                );
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
                while let Some((update, behind)) = self.words.first(rest) {
                    work.push(update);
                    rest = behind;
                }
            }
        }
        let items: Vec<usize> = all.into_iter().map(|number| number as usize).collect();
        Quick::clash(&items, sentence)
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
