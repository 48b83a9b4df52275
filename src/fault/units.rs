//! Quantities as people write them: `5s`, `30%`, `800/s`.
//!
//! A number without its unit is refused everywhere: nobody can tell seconds from milliseconds.

use std::fmt;
use std::num::ParseFloatError;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use crate::clock::{Nanos, unit_of_time};

/// The text is not a quantity of the wanted kind. Reads as a sentence; the part after
/// [`HELP_MARK`] says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{HELP_MARK}{help}")]
pub struct QuantityError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// Separates an error's message from its help where both travel as one text (through serde).
pub const HELP_MARK: &str = "\nhelp: ";

/// A length of time, written with one unit: `ns`, `us`, `ms`, `s`, `m`, `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Nanos);

/// A share from 0 to 1, written in percent.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// Events per second over all clients, greater than 0, written `800/s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(pub f64);

/// Bytes per second, from 1 to 100 GB/s, written `100kB/s` or `10Mbit/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRate(pub u64);

/// Bytes, from 1 to 1 GB, written `4kB` or `1MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Units of an amount of data with their length in bytes.
const BYTES: &[(&str, f64)] = &[
    ("GB", 1e9),
    ("MB", 1e6),
    ("kB", 1e3),
    ("B", 1.0),
    ("GiB", 1_073_741_824.0),
    ("MiB", 1_048_576.0),
    ("KiB", 1_024.0),
    ("Gbit", 125e6),
    ("Mbit", 125e3),
    ("kbit", 125.0),
];

/// Ten days: no run is longer, and sums of such times cannot overflow.
const LONGEST_NS: f64 = 864_000e9;

impl QuantityError {
    fn new(message: String, help: &str) -> Self {
        Self {
            message,
            help: help.to_owned(),
        }
    }
}

impl Span {
    /// Reads `5s`, `50ms`, `1.5s`.
    ///
    /// # Errors
    /// No unit, an unknown unit, not a number, negative, or longer than ten days.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        let split = text
            .find(|c: char| c.is_alphabetic() || c == 'µ')
            .unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let Ok(number) = digits.trim().parse::<f64>() else {
            return Err(QuantityError::new(
                format!("`{text}` is not a duration"),
                "write a number with a unit: `5s`, `50ms`, `1m`",
            ));
        };
        if unit.is_empty() {
            return Err(QuantityError::new(
                format!("`{text}` has no unit"),
                &format!("write `{text}ms`, `{text}s` or `{text}m`"),
            ));
        }
        let Some(scale) = unit_of_time(unit) else {
            return Err(QuantityError::new(
                format!("`{unit}` is not a unit of time"),
                "units are ns, us, ms, s, m and h",
            ));
        };
        let ns = number * scale;
        if !(0.0..=LONGEST_NS).contains(&ns) {
            return Err(QuantityError::new(
                format!("`{text}` is out of range"),
                "a duration lies between 0s and 240h",
            ));
        }
        Ok(Self(whole_nanos(ns)))
    }
}

impl Share {
    /// Reads `30%`, `0.5%`.
    ///
    /// # Errors
    /// No percent sign, not a number, or outside 0 % to 100 %.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        let Some(digits) = text.strip_suffix('%') else {
            return Err(QuantityError::new(
                format!("`{text}` has no percent sign"),
                &share_help(text),
            ));
        };
        match digits.trim().parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent / 100.0)),
            Ok(_) => Err(QuantityError::new(
                format!("`{text}` is out of range"),
                "a share lies between 0% and 100%",
            )),
            Err(_) => Err(QuantityError::new(
                format!("`{text}` is not a percentage"),
                "write a number with a percent sign: `30%`",
            )),
        }
    }
}

