//! Writing `history.jsonl`: one line when an operation is invoked, one when it completes.
//!
//! Lines are written by hand into a byte buffer: the encoder runs inside the load's loop.
//! [`super::decode()`] reads back exactly what is written here.

use std::io::Write as _;

use super::codec::{HISTORY_SCHEMA, Header};
use super::op::{Action, History, Operation, Outcome, Value};
use super::values::{Content, Values};

/// Appends the optional first line of a history file.
pub fn encode_header(out: &mut Vec<u8>, header: &Header) {
    out.extend_from_slice(b"{\"schema\":");
    string(out, HISTORY_SCHEMA);
    if let Some(model) = &header.model {
        out.extend_from_slice(b",\"model\":");
        string(out, model);
    }
    if let Some(origin) = header.clock_origin {
        out.extend_from_slice(b",\"clock_origin\":");
        unsigned(out, origin);
    }
    if let Some(plan) = &header.plan {
        out.extend_from_slice(b",\"plan\":");
        string(out, plan);
    }
    if let Some(seed) = header.seed {
        out.extend_from_slice(b",\"seed\":");
        unsigned(out, seed);
    }
    out.extend_from_slice(b"}\n");
}

/// Appends the line of an invocation. Read from `operation`: process, action, `invoked`, node and
/// `intended`; `key` is the name of its key, `values` knows its texts and lists.
pub fn encode_invoke(out: &mut Vec<u8>, operation: &Operation, key: &str, values: &Values) {
    subject(out, operation, "invoke", key);
    if operation.action.takes_value() {
        out.extend_from_slice(b",\"value\":");
        argument(out, operation.action, values);
    }
    out.extend_from_slice(b",\"time\":");
    unsigned(out, operation.invoked.0);
    if let Some(node) = operation.node {
        out.extend_from_slice(b",\"node\":\"n");
        unsigned(out, u64::from(node.0));
        out.push(b'"');
    }
    if let Some(intended) = operation.intended {
        out.extend_from_slice(b",\"intended\":");
        unsigned(out, intended.0);
    }
    out.extend_from_slice(b"}\n");
}

/// Appends the line of a completion. Read from `operation`: process, action, outcome,
/// `completed`, `seen` and version; `key` and `error` are the texts of its key and error, `values`
/// knows its texts and lists.
pub fn encode_complete(
    out: &mut Vec<u8>,
    operation: &Operation,
    key: &str,
    values: &Values,
    error: Option<&str>,
) {
    subject(out, operation, operation.outcome.word(), key);
    if operation.action.takes_value() {
        out.extend_from_slice(b",\"value\":");
        argument(out, operation.action, values);
        if let (Some(seen), Outcome::Fail) = (operation.seen, operation.outcome) {
            out.extend_from_slice(b",\"seen\":");
            value(out, seen, values);
        }
    } else if let Some(seen) = operation.seen {
        out.extend_from_slice(b",\"value\":");
        value(out, seen, values);
    }
    out.extend_from_slice(b",\"time\":");
    unsigned(out, operation.completed.0);
    if let Some(version) = operation.version {
        out.extend_from_slice(b",\"version\":");
        signed(out, version);
    }
    if let Some(error) = error {
        out.extend_from_slice(b",\"error\":");
        string(out, error);
    }
    out.extend_from_slice(b"}\n");
}

/// A whole history with its header, lines in the order of time. An operation without completion
/// (`completed` = [`crate::clock::Nanos::MAX`]) gets no completion line.
#[must_use]
pub fn encode(header: &Header, history: &History) -> Vec<u8> {
    // At equal times an operation's completion comes before the next invocation of its process,
    // because operations are in the order of invocation.
    let mut lines: Vec<(u64, usize)> = Vec::with_capacity(history.operations.len() * 2);
    for (index, operation) in history.operations.iter().enumerate() {
        lines.push((operation.invoked.0, index * 2));
        if operation.completed.0 != u64::MAX {
            lines.push((operation.completed.0, index * 2 + 1));
        }
    }
    lines.sort_unstable();
    let mut out = Vec::with_capacity(lines.len() * 96);
    encode_header(&mut out, header);
    for (_, line) in lines {
        let operation = &history.operations[line / 2];
        let key = history.key_name(operation.key);
        if line % 2 == 0 {
            encode_invoke(&mut out, operation, key, &history.values);
        } else {
            let error = history.error_text(operation);
            encode_complete(&mut out, operation, key, &history.values, error);
        }
    }
    out
}

/// `{"process":…,"type":…,"f":…,"key":…` without the closing brace.
fn subject(out: &mut Vec<u8>, operation: &Operation, kind: &str, key: &str) {
    out.extend_from_slice(b"{\"process\":");
    unsigned(out, operation.process.0);
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"f\":\"");
    out.extend_from_slice(operation.action.word().as_bytes());
    out.extend_from_slice(b"\",\"key\":");
    string(out, key);
}

fn argument(out: &mut Vec<u8>, action: Action, values: &Values) {
    match action {
        Action::Read => out.extend_from_slice(b"null"),
        Action::Write(to) | Action::Do(_, to) => value(out, to, values),
        Action::Cas { from, to } => list(out, &[from, to], values),
    }
}

fn value(out: &mut Vec<u8>, value: Value, values: &Values) {
    match values.content(value) {
        Content::Nil => out.extend_from_slice(b"null"),
        Content::Integer(number) => signed(out, number),
        Content::Text(text) => string(out, text),
        Content::List(elements) => list(out, elements, values),
    }
}

fn list(out: &mut Vec<u8>, elements: &[Value], values: &Values) {
    out.push(b'[');
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        value(out, *element, values);
    }
    out.push(b']');
}

fn signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    unsigned(out, number.unsigned_abs());
}

fn unsigned(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            0..0x20 => write!(out, "\\u{byte:04x}").expect("writing to a Vec cannot fail"),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
