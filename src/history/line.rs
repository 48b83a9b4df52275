//! One line of `history.jsonl`, read two ways that agree.
//!
//! [`Line::scan`] reads the common shape (a flat object, no escapes, integers) straight from the
//! bytes and gives up on anything else; [`Line::parse`] reads any JSON and explains what is wrong.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::codec::Problem;
use super::op::{Outcome, Value, Verb};
use crate::id::NodeId;

/// The fields of one line that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) process: Option<u64>,
    pub(super) kind: Option<Kind>,
    pub(super) word: Option<Word>,
    pub(super) key: Option<Cow<'a, str>>,
    pub(super) value: Argument<'a>,
    pub(super) seen: Option<Datum<'a>>,
    pub(super) time: Option<u64>,
    pub(super) intended: Option<u64>,
    pub(super) node: Option<NodeId>,
    pub(super) version: Option<i64>,
    pub(super) error: Option<Cow<'a, str>>,
}

/// The `type` of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Invoke,
    Complete(Outcome),
}

/// The `f` of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Read,
    Write,
    Cas,
    Do(Verb),
}

/// The `value` of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    #[default]
    Missing,
    One(Datum<'a>),
    /// A list of two, which for a cas is no list.
    Two(Datum<'a>, Datum<'a>),
    /// A list of any other length.
    Many(Vec<Datum<'a>>),
}

/// What a value can be without a table of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Datum<'a> {
    /// An integer, or null as [`Value::NIL`].
    Value(Value),
    Text(Cow<'a, str>),
}

pub(super) const KINDS: &str = "invoke, ok, fail or info";
pub(super) const WORDS: &str =
    "read, write, cas, append, add, enqueue, dequeue, acquire or release";
pub(super) const NATURAL: &str = "a non-negative integer";
const DATUM: &str = "an integer, a text or null";
const ARGUMENT: &str = "an integer, a text, null, or a list of these";

impl Kind {
    /// The kind of a word in history files.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        match text {
            b"invoke" => Some(Self::Invoke),
            b"ok" => Some(Self::Complete(Outcome::Ok)),
            b"fail" => Some(Self::Complete(Outcome::Fail)),
            b"info" => Some(Self::Complete(Outcome::Info)),
            _ => None,
        }
    }
}

impl Word {
    /// The word in history files.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Cas => "cas",
            Self::Do(verb) => verb.word(),
        }
    }

    /// The word of a text in history files.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        match text {
            b"read" => Some(Self::Read),
            b"write" => Some(Self::Write),
            b"cas" => Some(Self::Cas),
            other => {
                let mut verbs = Verb::ALL.into_iter();
                let verb = verbs.find(|verb| verb.word().as_bytes() == other);
                verb.map(Self::Do)
            }
        }
    }
}

