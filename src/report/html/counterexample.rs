//! The counterexample: the operations that no order explains, one lane per process.
//!
//! Their order in time is true, lengths are not: an operation is as wide as its words need, and
//! long waits between them are closed up.

use std::collections::BTreeMap;

use crate::check::Evidence;
use crate::clock::Nanos;
use crate::history::{Operation, Outcome};
use crate::id::ProcessId;
use crate::results::RunRecord;

use super::band::Band;
use super::svg::{Anchor, PAGE_WIDTH, Px, Svg, escape, ink, put, width_of};
use crate::report::text::{counted, operation};

/// The section, or nothing without a violation.
pub(super) fn section(record: &RunRecord, bands: &[Band]) -> String {
    let Some(evidence) = &record.evidence else {
        return String::new();
    };
    let operations: Vec<&Operation> = evidence
        .operations
        .iter()
        .filter_map(|at| record.history.operations.get(*at))
        .take(MAX_OPERATIONS)
        .collect();
    let mut html = format!(
        "<h2>Counterexample: key {}</h2><p>{}</p>",
        escape(&evidence.key),
        escape(&evidence.sentence)
    );
    if !operations.is_empty() {
        put!(
            html,
            "<div class=\"wide\">{}</div>",
            chart(record, evidence, &operations, bands)
        );
    }
    html
}

fn chart(
    record: &RunRecord,
    evidence: &Evidence,
    operations: &[&Operation],
    bands: &[Band],
) -> String {
    let words: Vec<String> = operations
        .iter()
        .map(|o| operation(&record.history, o))
        .collect();
    let needs = operations
        .iter()
        .zip(&words)
        .map(|(o, word)| (*o, width_of(word) + 22.0));
    let layout = Layout::of(needs.collect());
    let mut lanes: BTreeMap<ProcessId, f64> = BTreeMap::new();
    for operation in operations {
        lanes.insert(operation.process, 0.0);
    }
    for (at, y) in lanes.values_mut().enumerate() {
        *y = TOP + at as f64 * LANE;
    }
    let bottom = TOP + lanes.len() as f64 * LANE;
    let width = (layout.end + 30.0).max(PAGE_WIDTH);
    let mut svg = Svg::new(width, bottom + 22.0);
    for (process, y) in &lanes {
        svg.path(
            &format!("M{LEFT} {}H{}", Px(y + 15.0), Px(width - 8.0)),
            ink::GRID,
        );
        svg.text(
            LEFT - 8.0,
            y + 19.0,
            Anchor::End,
            ink::TEXT,
            &format!("p{process}"),
        );
    }
    faults(&mut svg, bands, &layout, bottom);
    for (operation, word) in operations.iter().zip(&words) {
        let y = lanes.get(&operation.process).copied().unwrap_or(TOP);
        draw(&mut svg, operation, word, &layout, y);
    }
    let from = operations
        .iter()
        .map(|o| o.invoked)
        .min()
        .unwrap_or(Nanos::ZERO);
    let to = operations
        .iter()
        .filter(|o| o.completed != Nanos::MAX)
        .map(|o| o.completed)
        .max();
    let note = format!(
        "{} of {}, from {:.6} s to {:.6} s. Bars: invocation to completion, in true \
         order but not to scale.",
        operations.len(),
        counted(record.history.operations.len(), "operation"),
        from.as_secs_f64(),
        to.unwrap_or(from).as_secs_f64(),
    );
    svg.text(LEFT, bottom + 16.0, Anchor::Start, ink::TICK, &note);
    svg.finish(
        "counterexample",
        &format!("Counterexample on {}", evidence.key),
        &evidence.sentence,
    )
}

/// Lines at the faults between the operations, named where there is room.
fn faults(svg: &mut Svg, bands: &[Band], layout: &Layout, bottom: f64) {
    let mut taken = 0.0;
    for band in bands {
        let Some(x) = layout.within(band.from) else {
            continue;
        };
        svg.path(&format!("M{} 4V{}", Px(x), Px(bottom)), ink::EVENT);
        if x + 4.0 > taken {
            svg.text(x + 4.0, 13.0, Anchor::Start, ink::LABEL, &band.tag);
            taken = x + width_of(&band.tag) + 10.0;
        }
    }
}

fn draw(svg: &mut Svg, operation: &Operation, word: &str, layout: &Layout, y: f64) {
    let from = layout.x(operation.invoked);
    let to = if ends(operation) {
        layout.x(operation.completed)
    } else {
        layout.end + 14.0
    };
    let until = if operation.completed == Nanos::MAX {
        "never completed".to_owned()
    } else {
        format!("completed {:.6} s", operation.completed.as_secs_f64())
    };
    let node = operation
        .node
        .map(|node| format!(" at {node}"))
        .unwrap_or_default();
    put!(
        svg.body,
        "<g><title>{}{node}: invoked {:.6} s, {until}</title>",
        escape(word),
        operation.invoked.as_secs_f64()
    );
    let (ink, word) = match operation.outcome {
        Outcome::Ok => (OK, word.to_owned()),
        Outcome::Fail => (FAIL, format!("✗ {word}")),
        Outcome::Info => (INFO, format!("? {word}")),
    };
    svg.rect(from, y + 3.0, to - from, 24.0, ink);
    svg.text(from + 6.0, y + 19.0, Anchor::Start, ink::TEXT, &word);
    svg.body.push_str("</g>");
}

