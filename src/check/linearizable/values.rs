//! Which operation wrote a value: a table from values to small numbers.
//!
//! Workloads count their values upwards, so the table is a plain array where the values are dense;
//! look-ups then follow the history and stay in the cache. Otherwise it is a hash table.

use crate::history::{FixedMap, Value};

/// The array form is taken while it has at most this many slots per value: 16 bytes per value.
const SPREAD: u128 = 4;

const EMPTY: u32 = u32::MAX;

/// Values to numbers below `u32::MAX`.
#[derive(Debug)]
pub(super) enum ValueTable {
    Dense { lowest: i64, slots: Vec<u32> },
    Sparse(FixedMap<Value, u32>),
}

impl ValueTable {
    /// An empty table for these values.
    pub(super) fn for_values(values: impl Iterator<Item = Value>) -> Self {
        let mut count = 0_usize;
        let (mut lowest, mut highest) = (i64::MAX, i64::MIN);
        for value in values.filter(|value| *value != Value::NIL) {
            lowest = lowest.min(value.0);
            highest = highest.max(value.0);
            count += 1;
        }
        let span = (i128::from(highest) - i128::from(lowest) + 1)
            .max(0)
            .unsigned_abs();
        if span <= count as u128 * SPREAD {
            return Self::Dense {
                lowest,
                // One more for NIL, which lies far from all others.
                slots: vec![EMPTY; span as usize + 1],
            };
        }
        let mut map = FixedMap::default();
        map.reserve(count + 1);
        Self::Sparse(map)
    }

    /// Enters a value; returns the number that it already had, which then stays.
    pub(super) fn insert(&mut self, value: Value, number: u32) -> Option<u32> {
        debug_assert_ne!(number, EMPTY, "this number marks an empty slot");
        match self {
            Self::Dense { lowest, slots } => {
                let slot =
                    slot(*lowest, slots.len(), value).expect("the table was made for this value");
                if slots[slot] == EMPTY {
                    slots[slot] = number;
                    return None;
                }
                Some(slots[slot])
            }
            Self::Sparse(map) => {
                let found = *map.entry(value).or_insert(number);
                (found != number).then_some(found)
            }
        }
    }

    /// The number of a value.
    pub(super) fn number(&self, value: Value) -> Option<u32> {
        match self {
            Self::Dense { lowest, slots } => {
                let number = slots[slot(*lowest, slots.len(), value)?];
                (number != EMPTY).then_some(number)
            }
            Self::Sparse(map) => map.get(&value).copied(),
        }
    }
}

/// The last slot is NIL's.
fn slot(lowest: i64, slots: usize, value: Value) -> Option<usize> {
    if value == Value::NIL {
        return Some(slots - 1);
    }
    let offset = usize::try_from(value.0.checked_sub(lowest)?).ok()?;
    (offset < slots - 1).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_find_what_was_entered_and_keep_the_first() {
        for values in [
            vec![Value(10), Value(12), Value(11)],
            vec![Value(i64::MIN + 1), Value(0), Value(i64::MAX)],
            vec![Value(7)],
            vec![],
        ] {
            let mut table = ValueTable::for_values(values.iter().copied());
            assert_eq!(table.insert(Value::NIL, 9), None);
            for (number, value) in (0..).zip(&values) {
                assert_eq!(table.insert(*value, number), None);
            }
            for (number, value) in (0..).zip(&values) {
                assert_eq!(table.insert(*value, 100), Some(number));
                assert_eq!(table.number(*value), Some(number));
            }
            assert_eq!(table.number(Value::NIL), Some(9));
            assert_eq!(table.number(Value(13)), None);
            assert_eq!(table.number(Value(-1)), None);
        }
    }
}
