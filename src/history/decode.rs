//! Reading `history.jsonl`: lines become operations, a completion joins its invocation.
//!
//! Pairing is by process: a process has at most one operation in flight. An invocation without
//! completion is info. Where no line has a `time`, the number of the line is the time, in milliseconds
//! so that it reads well.

use std::io::{ErrorKind, Read};

use super::codec::{CodecError, HISTORY_SCHEMA, Header, Problem, header};
use super::formats::{Sink, Skipped};
use super::line::{Argument, Datum, Kind, Line, WORDS, Word};
use super::op::{Action, History, KeyId, Operation, Outcome, Value, Verb};
use super::table::FixedMap;
use super::values::Values;
use crate::clock::Nanos;
use crate::id::ProcessId;

/// The key of lines that name none.
const ONLY_KEY: &str = "register";

/// Reads a whole history file; `name` is what errors call it.
///
/// Blank lines are skipped and unknown fields ignored.
///
/// # Errors
/// The first line that is malformed or does not fit the lines before it.
pub fn decode(bytes: &[u8], name: &str) -> Result<(Header, History), CodecError> {
    let mut skipped = Skipped::default();
    let mut sink = Sink::strict(name, &mut skipped);
    let mut lines = Lines::default();
    lines.take(bytes, true, &mut sink)?;
    Ok(lines.finish())
}

/// Reads a whole history file from `input` a block at a time, so that the memory taken is that of
/// the history and not that of the text. `length` is how many bytes there will be, as far as known.
///
/// # Errors
/// As [`decode`], and what the input answers.
pub fn decode_from(
    input: &mut dyn Read,
    length: Option<u64>,
    name: &str,
) -> Result<(Header, History), ReadError> {
    let mut skipped = Skipped::default();
    decode_lines(input, length, &mut Sink::strict(name, &mut skipped))
}

/// The same; malformed lines go into the sink.
pub(super) fn decode_lines(
    input: &mut dyn Read,
    length: Option<u64>,
    sink: &mut Sink<'_>,
) -> Result<(Header, History), ReadError> {
    let mut lines = Lines::default();
    let mut buffer = vec![0; BLOCK];
    let (mut filled, mut read) = (0, 0_u64);
    loop {
        if filled == buffer.len() {
            // One line that is longer than the buffer.
            buffer.resize(buffer.len() * 2, 0);
        }
        let more = match input.read(&mut buffer[filled..]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            more => more?,
        };
        filled += more;
        read += more as u64;
        let used = lines.take(&buffer[..filled], more == 0, sink)?;
        if more == 0 {
            return Ok(lines.finish());
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
        if let Some(length) = length {
            lines.reserve(read - filled as u64, length);
        }
    }
}

/// Why a history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input did not give its bytes.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The input is no history.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Nothing tells how it is written.
    #[error(
        "cannot see how {name} is written: write --format and one of jsonl, edn, jepsen-log, \
         porcupine-kv"
    )]
    Unknown {
        /// The input.
        name: String,
    },
}

/// How far apart lines without times lie, in nanoseconds.
pub(super) const LINE: u64 = 1_000_000;

/// Large enough that reading costs little, small enough to stay in the processor's cache.
const BLOCK: usize = 256 * 1024;

/// A history file whose lines come in pieces.
#[derive(Default)]
struct Lines {
    decoder: Decoder,
    header: Header,
    /// Lines taken so far.
    count: usize,
}

impl Lines {
    /// Takes all whole lines; the last one need not have a newline if no more bytes will come.
    /// Returns how many bytes it took.
    fn take(
        &mut self,
        bytes: &[u8],
        is_all: bool,
        sink: &mut Sink<'_>,
    ) -> Result<usize, CodecError> {
        let end = if is_all {
            bytes.len()
        } else {
            let newline = bytes.iter().rposition(|byte| *byte == b'\n');
            newline.map_or(0, |newline| newline + 1)
        };
        let mut at = 0;
        while at < end {
            self.count += 1;
            at += self.take_line(&bytes[at..end], sink)?;
        }
        Ok(end)
    }