impl Rate {
    /// Reads `800/s`.
    ///
    /// # Errors
    /// No `/s`, not a number, not above 0, or above a million.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        let Some(digits) = text.strip_suffix("/s") else {
            return Err(QuantityError::new(
                format!("`{text}` is not a rate"),
                "write operations per second over all clients: `800/s`",
            ));
        };
        match digits.trim().parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(Self(rate)),
            Ok(_) => Err(QuantityError::new(
                format!("`{text}` is out of range"),
                "a rate is above 0/s and at most 1000000/s; leave it out for no limit",
            )),
            Err(_) => Err(QuantityError::new(
                format!("`{text}` is not a rate"),
                "write operations per second over all clients: `800/s`",
            )),
        }
    }
}

impl ByteRate {
    /// Reads `100kB/s`, `1.5MiB/s`, `10Mbit/s`.
    ///
    /// # Errors
    /// No or an unknown unit, not a number, below 1 B/s or above 100 GB/s.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        let refuse = |what: &str| {
            QuantityError::new(
                format!("`{text}` {what}"),
                "write bytes or bits per second, for instance `100kB/s`, `1MiB/s` or `10Mbit/s`",
            )
        };
        let Some(amount) = text.strip_suffix("/s") else {
            return Err(refuse("is not a rate of data"));
        };
        let Some((number, _)) = amount_of(amount) else {
            return Err(refuse("has no unit of data"));
        };
        match number {
            Ok(rate) if (1.0..=100e9).contains(&rate) => Ok(Self(rate.round() as u64)),
            Ok(_) => Err(refuse("is out of range: at least 1B/s, at most 100GB/s")),
            Err(_) => Err(refuse("is not a rate of data")),
        }
    }
}

impl Size {
    /// Reads `4kB`, `1MiB`, `512B`.
    ///
    /// # Errors
    /// No or an unknown unit, not a number, below 1 B or above 1 GB.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        let refuse = |what: &str| {
            QuantityError::new(
                format!("`{text}` {what}"),
                "write bytes with their unit, for instance `512B`, `4kB` or `1MiB`",
            )
        };
        let Some((number, _)) = amount_of(text).filter(|(_, unit)| !unit.ends_with("bit")) else {
            return Err(refuse("has no unit of bytes"));
        };
        match number {
            Ok(size) if (1.0..=1e9).contains(&size) => Ok(Self(size.round() as u64)),
            Ok(_) => Err(refuse("is out of range: at least 1B, at most 1GB")),
            Err(_) => Err(refuse("is no size")),
        }
    }
}

/// An amount of data in bytes, and its unit; `None` without a known one.
fn amount_of(text: &str) -> Option<(Result<f64, ParseFloatError>, &str)> {
    let split = text.find(char::is_alphabetic)?;
    let (digits, unit) = text.split_at(split);
    let (_, scale) = BYTES.iter().find(|(name, _)| *name == unit)?;
    let number = digits.trim().parse::<f64>();
    Some((number.map(|number| number * scale), unit))
}

/// Rounds a checked number of nanoseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as saturates, and callers pass 0 to a few days"
)]
pub(super) fn whole_nanos(ns: f64) -> Nanos {
    Nanos(ns.round() as u64)
}

/// For a number below 1 people mostly mean a share of one, above it percent.
fn share_help(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number < 1.0 => {
            format!("write `{}%` (or `{text}%`)", trimmed(number * 100.0))
        }
        Ok(_) => format!("write `{text}%`"),
        Err(_) => "write a number with a percent sign: `30%`".to_owned(),
    }
}

/// A number without a trailing `.0` or float noise.
pub(super) fn trimmed(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The shortest exact form that [`Span::parse`] reads back.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const EXACT: [(u64, &str); 5] = [
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
        ];
        let ns = self.0.0;
        if ns == 0 {
            return f.write_str("0s");
        }
        for (scale, unit) in EXACT {
            if ns.is_multiple_of(scale) {
                return write!(f, "{}{unit}", ns / scale);
            }
        }
        write!(f, "{ns}ns")
    }
}

/// In the largest unit that says it exactly.
impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const EXACT: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
        for (scale, unit) in EXACT {
            if self.0.is_multiple_of(scale) {
                return write!(f, "{}{unit}/s", self.0 / scale);
            }
        }
        write!(f, "{}B/s", self.0)
    }
}

