//! The counterexample as files of its own: lanes for people, JSON for programs, a page to look at.
//!
//! Without a violation there is nothing to write, and nothing is written.

use std::io::{self, Write};

use serde::Serialize;

use crate::check::{Evidence, describe, ended, evidence_lanes};
use crate::history::History;
use crate::results::RunRecord;

use super::{Reporter, counterexample_page};

/// What the terminal shows.
#[derive(Debug)]
pub(super) struct Lanes;

/// The same for programs.
#[derive(Debug)]
pub(super) struct Json;

/// The same as a picture.
#[derive(Debug)]
pub(super) struct Page;

impl Reporter for Lanes {
    fn name(&self) -> &'static str {
        "counterexample lanes"
    }

    fn file_name(&self) -> &'static str {
        "counterexample.txt"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        match &record.evidence {
            Some(evidence) => out.write_all(evidence_lanes(&record.history, evidence).as_bytes()),
            None => Ok(()),
        }
    }
}

impl Reporter for Json {
    fn name(&self) -> &'static str {
        "counterexample json"
    }

    fn file_name(&self) -> &'static str {
        "counterexample.json"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        let Some(evidence) = &record.evidence else {
            return Ok(());
        };
        serde_json::to_writer_pretty(&mut *out, &Document::of(&record.history, evidence))?;
        out.write_all(b"\n")
    }
}

impl Reporter for Page {
    fn name(&self) -> &'static str {
        "counterexample page"
    }

    fn file_name(&self) -> &'static str {
        "counterexample.html"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        let Some(evidence) = &record.evidence else {
            return Ok(());
        };
        let page = counterexample_page(&record.history, evidence, &record.events);
        out.write_all(page.as_bytes())
    }
}

/// `counterexample.json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    key: &'a str,
    sentence: &'a str,
    /// How many operations of the evidence are left out of the middle of `operations`.
    hidden: usize,
    operations: Vec<Entry<'a>>,
    longest_order: Option<Order<'a>>,
}

/// An operation of the evidence.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    /// Its place in the history, from 0, in the order of invocation.
    index: usize,
    process: u64,
    node: Option<String>,
    operation: String,
    outcome: &'static str,
    invoked_ns: u64,
    /// When it had certainly taken effect; nothing if that is unknown.
    completed_ns: Option<u64>,
    version: Option<i64>,
    error: Option<&'a str>,
}

/// How far an order comes.
#[derive(Debug, Serialize)]
struct Order<'a> {
    indices: &'a [usize],
    held: &'a [String],
    does_not_fit: usize,
    sentence: String,
}

impl<'a> Document<'a> {
    fn of(history: &'a History, evidence: &'a Evidence) -> Self {
        let operations = evidence.shown().into_iter().filter_map(|index| {
            let operation = history.operations.get(index)?;
            Some(Entry {
                index,
                process: operation.process.0,
                node: operation.node.map(|node| node.to_string()),
                operation: describe(operation, &history.values, WORDS),
                outcome: operation.outcome.word(),
                invoked_ns: operation.invoked.0,
                completed_ns: ended(operation).map(|end| end.0),
                version: operation.version,
                error: history.error_text(operation),
            })
        });
        Self {
            schema: "chaos.counterexample/1",
            key: &evidence.key,
            sentence: &evidence.sentence,
            hidden: evidence.hidden(),
            operations: operations.collect(),
            longest_order: evidence.attempt.as_ref().map(|attempt| Order {
                indices: &attempt.order,
                held: &attempt.held,
                does_not_fit: attempt.stuck,
                sentence: attempt.sentence(history),
            }),
        }
    }
}

/// A longer description loses its middle; the history has it whole.
const WORDS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{COUNTEREXAMPLES, sample};

    #[test]
    fn the_counterexample_for_programs() {
        let mut bytes = Vec::new();
        Json.write(&sample::failed(), &mut bytes).unwrap();
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap());
    }

    #[test]
    fn a_passed_run_has_none() {
        for reporter in COUNTEREXAMPLES {
            let mut bytes = Vec::new();
            reporter.write(&sample::small(), &mut bytes).unwrap();
            assert!(bytes.is_empty(), "{}", reporter.name());
        }
    }
}
