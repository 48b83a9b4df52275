//! Reports: views of one judged run, for people, for CI and for other tools.
//!
//! *Reporter*: a pure function from the [`RunRecord`] to the bytes of one file. Every view derives
//! from the record alone, so `chaos report RUN` rebuilds each of them as it was.

mod achieved;
mod comparison;
mod counterexample;
mod distribution;
mod github;
mod hdr;
mod html;
mod jsonl;
mod junit;
mod markdown;
mod openmetrics;
mod progress;
mod summary;
mod summary_schema;
mod terminal;
mod text;
mod trials;

#[cfg(test)]
mod sample;

use std::fmt;
use std::io::{self, Write};

use crate::results::RunRecord;

pub use comparison::{ContrastLine, comparison_table, samples_table};
pub use github::{github, github_failure};
pub use html::{INDEX, INDEX_RUNS, counterexample_page, index};
pub use jsonl::json_lines;
pub use progress::{fault_line, header, mark_line, phase_line, recovery_line, sync_line};
pub use summary_schema::summary_schema;
pub use terminal::Terminal;

/// One view of a run.
pub trait Reporter: fmt::Debug + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// The name of its file in the results folder.
    fn file_name(&self) -> &'static str;

    /// Writes it whole.
    ///
    /// # Errors
    /// Only those of `out`.
    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()>;
}

/// Every view that is kept in the results folder, the ones a script waits for first.
pub const REPORTERS: &[&dyn Reporter] = &[
    &summary::Summary,
    &junit::Junit,
    &trials::Trials,
    &openmetrics::OpenMetrics,
    &hdr::IntervalLog,
    &hdr::ALL,
    &hdr::READ,
    &hdr::WRITE,
    &hdr::CAS,
    &markdown::Markdown,
    &html::Page,
];

/// The views of a violation, kept beside the others when there is one.
pub const COUNTEREXAMPLES: &[&dyn Reporter] = &[
    &counterexample::Lanes,
    &counterexample::Json,
    &counterexample::Page,
];

/// The summary as `--format json` prints it: one JSON object and a newline.
///
/// # Errors
/// Only those of `out`.
pub fn json(record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
    summary::Summary.write(record, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_reporters_share_a_file_and_every_one_writes_something() {
        let record = sample::failed();
        let mut files = std::collections::BTreeSet::new();
        for reporter in REPORTERS.iter().chain(COUNTEREXAMPLES) {
            assert!(
                files.insert(reporter.file_name()),
                "{}",
                reporter.file_name()
            );
            let mut bytes = Vec::new();
            reporter.write(&record, &mut bytes).unwrap();
            assert!(!bytes.is_empty(), "{}", reporter.name());
        }
    }

    #[test]
    fn every_view_of_one_record_is_the_same_bytes_twice() {
        let record = sample::failed();
        for reporter in REPORTERS.iter().chain(COUNTEREXAMPLES) {
            let render = || {
                let mut bytes = Vec::new();
                reporter.write(&record, &mut bytes).unwrap();
                bytes
            };
            assert!(render() == render(), "{}", reporter.name());
        }
    }

    #[test]
    fn a_run_in_which_nothing_happened_still_has_every_view() {
        let record = sample::empty();
        for reporter in REPORTERS {
            let mut bytes = Vec::new();
            reporter.write(&record, &mut bytes).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
            assert!(
                !words.any(|word| ["NaN", "inf"].contains(&word)),
                "{}",
                reporter.name()
            );
        }
    }
}