    /// Takes the line at the start of `rest`; returns its length with the newline.
    fn take_line(&mut self, rest: &[u8], sink: &mut Sink<'_>) -> Result<usize, CodecError> {
        if self.count == 1 {
            // A file of another kind is no malformed line.
            let first = header(first_line(rest), HISTORY_SCHEMA);
            if let Some(found) = first.map_err(|problem| problem.at(sink.name, 1))? {
                self.header = found;
                return Ok(first_line(rest).len() + 1);
            }
        }
        if let Some((line, length)) = Line::scan(rest) {
            sink.feed(&mut self.decoder, self.count, &line)?;
            return Ok(length);
        }
        let text = first_line(rest);
        if !text.trim_ascii().is_empty() {
            match Line::parse(text) {
                Ok(line) => sink.feed(&mut self.decoder, self.count, &line)?,
                Err(problem) => sink.skip(problem, self.count)?,
            }
        }
        Ok(text.len() + 1)
    }

    /// Makes room for all operations of an input of `length` bytes, judging by the first `read`:
    /// a vector that grows by doubling needs twice its size for a moment.
    fn reserve(&mut self, read: u64, length: u64) {
        let operations = &mut self.decoder.history.operations;
        let spare = operations.capacity() - operations.len();
        // A block of lines of the shortest kind holds fewer operations than this.
        if operations.is_empty() || spare > BLOCK / 32 {
            return;
        }
        let expected = operations.len() as u64 * length / read.max(1);
        let expected = (expected + expected / 50) as usize;
        operations.reserve_exact(expected.saturating_sub(operations.len()));
    }

    fn finish(self) -> (Header, History) {
        (self.header, self.decoder.finish())
    }
}

/// Up to the newline, without it.
pub(super) fn first_line(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().position(|byte| *byte == b'\n');
    &bytes[..length.unwrap_or(bytes.len())]
}

/// The operations so far and those in flight; readers of every format feed it lines.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    history: History,
    keys: FixedMap<String, KeyId>,
    errors: FixedMap<String, u32>,
    in_flight: FixedMap<u64, InFlight>,
    has_times: Option<bool>,
    is_unordered: bool,
}

/// Where the operation of a busy process stands.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    operation: u32,
    line: usize,
}

impl Decoder {
    /// Takes line `number`. After an error, [`Self::abandon`] its process before going on.
    pub(super) fn take(&mut self, number: usize, line: &Line<'_>) -> Result<(), Problem> {
        let process = line.process.ok_or(Problem::Missing {
            field: "process",
            expected: "a non-negative integer",
        })?;
        let kind = line.kind.ok_or(Problem::Missing {
            field: "type",
            expected: "invoke, ok, fail or info",
        })?;
        if *self.has_times.get_or_insert_with(|| line.time.is_some()) != line.time.is_some() {
            return Err(Problem::MixedTimes);
        }
        let time = Nanos(line.time.unwrap_or(number as u64 * LINE));
        match kind {
            Kind::Invoke => self.invoke(process, time, number, line),
            Kind::Complete(outcome) => self.complete(process, time, outcome, line),
        }
    }

    fn invoke(
        &mut self,
        process: u64,
        time: Nanos,
        number: usize,
        line: &Line<'_>,
    ) -> Result<(), Problem> {
        let operation =
            u32::try_from(self.history.operations.len()).map_err(|_| Problem::TooMany)?;
        let in_flight = InFlight {
            operation,
            line: number,
        };
        if let Some(busy) = self.in_flight.insert(process, in_flight) {
            return Err(Problem::Busy {
                process,
                since: busy.line,
            });
        }
        let action = action(line, &mut self.history.values)?;
        let key = self.key(line.key.as_deref().unwrap_or(ONLY_KEY));
        self.is_unordered |= (self.history.operations.last()).is_some_and(|o| o.invoked > time);
        self.history.operations.push(Operation {
            process: ProcessId(process),
            key,
            action,
            invoked: time,
            completed: Nanos::MAX,
            outcome: Outcome::Info,
            seen: None,
            intended: line.intended.map(Nanos),
            node: line.node,
            version: None,
            error: None,
        });
        Ok(())
    }

