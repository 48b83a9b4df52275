//! The log of a Jepsen test: the lines of `jepsen.util` tell the operations of one register.
//!
//! `INFO  jepsen.util - 3 :invoke :cas [1 2]`, with blanks or tabs between the words. The order of
//! the lines is the time. A failed CAS is an observation, unless it names a reason of its own such
//! as `:timed-out`. Lines of others, and those whose process is none (`:nemesis`), are not looked
//! at.

use std::borrow::Cow;

use super::super::codec::{CodecError, Problem};
use super::super::decode::Decoder;
use super::super::line::{Argument, Datum, KINDS, Kind, Line, Word};
use super::super::op::{Outcome, Value};
use super::Sink;

/// What marks a line that tells of an operation.
pub(super) const MARK: &str = "jepsen.util";

/// Feeds all operations to the decoder.
pub(super) fn read(
    text: &str,
    decoder: &mut Decoder,
    sink: &mut Sink<'_>,
) -> Result<(), CodecError> {
    for (number, line) in (1..).zip(text.lines()) {
        match parse(line) {
            Ok(None) => {}
            Ok(Some(line)) => sink.feed(decoder, number, &line)?,
            Err(problem) => sink.skip(problem, number)?,
        }
    }
    Ok(())
}

fn parse(line: &str) -> Result<Option<Line<'_>>, Problem> {
    let Some((_, rest)) = line.split_once(MARK) else {
        return Ok(None);
    };
    let rest = rest.trim_start().trim_start_matches('-').trim();
    let (process, rest) = word(rest);
    if process.starts_with(':') || !process.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    let (kind, rest) = word(rest);
    let (f, rest) = word(rest);
    let unexpected = |found: &str, expected| Problem::Unexpected {
        found: format!("`{found}`"),
        expected,
    };
    let kind = kind
        .strip_prefix(':')
        .and_then(|kind| Kind::of(kind.as_bytes()))
        .ok_or_else(|| unexpected(kind, KINDS))?;
    let f = match f {
        ":read" => Word::Read,
        ":write" => Word::Write,
        ":cas" => Word::Cas,
        other => return Err(unexpected(other, ":read, :write or :cas")),
    };
    let process = process
        .parse()
        .map_err(|_| unexpected(process, super::super::line::NATURAL))?;
    let mut line = Line {
        process: Some(process),
        kind: Some(kind),
        word: Some(f),
        ..Line::default()
    };
    if let Some(reason) = rest.strip_prefix(':') {
        if matches!(kind, Kind::Invoke | Kind::Complete(Outcome::Ok)) {
            return Err(unexpected(rest, "a value"));
        }
        line.error = Some(Cow::Borrowed(reason));
        return Ok(Some(line));
    }
    let value = argument(rest)
        .ok_or_else(|| unexpected(rest, "an integer, nil, or a pair such as [1 2]"))?;
    let is_asked = !matches!((f, kind), (Word::Read, Kind::Invoke));
    if is_asked {
        line.value = value;
    }
    Ok(Some(line))
}

/// The first word and the rest.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim())
}

fn argument(text: &str) -> Option<Argument<'static>> {
    let datum = |text: &str| match text {
        "nil" => Some(Datum::Value(Value::NIL)),
        number => Some(Datum::Value(Value::integer(number.parse().ok()?)?)),
    };
    match text.strip_prefix('[') {
        None => datum(text).map(Argument::One),
        Some(pair) => {
            let mut pair = pair.strip_suffix(']')?.split_whitespace().map(datum);
            match (pair.next(), pair.next(), pair.next()) {
                (Some(from), Some(to), None) => Some(Argument::Two(from?, to?)),
                _ => None,
            }
        }
    }
}
