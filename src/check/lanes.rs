//! Evidence as lanes for the terminal: one line per process, time from left to right.
//!
//! *Lane*: the operations of one process as bars from invocation to completion. The bars show the
//! order of these instants, not the lengths; the times of some stand below. `①` is the place in the
//! longest order that works, `✗` the operation that cannot follow it, and `▶` an operation of
//! unknown outcome: it may take effect at any later time. What needs more than 80 columns gets one
//! line per operation instead.

use super::rows::{ended, rows};
use super::{Evidence, describe};
use crate::clock::Nanos;
use crate::history::{History, Operation};

/// What people and CI logs have.
const COLUMNS: usize = 80;

/// Lanes of single operations are at most this wide.
const WIDTH: usize = 32;

/// More operations than these are cut in the middle: nobody reads them in a terminal.
const ROWS: usize = 24;

/// Between two neighbouring instants.
const STEP: usize = 2;

/// A longer description loses its middle.
const WORDS: usize = 28;

/// Renders the operations of `evidence`, its sentence, and how far an order comes.
#[must_use]
pub fn evidence_lanes(history: &History, evidence: &Evidence) -> String {
    let mut bars: Vec<Bar<'_>> = (evidence.shown().iter())
        .filter_map(|index| Some((*index, history.operations.get(*index)?)))
        .map(|(index, operation)| Bar {
            operation,
            mark: mark(evidence, index),
            what: describe(operation, &history.values, WORDS),
        })
        .collect();
    bars.sort_by_key(|bar| (bar.operation.invoked, bar.operation.completed));
    let origin = bars
        .first()
        .map_or(Nanos::ZERO, |bar| bar.operation.invoked);
    let mut text = format!("key {}", super::brief(&evidence.key, WORDS));
    if origin == Nanos::ZERO {
        text += ", times in ms\n";
    } else {
        text += &format!(", times in ms after {:.3} ms\n", origin.as_millis_f64());
    }
    let together = (evidence.hidden() == 0)
        .then(|| by_process(&bars, origin))
        .flatten();
    text += &together.unwrap_or_else(|| one_by_one(&bars, origin, evidence.hidden()));
    text += &wrapped(&evidence.sentence);
    if let Some(attempt) = &evidence.attempt {
        text += &wrapped(&attempt.sentence(history));
    }
    text
}

/// An operation to draw.
struct Bar<'a> {
    operation: &'a Operation,
    mark: String,
    what: String,
}

impl Bar<'_> {
    /// `├① write 3 ┤`, `width` wide or as wide as it needs.
    fn drawn(&self, width: usize) -> String {
        let (fill, close) = match ended(self.operation) {
            Some(_) => ("─", "┤"),
            None => ("╌", "▶"),
        };
        let text = format!("├{}{} ", self.mark, self.what);
        let missing = width.saturating_sub(text.chars().count() + 1);
        format!("{text}{}{close}", fill.repeat(missing))
    }

    fn least(&self) -> usize {
        self.drawn(0).chars().count()
    }

    fn who(&self) -> String {
        let node = self.operation.node;
        let node = node.map_or_else(String::new, |node| format!(" {node}"));
        format!("process {}{node}", self.operation.process)
    }
}

/// `① ` for the first of the order, `✗ ` for what cannot follow.
fn mark(evidence: &Evidence, index: usize) -> String {
    let Some(attempt) = &evidence.attempt else {
        return String::new();
    };
    if attempt.stuck == index {
        return "✗ ".to_owned();
    }
    let place = attempt.order.iter().position(|other| *other == index);
    match place.map(|place| place as u32 + 1) {
        None => String::new(),
        Some(place @ 1..=20) => {
            let circled = char::from_u32('①' as u32 + place - 1).unwrap_or('•');
            format!("{circled} ")
        }
        Some(place) => format!("({place}) "),
    }
}