impl<'a> Line<'a> {
    /// Reads a line of the common shape at the start of `bytes`; with the length consumed,
    /// newline included. `None`: read it with [`Line::parse`].
    pub(super) fn scan(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut cursor = Cursor { bytes, at: 0 };
        let mut line = Self::default();
        cursor.expect(b'{')?;
        loop {
            let name = cursor.string()?;
            cursor.expect(b':')?;
            line.scan_field(name, &mut cursor)?;
            match cursor.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        cursor.end_of_line()?;
        Some((line, cursor.at))
    }

    fn scan_field(&mut self, name: &[u8], cursor: &mut Cursor<'a>) -> Option<()> {
        match name {
            b"process" => self.process = Some(cursor.unsigned()?),
            b"type" => self.kind = Some(Kind::of(cursor.string()?)?),
            b"f" => self.word = Some(Word::of(cursor.string()?)?),
            b"key" => self.key = Some(Cow::Borrowed(cursor.text()?)),
            b"value" => self.value = cursor.argument()?,
            b"seen" => self.seen = Some(cursor.datum()?),
            b"time" => self.time = Some(cursor.unsigned()?),
            b"intended" => self.intended = Some(cursor.unsigned()?),
            b"node" => self.node = cursor.text()?.parse().ok(),
            b"version" => self.version = Some(cursor.signed()?),
            b"error" => self.error = Some(Cow::Borrowed(cursor.text()?)),
            _ => cursor.skip_scalar()?,
        }
        Some(())
    }

    /// Reads one line of any JSON.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Problem> {
        let json: Json = serde_json::from_slice(text).map_err(|error| {
            // The parser sees one line only: its own count of lines would mislead.
            Problem::NotAnObject(error.to_string().replace("line 1 column", "column"))
        })?;
        let Json::Object(fields) = json else {
            return Err(Problem::NotAnObject(describe(&json)));
        };
        let get = |name: &str| fields.get(name);
        let word = |field, expected| match get(field) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.as_str())),
            Some(other) => Err(wrong(field, other, expected)),
        };
        let natural = |field| match get(field) {
            None | Some(Json::Null) => Ok(None),
            Some(json) => json
                .as_u64()
                .map(Some)
                .ok_or_else(|| wrong(field, json, NATURAL)),
        };
        let mut line = Self {
            process: natural("process")?,
            time: natural("time")?,
            intended: natural("intended")?,
            key: match get("key") {
                None | Some(Json::Null) => None,
                Some(Json::String(name)) => Some(Cow::Owned(name.clone())),
                Some(Json::Number(number)) => Some(Cow::Owned(number.to_string())),
                Some(other) => return Err(wrong("key", other, "a string")),
            },
            value: match get("value") {
                None => Argument::Missing,
                Some(json) => parse_argument(json)?,
            },
            seen: get("seen").map(|v| parse_datum("seen", v)).transpose()?,
            // Other tools put other things there; such a node or error is only not shown.
            node: get("node")
                .and_then(Json::as_str)
                .and_then(|name| name.parse().ok()),
            version: get("version").and_then(Json::as_i64),
            error: get("error").filter(|e| !e.is_null()).map(|e| match e {
                Json::String(text) => Cow::Owned(text.clone()),
                other => Cow::Owned(other.to_string()),
            }),
            ..Self::default()
        };
        if let Some(text) = word("type", KINDS)? {
            let kind = Kind::of(text.as_bytes());
            line.kind = Some(kind.ok_or_else(|| wrong_text("type", text, KINDS))?);
        }
        if let Some(text) = word("f", WORDS)? {
            let f = Word::of(text.as_bytes());
            line.word = Some(f.ok_or_else(|| wrong_text("f", text, WORDS))?);
        }
        Ok(line)
    }
}

fn parse_argument(json: &Json) -> Result<Argument<'static>, Problem> {
    let Json::Array(list) = json else {
        return match json {
            Json::Object(_) | Json::Bool(_) => Err(wrong("value", json, ARGUMENT)),
            one => parse_datum("value", one).map(Argument::One),
        };
    };
    let data = list.iter().map(|json| parse_datum("value", json));
    let mut data = data.collect::<Result<Vec<_>, _>>()?;
    Ok(match (data.len(), data.pop()) {
        (2, Some(second)) => Argument::Two(data.swap_remove(0), second),
        (_, last) => {
            data.extend(last);
            Argument::Many(data)
        }
    })
}

