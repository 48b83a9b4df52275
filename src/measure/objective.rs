//! The assertion language: one line of `expect:`.
//!
//! `metric [aggregate] op value`, for instance `detect.quorum p99 <= 2s`, or a bare *predicate*
//! such as `linearizable`. Durations and shares need their unit; counts have none.

use std::fmt;

use super::limit::{example_value, parse_share, read_limit};
use super::metric::{Aggregate, Class, METRICS, MetricInfo, Sampling, metric};
use super::record::Unit;

/// A parsed assertion: nothing about it can be wrong any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Assertion {
    /// As written, trimmed.
    pub text: String,
    /// What it says.
    pub subject: Subject,
}

/// What an assertion says.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// A bare predicate, by name.
    Predicate {
        /// One of [`PREDICATES`].
        name: &'static str,
        /// Decides the exit code.
        class: Class,
    },
    /// A metric with a limit.
    Comparison(Comparison),
    /// A metric that must not be worse than a baseline.
    Within(Within),
}

/// A metric with a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Which metric.
    pub metric: &'static MetricInfo,
    /// Over which aggregate of its samples (given or the default).
    pub aggregate: Aggregate,
    /// How they compare.
    pub op: Comparator,
    /// The limit in the metric's unit (nanoseconds, a share from 0 to 1, a count).
    pub limit: f64,
    /// The limit as written.
    pub limit_text: String,
}

/// A metric that must not be worse than a baseline by more than a share of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Within {
    /// Which metric.
    pub metric: &'static MetricInfo,
    /// Over which aggregate of its samples (given, or the median).
    pub aggregate: Aggregate,
    /// By how much it may be worse: 0.1 is 10 %.
    pub tolerance: f64,
}

/// A comparison between what was measured and a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparator {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// Why a text is no assertion, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AssertionError {
    /// What is wrong, a lowercase fragment.
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
    /// First byte of the offending part in the given text.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

/// The bare predicates: name, class, whether it is built, and what it says.
pub const PREDICATES: &[(&str, Class, bool, &str)] = &[
    (
        "linearizable",
        Class::Safety,
        true,
        "one order explains all reads and writes of each key",
    ),
    (
        "zookeeper",
        Class::Safety,
        true,
        "linearizable updates, and sessions that never go back",
    ),
    (
        "session_guarantees",
        Class::Safety,
        true,
        "each session sees its own writes and never goes back",
    ),
    (
        "sequential",
        Class::Safety,
        false,
        "the same without real time",
    ),
    (
        "converged",
        Class::Safety,
        true,
        "all nodes hold the same state in the end",
    ),
    (
        "recovered",
        Class::Objective,
        true,
        "steady is reached after the last fault",
    ),
];

impl Assertion {
    /// Reads one assertion.
    ///
    /// # Errors
    /// With the offending part and what to write: an unknown metric (its nearest names), a
    /// missing unit, a baseline for something that has none …
    pub fn parse(text: &str) -> Result<Self, AssertionError> {
        let tokens = tokens(text);
        let (subject, rest) = match tokens.split_first() {
            None => {
                return Err(whole(text, "the assertion is empty", HELP_SHAPE.to_owned()));
            }
            Some((first, rest)) => (first, rest),
        };
        let subject = if let Some(predicate) = PREDICATES.iter().find(|p| p.0 == subject.text) {
            read_predicate(subject, predicate, rest)?
        } else {
            let info = metric(subject.text).ok_or_else(|| unknown_metric(subject))?;
            read_limit_of(text, info, rest)?
        };
        Ok(Self {
            text: text.trim().to_owned(),
            subject,
        })
    }

    /// To which class it belongs.
    #[must_use]
    pub const fn class(&self) -> Class {
        match &self.subject {
            Subject::Predicate { class, .. } => *class,
            Subject::Comparison(comparison) => comparison.metric.class,
            Subject::Within(_) => Class::Objective,
        }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Comparator {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Less,
        Self::AtMost,
        Self::More,
        Self::AtLeast,
        Self::Equal,
        Self::NotEqual,
    ];

    /// As written.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }

    /// Whether it sets a lower bound.
    #[must_use]
    pub const fn is_lower_bound(self) -> bool {
        matches!(self, Self::More | Self::AtLeast)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.symbol() == text)
    }
}

