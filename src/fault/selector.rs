//! Node words: how a plan says which nodes it means.
//!
//! A *selector* is one of `n1`, `[n1, n2]`, `all`, `leader`, `claimants`, `followers`, `any`,
//! `any follower`, `any other`, `2 of followers`, `some minority`, `minority`, `majority`,
//! `minority_third`, `$name`. Its meaning is in [`super::choose`].

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::units::HELP_MARK;
use crate::id::NodeId;

/// Which nodes are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `n1`: this one.
    Node(NodeId),
    /// `[n1, leader]`: all of these together. Never empty.
    List(Vec<Self>),
    /// `all`: every member, running or not.
    All,
    /// `leader`: whom a majority follows in the highest epoch.
    Leader,
    /// `claimants`: every running node that says it leads.
    Claimants,
    /// `followers`: every running node that says it follows.
    Followers,
    /// `any`, `any follower`, `2 of followers`: this many at random.
    Random {
        /// How many, at least 1.
        count: u8,
        /// Among whom.
        of: Pool,
    },
    /// `any other`: one running node that this step has not chosen yet.
    AnyOther,
    /// `some minority`: at random, from one node to the largest minority.
    SomeMinority,
    /// `minority`: the largest number of nodes that is no quorum and leaves one, at random.
    Minority,
    /// `majority`: the smallest quorum, at random.
    Majority,
    /// `minority_third`: the largest number of nodes below a third, at random.
    MinorityThird,
    /// `$name`: the nodes that an earlier `as: name` chose.
    Name(String),
}

/// Among whom a random selector chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Every running node.
    Running,
    /// Every running node that says it follows.
    Followers,
}

/// The fixed words, for "did you mean" and for docs.
pub const WORDS: &[(&str, Selector)] = &[
    ("all", Selector::All),
    ("leader", Selector::Leader),
    ("claimants", Selector::Claimants),
    ("followers", Selector::Followers),
    (
        "any",
        Selector::Random {
            count: 1,
            of: Pool::Running,
        },
    ),
    (
        "any follower",
        Selector::Random {
            count: 1,
            of: Pool::Followers,
        },
    ),
    ("any other", Selector::AnyOther),
    ("some minority", Selector::SomeMinority),
    ("minority", Selector::Minority),
    ("majority", Selector::Majority),
    ("minority_third", Selector::MinorityThird),
];

impl Selector {
    /// Reads one word; lists have their own YAML form.
    ///
    /// # Errors
    /// The word means nothing; the text says which words there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some((_, word)) = WORDS.iter().find(|(name, _)| *name == text) {
            return Ok(word.clone());
        }
        if let Some(name) = text.strip_prefix('$') {
            return parse_name(name);
        }
        if let Ok(node) = text.parse() {
            return Ok(Self::Node(node));
        }
        if let Some((count, pool)) = text.split_once(" of ") {
            return parse_count(text, count, pool);
        }
        Err(unknown_word(text))
    }

    /// Every `n1` and `$name` in it, lists included.
    pub fn leaves(&self) -> Vec<&Self> {
        match self {
            Self::List(items) => items.iter().flat_map(Self::leaves).collect(),
            one => vec![one],
        }
    }

    /// Whether it can only be resolved once somebody leads.
    #[must_use]
    pub fn needs_leader(&self) -> bool {
        self.leaves().iter().any(|leaf| {
            matches!(
                leaf,
                Self::Leader
                    | Self::Followers
                    | Self::Random {
                        of: Pool::Followers,
                        ..
                    }
            )
        })
    }

    /// The most nodes that it can mean on a cluster of this size; names count as one.
    #[must_use]
    pub fn most(&self, nodes: u8) -> u8 {
        match self {
            Self::Node(_) | Self::Leader | Self::AnyOther | Self::Name(_) => 1,
            Self::List(items) => items
                .iter()
                .fold(0, |sum: u8, item| sum.saturating_add(item.most(nodes)))
                .min(nodes),
            Self::All | Self::Claimants => nodes,
            Self::Followers => nodes.saturating_sub(1),
            Self::Random { count, of } => (*count).min(match of {
                Pool::Running => nodes,
                Pool::Followers => nodes.saturating_sub(1),
            }),
            Self::SomeMinority | Self::Minority => nodes.saturating_sub(1) / 2,
            Self::Majority => nodes / 2 + 1,
            Self::MinorityThird => nodes.saturating_sub(1) / 3,
        }
    }
}