    fn complete(
        &mut self,
        process: u64,
        time: Nanos,
        outcome: Outcome,
        line: &Line<'_>,
    ) -> Result<(), Problem> {
        let in_flight = self.in_flight.remove(&process);
        let in_flight = in_flight.ok_or(Problem::Idle { process })?;
        let error = line.error.as_deref().map(|text| self.error(text));
        let operation = &mut self.history.operations[in_flight.operation as usize];
        let invoked = in_flight.line;
        let mismatch = |field| Problem::Mismatch { field, invoked };
        if line
            .word
            .is_some_and(|word| word.text() != operation.action.word())
        {
            return Err(mismatch("f"));
        }
        if let Some(name) = &line.key
            && *name != self.history.keys[operation.key.0 as usize]
        {
            return Err(mismatch("key"));
        }
        if time < operation.invoked {
            return Err(Problem::Backwards {
                invoked: operation.invoked.0,
                completed: time.0,
                line: in_flight.line,
            });
        }
        operation.seen = seen(operation.action, outcome, line, &mut self.history.values)
            .map_err(|wrong| wrong.at(in_flight.line))?;
        operation.completed = time;
        operation.outcome = outcome;
        operation.version = line.version;
        operation.error = error;
        Ok(())
    }

    /// Leaves what the process has in flight as it is: without completion, so nobody knows.
    pub(super) fn abandon(&mut self, process: u64) {
        self.in_flight.remove(&process);
    }

    /// The history of all lines taken.
    pub(super) fn finish(mut self) -> History {
        if self.is_unordered {
            self.history.operations.sort_by_key(|o| o.invoked);
        }
        self.history
    }

    fn key(&mut self, name: &str) -> KeyId {
        if let Some(key) = self.keys.get(name) {
            return *key;
        }
        let key = KeyId(self.history.keys.len() as u32);
        self.history.keys.push(name.to_owned());
        self.keys.insert(name.to_owned(), key);
        key
    }

    fn error(&mut self, text: &str) -> u32 {
        if let Some(index) = self.errors.get(text) {
            return *index;
        }
        let index = self.history.errors.len() as u32;
        self.history.errors.push(text.to_owned());
        self.errors.insert(text.to_owned(), index);
        index
    }
}

/// What an invoke line asks for.
fn action(line: &Line<'_>, values: &mut Values) -> Result<Action, Problem> {
    let word = line.word.ok_or(Problem::Missing {
        field: "f",
        expected: WORDS,
    })?;
    let needs = |expected| {
        Err(Problem::Missing {
            field: "value",
            expected,
        })
    };
    match (word, &line.value) {
        (Word::Read, _) => Ok(Action::Read),
        (Word::Write, Argument::Missing) => {
            needs("the value to write: an integer, a text, null or a list of these")
        }
        (Word::Write, argument) => Ok(Action::Write(value(argument, values))),
        (Word::Cas, Argument::Two(from, to)) => Ok(Action::Cas {
            from: datum(from, values),
            to: datum(to, values),
        }),
        (Word::Cas, _) => needs("the pair [from, to] of a cas"),
        (Word::Do(verb), Argument::One(one)) if verb.takes_value() => {
            Ok(Action::Do(verb, datum(one, values)))
        }
        (Word::Do(verb), _) if verb.takes_value() => needs("one value, an integer or a text"),
        (Word::Do(verb), _) => Ok(Action::Do(verb, Value::NIL)),
    }
}

