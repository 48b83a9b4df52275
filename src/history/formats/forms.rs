//! Histories written as EDN maps: Jepsen's `history.edn`, and the logs of Porcupine's tests.
//!
//! One map is the beginning or the end of an operation: `:process`, `:type`, `:f`, `:value`, and in
//! some files `:time`, `:key`, `:error`. They stand one behind the other, or in one vector. Maps
//! whose process is a name (`:nemesis`) are not operations.
//!
//! *Independent* keys: Jepsen writes the key of an operation into its value, `[key value]`, often
//! without a tag. A file is taken to do so if every invocation at its beginning has such a value.

use std::borrow::Cow;

use super::super::codec::{CodecError, Problem};
use super::super::decode::{Decoder, LINE};
use super::super::line::{Argument, Datum, KINDS, Kind, Line, NATURAL, WORDS, Word};
use super::super::op::{Outcome, Value, Verb};
use super::edn::{Edn, Fault, Reader};
use super::{Format, Sink};

/// So many invocations show whether keys are independent.
const SHOWN: usize = 1000;

/// Reasons of a CAS that compared and found another value; any other may be one of its own.
const COMPARED: [&str; 3] = ["did-not-succeed", "precondition-failed", "cas-failed"];

/// How the maps of a file are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    format: Format,
    /// Values carry their key.
    is_independent: bool,
}

/// A map with the fields that matter.
#[derive(Debug, Default)]
struct Entry<'a> {
    process: Option<Edn<'a>>,
    kind: Option<Edn<'a>>,
    f: Option<Edn<'a>>,
    key: Option<Edn<'a>>,
    value: Option<Edn<'a>>,
    time: Option<Edn<'a>>,
    error: Option<Edn<'a>>,
}

/// Feeds all operations to the decoder.
pub(super) fn read(
    text: &str,
    format: Format,
    decoder: &mut Decoder,
    sink: &mut Sink<'_>,
) -> Result<(), CodecError> {
    let style = Style {
        format,
        is_independent: format == Format::Edn && is_independent(text),
    };
    let mut reader = Reader::new(text, 1);
    let is_vector = reader.take(b'[') || reader.take(b'(');
    let mut has_times = None;
    let mut number = 0;
    loop {
        if is_vector && (reader.take(b']') || reader.take(b')')) {
            return Ok(());
        }
        let Some(line) = reader.next_line() else {
            return Ok(());
        };
        // Several maps may stand in one line: without times their order is that of the maps.
        number += 1;
        let before = reader.clone();
        let parsed = match reader.form() {
            Ok(None) => return Ok(()),
            Ok(Some(form)) => of_form(form, style).map_err(|problem| Fault { line, problem }),
            Err(fault) => {
                sink.skip(fault.problem, fault.line)?;
                reader.resume_after(&before, fault.line.max(line));
                continue;
            }
        };
        match parsed {
            Ok(None) => {}
            Ok(Some(parsed))
                if *has_times.get_or_insert_with(|| parsed.time.is_some())
                    != parsed.time.is_some() =>
            {
                sink.skip(Problem::MixedTimes, line)?;
            }
            Ok(Some(mut parsed)) => {
                parsed.time.get_or_insert(number * LINE);
                sink.feed(decoder, line, &parsed)?;
            }
            Err(fault) => sink.skip(fault.problem, fault.line)?,
        }
    }
}

/// Whether the first invocations all have pairs as values, and those of CASes pairs in pairs.
fn is_independent(text: &str) -> bool {
    let mut reader = Reader::new(text, 1);
    if !reader.take(b'[') {
        reader.take(b'(');
    }
    let mut seen = 0;
    while seen < SHOWN {
        let Ok(Some(form)) = reader.form() else {
            break;
        };
        let Edn::Map(pairs) = form else {
            break;
        };
        let entry = Entry::of(pairs);
        if entry.kind != Some(Edn::Keyword("invoke"))
            || !matches!(entry.process, Some(Edn::Integer(_)))
        {
            continue;
        }
        seen += 1;
        if entry.key.is_some() {
            return false;
        }
        let inner = match entry.value {
            Some(Edn::Tuple(_)) => continue,
            Some(Edn::Sequence(pair)) if pair.len() == 2 => pair.into_iter().nth(1),
            _ => return false,
        };
        let is_pair = matches!(inner, Some(Edn::Sequence(pair)) if pair.len() == 2);
        if entry.f == Some(Edn::Keyword("cas")) && !is_pair {
            return false;
        }
    }
    seen > 0
}

