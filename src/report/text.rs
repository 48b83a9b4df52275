//! How figures and verdicts read in every view.

use std::collections::BTreeSet;

use crate::check::CheckResult;
use crate::clock::Nanos;
use crate::measure::{Channel, Covered, HitPhase, HitRole, Measurements, Unit};
use crate::verdict::Verdict;

/// The stages of a failover, in their order: the name shown, the metric.
pub(super) const FAILOVER: &[(&str, &str)] = &[
    ("detect", "detect.first"),
    ("elect", "elect"),
    ("sync", "sync.leader"),
    ("reroute", "reroute"),
    ("first ok", "recover.first"),
    ("steady", "recover.steady"),
    ("in sync", "redundancy"),
    ("outage", "outage.write"),
];

/// A figure with its unit.
pub(super) fn figure(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Ns => Nanos(value.max(0.0).round() as u64).to_string(),
        Unit::Ratio => format!("{:.3} %", value * 100.0),
        Unit::Count | Unit::Ops => {
            if (value - value.round()).abs() < 0.05 {
                grouped(value.round() as i64)
            } else {
                format!("{value:.1}")
            }
        }
    }
}

/// A whole number with its thousands set apart: `119,396`.
pub(super) fn grouped(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// `1 trial`, `2 trials`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count as i128))
}

/// How the detections of a run came about: `by timeout 9, transport 1`; empty without any.
pub(super) fn channels(measurements: &Measurements) -> String {
    let count = |channel| {
        measurements
            .trials
            .iter()
            .filter(|trial| trial.channel == Some(channel))
            .count()
    };
    let named: Vec<String> = [
        (Channel::Timeout, "timeout"),
        (Channel::Transport, "transport"),
    ]
    .into_iter()
    .map(|(channel, word)| (count(channel), word))
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{word} {count}"))
    .collect();
    if named.is_empty() {
        String::new()
    } else {
        format!("by {}", named.join(", "))
    }
}

/// The verdict over all checks in a sentence without its verb: `5 checks in 41.4 s`.
pub(super) fn conclusion(verdict: Verdict, checks: &[CheckResult], duration: Nanos) -> String {
    let seconds = format!("{:.1} s", duration.as_secs_f64());
    let of = |wanted| {
        checks
            .iter()
            .filter(|check| check.verdict == wanted)
            .count()
    };
    let all = counted(checks.len(), "check");
    match verdict {
        Verdict::Pass => format!("{all} in {seconds}"),
        Verdict::Fail => format!("{} of {all} failed in {seconds}", of(Verdict::Fail)),
        Verdict::Unknown if of(Verdict::Unknown) == 0 => {
            format!("inconclusive: {all} in {seconds}")
        }
        Verdict::Unknown => {
            format!(
                "inconclusive: {} of {all} undecided in {seconds}",
                of(Verdict::Unknown)
            )
        }
    }
}

/// Breaks text at spaces so that no line is wider than `width` characters; a word that is wider
/// stands alone. Never empty.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        let line = lines.len() - 1;
        if used > 0 && used + 1 + length > width {
            lines.push(word.to_owned());
            used = length;
            continue;
        }
        if used > 0 {
            lines[line].push(' ');
            used += 1;
        }
        lines[line].push_str(word);
        used += length;
    }
    lines
}

/// A line for each kind of fault that landed, with a cell for each role: how often it was hit in each
/// phase of the cluster, as `3 / 0 / 1`; empty if never.
pub(super) fn coverage(covered: &[Covered]) -> Vec<(String, Vec<String>)> {
    let hits = |verb: &str, role, phase| {
        let mut lines = covered.iter();
        let line = lines.find(|l| l.verb == verb && l.role == role && l.phase == phase);
        line.map_or(0, |line| line.hits)
    };
    let verbs: BTreeSet<&str> = covered.iter().map(|line| line.verb.as_str()).collect();
    let row = |verb: &str| {
        let cells = HitRole::ALL.into_iter().map(|role| {
            let counts = HitPhase::ALL.map(|phase| hits(verb, role, phase));
            if counts == [0; 3] {
                String::new()
            } else {
                counts.map(|count| count.to_string()).join(" / ")
            }
        });
        (verb.to_owned(), cells.collect())
    };
    verbs.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_in_their_unit() {
        assert_eq!(figure(Unit::Ns, 1_630_000.0), "1.63 ms");
        assert_eq!(figure(Unit::Ratio, 0.999_84), "99.984 %");
        assert_eq!(figure(Unit::Count, 1409.0), "1,409");
        assert_eq!(figure(Unit::Ops, 12.25), "12.2");
        assert_eq!(grouped(-1_234_567), "-1,234,567");
        assert_eq!(counted(1, "check"), "1 check");
        assert_eq!(counted(0, "check"), "0 checks");
    }

    #[test]
    fn wrapping_keeps_every_word_and_the_width() {
        let text = "key k3: n1 returned 4 after 5 had been read by everybody else";
        let lines = wrap(text, 20);
        assert!(
            lines.iter().all(|line| line.chars().count() <= 20),
            "{lines:?}"
        );
        assert_eq!(lines.join(" "), text);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(
            wrap("incomprehensibilities a", 5),
            ["incomprehensibilities", "a"]
        );
    }
}
