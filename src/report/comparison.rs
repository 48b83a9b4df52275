//! How two sets of samples against each other read: the same figures in every view.

use std::fmt::Write;

use serde::Serialize;

use crate::measure::{Change, Measured, Row, Strictness, percent, table};
use crate::results::Compared;

use super::distribution::Ranked;
use super::text::{counted, figure};

/// One metric of a comparison, as words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its name.
    pub(super) name: &'static str,
    /// Medians.
    pub(super) before: String,
    pub(super) now: String,
    /// The typical ratio as a change in percent.
    pub(super) change: String,
    /// What can be said.
    pub(super) word: &'static str,
    /// The interval of the change that the samples do not refute.
    pub(super) interval: String,
    /// Samples on both sides.
    pub(super) n: String,
    /// How many more trials would tell, if nobody can.
    pub(super) more: String,
}

/// One metric of a comparison, for programs.
#[derive(Debug, Serialize)]
pub struct ContrastLine {
    /// Its name.
    pub metric: &'static str,
    /// `worse`, `better`, `same` or `unclear`.
    pub change: &'static str,
    /// Samples of the first and of the second side.
    pub n: [usize; 2],
    /// Medians, in the metric's unit.
    pub median: [f64; 2],
    /// How many times as large the second is, typically; `null` where it has no end.
    pub ratio: Option<f64>,
    /// The least and the greatest ratio that the samples do not refute; `null` where open.
    pub interval: [Option<f64>; 2],
    /// How often chance alone gives such ranks.
    pub p: f64,
    /// Cliff's delta, −1 to 1.
    pub delta: f64,
    /// About so many more trials would tell; only if unclear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_trials: Option<usize>,
}

impl Line {
    pub(super) fn of(row: &Row) -> Self {
        let contrast = &row.contrast;
        let [before, now] = contrast
            .median
            .map(|median| figure(row.metric.unit, median));
        let [low, high] = contrast.interval;
        let interval = if low <= 0.0 && high.is_infinite() {
            "open".to_owned()
        } else {
            format!("{} to {}", percent(low), percent(high))
        };
        let more = match contrast.change {
            Change::Unclear { more } => format!("about {} would tell", counted_more(more)),
            Change::Worse | Change::Better | Change::Same => String::new(),
        };
        Self {
            name: row.metric.name,
            before,
            now,
            change: percent(contrast.ratio),
            word: contrast.change.word(),
            interval,
            n: format!("{}, {}", contrast.n[0], contrast.n[1]),
            more,
        }
    }
}

impl ContrastLine {
    /// The same for programs.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        let contrast = &row.contrast;
        let finite = |value: f64| value.is_finite().then_some(value);
        Self {
            metric: row.metric.name,
            change: contrast.change.word(),
            n: contrast.n,
            median: contrast.median,
            ratio: finite(contrast.ratio),
            interval: contrast.interval.map(finite),
            p: contrast.p,
            delta: contrast.delta,
            more_trials: match contrast.change {
                Change::Unclear { more } => Some(more),
                Change::Worse | Change::Better | Change::Same => None,
            },
        }
    }
}

/// `1 more trial`, `20 more trials`.
fn counted_more(more: usize) -> String {
    counted(more, "more trial")
}

/// The table for a terminal, 80 columns; `titles` head the two sides.
#[must_use]
pub fn comparison_table(rows: &[Row], titles: [&str; 2]) -> String {
    let mut out = format!(
        "  {:<15}{:>10}{:>10}{:>8}  {:<7} {:<17}{}\n",
        "median", titles[0], titles[1], "change", "", "interval", "n"
    );
    for line in rows.iter().map(Line::of) {
        let Line {
            name,
            before,
            now,
            change,
            word,
            interval,
            n,
            more,
        } = line;
        let _ = writeln!(
            out,
            "  {name:<15}{before:>10}{now:>10}{change:>8}  {word:<7} {interval:<17}{n}"
        );
        if !more.is_empty() {
            let _ = writeln!(out, "  {:<45}{more}", "");
        }
    }
    out
}

/// What a baseline holds, for a terminal: every metric that can be compared.
#[must_use]
pub fn samples_table(measured: &Measured) -> String {
    let rows = table(measured, measured, Strictness::default());
    let mut out = format!(
        "  {:<15}{:>10}{:>10}{:>10}{:>6}\n",
        "metric", "p50", "p90", "max", "n"
    );
    for row in &rows {
        let name = row.metric.name;
        let Some(metric) = measured.metrics.get(name) else {
            continue;
        };
        let ranked = Ranked::new(&metric.samples);
        let at =
            |value: Option<f64>| value.map_or_else(String::new, |value| figure(metric.unit, value));
        let _ = writeln!(
            out,
            "  {name:<15}{:>10}{:>10}{:>10}{:>6}",
            at(ranked.at(500)),
            at(ranked.at(900)),
            at(ranked.max()),
            ranked.len()
        );
    }
    out
}

/// What there is to say about the baseline beside the table, a sentence each.
pub(super) fn remarks(compared: &Compared) -> Vec<String> {
    let mut remarks = Vec::new();
    match &compared.from {
        None => remarks
            .push("there is no baseline of this plan: `chaos baseline RUN…` makes one".to_owned()),
        Some(from) => {
            let runs = counted(compared.runs, "run");
            remarks.push(format!("against {from} ({runs})"));
        }
    }
    if !compared.elsewhere.is_empty() {
        let counts = if compared.given {
            "it counts, as it was asked for"
        } else {
            "it judges nothing here"
        };
        let elsewhere = &compared.elsewhere;
        remarks.push(format!("from another machine ({elsewhere}): {counts}"));
    }
    let unjudged = compared.unjudged.iter();
    remarks.extend(unjudged.map(|line| format!("not judged: {line}")));
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_table_of_a_comparison_fits_a_terminal() {
        let compared = sample::compared();
        let table = comparison_table(&compared.rows, ["before", "now"]);
        assert!(
            table.lines().all(|line| line.chars().count() <= 80),
            "{table}"
        );
        insta::assert_snapshot!(table);
    }

    #[test]
    fn what_is_not_judged_is_said_with_the_reason() {
        let mut compared = sample::compared();
        compared.elsewhere = "CPUs 8, not 2".to_owned();
        compared.unjudged = vec!["elect within 10% of baseline".to_owned()];
        let elsewhere = remarks(&compared).join("\n");
        compared.given = true;
        compared.unjudged.clear();
        let given = remarks(&compared).join("\n");
        compared.from = None;
        compared.elsewhere.clear();
        let missing = remarks(&compared).join("\n");
        insta::assert_snapshot!([elsewhere, given, missing].join("\n\n"));
    }
}