impl<'a> Entry<'a> {
    fn of(pairs: Vec<(Edn<'a>, Edn<'a>)>) -> Self {
        let mut entry = Self::default();
        for (name, value) in pairs {
            let slot = match name {
                Edn::Keyword("process") => &mut entry.process,
                Edn::Keyword("type") => &mut entry.kind,
                Edn::Keyword("f") => &mut entry.f,
                Edn::Keyword("key") => &mut entry.key,
                Edn::Keyword("value") => &mut entry.value,
                Edn::Keyword("time") => &mut entry.time,
                Edn::Keyword("error") => &mut entry.error,
                _ => continue,
            };
            *slot = Some(value).filter(|value| *value != Edn::Nil);
        }
        entry
    }
}

/// The line that a form stands for; `None` if it is none of an operation.
fn of_form(form: Edn<'_>, style: Style) -> Result<Option<Line<'_>>, Problem> {
    let Edn::Map(pairs) = form else {
        return Err(unexpected(
            &form,
            "a map such as {:process 0, :type :invoke, :f :read}",
        ));
    };
    let entry = Entry::of(pairs);
    let Some(process) = process(entry.process)? else {
        return Ok(None);
    };
    let kind = match &entry.kind {
        Some(Edn::Keyword(word)) => Kind::of(word.as_bytes()),
        _ => None,
    };
    let kind = kind.ok_or_else(|| missing_or_wrong("type", entry.kind.as_ref(), KINDS))?;
    let f = match &entry.f {
        Some(Edn::Keyword(name)) => word(name, style.format),
        _ => None,
    };
    let f = f.ok_or_else(|| {
        missing_or_wrong(
            "f",
            entry.f.as_ref(),
            expected_word(entry.f.as_ref(), style),
        )
    })?;
    let (key, value) = match entry.value {
        Some(Edn::Tuple(pair)) => {
            let (key, value) = *pair;
            (Some(key), Some(value).filter(|value| *value != Edn::Nil))
        }
        Some(Edn::Sequence(mut pair)) if style.is_independent && pair.len() == 2 => {
            let value = pair.swap_remove(1);
            (
                Some(pair.swap_remove(0)),
                Some(value).filter(|value| *value != Edn::Nil),
            )
        }
        value => (entry.key, value),
    };
    let mut line = Line {
        process: Some(process),
        kind: Some(kind),
        word: Some(f),
        key: key.map(|key| name(&key)).transpose()?,
        error: entry.error.as_ref().map(reason),
        time: match entry.time {
            None => None,
            Some(Edn::Integer(time)) => {
                Some(u64::try_from(time).map_err(|_| wrong("time", &Edn::Integer(time), NATURAL))?)
            }
            Some(other) => return Err(wrong("time", &other, NATURAL)),
        },
        ..Line::default()
    };
    line.value = told(f, kind, value)?;
    let has_compared = || {
        line.error
            .as_deref()
            .is_some_and(|error| COMPARED.contains(&error))
    };
    if f == Word::Cas && kind == Kind::Complete(Outcome::Fail) && has_compared() {
        line.error = None;
    }
    Ok(Some(line))
}

/// The number of a process; `None` if it has a name, as the nemesis has.
fn process(form: Option<Edn<'_>>) -> Result<Option<u64>, Problem> {
    let missing = Problem::Missing {
        field: "process",
        expected: NATURAL,
    };
    match form {
        None => Err(missing),
        Some(Edn::Keyword(_) | Edn::Symbol(_)) => Ok(None),
        Some(Edn::Integer(number)) if number >= 0 => Ok(Some(number.unsigned_abs())),
        Some(other) => Err(wrong("process", &other, NATURAL)),
    }
}

/// What the value of a map tells, depending on what it is the value of.
fn told(f: Word, kind: Kind, value: Option<Edn<'_>>) -> Result<Argument<'_>, Problem> {
    match (f, kind) {
        (Word::Read | Word::Do(Verb::Dequeue | Verb::Acquire | Verb::Release), Kind::Invoke) => {
            Ok(Argument::Missing)
        }
        (Word::Read | Word::Do(Verb::Dequeue), Kind::Complete(Outcome::Ok)) => argument(value),
        (Word::Do(Verb::Acquire | Verb::Release), _) => Ok(Argument::Missing),
        // What did not happen or nobody knows may carry anything; what was asked is known.
        (_, Kind::Complete(_)) if value.is_none() => Ok(Argument::Missing),
        (_, Kind::Complete(Outcome::Fail | Outcome::Info)) => Ok(Argument::Missing),
        (_, Kind::Invoke | Kind::Complete(Outcome::Ok)) => argument(value),
    }
}

/// The word of an operation's name.
fn word(name: &str, format: Format) -> Option<Word> {
    match (format, name) {
        (Format::PorcupineKv, "get") => Some(Word::Read),
        (Format::PorcupineKv, "put") => Some(Word::Write),
        (Format::PorcupineKv, "append") => Some(Word::Do(Verb::Append)),
        (Format::PorcupineKv, _) => None,
        (_, "r") => Some(Word::Read),
        (_, "w") => Some(Word::Write),
        (_, name) => Word::of(name.as_bytes()),
    }
}

/// What should stand in the place of a word that is none.
fn expected_word(f: Option<&Edn<'_>>, style: Style) -> &'static str {
    match (f, style.format) {
        (_, Format::PorcupineKv) => "get, put or append",
        (Some(Edn::Keyword("txn")), _) => {
            "operations on one key each: transactions over several keys are not checked"
        }
        (Some(Edn::Keyword("drain")), _) => {
            "one dequeue for each value: a drain takes many values at unknown times"
        }
        _ => WORDS,
    }
}

/// A key's name.
fn name<'a>(form: &Edn<'a>) -> Result<Cow<'a, str>, Problem> {
    Ok(match form {
        Edn::Text(text) => text.clone(),
        Edn::Keyword(name) | Edn::Symbol(name) => Cow::Borrowed(*name),
        Edn::Integer(number) => Cow::Owned(number.to_string()),
        other => return Err(wrong("key", other, "a text, a keyword or an integer")),
    })
}

/// Why an operation did not succeed.
fn reason<'a>(form: &Edn<'a>) -> Cow<'a, str> {
    match form {
        Edn::Keyword(name) | Edn::Symbol(name) => Cow::Borrowed(*name),
        Edn::Text(text) => text.clone(),
        Edn::Sequence(forms) => match forms.first() {
            Some(first) => reason(first),
            None => Cow::Borrowed("error"),
        },
        other => Cow::Owned(other.describe()),
    }
}