/// One line per process with the words inside the bars, and times below; `None` if that is too
/// wide.
fn by_process(bars: &[Bar<'_>], origin: Nanos) -> Option<String> {
    let operations: Vec<&Operation> = bars.iter().map(|bar| bar.operation).collect();
    let rows = rows(&operations);
    let who: Vec<String> = (rows.iter())
        .map(|row| {
            let mut who: Vec<String> = row.operations.iter().map(|at| bars[*at].who()).collect();
            who.dedup();
            match who.as_slice() {
                _ if row.is_more => String::new(),
                [one] => one.clone(),
                _ => format!("process {}", row.process),
            }
        })
        .collect();
    let left = who.iter().map(|who| who.chars().count()).max()? + 4;
    let instants = instants(&operations);
    let (columns, width) = columns(bars, &instants);
    if left + width > COLUMNS {
        return None;
    }
    let column = |time| columns[place(&instants, time)];
    let mut text = String::new();
    for (row, who) in rows.iter().zip(&who) {
        let mut line = format!("  {who}");
        for at in &row.operations {
            let bar = &bars[*at];
            let from = column(bar.operation.invoked);
            let to = ended(bar.operation).map_or(width - 1, column);
            let missing = (left + from).saturating_sub(line.chars().count());
            line += &" ".repeat(missing);
            line += &bar.drawn(to + 1 - from);
        }
        text += &line;
        text.push('\n');
    }
    text += &ruler(&instants, &columns, left, origin);
    Some(text)
}

/// The columns of the instants, far enough apart for the words, and the whole width.
fn columns(bars: &[Bar<'_>], instants: &[Nanos]) -> (Vec<usize>, usize) {
    let mut columns: Vec<usize> = (0..instants.len()).map(|at| at * STEP).collect();
    let mut closed: Vec<(Nanos, &Bar<'_>)> = (bars.iter())
        .filter_map(|bar| Some((ended(bar.operation)?, bar)))
        .collect();
    // In the order of completion, so that making room for one never narrows an earlier one.
    closed.sort_by_key(|(end, _)| *end);
    for (end, bar) in closed {
        let (from, to) = (place(instants, bar.operation.invoked), place(instants, end));
        let missing = (columns[from] + bar.least()).saturating_sub(columns[to] + 1);
        for column in &mut columns[to.max(from)..] {
            *column += missing;
        }
    }
    let open = (bars.iter())
        .filter(|bar| ended(bar.operation).is_none())
        .map(|bar| columns[place(instants, bar.operation.invoked)] + bar.least() + STEP)
        .max();
    let last = columns.last().map_or(0, |last| last + 1);
    let beyond = if open.is_some() { STEP } else { 0 };
    (columns, (last + beyond).max(open.unwrap_or(0)))
}

/// Times below the instants, as many as there is room for.
fn ruler(instants: &[Nanos], columns: &[usize], left: usize, origin: Nanos) -> String {
    let mut line = " ".repeat(left);
    let mut used = left;
    for (instant, column) in instants.iter().zip(columns) {
        let time = millis(*instant, origin);
        let at = left + column;
        if at >= used && at + time.len() <= COLUMNS {
            line += &" ".repeat(at - used.min(at));
            line += &time;
            line.push(' ');
            used = at + time.len() + 1;
        }
    }
    format!("{}\n", line.trim_end())
}

/// One line per operation: who, what, the lane, the times.
fn one_by_one(bars: &[Bar<'_>], origin: Nanos, hidden: usize) -> String {
    let operations: Vec<&Operation> = bars.iter().map(|bar| bar.operation).collect();
    let instants = instants(&operations);
    let lines: Vec<[String; 4]> = bars
        .iter()
        .map(|bar| line(bar, &instants, origin))
        .collect();
    let mut widths = [0; 3];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let cut = lines.len().saturating_sub(ROWS);
    let [a, b, c] = widths;
    let mut text = String::new();
    for (number, [who, what, lane, times]) in lines.iter().enumerate() {
        if cut > 0 && number == ROWS / 2 {
            text += &format!("  … {} more operations …\n", cut + hidden);
        }
        if cut == 0 || !(ROWS / 2..ROWS / 2 + cut).contains(&number) {
            text += format!("  {who:a$}  {what:b$}  {lane:c$}  {times}").trim_end();
            text.push('\n');
        }
    }
    text
}

fn line(bar: &Bar<'_>, instants: &[Nanos], origin: Nanos) -> [String; 4] {
    let step = (WIDTH / instants.len().max(1)).clamp(1, 4);
    let column = |time| (place(instants, time) * step).min(WIDTH - 2);
    let from = column(bar.operation.invoked);
    let begin = millis(bar.operation.invoked, origin);
    let (lane, times) = match ended(bar.operation) {
        Some(end) => {
            let to = column(end).max(from + 1);
            let lane = format!("{:from$}├{}┤", "", "─".repeat(to - from - 1));
            (lane, format!("{begin} – {}", millis(end, origin)))
        }
        None => {
            let to = (instants.len() * step).clamp(from + 1, WIDTH);
            let lane = format!("{:from$}├{}▶", "", "╌".repeat(to - from - 1));
            (lane, format!("{begin} –"))
        }
    };
    let what = format!("{}{}", bar.mark, bar.what);
    [bar.who(), what, lane, times]
}

/// All instants at which something begins or ends, in order.
fn instants(operations: &[&Operation]) -> Vec<Nanos> {
    let mut instants: Vec<Nanos> = (operations.iter())
        .flat_map(|operation| [Some(operation.invoked), ended(operation)])
        .flatten()
        .collect();
    instants.sort_unstable();
    instants.dedup();
    instants
}

fn place(instants: &[Nanos], time: Nanos) -> usize {
    instants.partition_point(|instant| *instant < time)
}

/// Relative to the first operation, exact to the microsecond, without needless zeros.
fn millis(time: Nanos, origin: Nanos) -> String {
    let text = format!("{:.3}", time.since(origin).as_millis_f64());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Broken at blanks.
fn wrapped(sentence: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in sentence.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > COLUMNS {
            text.push('\n');
            column = 0;
        }
        if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::linearizable::{Budget, check};
    use super::*;
    use crate::history::decode;
    use crate::model::Register;

    fn lanes(lines: &str) -> String {
        let history = decode(lines.as_bytes(), "h").unwrap().1;
        let found = check(&history, &Register::default(), &Budget::without_clock(1));
        let evidence = found
            .evidence
            .expect("these histories are not linearizable");
        evidence_lanes(&history, &evidence)
    }

    #[test]
    fn a_stale_read_shows_two_values_that_exclude_each_other() {
        let text = lanes(include_str!("../../tests/histories/stale-read.jsonl"));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_cas_chain_shows_its_links() {
        let text = lanes(include_str!(
            "../../tests/histories/two-cas-from-one-value.jsonl"
        ));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_value_seen_too_early_or_never_written_is_told_shortly() {
        insta::assert_snapshot!(lanes(include_str!(
            "../../tests/histories/read-of-failed-write.jsonl"
        )));
        insta::assert_snapshot!(lanes(include_str!(
            "../../tests/histories/future-read.jsonl"
        )));
    }

    #[test]
    fn repeated_values_show_the_window_that_no_order_explains() {
        let text = lanes(include_str!(
            "../../tests/histories/repeated-values-stale.jsonl"
        ));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn long_evidence_is_cut_in_the_middle() {
        let mut history = History {
            keys: vec!["k".to_owned()],
            ..History::default()
        };
        for at in 0..40 {
            let action = crate::history::Action::Read;
            history
                .operations
                .push(super::super::testing::ok(action, at, at + 1, None));
        }
        let evidence = Evidence::new("k".to_owned(), (0..40).collect(), "why".to_owned());
        let text = evidence_lanes(&history, &evidence);
        assert_eq!(text.lines().count(), 1 + ROWS + 1 + 1);
        assert!(text.contains("… 16 more operations …"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100));
    }
}
