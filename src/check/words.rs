//! Operations and values in few words, however long what was recorded is.

use crate::history::{Operation, Outcome, Values};
use crate::model::Call;

/// `text` with at most `limit` characters: of a longer one the middle is left out.
#[must_use]
pub fn brief(text: &str, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text.to_owned();
    }
    let kept = limit.saturating_sub(1);
    let (head, tail) = (kept - kept / 3, kept / 3);
    let head = text.chars().take(head);
    let tail = text.chars().skip(length - tail);
    head.chain(std::iter::once('…')).chain(tail).collect()
}

/// An operation with what it learned in at most about `limit` characters: `read → 3`,
/// `cas 3 → 4 failed`, and with `?` at the end if nobody knows whether it took effect.
#[must_use]
pub fn describe(operation: &Operation, values: &Values, limit: usize) -> String {
    let whole = Call::from(operation).describe(values);
    let whole = match operation.outcome {
        Outcome::Info => match whole.strip_suffix(" (unknown)") {
            Some(what) => format!("{what} ?"),
            None => format!("{whole} ?"),
        },
        Outcome::Ok | Outcome::Fail => whole,
    };
    shorten(&whole, limit)
}

/// The description of an operation with at most `limit` characters.
#[must_use]
pub fn shorten(whole: &str, limit: usize) -> String {
    if whole.chars().count() <= limit {
        return whole.to_owned();
    }
    // Long words first, so that `cas "long" → "long"` keeps its shape.
    let words: Vec<String> = (whole.split(' ').map(|word| brief(word, limit / 3 + 1))).collect();
    brief(&words.join(" "), limit)
}

#[cfg(test)]
mod tests {
    use super::super::testing::ok;
    use super::*;
    use crate::history::Action;

    #[test]
    fn long_texts_lose_their_middle() {
        assert_eq!(brief("short", 5), "short");
        assert_eq!(brief("abcdefghij", 7), "abcd…ij");
        assert_eq!(brief("äöüäöüäöü", 4), "äö…ü");
    }

    #[test]
    fn a_cas_of_long_texts_keeps_its_shape() {
        let mut values = Values::default();
        let [from, to] = ["a", "b"].map(|letter| values.text(&letter.repeat(1000)));
        let cas = ok(Action::Cas { from, to }, 0, 1, None);
        assert_eq!(
            describe(&cas, &values, 30),
            "cas \"aaaaaa…aa\" → \"bbbbbb…bb\""
        );
    }
}
