//! Typed values from the tree, through serde, with every mistake at its place.
//!
//! The structs behind sections and verbs derive `Deserialize` with `deny_unknown_fields`. Serde
//! stops at the first mistake; [`Reader::read`] notes it, takes the offending key out, and reads
//! again, so that all mistakes of a section are found.

use std::fmt;
use std::ops::Range;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

use super::diagnostic::{Diagnostic, did_you_mean};
use super::document::{Entry, Kind, Node};
use super::not_built;
use crate::fault::HELP_MARK;

/// Collects the mistakes of a plan.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) list: Vec<Diagnostic>,
}

impl Reader {
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Reads a `T` that stands under `owner` (a section or verb); all its mistakes are reported.
    pub(super) fn read<T: DeserializeOwned>(&mut self, owner: &str, node: &Node) -> Option<T> {
        self.read_below(owner, node, 0).ok()
    }

    /// As [`Self::read`], but goes on with what is right about it, so that it can be looked at
    /// further. Only for parts whose keys do not depend on each other.
    pub(super) fn read_what_is_right<T: DeserializeOwned>(
        &mut self,
        owner: &str,
        node: &Node,
    ) -> Option<T> {
        match self.read_below::<T>(owner, node, 0) {
            Ok(value) => Some(value),
            Err(right) => right,
        }
    }

    /// As [`Self::read`], where the keys of `owner` lie this many maps below `node`. After
    /// mistakes it gives what can be read without the wrong keys.
    pub(super) fn read_below<T: DeserializeOwned>(
        &mut self,
        owner: &str,
        node: &Node,
        depth: usize,
    ) -> Result<T, Option<T>> {
        let mut error = match T::deserialize(From(node)) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let mut rest = node.clone();
        loop {
            let reads_on = rest.remove(&error.path, depth);
            self.report(error.diagnostic(owner, node));
            if !reads_on {
                return Err(None);
            }
            error = match T::deserialize(From(&rest)) {
                Ok(right) => return Err(Some(right)),
                Err(next) if next.is_of_one_key() => next,
                // Without the key that was taken out others may be amiss: that is no new mistake.
                Err(_) => return Err(None),
            };
        }
    }
}

impl Node {
    /// Takes out the entry to which `path` (innermost first) leads, `depth` maps below.
    fn remove(&mut self, path: &[String], depth: usize) -> bool {
        let Kind::Map(entries) = &mut self.kind else {
            return false;
        };
        let Some((key, inner)) = path.split_last() else {
            return false;
        };
        if depth > 0 {
            let mut below = entries.iter_mut().filter(|entry| entry.key == *key);
            return below.any(|entry| entry.value.remove(inner, depth - 1));
        }
        let before = entries.len();
        entries.retain(|entry| entry.key != *key);
        entries.len() < before
    }
}

/// Why a value could not be read.
#[derive(Debug)]
pub(super) struct ReadError {
    what: What,
    span: Option<Range<usize>>,
    /// The keys that lead to it, innermost first.
    path: Vec<String>,
}

#[derive(Debug)]
enum What {
    Other {
        message: String,
        help: Option<String>,
    },
    UnknownKey {
        key: String,
        known: Vec<&'static str>,
    },
    UnknownWord {
        word: String,
        known: Vec<&'static str>,
    },
    Missing(&'static str),
}

impl ReadError {
    fn other(message: String, help: Option<String>) -> Self {
        Self {
            what: What::Other { message, help },
            span: None,
            path: Vec::new(),
        }
    }

    /// Whether it stands in the value or name of a key, not in how keys go together.
    const fn is_of_one_key(&self) -> bool {
        !self.path.is_empty() && !matches!(self.what, What::Missing(_))
    }

    fn at(mut self, span: &Range<usize>) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    fn under(mut self, key: &str) -> Self {
        self.path.push(key.to_owned());
        self
    }

