//! A plan's text as a tree in which every value knows its place. The only module that names the
//! YAML crate.
//!
//! The crate tells places only in its errors. So each scalar is read by a visitor that keeps the
//! value aside and then refuses it: the refusal comes back with line and column, is taken as the
//! scalar's place, and reading goes on behind it. A test below fails should the crate ever change
//! that. Lists and maps take the place of what they begin with.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::diagnostic::Diagnostic;

/// No plan needs as much text, and parsing stays instant.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Aliases count each time they are used: a bomb of nested aliases ends here.
const MAX_VALUES: usize = 50_000;

/// One value of the document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Where, in bytes of the text.
    pub(super) span: Range<usize>,
    /// What.
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

impl Node {
    /// Reads a document. Duplicate keys are reported beside the tree, which keeps the first.
    pub(super) fn parse(text: &str) -> Result<(Self, Vec<Diagnostic>), Box<Diagnostic>> {
        if text.lines().all(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with('#') || line == "---"
        }) {
            let help = "begin with `version: 1`, `name: ...` and `steps:`";
            return Err(Box::new(
                Diagnostic::error(0..0, "the plan is empty").help(help),
            ));
        }
        let builder = Builder {
            text,
            lines: line_starts(text),
            values: Cell::new(0),
            problems: RefCell::new(Vec::new()),
        };
        let parser = serde_yaml::Deserializer::from_str(text);
        match (Seed { builder: &builder }).deserialize(parser) {
            Ok(root) => Ok((root, builder.problems.take())),
            Err(error) => Err(Box::new(builder.syntax_error(&error))),
        }
    }

    /// An entry of a map.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A map without some of its keys, at the same place.
    pub(super) fn without(&self, keys: &[&str]) -> Self {
        let kept = self.entries().iter();
        Self {
            span: self.span.clone(),
            kind: Kind::Map(
                kept.filter(|entry| !keys.contains(&entry.key.as_str()))
                    .cloned()
                    .collect(),
            ),
        }
    }

    /// The place of the first scalar below (or here) that reads `text`; else its own place.
    pub(super) fn locate(&self, text: &str) -> Range<usize> {
        self.find(text).unwrap_or_else(|| self.span.clone())
    }

    fn find(&self, text: &str) -> Option<Range<usize>> {
        match &self.kind {
            Kind::Text(own) => (own.trim() == text).then(|| self.span.clone()),
            Kind::List(items) => items.iter().find_map(|item| item.find(text)),
            Kind::Map(entries) => entries.iter().find_map(|entry| entry.value.find(text)),
            _ => None,
        }
    }

    /// For people: what kind of value it is.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => format!("`{value}`"),
            Kind::Unsigned(value) => format!("the number {value}"),
            Kind::Signed(value) => format!("the number {value}"),
            Kind::Float(value) => format!("the number {value}"),
            Kind::Text(text) => format!("`{text}`"),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }

    /// Whether it is empty and so far without a place of its own.
    const fn is_unplaced(&self) -> bool {
        self.span.end == 0
    }
}

/// What the visitors share.
struct Builder<'a> {
    text: &'a str,
    /// The byte at which each line starts.
    lines: Vec<usize>,
    values: Cell<usize>,
    problems: RefCell<Vec<Diagnostic>>,
}