/// Whether its completion bounds it; an `info` may take effect at any later time.
fn ends(operation: &Operation) -> bool {
    operation.outcome != Outcome::Info && operation.completed != Nanos::MAX
}

/// Instants with their places: in order, as close as the words allow.
struct Layout {
    places: Vec<(Nanos, f64)>,
    end: f64,
}

impl Layout {
    fn of(mut needs: Vec<(&Operation, f64)>) -> Self {
        let mut times: Vec<Nanos> = Vec::new();
        for (operation, _) in &needs {
            times.push(operation.invoked);
            if ends(operation) {
                times.push(operation.completed);
            }
        }
        times.sort_unstable();
        times.dedup();
        let mut places: Vec<(Nanos, f64)> = times
            .iter()
            .enumerate()
            .map(|(at, time)| (*time, LEFT + 8.0 + at as f64 * STEP))
            .collect();
        // In the order of completion, so that making room for one never narrows an earlier one.
        needs.sort_by_key(|(operation, _)| operation.completed);
        let place = |time: Nanos| times.partition_point(|other| *other < time);
        let mut end = places.last().map_or(LEFT, |last| last.1);
        for (operation, need) in &needs {
            let from = place(operation.invoked);
            if !ends(operation) {
                end = end.max(places[from].1 + need);
                continue;
            }
            let to = place(operation.completed);
            let missing = need - (places[to].1 - places[from].1);
            if missing > 0.0 {
                for later in &mut places[to..] {
                    later.1 += missing;
                }
            }
        }
        let last = places.last().map_or(LEFT, |last| last.1);
        for (operation, need) in needs.iter().filter(|(operation, _)| !ends(operation)) {
            end = end.max(places[place(operation.invoked)].1 + need);
        }
        Self {
            places,
            end: end.max(last),
        }
        .stretched()
    }

    /// Over the width of the page, if it is narrower and not by too much.
    fn stretched(mut self) -> Self {
        let room = PAGE_WIDTH - 38.0 - LEFT;
        let factor = (room / (self.end - LEFT).max(1.0)).clamp(1.0, MAX_STRETCH);
        let stretch = |x: f64| LEFT + (x - LEFT) * factor;
        for (_, x) in &mut self.places {
            *x = stretch(*x);
        }
        self.end = stretch(self.end);
        self
    }

    fn x(&self, time: Nanos) -> f64 {
        let at = self.places.partition_point(|(other, _)| *other < time);
        self.places.get(at).map_or(self.end, |(_, x)| *x)
    }

    /// The place of an instant between the first and the last one, in proportion to its neighbours.
    fn within(&self, time: Nanos) -> Option<f64> {
        let at = self.places.partition_point(|(other, _)| *other <= time);
        let (before, x0) = *self.places.get(at.checked_sub(1)?)?;
        let (after, x1) = *self.places.get(at)?;
        let share = (time - before).as_secs_f64() / (after - before).as_secs_f64();
        Some(x0 + share * (x1 - x0))
    }
}

const MAX_OPERATIONS: usize = 200;
const LEFT: f64 = 60.0;
const TOP: f64 = 18.0;
const LANE: f64 = 32.0;
/// A few operations need not fill the page.
const MAX_STRETCH: f64 = 2.2;
/// Between two neighbouring instants.
const STEP: f64 = 16.0;
const OK: &str = r##"class="oo" fill="#b9d6f2" stroke="#4389c9" rx="3""##;
const FAIL: &str = r##"class="of" fill="#fff" stroke="#cf222e" rx="3""##;
const INFO: &str = r##"class="oi" fill="#fff" stroke="#9a6700" stroke-dasharray="4 3" rx="3""##;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn operations_keep_their_order_and_have_room_for_their_words() {
        let record = sample::failed();
        let evidence = record.evidence.as_ref().unwrap();
        let operations: Vec<&Operation> = evidence
            .operations
            .iter()
            .map(|at| &record.history.operations[*at])
            .collect();
        let layout = Layout::of(operations.iter().map(|o| (*o, 100.0)).collect());
        assert!(layout.places.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        for operation in operations {
            let to = if ends(operation) {
                layout.x(operation.completed)
            } else {
                layout.end
            };
            assert!(to - layout.x(operation.invoked) >= 100.0);
        }
    }

    #[test]
    fn an_unknown_outcome_is_drawn_open() {
        let record = sample::failed();
        let drawn = section(&record, &[]);
        assert!(drawn.contains("? cas k1 2-&gt;9 (info)"), "{drawn}");
        assert!(drawn.contains("stroke-dasharray"));
    }
}
