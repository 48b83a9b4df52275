//! Limits in assertions: numbers with the unit of their metric.

use super::record::Unit;
use crate::clock::unit_of_time;

/// A limit of this unit, for help texts.
pub(super) const fn example_value(unit: Unit) -> &'static str {
    match unit {
        Unit::Ns => "500ms",
        Unit::Ratio => "99.9%",
        Unit::Count | Unit::Ops => "0",
    }
}

/// The limit in the metric's unit, or what is wrong with it and what to write.
pub(super) fn read_limit(text: &str, unit: Unit) -> Result<f64, (String, String)> {
    let (number, suffix) = split_number(text);
    let Some(number) = number else {
        return Err((
            format!("`{text}` is no number"),
            format!("write a limit such as `{}`", example_value(unit)),
        ));
    };
    match unit {
        Unit::Ns if suffix.is_empty() => Err((
            format!("`{text}` lacks its unit"),
            format!("write `{text}ms` or `{text}s`"),
        )),
        Unit::Ns => unit_of_time(suffix)
            .map(|factor| number * factor)
            .ok_or_else(|| {
                (
                    format!("`{suffix}` is no unit of time"),
                    "write one of ns us ms s m h, such as `500ms`".to_owned(),
                )
            }),
        Unit::Ratio => parse_share(text).ok_or_else(|| {
            (
                format!("`{text}` is not a percentage"),
                format!("write it with a %, such as `{}%`", percent_guess(number)),
            )
        }),
        Unit::Count | Unit::Ops if !suffix.is_empty() => Err((
            format!("`{text}` is not a plain number"),
            "this metric is a count: write it without a unit".to_owned(),
        )),
        Unit::Count if number.fract() != 0.0 => Err((
            format!("`{text}` is not a whole number"),
            "this metric is a count: write a whole number".to_owned(),
        )),
        Unit::Count | Unit::Ops => Ok(number),
    }
}

/// `0.999` was most probably meant as 99.9 %.
fn percent_guess(number: f64) -> f64 {
    if number <= 1.0 {
        (number * 1e6).round() / 1e4
    } else {
        number
    }
}

fn split_number(text: &str) -> (Option<f64>, &str) {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    (number.parse().ok(), suffix.trim_start())
}

pub(super) fn parse_share(text: &str) -> Option<f64> {
    match split_number(text) {
        (Some(number), "%") => Some(number / 100.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_time_is_read_exactly() {
        for (text, nanos) in [
            ("1ns", 1.0),
            ("2us", 2e3),
            ("2 µs", 2e3),
            ("1.5ms", 1.5e6),
            ("2s", 2e9),
            ("1m", 60e9),
            ("1h", 3600e9),
        ] {
            assert_eq!(read_limit(text, Unit::Ns), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn a_number_without_digits_or_with_two_points_is_refused() {
        for text in ["ms", ".", "1.2.3ms", "-1ms", "1e3ms", ""] {
            assert!(read_limit(text, Unit::Ns).is_err(), "{text}");
        }
    }
}