impl Builder<'_> {
    fn count<E: de::Error>(&self) -> Result<(), E> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > MAX_VALUES {
            return Err(E::custom(TOO_MANY));
        }
        Ok(())
    }

    /// The byte of a line and column, both from 1.
    fn byte(&self, line: usize, column: usize) -> usize {
        let start = self.lines.get(line - 1).copied().unwrap_or(self.text.len());
        let rest = &self.text[start..];
        rest.char_indices()
            .nth(column - 1)
            .map_or(self.text.len(), |(at, _)| start + at)
    }

    /// Where the scalar stands whose refusal this is.
    fn scalar_span(&self, refusal: &str, kind: &Kind) -> Range<usize> {
        let (line, column) = place_in(refusal).unwrap_or((1, 1));
        let start = self.byte(line, column);
        let rest = &self.text[start..];
        let length = match kind {
            Kind::Text(text) if !text.is_empty() && rest.starts_with(text.as_str()) => text.len(),
            Kind::Null => 0,
            _ => token_length(rest),
        };
        start..start + length
    }

    fn syntax_error(&self, error: &serde_yaml::Error) -> Diagnostic {
        let text = error.to_string();
        let (line, column) = error
            .location()
            .map_or((1, 1), |at| (at.line().max(1), at.column().max(1)));
        let at = self.byte(line, column);
        if let Some(tab) = self.tab_near(line) {
            return Diagnostic::error(tab..tab + 1, "YAML does not allow tabs as indentation")
                .label("a tab")
                .help("indent with spaces");
        }
        if text.contains(TOO_MANY) || text.contains("repetition limit") {
            return Diagnostic::error(at..at, TOO_MANY)
                .help("aliases (`*name`) multiply what they stand for: use fewer");
        }
        if text.contains("recursion limit") {
            return Diagnostic::error(at..at, "the plan is nested too deeply");
        }
        if text.contains("more than one document") {
            return Diagnostic::error(0..0, "the file holds more than one document")
                .help("one file is one plan: split it at `---`");
        }
        let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
        Diagnostic::error(at..at, format!("this is not YAML: {message}"))
            .help("check indentation, quotes and brackets on this line and the one before")
    }

    /// A tab in the indentation of a line of a syntax error, or of the line before or after: the
    /// parser often stops beside it.
    fn tab_near(&self, line: usize) -> Option<usize> {
        (line.saturating_sub(2)..=line).find_map(|index| {
            let start = *self.lines.get(index)?;
            let rest = &self.text[start..];
            let indent = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            rest[..indent].find('\t').map(|tab| start + tab)
        })
    }
}

const TOO_MANY: &str = "the plan holds more than 50000 values";

/// The message of every refusal; it is never shown.
const REFUSAL: &str = "placed";

fn line_starts(text: &str) -> Vec<usize> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    std::iter::once(0)
        .chain(ends.map(|(at, _)| at + 1))
        .collect()
}

/// Line and column at the end of an error's text; the first place of all has none.
fn place_in(refusal: &str) -> Option<(usize, usize)> {
    let (_, place) = refusal.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

/// How long a quoted or plain scalar at the start of `rest` is.
fn token_length(rest: &str) -> usize {
    match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest[1..].find(quote).map_or(rest.len(), |end| end + 2),
        _ => rest
            .find(|c: char| c.is_whitespace() || ",]}#".contains(c))
            .unwrap_or(rest.len()),
    }
}

/// Reads one value. An empty list or map comes without a place; its parent gives it one.
#[derive(Clone, Copy)]
struct Seed<'a> {
    builder: &'a Builder<'a>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        self.builder.count()?;
        let aside = Cell::new(None);
        let visitor = Aside {
            builder: self.builder,
            aside: &aside,
        };
        match (from.deserialize_any(visitor), aside.take()) {
            (Ok(kind), _) => Ok(Node {
                span: first_place(&kind),
                kind,
            }),
            (Err(refusal), Some(kind)) => {
                let span = self.builder.scalar_span(&refusal.to_string(), &kind);
                Ok(Node { span, kind })
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// Where a list or map begins; `0..0` if it is empty.
fn first_place(kind: &Kind) -> Range<usize> {
    match kind {
        Kind::List(items) => items.first().map(|item| item.span.clone()),
        Kind::Map(entries) => entries.first().map(|entry| entry.key_span.clone()),
        _ => None,
    }
    .unwrap_or(0..0)
}

/// Keeps scalars aside and refuses them; reads lists and maps.
struct Aside<'a> {
    builder: &'a Builder<'a>,
    aside: &'a Cell<Option<Kind>>,
}

impl Aside<'_> {
    fn scalar<E: de::Error>(self, kind: Kind) -> Result<Kind, E> {
        self.aside.set(Some(kind));
        Err(E::custom(REFUSAL))
    }
}

