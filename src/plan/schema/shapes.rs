//! What the parser takes, asked of the parser itself: the keys of a struct, the words of an enum,
//! the kind of a value. So the schema cannot forget a key that the parser knows.
//!
//! A type is asked to read itself from a deserializer that notes what is wanted at the end of a
//! path and then refuses.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

/// The step of a path into the items of a list.
pub(super) const ITEM: &str = "[]";

/// What is read at some place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// A map of these keys.
    Keys(&'static [&'static str]),
    /// One of these words.
    Words(&'static [&'static str]),
    /// Any text; numbers and truth values are taken as text too.
    Text,
    /// `true` or `false`.
    Flag,
    /// A number from 0 without a fraction.
    Whole,
    /// A number without a fraction.
    Signed,
    /// A number.
    Number,
    /// A list.
    List,
    /// A map from names to text.
    Map,
    /// What a visitor of ours reads: the words by which it asks for it.
    Leaf(String),
}

/// What `T` reads at the end of `path`; `None` if it reads nothing there.
pub(super) fn shape<T: DeserializeOwned>(path: &[&str]) -> Option<Shape> {
    let found = RefCell::new(None);
    let tracer = Tracer {
        path,
        found: &found,
    };
    // It is refused in any case: what it wanted is in `found`.
    drop(T::deserialize(tracer));
    found.into_inner()
}

/// Those of the keys at the end of `path` without which `T` cannot be read.
pub(super) fn required<T: DeserializeOwned>(
    path: &[&str],
    example: impl Fn(&str) -> Value,
) -> Vec<String> {
    let mut given = Map::new();
    loop {
        let outermost = path.iter().rev().fold(
            Value::Object(given.clone()),
            |inner, key| json!({ *key: inner }),
        );
        let missing = serde_json::from_value::<T>(outermost).err().and_then(|e| {
            let text = e.to_string();
            let rest = text.strip_prefix("missing field `")?;
            Some(rest.split('`').next()?.to_owned())
        });
        match missing {
            Some(key) if !given.contains_key(&key) && is_key::<T>(path, &key) => {
                given.insert(key.clone(), example(&key));
            }
            _ => break,
        }
    }
    given.keys().cloned().collect()
}

fn is_key<T: DeserializeOwned>(path: &[&str], key: &str) -> bool {
    matches!(shape::<T>(path), Some(Shape::Keys(keys)) if keys.contains(&key))
}

#[derive(Clone, Copy)]
struct Tracer<'a> {
    path: &'a [&'a str],
    found: &'a RefCell<Option<Shape>>,
}

/// The refusal; nobody reads it.
#[derive(Debug)]
struct Traced;

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("traced")
    }
}

impl std::error::Error for Traced {}

impl de::Error for Traced {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl Tracer<'_> {
    fn note<V>(self, shape: Shape) -> Result<V, Traced> {
        if self.path.is_empty() {
            self.found.replace(Some(shape));
        }
        Err(Traced)
    }

    fn enter<'de, V: Visitor<'de>>(self, visitor: V, here: Shape) -> Result<V::Value, Traced> {
        match self.path.split_first() {
            None => self.note(here),
            Some((key, rest)) => {
                let inner = Tracer { path: rest, ..self };
                visitor.visit_map(One(Some(*key), inner))
            }
        }
    }
}

macro_rules! notes {
    ($($shape:expr => $($method:ident)*;)*) => {
        $($(
            fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Traced> {
                self.note($shape)
            }
        )*)*
    };
}

impl<'de> de::Deserializer<'de> for Tracer<'_> {
    type Error = Traced;

    notes! {
        Shape::Flag => deserialize_bool;
        Shape::Whole => deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128;
        Shape::Signed => deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128;
        Shape::Number => deserialize_f32 deserialize_f64;
        Shape::Text => deserialize_str deserialize_string deserialize_char deserialize_identifier;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Traced> {
        struct Asked<V>(V);
        impl<'de, V: Visitor<'de>> fmt::Display for Asked<V> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.expecting(f)
            }
        }
        self.note(Shape::Leaf(Asked(visitor).to_string()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Traced> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Traced> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Traced> {
        self.enter(visitor, Shape::Keys(fields))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Traced> {
        self.enter(visitor, Shape::Map)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Traced> {
        self.note(Shape::Words(variants))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Traced> {
        match self.path.split_first() {
            Some((&ITEM, rest)) => {
                visitor.visit_seq(One(Some(ITEM), Tracer { path: rest, ..self }))
            }
            _ => self.note(Shape::List),
        }
    }

    serde::forward_to_deserialize_any! {
        bytes byte_buf unit unit_struct tuple tuple_struct ignored_any
    }
}

/// A map or list of one thing: the next step of the path.
struct One<'a>(Option<&'a str>, Tracer<'a>);

impl<'de> MapAccess<'de> for One<'_> {
    type Error = Traced;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Traced> {
        let key = self.0.take();
        key.map(|key| seed.deserialize(de::value::StrDeserializer::new(key)))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Traced> {
        seed.deserialize(self.1)
    }
}

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Traced;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Traced> {
        let item = self.0.take();
        item.map(|_| seed.deserialize(self.1)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{FaultSpec, Span};

    #[test]
    fn a_fault_tells_its_keys_and_what_each_takes() {
        let of = |path: &[&str]| shape::<FaultSpec>(path);
        assert_eq!(of(&["kill"]), Some(Shape::Keys(&["node"])));
        assert_eq!(of(&["kil"]), None);
        assert_eq!(of(&["kill", "nod"]), None);
        assert_eq!(of(&["cut", "between"]), Some(Shape::List));
        assert!(matches!(
            of(&["cut", "between", ITEM]),
            Some(Shape::Leaf(_))
        ));
        assert_eq!(of(&["disk", "full"]), Some(Shape::Flag));
        assert_eq!(of(&["disk", "torn", "keep", ITEM]), Some(Shape::Whole));
        assert_eq!(of(&["clock", "rate"]), Some(Shape::Number));
        assert_eq!(
            of(&["split", "into"]),
            Some(Shape::Words(&[
                "halves",
                "minority_third",
                "majorities_ring",
                "bridge",
                "islands"
            ]))
        );
        let span = Some(Shape::Leaf("a duration such as 5s".to_owned()));
        assert_eq!(shape::<Span>(&[]), span);
        assert_eq!(of(&["terminate", "grace"]), span);
    }

    #[test]
    fn a_struct_tells_which_keys_it_needs() {
        let example = |key: &str| match key {
            "parts" => json!(3),
            "keep" => json!([1]),
            "share" => json!("20%"),
            _ => json!("n1"),
        };
        let of = |path: &[&str]| required::<FaultSpec>(path, example);
        assert_eq!(of(&["stutter"]), ["node", "share"]);
        assert_eq!(of(&["disk", "torn"]), ["keep", "parts"]);
        assert!(of(&["cut"]).is_empty(), "its ends go together otherwise");
    }
}
