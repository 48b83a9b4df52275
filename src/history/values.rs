//! Values that are not integers: texts and lists, each kept once and known by a number.
//!
//! Operations hold a [`Value`], eight bytes that are compared and hashed as such. An integer stands
//! for itself. A text or a list stands in the history's [`Values`], and equal ones have the same
//! number, so that checkers compare any two values in one instruction.

use std::fmt;

use super::op::Value;
use super::table::FixedMap;

/// How many texts and how many lists there can be: the width of their ranges of numbers.
const RANGE: i64 = 1 << 40;

/// Numbers of texts begin behind [`Value::NIL`].
const TEXTS: i64 = i64::MIN + 1;

/// Numbers of lists begin behind those of texts.
const LISTS: i64 = TEXTS + RANGE;

/// The smallest integer that stands for itself.
const INTEGERS: i64 = LISTS + RANGE;

/// The texts and lists of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    texts: Vec<Box<str>>,
    lists: Vec<Box<[Value]>>,
    text_numbers: FixedMap<Box<str>, Value>,
    list_numbers: FixedMap<Box<[Value]>, Value>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Absent.
    Nil,
    /// An integer.
    Integer(i64),
    /// A text.
    Text(&'a str),
    /// A list.
    List(&'a [Value]),
}

impl Value {
    /// An integer as a value; `None` for the 2^41 smallest, which stand for other things.
    #[must_use]
    pub const fn integer(number: i64) -> Option<Self> {
        if number < INTEGERS {
            None
        } else {
            Some(Self(number))
        }
    }
}

impl Values {
    /// The value of a text.
    pub fn text(&mut self, text: &str) -> Value {
        if let Some(value) = self.text_numbers.get(text) {
            return *value;
        }
        let value = Value(TEXTS + self.texts.len() as i64);
        self.texts.push(text.into());
        self.text_numbers.insert(text.into(), value);
        value
    }

    /// The value of a list.
    pub fn list(&mut self, list: &[Value]) -> Value {
        if let Some(value) = self.list_numbers.get(list) {
            return *value;
        }
        let value = Value(LISTS + self.lists.len() as i64);
        self.lists.push(list.into());
        self.list_numbers.insert(list.into(), value);
        value
    }

    /// What `value` is. A text or list of another history is shown as the integer it is not.
    #[must_use]
    pub fn content(&self, value: Value) -> Content<'_> {
        let found = match value.0 {
            i64::MIN => Some(Content::Nil),
            number if number < LISTS => {
                let text = self.texts.get((number - TEXTS) as usize);
                text.map(|text| Content::Text(text))
            }
            number if number < INTEGERS => {
                let list = self.lists.get((number - LISTS) as usize);
                list.map(|list| Content::List(list))
            }
            _ => None,
        };
        found.unwrap_or(Content::Integer(value.0))
    }

    /// The elements of a list; none of anything else.
    #[must_use]
    pub fn elements(&self, value: Value) -> &[Value] {
        match self.content(value) {
            Content::List(list) => list,
            Content::Nil | Content::Integer(_) | Content::Text(_) => &[],
        }
    }

    /// The value for people: `5`, `nil`, `"text"`, `[1 2]`.
    #[must_use]
    pub const fn show(&self, value: Value) -> Shown<'_> {
        Shown {
            values: self,
            value,
        }
    }
}

/// A value for people.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    values: &'a Values,
    value: Value,
}

/// Of a longer list the beginning and the end are shown.
const SHOWN_MAX: usize = 12;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.values.content(self.value) {
            Content::Nil => f.write_str("nil"),
            Content::Integer(number) => write!(f, "{number}"),
            Content::Text(text) => write!(f, "{text:?}"),
            Content::List(list) => {
                f.write_str("[")?;
                for (at, value) in list.iter().enumerate() {
                    let from_end = list.len() - at;
                    if list.len() > SHOWN_MAX && at >= SHOWN_MAX / 2 && from_end > SHOWN_MAX / 2 {
                        if from_end == SHOWN_MAX / 2 + 1 {
                            write!(f, " … {} more …", list.len() - SHOWN_MAX)?;
                        }
                        continue;
                    }
                    let blank = if at == 0 { "" } else { " " };
                    write!(f, "{blank}{}", self.values.show(*value))?;
                }
                f.write_str("]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_and_equal_lists_have_the_same_number() {
        let mut values = Values::default();
        let [a, b] = ["a", "b"].map(|text| values.text(text));
        assert_eq!((values.text("a"), values.text("b")), (a, b));
        let list = values.list(&[a, b, Value(7)]);
        assert_eq!(values.list(&[a, b, Value(7)]), list);
        assert_ne!(values.list(&[b, a, Value(7)]), list);
        assert_eq!(values.content(list), Content::List(&[a, b, Value(7)]));
        assert_eq!(values.content(a), Content::Text("a"));
        assert_eq!(values.content(Value::NIL), Content::Nil);
        assert_eq!(values.show(list).to_string(), "[\"a\" \"b\" 7]");
    }

    #[test]
    fn integers_stand_for_themselves_but_for_the_smallest() {
        assert_eq!(Value::integer(-5), Some(Value(-5)));
        assert_eq!(Value::integer(i64::MAX), Some(Value(i64::MAX)));
        assert_eq!(Value::integer(i64::MIN), None);
        assert_eq!(Value::integer(INTEGERS - 1), None);
        assert_eq!(Values::default().content(Value(3)), Content::Integer(3));
    }

    #[test]
    fn a_long_list_is_shown_by_its_ends() {
        let mut values = Values::default();
        let numbers: Vec<Value> = (0..20).map(Value).collect();
        let list = values.list(&numbers);
        assert_eq!(
            values.show(list).to_string(),
            "[0 1 2 3 4 5 … 8 more … 14 15 16 17 18 19]"
        );
    }
}