/// Why a completion does not fit its invocation.
enum Unfit {
    Missing(&'static str),
    Differs,
}

impl Unfit {
    const fn at(self, invoked: usize) -> Problem {
        let field = "value";
        match self {
            Self::Missing(expected) => Problem::Missing { field, expected },
            Self::Differs => Problem::Mismatch { field, invoked },
        }
    }
}

/// The value that a completion observed; also checks that it repeats its invocation's argument.
fn seen(
    action: Action,
    outcome: Outcome,
    line: &Line<'_>,
    values: &mut Values,
) -> Result<Option<Value>, Unfit> {
    let argument = &line.value;
    let observes = match action {
        Action::Read => Some("the one value read, an integer, a text, null or a list of these"),
        Action::Do(Verb::Dequeue, _) => Some("the value taken, or null if the queue was empty"),
        _ => None,
    };
    if let Some(expected) = observes {
        return match argument {
            _ if outcome != Outcome::Ok => Ok(None),
            Argument::Missing => Err(Unfit::Missing(expected)),
            argument => Ok(Some(value(argument, values))),
        };
    }
    let repeats = match (action, argument) {
        (_, Argument::Missing) | (Action::Do(Verb::Acquire | Verb::Release, _), _) => true,
        (Action::Cas { from, to }, Argument::Two(f, t)) => {
            (datum(f, values), datum(t, values)) == (from, to)
        }
        (Action::Cas { .. }, _) => false,
        (Action::Write(to) | Action::Do(_, to), argument) => value(argument, values) == to,
        (Action::Read, _) => true,
    };
    if !repeats {
        return Err(Unfit::Differs);
    }
    let tells = matches!(action, Action::Cas { .. }) && outcome == Outcome::Fail;
    Ok(match &line.seen {
        Some(seen) if tells => Some(datum(seen, values)),
        _ => None,
    })
}

/// A whole argument as one value.
fn value(argument: &Argument<'_>, values: &mut Values) -> Value {
    match argument {
        Argument::Missing => Value::NIL,
        Argument::One(one) => datum(one, values),
        Argument::Two(one, two) => {
            let pair = [datum(one, values), datum(two, values)];
            values.list(&pair)
        }
        Argument::Many(many) => {
            let list: Vec<Value> = many.iter().map(|one| datum(one, values)).collect();
            values.list(&list)
        }
    }
}

fn datum(datum: &Datum<'_>, values: &mut Values) -> Value {
    match datum {
        Datum::Value(value) => *value,
        Datum::Text(text) => values.text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::encode;
    use super::*;
    use proptest::prelude::*;

    fn failure(text: &str) -> String {
        decode(text.as_bytes(), "h.jsonl").unwrap_err().to_string()
    }

    #[test]
    fn a_history_without_header_and_times_is_read_in_the_order_of_its_lines() {
        let text = "{\"process\":3,\"type\":\"invoke\",\"f\":\"cas\",\"value\":[2,5],\"more\":[1]}\n\
                    \n\
                    {\"process\":1,\"type\":\"invoke\",\"f\":\"read\",\"value\":null}\r\n\
                    {\"process\":1,\"type\":\"ok\",\"f\":\"read\",\"value\":5}\n\
                    {\"process\":3,\"type\":\"fail\",\"seen\":5}";
        let (header, history) = decode(text.as_bytes(), "h").unwrap();
        assert_eq!(header, Header::default());
        assert_eq!(history.keys, ["register"]);
        let [cas, read] = history.operations.as_slice() else {
            panic!("two operations, not {history:?}");
        };
        assert_eq!((cas.invoked, cas.completed), (Nanos(LINE), Nanos(5 * LINE)));
        assert_eq!((cas.outcome, cas.seen), (Outcome::Fail, Some(Value(5))));
        assert_eq!(
            (read.invoked, read.completed),
            (Nanos(3 * LINE), Nanos(4 * LINE))
        );
        assert_eq!((read.outcome, read.seen), (Outcome::Ok, Some(Value(5))));
    }

    #[test]
    fn an_invocation_without_completion_is_info() {
        let text = r#"{"process":1,"type":"invoke","f":"write","key":"a","value":1,"time":9}"#;
        let operation = &decode(text.as_bytes(), "h").unwrap().1.operations[0];
        assert_eq!(operation.outcome, Outcome::Info);
        assert_eq!(operation.completed, Nanos::MAX);
    }

    #[test]
    fn a_process_may_go_on_after_an_info() {
        let text = "{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":1}\n\
                    {\"process\":1,\"type\":\"info\"}\n\
                    {\"process\":1,\"type\":\"invoke\",\"f\":\"read\"}";
        assert_eq!(decode(text.as_bytes(), "h").unwrap().1.operations.len(), 2);
    }

    #[test]
    fn every_error_names_file_and_line_and_what_was_expected() {
        let invoke = r#"{"process":1,"type":"invoke","f":"write","key":"a","value":1,"time":9}"#;
        let texts = [
            "{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":1".to_owned(),
            "[1]".to_owned(),
            r#"{"type":"invoke","f":"read"}"#.to_owned(),
            r#"{"process":-1,"type":"invoke","f":"read"}"#.to_owned(),
            r#"{"process":1,"type":"begin","f":"read"}"#.to_owned(),
            r#"{"process":1,"f":"read"}"#.to_owned(),
            r#"{"process":1,"type":"invoke","f":"push","value":1}"#.to_owned(),
            r#"{"process":1,"type":"invoke","f":"write"}"#.to_owned(),
            r#"{"process":1,"type":"invoke","f":"write","value":1.5}"#.to_owned(),
            r#"{"process":1,"type":"invoke","f":"cas","value":1}"#.to_owned(),
            r#"{"process":1,"type":"ok","f":"read","value":1}"#.to_owned(),
            format!("{invoke}\n{invoke}"),
            format!("{invoke}\n{}", r#"{"process":1,"type":"ok"}"#),
            format!("{invoke}\n{}", r#"{"process":1,"type":"ok","time":8}"#),
            format!(
                "{invoke}\n{}",
                r#"{"process":1,"type":"ok","f":"read","time":10}"#
            ),
            format!(
                "{invoke}\n{}",
                r#"{"process":1,"type":"ok","key":"b","time":10}"#
            ),
            format!(
                "{invoke}\n{}",
                r#"{"process":1,"type":"ok","value":2,"time":10}"#
            ),
            "{\"process\":1,\"type\":\"invoke\",\"f\":\"read\"}\n{\"process\":1,\"type\":\"ok\"}"
                .to_owned(),
            r#"{"schema":"chaos.history/9"}"#.to_owned(),
        ];
        let errors: Vec<String> = texts.iter().map(|text| failure(text)).collect();
        insta::assert_snapshot!(errors.join("\n"));
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let value = || prop_oneof![Just(Value::NIL), any::<i32>().prop_map(|v| Value(v.into()))];
        let action = prop_oneof![
            Just(Action::Read),
            value().prop_map(Action::Write),
            (value(), value()).prop_map(|(from, to)| Action::Cas { from, to }),
        ];
        let outcome = prop_oneof![Just(Outcome::Ok), Just(Outcome::Fail), Just(Outcome::Info)];
        let one = (
            action,
            outcome,
            value(),
            0..50_u64,
            0..50_u64,
            any::<[bool; 5]>(),
        );
        proptest::collection::vec(one, 0..20).prop_map(|rows| {
            let mut operations: Vec<Operation> = rows
                .into_iter()
                .map(|(action, outcome, seen, from, length, has)| {
                    let observes = match (action, outcome) {
                        (Action::Read, Outcome::Ok) => true,
                        (Action::Cas { .. }, Outcome::Fail) => has[0],
                        _ => false,
                    };
                    let is_open = outcome == Outcome::Info && has[1];
                    Operation {
                        process: ProcessId(0),
                        key: KeyId(0),
                        action,
                        invoked: Nanos(from),
                        completed: if is_open {
                            Nanos::MAX
                        } else {
                            Nanos(from + length)
                        },
                        outcome,
                        seen: observes.then_some(seen),
                        intended: has[2].then_some(Nanos(from / 2)),
                        node: has[3].then_some(crate::id::NodeId(2)),
                        version: (has[4] && !is_open).then_some(seen.0.max(-5)),
                        error: None,
                    }
                })
                .collect();
            operations.sort_by_key(|o| o.invoked);
            for (index, operation) in operations.iter_mut().enumerate() {
                operation.process = ProcessId(index as u64);
            }
            operations
        })
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(operations in operations(), name in ".{0,6}") {
            let history = History {
                keys: if operations.is_empty() { vec![] } else { vec![name] },
                errors: vec![],
                values: Values::default(),
                operations,
            };
            let bytes = encode(&Header::default(), &history);
            prop_assert_eq!(decode(&bytes, "h").unwrap().1, history);
        }
    }
}
