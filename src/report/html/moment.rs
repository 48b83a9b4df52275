//! Moments: what was going on at one instant. The script shows it at the cross-hair; the tables
//! tell the same to those who read no charts.

use crate::clock::Nanos;
use crate::results::RunRecord;

use super::band::Band;
use super::latency::{Point, cell};
use super::roles::{Lanes, State};
use super::svg::{Px, TimeAxis, escape, put};
use super::throughput::Bins;
use crate::report::distribution::Ending;
use crate::report::text::grouped;

/// The operations that were meant to start within one stretch of the run.
#[derive(Debug, Clone, Default)]
pub(super) struct Stretch {
    /// How many: ok, a cas that differed, info, fail.
    counts: [usize; 4],
    /// The latency of the ok ones, in ascending order.
    took: Vec<u64>,
}

impl Stretch {
    /// The run in `count` stretches of one length.
    pub(super) fn of(points: &[Point], axis: TimeAxis, count: usize) -> Vec<Self> {
        let mut stretches = vec![Self::default(); count];
        for point in points {
            let share = (axis.x(point.start) - axis.left) / (axis.right - axis.left);
            let stretch = &mut stretches[cell(share, count)];
            match point.outcome {
                Ending::Ok => {
                    stretch.took.push(point.took);
                    stretch.counts[0] += 1;
                }
                Ending::Differs => stretch.counts[1] += 1,
                Ending::Info => stretch.counts[2] += 1,
                Ending::Fail => stretch.counts[3] += 1,
            }
        }
        for stretch in &mut stretches {
            stretch.took.sort_unstable();
        }
        stretches
    }

    /// Nothing if no operation was ok.
    pub(super) fn median(&self) -> Option<u64> {
        self.at(0.5)
    }

    /// Nothing if there are too few to say.
    pub(super) fn tail(&self) -> Option<u64> {
        self.at(0.99).filter(|_| self.took.len() >= ENOUGH)
    }

    fn at(&self, quantile: f64) -> Option<u64> {
        let rank = ((self.took.len() as f64 * quantile).ceil() as usize).max(1) - 1;
        self.took.get(rank).copied()
    }
}

/// How finely the charts cut the run: few operations have no percentiles by the second.
pub(super) fn fineness(points: &[Point]) -> usize {
    (points.len() / 20).clamp(24, MAX_STRETCHES)
}

/// The figures that the script shows at the cross-hair, as attributes.
pub(super) fn data(
    record: &RunRecord,
    points: &[Point],
    bands: &[Band],
    lanes: &Lanes,
    axis: TimeAxis,
) -> String {
    let micros = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| (ns / 1000).to_string());
    let latency: Vec<String> = Stretch::of(points, axis, fineness(points))
        .iter()
        .map(|stretch| format!("{}/{}", micros(stretch.median()), micros(stretch.tail())))
        .collect();
    let bins = Bins::of(record, axis);
    let rates: Vec<String> = bins
        .counts
        .iter()
        .map(|counts| counts.map(|count| count.to_string()).join("/"))
        .collect();
    let faults: Vec<String> = bands
        .iter()
        .take(MAX_FAULTS)
        .map(|band| {
            let (from, to) = (band.from.as_secs_f64(), band.to.as_secs_f64());
            let name: Vec<char> = band.name().chars().take(MAX_NAME).collect();
            let name = String::from_iter(name).replace('\n', " ");
            format!("{from:.3} {to:.3} {name}")
        })
        .collect();
    format!(
        r#"data-latency="{}" data-width="{}" data-rates="{}" data-faults="{}" data-lanes="{}""#,
        latency.join(" "),
        bins.width,
        rates.join(" "),
        escape(&faults.join("\n")),
        states(lanes, axis)
    )
}

/// Per node a line of instants and states: `0 down,1.204 leader`; changes within a pixel are left
/// out.
fn states(lanes: &Lanes, axis: TimeAxis) -> String {
    let mut text = String::new();
    for (at, spans) in lanes.spans().iter().enumerate() {
        let mut last = f64::NEG_INFINITY;
        put!(text, "{}", if at > 0 { "\n" } else { "" });
        for span in spans {
            let x = axis.x(span.from);
            let brief = axis.x(span.to) - x < 1.0;
            if brief && x - last < 1.0 {
                continue;
            }
            let comma = if last.is_finite() { "," } else { "" };
            put!(
                text,
                "{comma}{:.3} {}",
                span.from.as_secs_f64(),
                span.state.word()
            );
            last = x;
        }
    }
    text
}

