//! What the codecs of `history.jsonl` and `events.jsonl` share: header and errors.
//!
//! Every error names file and line and says what was expected there. Header lines carry a
//! `schema`, so that old files stay readable when the format grows.

use serde::Deserialize;

/// The `schema` of the first line of `history.jsonl`.
pub const HISTORY_SCHEMA: &str = "chaos.history/1";

/// The `schema` of the first line of `events.jsonl`.
pub const EVENTS_SCHEMA: &str = "chaos.events/1";

/// The optional first line of a history file. Without it the file is a plain register history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// The model to check against; absent = `register`.
    #[serde(default)]
    pub model: Option<String>,
    /// The run's origin as absolute `CLOCK_MONOTONIC` nanoseconds.
    #[serde(default)]
    pub clock_origin: Option<u64>,
    /// The plan's name.
    #[serde(default)]
    pub plan: Option<String>,
    /// The run's seed.
    #[serde(default)]
    pub seed: Option<u64>,
}

/// A file that cannot be read as what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}: {problem}")]
pub struct CodecError {
    /// The file, as given.
    pub name: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No JSON, or no object.
    #[error("expected a JSON object: {0}")]
    NotAnObject(String),
    /// A field is not there.
    #[error("`{field}` is missing: expected {expected}")]
    Missing {
        /// Which.
        field: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// A field has a value of the wrong kind.
    #[error("`{field}` is {found}: expected {expected}")]
    Wrong {
        /// Which.
        field: &'static str,
        /// What is there.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A process invokes while its last operation is still in flight.
    #[error(
        "process {process} invokes again, but its operation of line {since} has not completed: \
         expected a completion first"
    )]
    Busy {
        /// Which process.
        process: u64,
        /// The line of the operation in flight.
        since: usize,
    },
    /// A completion without an operation in flight.
    #[error(
        "process {process} completes an operation that it never invoked: expected an invoke first"
    )]
    Idle {
        /// Which process.
        process: u64,
    },
    /// A completion contradicts its invocation.
    #[error("`{field}` differs from the invocation in line {invoked}")]
    Mismatch {
        /// In which field.
        field: &'static str,
        /// The line of the invocation.
        invoked: usize,
    },
    /// A completion lies before its invocation.
    #[error("completes at {completed}, before its invocation at {invoked} in line {line}")]
    Backwards {
        /// When it was invoked, in nanoseconds.
        invoked: u64,
        /// When it completed, in nanoseconds.
        completed: u64,
        /// The line of the invocation.
        line: usize,
    },
    /// Some lines have times and some have none.
    #[error("lines with and without `time` are mixed: expected it on all lines or on none")]
    MixedTimes,
    /// The file is of another kind or a newer version.
    #[error("the schema is `{found}`: expected `{expected}`")]
    Schema {
        /// As read.
        found: String,
        /// As this version reads.
        expected: &'static str,
    },
    /// An event that is not one of ours.
    #[error("not an event: {0}")]
    NotAnEvent(String),
    /// A line or form that its format does not know.
    #[error("found {found}: expected {expected}")]
    Unexpected {
        /// What is there.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// Something opened is not closed.
    #[error("the `{opened}` of line {since} is not closed: expected `{expected}`")]
    Unclosed {
        /// What opened it.
        opened: &'static str,
        /// Where.
        since: usize,
        /// What closes it.
        expected: &'static str,
    },
    /// More keys, errors or operations than ids can count.
    #[error("too many: one history holds fewer than 2^32 operations")]
    TooMany,
}

impl Problem {
    /// The problem with its place.
    pub(super) fn at(self, name: &str, line: usize) -> CodecError {
        CodecError {
            name: name.to_owned(),
            line,
            problem: self,
        }
    }
}

/// Reads the first line if it is a header: `Ok(None)` if it carries no `schema`.
pub(super) fn header(first: &[u8], expected: &'static str) -> Result<Option<Header>, Problem> {
    #[derive(Deserialize)]
    struct Schema {
        schema: String,
    }
    let Ok(Schema { schema }) = serde_json::from_slice(first) else {
        return Ok(None);
    };
    if schema != expected {
        return Err(Problem::Schema {
            found: schema,
            expected,
        });
    }
    serde_json::from_slice(first)
        .map(Some)
        .map_err(|error| Problem::NotAnObject(error.to_string()))
}