/// A word or a run of comparison signs, with its place.
#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    start: usize,
}

impl Token<'_> {
    const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    fn is_sign(&self) -> bool {
        self.text.starts_with(is_sign)
    }

    fn refuse(&self, message: String, help: impl Into<String>) -> AssertionError {
        AssertionError {
            message,
            help: help.into(),
            start: self.start,
            end: self.end(),
        }
    }
}

const fn is_sign(c: char) -> bool {
    matches!(c, '<' | '>' | '=' | '!' | '≤' | '≥')
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found: Vec<Token<'_>> = Vec::new();
    let mut open = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let kind = (!c.is_whitespace()).then(|| is_sign(c));
        match open {
            Some((start, was)) if kind != Some(was) => {
                found.push(Token {
                    text: &text[start..at],
                    start,
                });
                open = kind.map(|sign| (at, sign));
            }
            Some(_) => {}
            None => open = kind.map(|sign| (at, sign)),
        }
    }
    found
}

fn whole(text: &str, message: &str, help: String) -> AssertionError {
    AssertionError {
        message: message.to_owned(),
        help,
        start: 0,
        end: text.len(),
    }
}

fn read_predicate(
    word: &Token<'_>,
    &(name, class, built, _): &(&'static str, Class, bool, &str),
    rest: &[Token<'_>],
) -> Result<Subject, AssertionError> {
    if let Some(extra) = rest.first() {
        return Err(extra.refuse(
            format!("`{name}` stands alone"),
            format!("write `{name}` without a limit"),
        ));
    }
    if !built {
        return Err(word.refuse(
            format!("`{name}` is not built yet"),
            "write `linearizable`, which is stricter",
        ));
    }
    Ok(Subject::Predicate { name, class })
}

fn read_limit_of(
    text: &str,
    metric: &'static MetricInfo,
    rest: &[Token<'_>],
) -> Result<Subject, AssertionError> {
    let example = format!(
        "write `{} {} {}`",
        metric.name,
        "<=",
        example_value(metric.unit)
    );
    let end_of_text = Token {
        text: "",
        start: text.trim_end().len(),
    };
    let (given, rest) = match rest.split_first() {
        None => {
            return Err(whole(
                text,
                &format!("`{}` is a metric: it needs a limit", metric.name),
                example,
            ));
        }
        Some((word, rest)) if !word.is_sign() => {
            if word.text == "within" {
                let read = read_within(text, metric, Aggregate::P50, (word, rest));
                return read.map(Subject::Within);
            }
            (Some((word, read_aggregate(metric, word)?)), rest)
        }
        Some(_) => (None, rest),
    };
    let Some((sign, value)) = rest.split_first() else {
        return Err(end_of_text.refuse("the comparison is missing".to_owned(), example));
    };
    if sign.text == "within" {
        let aggregate = given.map_or(Aggregate::P50, |(_, given)| given);
        return read_within(text, metric, aggregate, (sign, value)).map(Subject::Within);
    }
    let op = Comparator::parse(sign.text).ok_or_else(|| {
        sign.refuse(
            format!("`{}` is no comparison", sign.text),
            "write one of <  <=  >  >=  ==  !=",
        )
    })?;
    let aggregate = given.map_or_else(|| default_aggregate(metric, op), |(_, given)| given);
    let unit = if aggregate == Aggregate::Count {
        Unit::Count
    } else {
        metric.unit
    };
    let (Some(first), Some(last)) = (value.first(), value.last()) else {
        return Err(end_of_text.refuse("the limit is missing".to_owned(), example));
    };
    let limit_text = &text[first.start..last.end()];
    let limit = read_limit(limit_text, unit).map_err(|(message, help)| AssertionError {
        message,
        help,
        start: first.start,
        end: last.end(),
    })?;
    Ok(Subject::Comparison(Comparison {
        metric,
        aggregate,
        op,
        limit,
        limit_text: limit_text.to_owned(),
    }))
}

fn default_aggregate(metric: &MetricInfo, op: Comparator) -> Aggregate {
    match metric.default_aggregate {
        Aggregate::Max if op.is_lower_bound() && metric.sampling != Sampling::Histogram => {
            Aggregate::Min
        }
        other => other,
    }
}

fn read_aggregate(metric: &MetricInfo, word: &Token<'_>) -> Result<Aggregate, AssertionError> {
    let known = Aggregate::ALL.iter().map(|a| a.word()).collect::<Vec<_>>();
    let aggregate = Aggregate::ALL
        .into_iter()
        .find(|a| a.word() == word.text)
        .ok_or_else(|| {
            word.refuse(
                format!("`{}` is no aggregate", word.text),
                format!("write one of {}", known.join(" ")),
            )
        })?;
    let kept = !matches!(
        aggregate,
        Aggregate::Min | Aggregate::Mean | Aggregate::Total
    );
    if metric.sampling == Sampling::Histogram && !kept {
        return Err(word.refuse(
            format!("`{}` has no `{}`", metric.name, word.text),
            "latency is judged by p50, p90, p99, p999, max or count",
        ));
    }
    let is_largest = metric.sampling == Sampling::Checked
        && metric.default_aggregate == Aggregate::Max
        && aggregate != Aggregate::Max;
    if is_largest {
        return Err(word.refuse(
            format!("`{}` has no `{}`", metric.name, word.text),
            "the checker tells the largest only: write `max`, or nothing",
        ));
    }
    Ok(aggregate)
}

/// `within 10% of baseline`, from the first of these words on.
fn read_within(
    text: &str,
    metric: &'static MetricInfo,
    aggregate: Aggregate,
    (within, rest): (&Token<'_>, &[Token<'_>]),
) -> Result<Within, AssertionError> {
    let refuse = |message: String, help: &str| AssertionError {
        message,
        help: help.to_owned(),
        start: within.start,
        end: text.trim_end().len(),
    };
    let tolerance = match rest {
        [share, of, baseline] if of.text == "of" && baseline.text == "baseline" => {
            parse_share(share.text)
        }
        _ => None,
    };
    let Some(tolerance) = tolerance.filter(|share| *share > 0.0) else {
        return Err(refuse(
            "`within` is not complete".to_owned(),
            "the form is `within 10% of baseline`",
        ));
    };
    let is_sampled = matches!(
        metric.sampling,
        Sampling::Trial | Sampling::Occurrence | Sampling::Histogram
    );
    if !is_sampled || metric.unit == Unit::Count {
        return Err(refuse(
            format!(
                "`{}` is one figure per run: no baseline says how far it strays",
                metric.name
            ),
            "give a fixed limit",
        ));
    }
    if matches!(
        aggregate,
        Aggregate::Count | Aggregate::Total | Aggregate::Min
    ) {
        return Err(refuse(
            format!("`{aggregate}` is not compared with a baseline"),
            "write one of p50 p90 p99 p999 max mean, or none for p50",
        ));
    }
    Ok(Within {
        metric,
        aggregate,
        tolerance,
    })
}

fn unknown_metric(word: &Token<'_>) -> AssertionError {
    let mut near: Vec<(f64, &str)> = METRICS
        .iter()
        .map(|info| info.name)
        .chain(PREDICATES.iter().map(|predicate| predicate.0))
        .map(|name| (likeness(word.text, name), name))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let names: Vec<String> = near
        .iter()
        .take(3)
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    let help = if names.is_empty() {
        "`chaos list metrics` names them all".to_owned()
    } else {
        format!("did you mean {}?", names.join(" or "))
    };
    word.refuse(format!("unknown metric `{}`", word.text), help)
}

/// How alike two names are, 0 to 1: by letters, or by being a part of the other.
fn likeness(given: &str, name: &str) -> f64 {
    let given = given.to_lowercase().replace('-', "_");
    let by_part = name.split('.').any(|part| part == given);
    strsim::normalized_damerau_levenshtein(&given, name).max(if by_part { 0.75 } else { 0.0 })
}

/// Names less alike than this are no useful hint.
const LIKE: f64 = 0.55;

const HELP_SHAPE: &str =
    "write `metric [aggregate] op value`, such as `detect.first p99 <= 500ms`, or `linearizable`";

#[cfg(test)]
mod tests;