/// Latency and throughput as a table that opens on demand.
pub(super) fn figures(points: &[Point], axis: TimeAxis) -> String {
    let mut rows = String::new();
    let stretches = Stretch::of(points, axis, ROWS);
    let length = (axis.to - axis.from) / ROWS as f64;
    for (at, stretch) in stretches.iter().enumerate() {
        let time = |ns: Option<u64>| ns.map_or_else(|| "–".to_owned(), |ns| Nanos(ns).to_string());
        put!(rows, "<tr><td>{:.1} s</td>", at as f64 * length);
        for cell in [time(stretch.median()), time(stretch.tail())] {
            put!(rows, "<td class=\"num\">{cell}</td>");
        }
        for count in stretch.counts {
            put!(rows, "<td class=\"num\">{}</td>", grouped(count as i128));
        }
        rows.push_str("</tr>");
    }
    let head = ["p50", "p99", "ok", "cas differs", "info", "fail"]
        .map(|word| format!("<th class=\"num\">{word}</th>"));
    details(
        "Latency and throughput as a table",
        &format!(
            "<thead><tr><th>from</th>{}</tr></thead><tbody>{rows}</tbody>",
            head.concat()
        ),
        "By the time at which an operation was meant to start.",
    )
}

/// The lanes as a table that opens on demand.
pub(super) fn roles(lanes: &Lanes) -> String {
    let mut changes: Vec<(Nanos, usize, State)> = Vec::new();
    for (at, spans) in lanes.spans().iter().enumerate() {
        changes.extend(spans.iter().map(|span| (span.from, at + 1, span.state)));
    }
    changes.sort_unstable();
    let mut rows = String::new();
    for (time, node, state) in changes.iter().take(MAX_CHANGES) {
        let (seconds, word) = (time.as_secs_f64(), state.word());
        put!(
            rows,
            "<tr><td>{seconds:.3} s</td><td>n{node}</td><td>{word}</td></tr>"
        );
    }
    let left = changes.len().saturating_sub(MAX_CHANGES);
    let note = if left > 0 {
        format!("… and {} more in events.jsonl", grouped(left as i128))
    } else {
        String::new()
    };
    details(
        "Node roles as a table",
        &format!(
            "<thead><tr><th>from</th><th>node</th><th>is</th></tr></thead><tbody>{rows}</tbody>"
        ),
        &note,
    )
}

/// A table that opens on demand; it takes no more room than it needs.
pub(super) fn details(summary: &str, table: &str, note: &str) -> String {
    format!(
        "<details><summary>{summary}</summary><div class=\"wide\"><table class=\"half\">{table}\
         </table></div><p class=\"dim\">{note}</p></details>"
    )
}

/// Where the plot of a close-up lies, for the script that looks for the dot under the mouse.
pub(super) fn place(axis: TimeAxis, origin: f64, scale: super::svg::LogAxis) -> String {
    format!(
        r#" data-near="{:.6} {:.6} {} {} {} {} {:.0} {:.0}""#,
        axis.from - origin,
        axis.to - origin,
        Px(axis.left),
        Px(axis.right),
        Px(scale.top),
        Px(scale.bottom),
        scale.low,
        scale.high
    )
}

/// Fewer operations have no 99th percentile worth a line.
const ENOUGH: usize = 5;
const MAX_STRETCHES: usize = 240;
const MAX_FAULTS: usize = 1000;
const MAX_NAME: usize = 100;
const MAX_CHANGES: usize = 200;
/// Of the table.
const ROWS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::{bands, latency};
    use crate::report::sample;

    #[test]
    fn the_figures_of_every_instant_are_there_for_the_script() {
        let record = sample::small();
        let axis = TimeAxis::of_run(record.duration);
        let points = latency::points(&record);
        let lanes = Lanes::of(&record);
        let faults = bands(&record.events, record.duration);
        let data = data(&record, &points, &faults, &lanes, axis);
        assert!(data.contains(" T1 SIGKILL n1 (leader)\n"), "{data}");
        assert!(data.contains("data-lanes=\"0.000 down,"), "{data}");
        let cells = data.split("data-latency=\"").nth(1).unwrap();
        let cells = cells.split('"').next().unwrap().split(' ').count();
        assert_eq!(cells, fineness(&points));
    }

    #[test]
    fn a_stretch_has_a_tail_only_if_there_is_enough() {
        let of = |count: u64| Stretch {
            counts: [0; 4],
            took: (1..=count).collect(),
        };
        assert_eq!((of(0).median(), of(0).tail()), (None, None));
        assert_eq!((of(4).median(), of(4).tail()), (Some(2), None));
        assert_eq!((of(200).median(), of(200).tail()), (Some(100), Some(198)));
    }

    #[test]
    fn the_tables_hold_a_bounded_number_of_rows() {
        let record = sample::run(sample::Shape {
            trials: 300,
            operations: 1000,
            pause: false,
            trial: Nanos::from_secs(4),
        });
        let lanes = Lanes::of(&record);
        let table = roles(&lanes);
        assert_eq!(table.matches("<tr>").count(), MAX_CHANGES + 1);
        assert!(table.contains("more in events.jsonl"));
        let points = latency::points(&record);
        let table = figures(&points, TimeAxis::of_run(record.duration));
        assert_eq!(table.matches("<tr>").count(), ROWS + 1);
    }
}