fn parse_name(name: &str) -> Result<Selector, String> {
    let is_word = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_-".contains(c));
    if is_word {
        Ok(Selector::Name(name.to_owned()))
    } else {
        Err(format!(
            "`${name}` is not a name{HELP_MARK}a name is letters, digits, `_` and `-`: `$victim`"
        ))
    }
}

fn parse_count(text: &str, count: &str, pool: &str) -> Result<Selector, String> {
    let of = match pool.trim() {
        "all" | "any" => Pool::Running,
        "followers" => Pool::Followers,
        _ => return Err(unknown_word(text)),
    };
    match count.trim().parse() {
        Ok(count) if count >= 1 => Ok(Selector::Random { count, of }),
        _ => Err(format!(
            "`{text}` does not say how many{HELP_MARK}write for instance `2 of followers`"
        )),
    }
}

fn unknown_word(text: &str) -> String {
    let near = WORDS
        .iter()
        .map(|(name, _)| (strsim::damerau_levenshtein(name, text), *name))
        .filter(|(distance, name)| distance * 3 <= name.len().max(4))
        .min();
    let help = near.map_or_else(
        || {
            let words: Vec<&str> = WORDS.iter().map(|(name, _)| *name).collect();
            format!(
                "nodes are n1, [n1, n2], $name, `2 of followers`, or one of: {}",
                words.join(", ")
            )
        },
        |(_, name)| format!("did you mean `{name}`?"),
    );
    format!("`{text}` names no node{HELP_MARK}{help}")
}

/// As written in a plan.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = WORDS.iter().find(|(_, word)| word == self) {
            return f.write_str(name);
        }
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Name(name) => write!(f, "${name}"),
            Self::Random { count, of } => match of {
                Pool::Running => write!(f, "{count} of all"),
                Pool::Followers => write!(f, "{count} of followers"),
            },
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::All
            | Self::Leader
            | Self::Claimants
            | Self::Followers
            | Self::AnyOther
            | Self::SomeMinority
            | Self::Minority
            | Self::Majority
            | Self::MinorityThird => Ok(()),
        }
    }
}

struct SelectorVisitor;

impl<'de> Visitor<'de> for SelectorVisitor {
    type Value = Selector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nodes: n1, [n1, n2], leader, any follower, $name …")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Selector, E> {
        Selector::parse(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Selector, A::Error> {
        let mut items = Vec::new();
        while let Some(word) = seq.next_element::<Word>()? {
            items.push(word.0);
        }
        if items.is_empty() {
            return Err(de::Error::custom(format_args!(
                "the list names no node{HELP_MARK}write at least one: `[n1]`"
            )));
        }
        Ok(Selector::List(items))
    }
}

/// An element of a list: a word, not another list.
struct Word(Selector);

struct WordVisitor;

impl Visitor<'_> for WordVisitor {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node: n1, leader, $name …")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
        Selector::parse(text).map(Word).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(WordVisitor)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SelectorVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_printed() {
        let more = ["n1", "n9", "$victim", "2 of followers", "3 of all"];
        for text in WORDS.iter().map(|(name, _)| *name).chain(more) {
            assert_eq!(Selector::parse(text).unwrap().to_string(), text);
        }
        let list = Selector::List(vec![Selector::Node(NodeId(1)), Selector::Leader]);
        assert_eq!(list.to_string(), "[n1, leader]");
    }

    #[test]
    fn a_misspelt_word_is_refused_with_the_nearest_one() {
        assert_eq!(
            Selector::parse("leadr").unwrap_err(),
            "`leadr` names no node\nhelp: did you mean `leader`?"
        );
        for wrong in [
            "",
            "n0",
            "$",
            "$a b",
            "0 of all",
            "x of followers",
            "2 of leaders",
        ] {
            assert!(Selector::parse(wrong).is_err(), "{wrong}");
        }
    }
}