fn argument(value: Option<Edn<'_>>) -> Result<Argument<'_>, Problem> {
    match value {
        None => Ok(Argument::One(Datum::Value(Value::NIL))),
        Some(Edn::Sequence(forms)) => {
            let mut data = forms
                .into_iter()
                .map(datum)
                .collect::<Result<Vec<_>, _>>()?;
            Ok(match (data.len(), data.pop()) {
                (2, Some(second)) => Argument::Two(data.swap_remove(0), second),
                (_, last) => {
                    data.extend(last);
                    Argument::Many(data)
                }
            })
        }
        Some(one) => datum(one).map(Argument::One),
    }
}

fn datum(form: Edn<'_>) -> Result<Datum<'_>, Problem> {
    const EXPECTED: &str = "an integer, a text, a keyword, nil, or a vector of these";
    Ok(match form {
        Edn::Nil => Datum::Value(Value::NIL),
        Edn::Integer(number) => match Value::integer(number) {
            Some(value) => Datum::Value(value),
            None => return Err(wrong("value", &Edn::Integer(number), EXPECTED)),
        },
        Edn::Text(text) => Datum::Text(text),
        Edn::Boolean(is) => Datum::Text(Cow::Borrowed(if is { "true" } else { "false" })),
        Edn::Keyword(name) | Edn::Symbol(name) => Datum::Text(Cow::Borrowed(name)),
        other => return Err(wrong("value", &other, EXPECTED)),
    })
}

fn wrong(field: &'static str, form: &Edn<'_>, expected: &'static str) -> Problem {
    Problem::Wrong {
        field,
        found: form.describe(),
        expected,
    }
}

fn missing_or_wrong(
    field: &'static str,
    form: Option<&Edn<'_>>,
    expected: &'static str,
) -> Problem {
    match form {
        Some(form) => wrong(field, form, expected),
        None => Problem::Missing { field, expected },
    }
}

fn unexpected(form: &Edn<'_>, expected: &'static str) -> Problem {
    Problem::Unexpected {
        found: form.describe(),
        expected,
    }
}