fn parse_datum(field: &'static str, json: &Json) -> Result<Datum<'static>, Problem> {
    match json {
        Json::Null => Ok(Datum::Value(Value::NIL)),
        Json::String(text) => Ok(Datum::Text(Cow::Owned(text.clone()))),
        // The smallest integers stand for other things in memory.
        other => (other.as_i64().and_then(Value::integer).map(Datum::Value))
            .ok_or_else(|| wrong(field, other, DATUM)),
    }
}

fn wrong(field: &'static str, json: &Json, expected: &'static str) -> Problem {
    Problem::Wrong {
        field,
        found: describe(json),
        expected,
    }
}

fn wrong_text(field: &'static str, text: &str, expected: &'static str) -> Problem {
    Problem::Wrong {
        field,
        found: format!("\"{text}\""),
        expected,
    }
}

fn describe(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => json.to_string(),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

/// A position in the bytes of a line; every method skips blanks before it.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.bytes.get(self.at)?, b' ' | b'\t') {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// The bytes between two quotes; gives up on escapes and control characters.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        if rest[length] != b'"' {
            return None;
        }
        self.at += length + 1;
        Some(&rest[..length])
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }

    fn unsigned(&mut self) -> Option<u64> {
        self.peek()?;
        let start = self.at;
        let mut number = 0_u64;
        while let Some(digit) = self.bytes.get(self.at).filter(|b| b.is_ascii_digit()) {
            number = number
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?;
            self.at += 1;
        }
        let digits = &self.bytes[start..self.at];
        // JSON knows no leading zeros; fractions and exponents are left to the parser.
        let is_plain = matches!(digits, [b'0'] | [b'1'..=b'9', ..]);
        let goes_on = matches!(self.bytes.get(self.at), Some(b'.' | b'e' | b'E'));
        (is_plain && !goes_on).then_some(number)
    }

    fn signed(&mut self) -> Option<i64> {
        if self.peek()? == b'-' {
            self.at += 1;
            if !self.bytes.get(self.at)?.is_ascii_digit() {
                return None;
            }
            return 0_i64.checked_sub_unsigned(self.unsigned()?);
        }
        i64::try_from(self.unsigned()?).ok()
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.peek()?;
        let found = self.bytes.get(self.at..self.at + word.len())?;
        self.at += word.len();
        (found == word).then_some(())
    }

    fn datum(&mut self) -> Option<Datum<'a>> {
        match self.peek()? {
            b'n' => self.literal(b"null").map(|()| Datum::Value(Value::NIL)),
            b'"' => self.text().map(|text| Datum::Text(Cow::Borrowed(text))),
            _ => self.signed().and_then(Value::integer).map(Datum::Value),
        }
    }

    fn argument(&mut self) -> Option<Argument<'a>> {
        if self.peek()? != b'[' {
            return self.datum().map(Argument::One);
        }
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(Argument::Many(Vec::new()));
        }
        let first = self.datum()?;
        if self.next()? == b']' {
            return Some(Argument::Many(vec![first]));
        }
        let second = self.datum()?;
        match self.next()? {
            b']' => return Some(Argument::Two(first, second)),
            b',' => {}
            _ => return None,
        }
        let mut many = vec![first, second];
        loop {
            many.push(self.datum()?);
            match self.next()? {
                b',' => {}
                b']' => return Some(Argument::Many(many)),
                _ => return None,
            }
        }
    }

    fn skip_scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.signed().map(drop),
            b'n' => self.literal(b"null"),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            _ => None,
        }
    }

    /// Takes the newline, or nothing at the end of the file.
    fn end_of_line(&mut self) -> Option<()> {
        match self.peek() {
            None => return Some(()),
            Some(b'\r') => self.at += 1,
            Some(_) => {}
        }
        self.expect(b'\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_readings_of_a_line_agree() {
        for text in [
            r#"{"process":3,"type":"invoke","f":"cas","key":"k1","value":[2,null],"time":780235}"#,
            r#"{ "process" : 3 , "type" : "fail", "f":"cas", "seen": -4, "index": 7, "x": true }"#,
            r#"{"process":0,"type":"ok","f":"read","value":null,"version":0,"error":"naïve"}"#,
            r#"{"process":18446744073709551615,"type":"info","node":"n3","intended":1}"#,
            r#"{"value":[],"f":"enqueue","node":"elsewhere"}"#,
            r#"{"value":["a"],"f":"append","seen":"b"}"#,
            r#"{"value":[1,"b",null,-7],"f":"dequeue"}"#,
        ] {
            let (line, length) = Line::scan(text.as_bytes()).expect(text);
            assert_eq!(length, text.len());
            assert_eq!(line, Line::parse(text.as_bytes()).unwrap(), "{text}");
        }
    }

    #[test]
    fn what_the_scan_cannot_read_is_left_to_the_parser() {
        for text in [
            r#"{"key":"a\"b"}"#,
            r#"{"extra":{"nested":[1]}}"#,
            r#"{"extra":1.5}"#,
            r#"{"time":01}"#,
            r#"{"time":-1}"#,
            r#"{"process":18446744073709551616}"#,
            r#"{"value":-9223372036854775808}"#,
            r#"{"value":[1 2]}"#,
            r#"{"value":[1,2,[3]]}"#,
            r#"{"value":"a\nb"}"#,
            r#"{"value":1e3}"#,
            r#"{"type":"maybe"}"#,
            "{\"key\":\"a",
            "{",
            "[]",
        ] {
            assert_eq!(Line::scan(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_scan_stops_after_the_newline() {
        let bytes = b"{\"process\":1}\r\n{\"process\":2}\n";
        let (_, length) = Line::scan(bytes).unwrap();
        assert_eq!(length, 15);
        assert_eq!(Line::scan(&bytes[length..]).unwrap().0.process, Some(2));
    }
}