    fn diagnostic(self, owner: &str, node: &Node) -> Diagnostic {
        let span = self.span.unwrap_or_else(|| node.span.clone());
        match self.what {
            What::Other { message, help } => {
                let diagnostic = Diagnostic::error(span, message);
                match help {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                }
            }
            What::UnknownKey { key, .. } if not_built::key(owner, &key) => {
                Diagnostic::error(span, format!("`{key}` is not built yet"))
                    .label(format!("in `{owner}`"))
            }
            What::UnknownKey { key, known } => {
                let help = if known.is_empty() {
                    format!("take `{key}` out")
                } else {
                    did_you_mean(&key, &known, "known keys are")
                };
                Diagnostic::error(span, format!("unknown key `{key}` in `{owner}`")).help(help)
            }
            What::UnknownWord { word, known } => {
                Diagnostic::error(span, format!("`{word}` is not known here"))
                    .help(did_you_mean(&word, &known, "one of"))
            }
            What::Missing(key) => {
                Diagnostic::error(span, format!("`{owner}` lacks the key `{key}`"))
                    .help(format!("add `{key}: ...` here"))
            }
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        let text = text.to_string();
        match text.split_once(HELP_MARK) {
            Some((message, help)) => Self::other(message.to_owned(), Some(help.to_owned())),
            None => Self::other(text, None),
        }
    }

    fn invalid_type(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::other(
            format!("expected {}, found {}", plain(wanted), plain_found(&found)),
            None,
        )
    }

    fn invalid_value(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self {
            what: What::UnknownKey {
                key: key.to_owned(),
                known: known.to_vec(),
            },
            span: None,
            path: vec![key.to_owned()],
        }
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self {
            what: What::UnknownWord {
                word: word.to_owned(),
                known: known.to_vec(),
            },
            span: None,
            path: Vec::new(),
        }
    }

    fn missing_field(key: &'static str) -> Self {
        Self {
            what: What::Missing(key),
            span: None,
            path: Vec::new(),
        }
    }
}

/// Serde's names of types in the words of a plan.
fn plain(wanted: &dyn de::Expected) -> String {
    let wanted = wanted.to_string();
    match wanted.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a map of keys".to_owned(),
        other if other.starts_with("struct ") => "a map of keys".to_owned(),
        other => other.to_owned(),
    }
}

fn plain_found(found: &de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Bool(value) => format!("`{value}`"),
        de::Unexpected::Unsigned(value) => format!("the number {value}"),
        de::Unexpected::Signed(value) => format!("the number {value}"),
        de::Unexpected::Float(value) => format!("the number {value}"),
        de::Unexpected::Str(text) => format!("`{text}`"),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// A node as a serde deserializer.
#[derive(Clone, Copy)]
struct From<'de>(&'de Node);

impl From<'_> {
    /// As text, whatever the YAML crate took it for: `name: 7` is a fine name.
    fn as_text(self) -> Option<String> {
        match &self.0.kind {
            Kind::Text(text) => Some(text.clone()),
            Kind::Bool(value) => Some(value.to_string()),
            Kind::Unsigned(value) => Some(value.to_string()),
            Kind::Signed(value) => Some(value.to_string()),
            Kind::Float(value) => Some(value.to_string()),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    fn nothing(self) -> ReadError {
        let help = "write a value, or take the key out".to_owned();
        ReadError::other("a value is missing here".to_owned(), Some(help)).at(&self.0.span)
    }
}

impl<'de> de::Deserializer<'de> for From<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.0.kind {
            Kind::Null => Err(self.nothing()),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Unsigned(value) => visitor.visit_u64(*value),
            Kind::Signed(value) => visitor.visit_i64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(text) => visitor.visit_str(text),
            Kind::List(items) => visitor.visit_seq(Items(items.iter())),
            Kind::Map(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                value: None,
            }),
        }
        .map_err(|error: ReadError| error.at(&self.0.span))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.as_text() {
            Some(text) => visitor
                .visit_string(text)
                .map_err(|error: ReadError| error.at(&self.0.span)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0.kind {
            Kind::Null => Err(self.nothing()),
            _ => visitor.visit_some(self),
        }
    }

    /// A list is no map of keys: read by position, all but its first items would be lost.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if let Kind::List(_) = self.0.kind {
            let message = "expected keys with values, found a list".to_owned();
            let help = Some("write `{key: value, …}`".to_owned());
            return Err(ReadError::other(message, help).at(&self.0.span));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let Some(word) = self.as_text() else {
            let found = self.0.describe();
            let message = format!("expected one word, found {found}");
            return Err(ReadError::other(message, None).at(&self.0.span));
        };
        let word: de::value::StringDeserializer<ReadError> = word.into_deserializer();
        visitor
            .visit_enum(word)
            .map_err(|error: ReadError| error.at(&self.0.span))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map  identifier ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        self.0
            .next()
            .map(|item| seed.deserialize(From(item)))
            .transpose()
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        self.value = self.rest.next();
        let Some(entry) = self.value else {
            return Ok(None);
        };
        let key: de::value::StrDeserializer<'_, ReadError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.at(&entry.key_span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(From(&entry.value))
            .map_err(|error| error.at(&entry.key_span).under(&entry.key))
    }
}
