//! Evidence as lanes for the terminal: one line per operation, time from left to right.
//!
//! The lanes show the order of invocations and completions, one column step per instant, not the
//! lengths; the times themselves stand beside them. `▶` marks an operation of unknown outcome: it
//! may take effect at any later time.

use super::Evidence;
use crate::clock::Nanos;
use crate::history::{History, Operation, Outcome, Values};
use crate::model::Call;

/// The lanes are at most this wide, so that a line with its texts fits into 80 columns mostly.
const WIDTH: usize = 32;

/// More operations than these are cut in the middle: nobody reads them in a terminal.
const ROWS: usize = 24;

/// The sentence is broken at this column.
const COLUMNS: usize = 80;

/// Renders the operations of `evidence` and its sentence.
#[must_use]
pub fn evidence_lanes(history: &History, evidence: &Evidence) -> String {
    let mut operations: Vec<&Operation> = (evidence.operations.iter())
        .filter_map(|index| history.operations.get(*index))
        .collect();
    operations.sort_by_key(|operation| (operation.invoked, operation.completed));
    let hidden = operations.len().saturating_sub(ROWS);
    let instants = instants(&operations);
    let rows: Vec<[String; 4]> = (operations.iter())
        .map(|operation| row(operation, &instants, &history.values))
        .collect();
    let mut widths = [0; 3];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = format!("key {}\n", evidence.key);
    for (number, [who, what, lane, times]) in rows.iter().enumerate() {
        if hidden > 0 && number == ROWS / 2 {
            text += &format!("  … {hidden} more operations …\n");
        }
        if hidden > 0 && (ROWS / 2..ROWS / 2 + hidden).contains(&number) {
            continue;
        }
        let [a, b, c] = widths;
        text += format!("  {who:a$}  {what:b$}  {lane:c$}  {times}").trim_end();
        text.push('\n');
    }
    text += &wrapped(&evidence.sentence);
    text
}

/// All instants at which something begins or ends, in order.
fn instants(operations: &[&Operation]) -> Vec<Nanos> {
    let mut instants: Vec<Nanos> = operations
        .iter()
        .flat_map(|operation| [Some(operation.invoked), end(operation)])
        .flatten()
        .collect();
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// When it had certainly taken effect.
fn end(operation: &Operation) -> Option<Nanos> {
    (operation.outcome != Outcome::Info).then_some(operation.completed)
}

/// Who, what, the lane, the times.
fn row(operation: &Operation, instants: &[Nanos], values: &Values) -> [String; 4] {
    let step = (WIDTH / instants.len().max(1)).clamp(1, 4);
    let column = |time: Nanos| {
        let place = instants.partition_point(|instant| *instant < time) * step;
        place.min(WIDTH - 2)
    };
    let from = column(operation.invoked);
    let node = operation
        .node
        .map_or_else(String::new, |node| format!(" {node}"));
    let begin = operation.invoked.as_millis_f64();
    let (lane, times) = match end(operation) {
        Some(end) => {
            let to = column(end).max(from + 1);
            let lane = format!("{:from$}├{}┤", "", "─".repeat(to - from - 1));
            (lane, format!("{begin:.3} – {:.3} ms", end.as_millis_f64()))
        }
        None => {
            let to = (instants.len() * step).clamp(from + 1, WIDTH);
            let lane = format!("{:from$}├{}▶", "", "─".repeat(to - from - 1));
            (lane, format!("{begin:.3} ms –"))
        }
    };
    let who = format!("process {}{node}", operation.process);
    let what = Call::from(operation).describe(values);
    [who, what, lane, times]
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
        let evidence = Evidence {
            key: "k".to_owned(),
            operations: (0..40).collect(),
            sentence: "why".to_owned(),
        };
        let text = evidence_lanes(&history, &evidence);
        assert_eq!(text.lines().count(), 1 + ROWS + 1 + 1);
        assert!(text.contains("… 16 more operations …"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100));
    }
}