/// In the largest unit that says it exactly.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = ByteRate(self.0).to_string();
        f.write_str(rate.trim_end_matches("/s"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", trimmed(self.0 * 100.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", trimmed(self.0))
    }
}

/// Reads a leaf that must be text; numbers arrive as text too, so that the refusal can quote
/// them.
struct Leaf<T>(&'static str, fn(&str) -> Result<T, QuantityError>);

impl<T> Visitor<'_> for Leaf<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Leaf("a duration such as 5s", Self::parse))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Leaf("a percentage such as 30%", Self::parse))
    }
}

impl<'de> Deserialize<'de> for ByteRate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Leaf("a rate of data such as 100kB/s", Self::parse))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Leaf("a size such as 4kB", Self::parse))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Leaf("a rate such as 800/s", Self::parse))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_need_a_unit_and_nothing_else_is_read() {
        for (text, ns) in [
            ("5s", 5_000_000_000),
            ("50ms", 50_000_000),
            ("1m", 60_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0s", 0),
            ("3 us", 3_000),
            ("2h", 7_200_000_000_000),
        ] {
            assert_eq!(Span::parse(text).unwrap().0, Nanos(ns), "{text}");
        }
        for wrong in [
            "", "5", "s", "5x", "-5s", "5s3", "1m30s", "inf s", "NaNs", "1e300h",
        ] {
            assert!(Span::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_what_to_write() {
        assert_eq!(
            Span::parse("5").unwrap_err().help,
            "write `5ms`, `5s` or `5m`"
        );
        assert_eq!(
            Share::parse("0.3").unwrap_err().help,
            "write `30%` (or `0.3%`)"
        );
        assert_eq!(Share::parse("30").unwrap_err().help, "write `30%`");
        assert!(Rate::parse("800").unwrap_err().help.contains("`800/s`"));
    }

    #[test]
    fn shares_and_rates_are_bounded() {
        assert_eq!(Share::parse("30%").unwrap(), Share(0.3));
        assert_eq!(Rate::parse("800/s").unwrap(), Rate(800.0));
        for wrong in ["101%", "-1%", "%", "NaN%"] {
            assert!(Share::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["0/s", "-3/s", "1e9/s", "/s", "NaN/s", "5/m"] {
            assert!(Rate::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_need_a_unit_of_bytes() {
        for (text, size, shown) in [
            ("4kB", 4_000, "4kB"),
            ("1.5 MB", 1_500_000, "1500kB"),
            ("1KiB", 1_024, "1024B"),
        ] {
            assert_eq!(Size::parse(text).unwrap(), Size(size), "{text}");
            assert_eq!(Size(size).to_string(), shown);
        }
        for wrong in ["", "4", "0B", "4kB/s", "1kbit", "2GB", "-1B"] {
            assert!(Size::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_of_data_need_a_unit_of_data_and_of_time() {
        for (text, rate) in [
            ("100kB/s", 100_000),
            ("1.5 MB/s", 1_500_000),
            ("1KiB/s", 1_024),
            ("10Mbit/s", 1_250_000),
            ("1B/s", 1),
        ] {
            assert_eq!(ByteRate::parse(text).unwrap(), ByteRate(rate), "{text}");
        }
        for wrong in [
            "", "100", "100/s", "100kB", "0B/s", "-1kB/s", "1kb/s", "NaNB/s", "1e9GB/s",
        ] {
            assert!(ByteRate::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_rate_of_data_reads_back_as_the_same(rate in 1..100_000_000_000_u64) {
            let rate = ByteRate(rate);
            prop_assert_eq!(ByteRate::parse(&rate.to_string()).unwrap(), rate);
        }

        #[test]
        fn a_printed_duration_reads_back_as_the_same(ns in 0..800_000_000_000_000_u64) {
            let span = Span(Nanos(ns));
            prop_assert_eq!(Span::parse(&span.to_string()).unwrap(), span);
        }
    }
}
