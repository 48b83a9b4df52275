//! Where the instants of a counterexample stand: in their order, as far apart as the words of the
//! bars need, and what room is left shared out by the time between them.
//!
//! *Anchor*: an instant of the evidence with its place. Between two anchors, times lie in
//! proportion; before the first and after the last one there is a margin for what happened around.

use crate::check::ended;
use crate::clock::Nanos;
use crate::history::Operation;

use super::super::svg::PAGE_WIDTH;

/// Places of instants.
#[derive(Debug)]
pub(super) struct Layout {
    anchors: Vec<(Nanos, f64)>,
    /// The whole width of the picture.
    pub(super) width: f64,
}

impl Layout {
    /// Room for every operation of `needs` with the width that its words take.
    pub(super) fn of(needs: &[(&Operation, f64)]) -> Self {
        let mut times: Vec<Nanos> = (needs.iter())
            .flat_map(|(operation, _)| [Some(operation.invoked), ended(operation)])
            .flatten()
            .collect();
        times.sort_unstable();
        times.dedup();
        let place = |time: Nanos| times.partition_point(|other| *other < time);
        let mut xs: Vec<f64> = (0..times.len()).map(|at| at as f64 * STEP).collect();
        let mut closed: Vec<(Nanos, &Operation, f64)> = (needs.iter())
            .filter_map(|(operation, need)| Some((ended(operation)?, *operation, *need)))
            .collect();
        // In the order of completion, so that making room for one never narrows an earlier one.
        closed.sort_by_key(|(end, ..)| *end);
        for (end, operation, need) in closed {
            let (from, to) = (place(operation.invoked), place(end));
            let missing = need - (xs[to] - xs[from]);
            if missing > 0.0 {
                for x in &mut xs[to..] {
                    *x += missing;
                }
            }
        }
        let last = xs.last().copied().unwrap_or(0.0);
        let open = (needs.iter())
            .filter(|(operation, _)| ended(operation).is_none())
            .map(|(operation, need)| xs[place(operation.invoked)] + need - last)
            .fold(0.0, f64::max);
        let margin = MARGIN.max(open);
        let room = PAGE_WIDTH - LEFT - RIGHT - MARGIN - margin;
        stretch(&times, &mut xs, room);
        Self::with_margins(&times, &xs, margin)
    }

    fn with_margins(times: &[Nanos], xs: &[f64], margin: f64) -> Self {
        let first = times.first().copied().unwrap_or(Nanos::ZERO);
        let last = times.last().copied().unwrap_or(first);
        let around = Nanos((last.since(first).0 / 4).max(AROUND_LEAST.0));
        let left = LEFT + MARGIN;
        let end = left + xs.last().copied().unwrap_or(0.0) + margin;
        let mut anchors = Vec::with_capacity(times.len() + 2);
        if first > Nanos::ZERO {
            anchors.push((Nanos(first.0.saturating_sub(around.0)), LEFT));
        }
        anchors.extend(times.iter().zip(xs).map(|(time, x)| (*time, left + x)));
        anchors.push((Nanos(last.0.saturating_add(around.0)), end));
        Self {
            anchors,
            width: end + RIGHT,
        }
    }

    /// The first and the last instant that have a place.
    pub(super) fn window(&self) -> (Nanos, Nanos) {
        let time = |anchor: Option<&(Nanos, f64)>| anchor.map_or(Nanos::ZERO, |(time, _)| *time);
        (time(self.anchors.first()), time(self.anchors.last()))
    }

    /// Where the lanes begin and end.
    pub(super) fn edges(&self) -> (f64, f64) {
        (LEFT, self.width - RIGHT)
    }

    /// The place of an instant; what lies outside is at the edge.
    pub(super) fn x(&self, time: Nanos) -> f64 {
        let at = self.anchors.partition_point(|(other, _)| *other < time);
        let after = self.anchors.get(at);
        let before = at.checked_sub(1).and_then(|at| self.anchors.get(at));
        match (before, after) {
            (_, Some((exact, x))) if *exact == time => *x,
            (Some((t0, x0)), Some((t1, x1))) => {
                let share = time.since(*t0).as_secs_f64() / t1.since(*t0).as_secs_f64();
                x0 + share * (x1 - x0)
            }
            (Some(_), None) => self.edges().1,
            (None, _) => self.edges().0,
        }
    }
}

/// Shares out what room is left: more to longer times, but not in proportion, which would leave
/// nothing to short ones.
fn stretch(times: &[Nanos], xs: &mut [f64], room: f64) {
    let left = room - xs.last().copied().unwrap_or(0.0);
    let weights: Vec<f64> = (times.windows(2))
        .map(|pair| pair[1].since(pair[0]).as_secs_f64().sqrt())
        .collect();
    let all: f64 = weights.iter().sum();
    if left <= 0.0 || all <= 0.0 {
        return;
    }
    let mut moved = 0.0;
    for (x, weight) in xs.iter_mut().skip(1).zip(weights) {
        moved += left * weight / all;
        *x += moved;
    }
}

/// Left of the lanes stand their names.
pub(super) const LEFT: f64 = 92.0;
pub(super) const RIGHT: f64 = 10.0;
/// Before the first and after the last instant of the evidence.
const MARGIN: f64 = 54.0;
/// Between two neighbouring instants at least.
const STEP: f64 = 16.0;
/// The margins stand for at least so long a time.
const AROUND_LEAST: Nanos = Nanos(1_000_000);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn operations_keep_their_order_and_have_room_for_their_words() {
        let record = sample::failed();
        let evidence = record.evidence.as_ref().unwrap();
        let operations: Vec<&Operation> = (evidence.operations.iter())
            .map(|at| &record.history.operations[*at])
            .collect();
        let needs: Vec<_> = operations.iter().map(|o| (*o, 100.0)).collect();
        let layout = Layout::of(&needs);
        assert!(layout.anchors.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        assert!(layout.width <= PAGE_WIDTH + 0.1, "{}", layout.width);
        for operation in operations {
            let to = ended(operation).map_or_else(|| layout.edges().1, |end| layout.x(end));
            assert!(to - layout.x(operation.invoked) >= 100.0);
        }
        let (from, to) = layout.window();
        assert_eq!((layout.x(from), layout.x(to)), layout.edges());
        assert_eq!(layout.x(Nanos::ZERO), layout.edges().0);
        assert_eq!(layout.x(Nanos::MAX), layout.edges().1);
    }
}
