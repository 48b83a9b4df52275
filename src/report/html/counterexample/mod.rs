//! The counterexample: the operations that no order explains, told so that somebody who has never
//! seen the history can follow. A section of the report, and a page of its own.

mod context;
mod layout;
mod picture;

use crate::check::{Evidence, brief, describe, ended};
use crate::clock::Nanos;
use crate::history::{Event, History, Operation};

use super::STYLE;
use super::svg::{escape, put};
use picture::{millis, origin, picture};

/// A page of its own: the sentence, the picture, and a table of the operations. The same input gives
/// the same bytes.
#[must_use]
pub fn counterexample_page(history: &History, evidence: &Evidence, events: &[Event]) -> String {
    let key = escape(&brief(&evidence.key, KEY));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <title>Counterexample: key {key}</title>\n<style>\n{STYLE}</style></head>\n<body>\n\
         <h1><span class=\"badge fail\">FAIL</span>Counterexample: key {key}</h1>\n{}\n\
         <h2>The operations</h2>\n{}\n</body></html>\n",
        story(history, evidence, events),
        table(history, evidence),
    )
}

/// The section of the report, or nothing without a violation.
pub(super) fn section(history: &History, evidence: Option<&Evidence>, events: &[Event]) -> String {
    let Some(evidence) = evidence else {
        return String::new();
    };
    let key = escape(&brief(&evidence.key, KEY));
    let story = story(history, evidence, events);
    format!("<h2>Counterexample: key {key}</h2>\n{story}")
}

/// Why, how far an order comes, and the picture.
fn story(history: &History, evidence: &Evidence, events: &[Event]) -> String {
    let mut html = format!("<p>{}.</p>", escape(&capital(&evidence.sentence)));
    if let Some(attempt) = &evidence.attempt {
        put!(html, "<p><b>{}</b></p>", escape(&attempt.sentence(history)));
    }
    let picture = picture(history, evidence, events);
    if !picture.is_empty() {
        let help = match evidence.attempt {
            Some(_) => [BARS, ORDER].join(" "),
            None => BARS.to_owned(),
        };
        put!(
            html,
            "<p class=\"dim\">{help}{}</p><div class=\"wide\">{picture}</div>",
            escape(&last_fault(history, evidence, events))
        );
    }
    html
}

/// What was last before the operations, where the picture does not reach: ` T1 SIGKILL n1 began
/// 120 ms before the first of them, and had ended.`
fn last_fault(history: &History, evidence: &Evidence, events: &[Event]) -> String {
    let shown = evidence.shown();
    let operations = shown.iter().filter_map(|at| history.operations.get(*at));
    let first = origin(operations);
    let bands = super::bands(events, Nanos::MAX);
    let before = bands.iter().filter(|band| band.landed && band.from < first);
    let Some(band) = before.max_by_key(|band| band.from) else {
        return String::new();
    };
    let end = match first.0.checked_sub(band.to.0) {
        Some(ago) => format!("and had ended {} before it", Nanos(ago)),
        None => "and was still in force".to_owned(),
    };
    let name = brief(&band.name(), WORDS);
    let began = first.since(band.from);
    format!(" The fault {name} began {began} before the first of them, {end}.")
}

/// Everything of the picture in words, for those who cannot see it.
fn table(history: &History, evidence: &Evidence) -> String {
    let shown: Vec<(usize, &Operation)> = (evidence.shown().into_iter())
        .filter_map(|index| Some((index, history.operations.get(index)?)))
        .collect();
    let origin = origin(shown.iter().map(|(_, operation)| *operation));
    let mut html = "<div class=\"wide\"><table class=\"half\"><thead><tr><th>Order</th><th>Process\
                    </th><th>Node</th><th>Operation</th><th class=\"num\">Invoked, ms</th>\
                    <th class=\"num\">Completed, ms</th><th>Outcome</th><th>Version</th>\
                    <th>Error</th></tr></thead><tbody>"
        .to_owned();
    let hidden = evidence.hidden();
    for (at, (index, operation)) in shown.iter().enumerate() {
        if hidden > 0 && at == shown.len() / 2 {
            put!(html, "<tr><td colspan=\"9\">… {hidden} more …</td></tr>");
        }
        let (process, outcome) = (operation.process, operation.outcome.word());
        let node = operation
            .node
            .map_or_else(String::new, |node| node.to_string());
        let what = escape(&describe(operation, &history.values, WORDS));
        let begin = millis(operation.invoked, origin);
        let end = ended(operation).map_or_else(|| "?".to_owned(), |end| millis(end, origin));
        let version = operation
            .version
            .map_or_else(String::new, |version| version.to_string());
        let error = escape(&brief(history.error_text(operation).unwrap_or(""), WORDS));
        put!(
            html,
            "<tr><td>{}</td><td>{process}</td><td>{node}</td><td>{what}</td><td class=\"num\">\
             {begin}</td><td class=\"num\">{end}</td><td>{outcome}</td><td>{version}</td>\
             <td>{error}</td></tr>",
            place(evidence, *index)
        );
    }
    html.push_str("</tbody></table></div>");
    html
}

/// The place in the longest order.
fn place(evidence: &Evidence, index: usize) -> String {
    let Some(attempt) = &evidence.attempt else {
        return String::new();
    };
    if attempt.stuck == index {
        return "<span class=\"fail line\">✗ does not fit</span>".to_owned();
    }
    let place = attempt.order.iter().position(|other| *other == index);
    place.map_or_else(String::new, |place| (place + 1).to_string())
}

/// Sentences of checks begin in lower case.
fn capital(sentence: &str) -> String {
    let mut rest = sentence.chars();
    let first = rest.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + rest.as_str()
}