impl<'de> Visitor<'de> for Aside<'_> {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Kind, E> {
        self.scalar(Kind::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Kind, E> {
        self.scalar(Kind::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Kind, E> {
        self.scalar(Kind::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Kind, E> {
        self.scalar(Kind::Unsigned(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Kind, E> {
        self.scalar(Kind::Signed(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Kind, E> {
        self.scalar(Kind::Float(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Kind, E> {
        self.scalar(Kind::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let seed = Seed {
            builder: self.builder,
        };
        let mut items: Vec<Node> = Vec::new();
        while let Some(item) = seq.next_element_seed(seed)? {
            items.push(item);
        }
        if let Some(known) = items.iter().find(|item| !item.is_unplaced()) {
            let neighbour = known.span.clone();
            for item in items.iter_mut().filter(|item| item.is_unplaced()) {
                item.span = neighbour.clone();
            }
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let seed = Seed {
            builder: self.builder,
        };
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(key) = map.next_key_seed(seed)? {
            let mut value = map.next_value_seed(seed)?;
            if value.is_unplaced() {
                value.span = key.span.clone();
            }
            let name = match &key.kind {
                Kind::Text(text) => text.clone(),
                _ => self.builder.text[key.span.clone()].to_owned(),
            };
            if let Some(first) = entries.iter().find(|entry| entry.key == name) {
                self.builder.problems.borrow_mut().push(
                    Diagnostic::error(key.span, format!("`{name}` is given twice"))
                        .label("again here")
                        .also(first.key_span.clone(), "first here")
                        .help("keep one of them"),
                );
                continue;
            }
            entries.push(Entry {
                key: name,
                value,
                key_span: key.span,
            });
        }
        Ok(Kind::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places<'a>(text: &'a str, node: &Node, into: &mut Vec<&'a str>) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| places(text, item, into)),
            Kind::Map(entries) => {
                for entry in entries {
                    into.push(&text[entry.key_span.clone()]);
                    places(text, &entry.value, into);
                }
            }
            _ => into.push(&text[node.span.clone()]),
        }
    }

    #[test]
    fn every_scalar_knows_its_place() {
        let text = "# häh\nversion: 1\nname: \"a b\"\nsteps:\n  - kill: {node: any follower, \
                    for: 2s..8s}   # why\n  - wait: 5s\n  - heal:\n  - repeat:\n      - 1.5\n      - true\n";
        let (root, problems) = Node::parse(text).unwrap();
        assert!(problems.is_empty());
        let mut found = Vec::new();
        places(text, &root, &mut found);
        assert_eq!(
            found,
            [
                "version",
                "1",
                "name",
                "\"a b\"",
                "steps",
                "kill",
                "node",
                "any follower",
                "for",
                "2s..8s",
                "wait",
                "5s",
                "heal",
                "",
                "repeat",
                "1.5",
                "true"
            ]
        );
    }

    #[test]
    fn the_first_character_of_the_text_is_a_place_too() {
        let (root, _) = Node::parse("a: 1").unwrap();
        assert_eq!(root.entry("a").unwrap().key_span, 0..1);
    }

    #[test]
    fn aliases_are_read_and_bombs_are_refused() {
        let (root, _) = Node::parse("a: &x 5s\nb: *x\n").unwrap();
        assert_eq!(
            root.entry("b").unwrap().value.kind,
            Kind::Text("5s".to_owned())
        );
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let items = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert_eq!(Node::parse(&bomb).unwrap_err().message, TOO_MANY);
    }

    #[test]
    fn empty_lists_and_maps_keep_their_kind() {
        let (root, _) = Node::parse("a: {}\nb: []\nc: [[], 1]\n").unwrap();
        assert_eq!(root.entry("a").unwrap().value.kind, Kind::Map(Vec::new()));
        assert_eq!(root.entry("b").unwrap().value.kind, Kind::List(Vec::new()));
    }
}
