//! Wall-clock stamps: names of results folders and the start of a run, in UTC.
//!
//! Only names and labels carry them; every measure uses the monotonic clock of the run.

use std::fmt;

/// Whole seconds of UTC since 1970-01-01, leap seconds not counted (Unix time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc(pub u64);

/// A Unix time taken apart.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Utc {
    /// As a part of a file name: `20261123T034512Z`. The names sort in the order of time.
    #[must_use]
    pub fn compact(self) -> String {
        let Civil {
            year,
            month,
            day,
            second_of_day: s,
        } = self.civil();
        format!(
            "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
            s / 3600,
            s / 60 % 60,
            s % 60
        )
    }

    /// Reads RFC 3339 in UTC (`2026-11-23T03:45:12Z`, a fraction of a second is cut off); `None`
    /// for anything else, offsets other than `Z` included.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let time = time.split_once('.').map_or(time, |(whole, _)| whole);
        let [year, month, day] = fields(date, '-')?;
        let [hour, minute, second] = fields(time, ':')?;
        let valid = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 61;
        valid.then(|| Self(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second))
    }

    /// Days to date, after Howard Hinnant's `civil_from_days`: years begin in March, so that the
    /// leap day is the last of its year.
    const fn civil(self) -> Civil {
        let shifted = self.0 / 86_400 + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        Civil {
            year: year_of_era + era * 400 + if month <= 2 { 1 } else { 0 },
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            second_of_day: self.0 % 86_400,
        }
    }
}

/// RFC 3339: `2026-11-23T03:45:12Z`.
impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil {
            year,
            month,
            day,
            second_of_day: s,
        } = self.civil();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            s / 3600,
            s / 60 % 60,
            s % 60
        )
    }
}

/// Date to days since 1970-01-01, the inverse of [`Utc::civil`] for years from 1970.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let year_of_era = year % 400;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year / 400 * 146_097 + day_of_era - 719_468
}

/// Three numbers between two separators.
fn fields(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    });
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_read_as_the_calendar_says() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_405_512, "2026-11-23T03:45:12Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(Utc(seconds).to_string(), text);
        }
        assert_eq!(Utc(1_795_405_512).compact(), "20261123T034512Z");
    }

    #[test]
    fn parsing_is_the_inverse_of_writing() {
        for day in 0..60_000 {
            let utc = Utc(day * 86_400 + day % 86_400);
            assert_eq!(Utc::parse(&utc.to_string()), Some(utc));
        }
        assert_eq!(
            Utc::parse("2026-11-23T03:45:12.5Z"),
            Some(Utc(1_795_405_512))
        );
    }

    #[test]
    fn anything_else_does_not_parse() {
        for wrong in [
            "",
            "2026-11-23",
            "2026-11-23T03:45:12+01:00",
            "2026-13-23T03:45:12Z",
            "2026-11-23T03:45Z",
            "x-y-zTa:b:cZ",
        ] {
            assert_eq!(Utc::parse(wrong), None, "{wrong}");
        }
    }
}
