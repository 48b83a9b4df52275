//! Clashes of zones in words.

use std::fmt;

use super::KeyHistory;
use super::segments::NONE;
use super::zones::{Clash, Hold};
use crate::check::{Evidence, brief, shorten};
use crate::clock::Nanos;
use crate::history::{Action, History, Outcome, Value};
use crate::model::Call;

/// The clash as evidence: its operations in the order of invocation, and why none orders them.
pub(super) fn of_clash(history: &History, key: &KeyHistory<'_>, clash: &Clash) -> Evidence {
    let story = Story { history, key };
    let (mut operations, sentence) = match clash {
        Clash::Unwritten {
            value,
            reader,
            proofs,
        } => story.unwritten(*value, *reader, proofs),
        Clash::Future { writer, reader } => story.future(*writer, *reader),
        Clash::TwoCas {
            value,
            writer,
            cas,
            proofs,
        } => story.two_cas(*value, *writer, *cas, proofs),
        Clash::Cycle { cas, proofs } => (
            [cas.as_slice(), proofs].concat(),
            "each of these cas needs a value that only another of them put there: none can be the \
             first"
                .to_owned(),
        ),
        Clash::Order { late, early, links } => story.order(*late, *early, links),
        Clash::Overlap { holds } => story.overlap(holds),
    };
    operations.retain(|index| *index != NONE);
    operations.sort_unstable();
    operations.dedup();
    let first = operations
        .first()
        .map(|index| history.operations[*index as usize].key);
    let key = first.map_or("?", |key| history.key_name(key)).to_owned();
    let operations = operations.into_iter().map(|index| index as usize);
    Evidence::new(key, operations.collect(), sentence)
}

/// `process 3's read → 5`.
pub(in crate::check) fn narrate(history: &History, index: u32) -> String {
    let operation = &history.operations[index as usize];
    let what = Call::from(operation).describe(&history.values);
    let what = shorten(&what, NARRATED_WIDTH);
    format!("process {}'s {what}", operation.process)
}

/// An instant on the run's axis, exact to the microsecond.
pub(in crate::check) struct Moment(pub(in crate::check) Nanos);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms", self.0.as_millis_f64())
    }
}

/// Operations and a sentence.
type Told = (Vec<u32>, String);

struct Story<'a> {
    history: &'a History,
    key: &'a KeyHistory<'a>,
}

impl Story<'_> {
    fn unwritten(&self, value: Value, reader: u32, proofs: &[u32]) -> Told {
        let failed = self.key.iter().find(|(_, operation)| {
            let written = match operation.action {
                Action::Write(to) | Action::Cas { to, .. } => Some(to),
                Action::Read | Action::Do(..) => None,
            };
            operation.outcome == Outcome::Fail && written == Some(value)
        });
        let who = self.narrate(reader);
        let why = failed.map_or_else(
            || "nobody wrote it".to_owned(),
            |(index, _)| self.narrate(index),
        );
        let failed = failed.map_or(NONE, |(index, _)| index);
        let sentence = format!("{who} found the value {}, but {why}", self.show(value));
        ([&[reader, failed], proofs].concat(), sentence)
    }

    fn future(&self, writer: u32, reader: u32) -> Told {
        let sentence = format!(
            "{} had returned at {} before {} began at {}",
            self.narrate(reader),
            self.completed(reader),
            self.narrate(writer),
            self.invoked(writer),
        );
        (vec![writer, reader], sentence)
    }

    fn two_cas(&self, value: Value, writer: u32, cas: [u32; 2], proofs: &[u32]) -> Told {
        let once = if writer == NONE {
            "it is the initial value and was never written"
        } else {
            "it was written only once"
        };
        let sentence = format!(
            "both {} and {} replaced the value {}, but {once}",
            self.narrate(cas[0]),
            self.narrate(cas[1]),
            self.show(value),
        );
        ([&[writer], &cas[..], proofs].concat(), sentence)
    }

    fn order(&self, late: u32, early: u32, links: &[u32]) -> Told {
        let sentence = format!(
            "{} had returned at {}, when its value had already replaced the value of {}, which \
             began only at {}",
            self.narrate(early),
            self.completed(early),
            self.narrate(late),
            self.invoked(late),
        );
        ([&[late, early], links].concat(), sentence)
    }

    fn overlap(&self, holds: &[Hold; 2]) -> Told {
        let operations = holds
            .iter()
            .flat_map(|hold| [&[hold.since, hold.until], &hold.links[..], &hold.proofs].concat())
            .collect();
        let [outer, inner] = holds;
        let mut sentence = format!("{},", self.held(outer));
        if inner.is_forward {
            sentence += &format!(" yet {}: these times overlap", self.held(inner));
            return (operations, sentence);
        }
        let (begin, end) = (self.narrate(inner.until), self.narrate(inner.since));
        if inner.until == inner.since {
            sentence += &format!(
                " yet {begin} began and returned in between (from {} to {})",
                self.invoked(inner.until),
                self.completed(inner.since),
            );
        } else {
            sentence += &format!(
                " yet in between {end} returned at {}, after {begin} began at {}",
                self.completed(inner.since),
                self.invoked(inner.until),
            );
        }
        (operations, sentence)
    }

    /// `the register held 3 from … until …`.
    fn held(&self, hold: &Hold) -> String {
        let since = if hold.since == NONE {
            "the start".to_owned()
        } else {
            let returned = self.completed(hold.since);
            format!(
                "{}, which returned at {returned},",
                self.narrate(hold.since)
            )
        };
        format!(
            "the register held {} from {since} until {}, which began at {}",
            self.values(hold),
            self.narrate(hold.until),
            self.invoked(hold.until),
        )
    }

    /// `3`, or for a chain `3 → 4 → 5`.
    fn values(&self, hold: &Hold) -> String {
        let value = |index: &u32| match self.history.operations.get(*index as usize) {
            Some(operation) => match operation.action {
                Action::Write(to) | Action::Cas { to, .. } => self.show(to),
                Action::Read | Action::Do(..) => self.show(self.key.initial),
            },
            None => self.show(self.key.initial),
        };
        let texts: Vec<String> = match hold.links.as_slice() {
            // A long chain is told by its ends; the lanes show all of it.
            [first, _, _, .., last] => vec![value(first), "…".to_owned(), value(last)],
            short => short.iter().map(value).collect(),
        };
        texts.join(" → ")
    }

    fn show(&self, value: Value) -> String {
        brief(&self.history.values.show(value).to_string(), VALUE_WIDTH)
    }

    fn narrate(&self, index: u32) -> String {
        narrate(self.history, index)
    }

    fn invoked(&self, index: u32) -> Moment {
        Moment(self.history.operations[index as usize].invoked)
    }

    fn completed(&self, index: u32) -> Moment {
        Moment(self.history.operations[index as usize].completed)
    }
}

/// An operation within a sentence.
const NARRATED_WIDTH: usize = 60;

/// A value within a sentence.
const VALUE_WIDTH: usize = 40;
