//! The files in which histories come: our own lines, and those of other tools.
//!
//! *Format*: how operations are written. It is told by whoever gives the file, or seen from its
//! beginning. *Lenient*: a malformed line is left out and counted, instead of being an error.

mod edn;
mod export;
mod forms;
mod jepsen_log;

use std::io::{Cursor, Read};

use super::codec::{CodecError, Header, Problem};
use super::decode::{Decoder, ReadError, decode_lines};
use super::line::Line;
use super::op::History;

pub use export::{Inexpressible, export};

/// How a history is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Our own: one JSON object a line.
    Jsonl,
    /// `history.edn` of Jepsen: one map an operation's beginning or end.
    Edn,
    /// The log of a Jepsen test, of which the lines of `jepsen.util` tell the operations.
    JepsenLog,
    /// The logs of a key-value store that Porcupine is tested with: EDN maps with get, put, append.
    PorcupineKv,
}

/// What a file held.
#[derive(Debug)]
pub struct Decoded {
    /// What the file says about itself.
    pub header: Header,
    /// Its operations.
    pub history: History,
    /// How it is written.
    pub format: Format,
    /// What was left out.
    pub skipped: Skipped,
}

/// What was left out of a file that is read leniently.
#[derive(Debug, Default)]
pub struct Skipped {
    /// How many lines or forms.
    pub count: usize,
    /// The first of them.
    pub first: Option<CodecError>,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Jsonl, Self::Edn, Self::JepsenLog, Self::PorcupineKv];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Edn => "edn",
            Self::JepsenLog => "jepsen-log",
            Self::PorcupineKv => "porcupine-kv",
        }
    }

    /// What it is, in one line.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Jsonl => "one JSON object a line, as in the results folder",
            Self::Edn => "Jepsen's history.edn: maps with :process :type :f :value",
            Self::JepsenLog => "the log of a Jepsen test: lines of jepsen.util",
            Self::PorcupineKv => {
                "maps with :f :get, :put or :append, :key and :value, as in Porcupine's tests"
            }
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What the ending of a file's name tells.
    #[must_use]
    pub fn by_ending(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "jsonl" | "json" => Some(Self::Jsonl),
            "edn" => Some(Self::Edn),
            "log" => Some(Self::JepsenLog),
            _ => None,
        }
    }

    /// The format of a file that begins so; `None` if nothing tells.
    #[must_use]
    pub fn detect(beginning: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(beginning);
        if text.contains(jepsen_log::MARK) && !text.trim_start().starts_with(['{', '[']) {
            return Some(Self::JepsenLog);
        }
        let mut rest = &*text;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "\u{feff}[(".contains(c));
            let Some(comment) = rest.strip_prefix(';') else {
                break;
            };
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let is_kv = || {
            let has = |word| text.contains(word);
            // Append-lists have appends as well, but with reads, and from us with times.
            let is_list = || has(":f :read") || has(":time");
            let is_append = || has(":f :append") && !is_list();
            has(":key") && (has(":f :get") || has(":f :put") || is_append())
        };
        match rest.strip_prefix('{').map(str::trim_start) {
            Some(map) if map.starts_with('"') => Some(Self::Jsonl),
            Some(map) if map.starts_with(':') && is_kv() => Some(Self::PorcupineKv),
            Some(map) if map.starts_with(':') => Some(Self::Edn),
            None if rest.starts_with("#jepsen") => Some(Self::Edn),
            Some(_) | None => None,
        }
    }
}

/// Reads a history; `name` is what errors call it, `length` how many bytes there will be, as far
/// as known. Without `format` it is seen from the beginning.
///
/// # Errors
/// What the input answers, the first line that is malformed (unless `is_lenient`), or a beginning
/// that tells no format.
pub fn read(
    input: &mut dyn Read,
    length: Option<u64>,
    name: &str,
    format: Option<Format>,
    is_lenient: bool,
) -> Result<Decoded, ReadError> {
    let mut beginning = Vec::new();
    (&mut *input).take(BEGINNING).read_to_end(&mut beginning)?;
    let seen = || Format::detect(&beginning).or_else(|| Format::by_ending(name));
    let format = match format.or_else(seen) {
        Some(format) => format,
        // Nothing there is a history without operations.
        None if beginning.trim_ascii().is_empty() => Format::Jsonl,
        None => {
            return Err(ReadError::Unknown {
                name: name.to_owned(),
            });
        }
    };
    let mut whole = Cursor::new(beginning).chain(input);
    let mut skipped = Skipped::default();
    let mut sink = Sink {
        name,
        is_lenient,
        skipped: &mut skipped,
    };
    let (header, history) = match format {
        Format::Jsonl => decode_lines(&mut whole, length, &mut sink)?,
        Format::Edn | Format::JepsenLog | Format::PorcupineKv => {
            let mut bytes = Vec::new();
            whole.read_to_end(&mut bytes)?;
            let text = text(bytes, &mut sink)?;
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let mut decoder = Decoder::default();
            let header = Header {
                model: (format == Format::PorcupineKv).then(|| "kv".to_owned()),
                ..Header::default()
            };
            match format {
                Format::JepsenLog => jepsen_log::read(text, &mut decoder, &mut sink)?,
                _ => forms::read(text, format, &mut decoder, &mut sink)?,
            }
            (header, decoder.finish())
        }
    };
    Ok(Decoded {
        header,
        history,
        format,
        skipped,
    })
}

/// So much is looked at to see the format.
const BEGINNING: u64 = 64 * 1024;

/// Where malformed lines go.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    pub(super) name: &'a str,
    is_lenient: bool,
    skipped: &'a mut Skipped,
}

impl Sink<'_> {
    /// For a reader that takes no malformed line.
    pub(super) fn strict<'a>(name: &'a str, skipped: &'a mut Skipped) -> Sink<'a> {
        Sink {
            name,
            is_lenient: false,
            skipped,
        }
    }

    /// Takes a malformed line, if it may be left out.
    pub(super) fn skip(&mut self, problem: Problem, line: usize) -> Result<(), CodecError> {
        let error = problem.at(self.name, line);
        if !self.is_lenient {
            return Err(error);
        }
        self.skipped.count += 1;
        self.skipped.first.get_or_insert(error);
        Ok(())
    }

    /// Gives a line to the decoder, or leaves it out.
    pub(super) fn feed(
        &mut self,
        decoder: &mut Decoder,
        number: usize,
        line: &Line<'_>,
    ) -> Result<(), CodecError> {
        let Err(mut problem) = decoder.take(number, line) else {
            return Ok(());
        };
        if let (true, Some(process)) = (self.is_lenient, line.process) {
            decoder.abandon(process);
            if matches!(problem, Problem::Busy { .. }) {
                // The line that would have completed the operation before was left out.
                match decoder.take(number, line) {
                    Ok(()) => return Ok(()),
                    Err(other) => problem = other,
                }
                decoder.abandon(process);
            }
        }
        self.skip(problem, number)
    }
}

/// The bytes as text; what is none is malformed, and replaced if that may be.
fn text(bytes: Vec<u8>, sink: &mut Sink<'_>) -> Result<String, CodecError> {
    String::from_utf8(bytes).or_else(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..valid];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let problem = Problem::Unexpected {
            found: "bytes that are no text".to_owned(),
            expected: "UTF-8",
        };
        sink.skip(problem, line)?;
        Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
    })
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