/// Nothing is loaded, and no script runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
const BARS: &str = "Each bar is one operation, from when its client asked to when it had the \
                    answer. It took effect at one instant in between; a dashed bar may take effect \
                    at any later time, or never.";
const ORDER: &str = "The numbers are the longest order of such instants that explains the answers; \
                     the operation with the cross has to come next and does not fit.";
const KEY: usize = 60;
const WORDS: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::linearizable::{Budget, check};
    use crate::history::{Action, KeyId, Outcome, Value, decode};
    use crate::id::ProcessId;
    use crate::model::Register;
    use crate::report::sample;

    fn page(lines: &str) -> String {
        let history = decode(lines.as_bytes(), "h").unwrap().1;
        let found = check(&history, &Register::default(), &Budget::without_clock(1));
        counterexample_page(&history, &found.evidence.unwrap(), &[])
    }

    #[test]
    fn an_unknown_outcome_is_drawn_open_and_the_misfit_has_a_mark() {
        let drawn = page(include_str!(
            "../../../../tests/histories/two-cas-from-one-value.jsonl"
        ));
        assert!(drawn.contains(">cas 1 → 3 ?</text>"), "{drawn}");
        assert!(drawn.contains("it may take effect at any later time"));
        assert_eq!(drawn.matches(">✗</text>").count(), 1);
        assert!(drawn.contains("✗ does not fit"));
    }

    #[test]
    fn faults_and_roles_stand_beside_it() {
        let record = sample::failed();
        let evidence = record.evidence.as_ref().unwrap();
        let mut events = record.events.clone();
        for event in &mut events {
            event.time = Nanos(event.time.0.saturating_sub(790_000_000));
        }
        let drawn = section(&record.history, Some(evidence), &events);
        assert!(drawn.contains(">leader</text>"), "{drawn}");
        assert!(drawn.contains("SIGKILL n1 (leader)"));
        assert!(!drawn.contains("The fault"), "it is in the picture");
        for event in &mut events {
            event.time = Nanos(event.time.0.saturating_sub(100_000_000));
        }
        let drawn = section(&record.history, Some(evidence), &events);
        let told = "The fault T1 SIGKILL n1 (leader) began 46.8 ms before the first of them, and \
                    was still in force.";
        assert!(drawn.contains(told), "{drawn}");
    }

    #[test]
    fn the_page_loads_nothing_and_needs_no_script() {
        let drawn = page(include_str!("../../../../tests/histories/stale-read.jsonl"));
        assert!(drawn.contains("default-src 'none'"));
        for source in [
            "src=", "href=", "url(", "@import", "http://", "https://", "<script",
        ] {
            assert!(!drawn.contains(source), "{source}");
        }
    }

    /// A long history of long texts whose evidence has very many operations.
    fn huge(operations: usize) -> (History, Evidence) {
        let mut history = History {
            keys: vec!["<key>".repeat(10_000)],
            errors: vec!["<error>".repeat(10_000)],
            ..History::default()
        };
        let texts: Vec<Value> = (0..64)
            .map(|at| history.values.text(&format!("{at}<&").repeat(20_000)))
            .collect();
        let base = sample::small().history.operations.remove(0);
        for at in 0..operations {
            let text = texts[at % texts.len()];
            let mut operation = base.clone();
            operation.process = ProcessId(at as u64 % 300);
            operation.key = KeyId(0);
            operation.action = Action::Write(text);
            if at % 3 == 0 {
                (operation.action, operation.seen) = (Action::Read, Some(text));
            }
            operation.invoked = Nanos(at as u64 * 1000);
            operation.completed = Nanos(at as u64 * 1000 + 250_000);
            operation.error = Some(0);
            if at % 7 == 0 {
                operation.outcome = Outcome::Info;
            }
            history.operations.push(operation);
        }
        let evidence = (operations / 3..operations / 2).collect();
        let sentence = "<why>".to_owned();
        let key = history.keys[0].clone();
        (history, Evidence::new(key, evidence, sentence))
    }

    #[test]
    fn at_most_200_operations_and_2_mb_whatever_the_history() {
        let (history, evidence) = huge(100_000);
        let drawn = counterexample_page(&history, &evidence, &sample::small().events);
        assert!(drawn.len() < 2_000_000, "{}", drawn.len());
        let operations = drawn.matches("<g><title>").count();
        assert!((100..=200).contains(&operations), "{operations}");
        assert!(drawn.contains("more in the middle are not shown"));
        assert!(!drawn.contains("<why>") && !drawn.contains("<key>"));
    }

    #[test]
    fn a_real_violation_among_100_000_operations_of_long_texts_is_small() {
        let (mut history, _) = huge(100_000);
        for (at, operation) in history.operations.iter_mut().enumerate() {
            operation.outcome = Outcome::Ok;
            operation.error = None;
            operation.invoked = Nanos(at as u64 * 1_000_000);
            operation.completed = Nanos(at as u64 * 1_000_000 + 900_000);
            if operation.action == Action::Read {
                operation.seen = None;
            }
        }
        let stale = history.operations[40_001].action;
        if let Action::Write(text) = stale {
            history.operations[40_020].action = Action::Read;
            history.operations[40_020].seen = Some(text);
        }
        let found = check(&history, &Register::default(), &Budget::without_clock(1));
        let evidence = found.evidence.expect("the value was replaced before");
        assert!(evidence.operations.len() < 10, "{evidence:?}");
        let drawn = counterexample_page(&history, &evidence, &[]);
        assert!(drawn.len() < 200_000, "{}", drawn.len());
    }
}
