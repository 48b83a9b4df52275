//! Latency over time: a heat map of all ok operations on a log scale, median and 99th percentile
//! on top, and every other operation as a mark.

use std::collections::BTreeSet;

use crate::clock::Nanos;
use crate::results::RunRecord;

use super::band::{self, Band};
use super::moment::{Stretch, fineness};
use super::svg::{LogAxis, PAGE_WIDTH, Px, Svg, TimeAxis, ink, put};
use crate::report::distribution::{Ending, latency};
use crate::report::text::counted;

/// One operation as a point: start, latency, outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) start: Nanos,
    pub(super) took: u64,
    pub(super) outcome: Ending,
}

/// The operations of a run as points, in the order of their start.
pub(super) fn points(record: &RunRecord) -> Vec<Point> {
    let mut points: Vec<Point> = record
        .history
        .operations
        .iter()
        .map(|operation| Point {
            start: operation.latency_origin(),
            took: latency(operation, record.plan.timeout).0,
            outcome: Ending::of(operation),
        })
        .collect();
    points.sort_by_key(|point| point.start);
    points
}

pub(super) fn chart(points: &[Point], bands: &[Band], axis: TimeAxis, scale: LogAxis) -> String {
    let (top, bottom) = (20.0, 20.0 + AREA);
    let scale = scale.at(top, bottom);
    let mut svg = Svg::new(PAGE_WIDTH, bottom + 20.0);
    band::shade(&mut svg, bands, axis, 2.0, bottom);
    axis.draw(&mut svg, top, bottom);
    scale.draw(&mut svg, axis.left, axis.right);
    heat(&mut svg, points, axis, scale);
    band::mark(&mut svg, bands, axis, (2.0, top), bottom);
    lines(&mut svg, points, axis, scale);
    for (outcome, ink) in [
        (Ending::Differs, ink::OTHER_DOT),
        (Ending::Fail, ink::FAIL_DOT),
        (Ending::Info, ink::INFO_DOT),
    ] {
        let chosen = points.iter().filter(|point| point.outcome == outcome);
        svg.path(&marks(&chosen, axis, scale, MAX_MARKS), ink);
    }
    band::name(&mut svg, bands, axis, 14.0);
    let described = format!(
        "Heat map of {} on a log scale with lines for the median and the 99th percentile; {} shaded.",
        counted(points.len(), "operation"),
        counted(bands.len(), "fault"),
    );
    svg.finish_timed("latency", "Latency over time", &described, axis)
}

/// Words for the inks, above the chart.
pub(super) fn legend() -> String {
    let mut svg = Svg::new(PAGE_WIDTH, 14.0);
    let [shade, mid, tail, other, info, fail] = [
        r##"fill="#256cb1" class="fo""##,
        r##"fill="#35a35a" class="mf""##,
        r##"fill="#d4700f" class="tf""##,
        r##"fill="#8b949e" class="fd""##,
        r##"fill="#e0a015" class="fi""##,
        r##"fill="#cf222e" class="ff""##,
    ];
    svg.legend(
        super::svg::RIGHT,
        11.0,
        &[
            ("ok (stronger = more)", shade),
            ("p50", mid),
            ("p99", tail),
            ("cas: value differs", other),
            ("info (outcome unknown)", info),
            ("fail", fail),
        ],
    );
    svg.finish("latency-key", "Legend", "Colours of the latency chart")
}

/// Counts operations in cells and draws the cells in eight shades, one path per shade. A run of
/// equal cells in a row is one stroke.
fn heat(svg: &mut Svg, points: &[Point], axis: TimeAxis, scale: LogAxis) {
    let mut counts = vec![0_u32; COLUMNS * ROWS];
    for point in points.iter().filter(|point| point.outcome == Ending::Ok) {
        let x = (axis.x(point.start) - axis.left) / (axis.right - axis.left);
        let column = cell(x, COLUMNS);
        let row = cell(1.0 - scale.share(point.took), ROWS);
        counts[row * COLUMNS + column] += 1;
    }
    let most = f64::from(counts.iter().copied().max().unwrap_or(0)).ln_1p();
    let shade = |count: u32| {
        if count == 0 {
            return 0;
        }
        let share = f64::from(count).ln_1p() / most;
        ((share * SHADES.len() as f64).ceil() as usize).clamp(1, SHADES.len())
    };
    let mut paths = SHADES.map(|_| String::new());
    for (y, row) in counts.chunks(COLUMNS).enumerate() {
        let mut x = 0;
        while x < COLUMNS {
            let level = shade(row[x]);
            let run = row[x..]
                .iter()
                .take_while(|count| shade(**count) == level)
                .count();
            if level > 0 {
                put!(paths[level - 1], "M{x} {y}h{run}");
            }
            x += run;
        }
    }
    let (wide, high) = (
        (axis.right - axis.left) / COLUMNS as f64,
        AREA / ROWS as f64,
    );
    put!(
        svg.body,
        r#"<g transform="translate({} {}) scale({wide:.4} {high:.4})" fill="none" stroke-width="1.04">"#,
        Px(axis.left),
        Px(scale.top + high / 2.0)
    );
    for (at, (path, colour)) in paths.iter().zip(SHADES).enumerate() {
        svg.path(path, &format!(r#"class="h{}" stroke="{colour}""#, at + 1));
    }
    svg.body.push_str("</g>");
}

/// Median and 99th percentile of the ok operations, broken where there are too few to say.
fn lines(svg: &mut Svg, points: &[Point], axis: TimeAxis, scale: LogAxis) {
    let stretches = Stretch::of(points, axis, fineness(points));
    let (mut mid, mut tail) = (Line::default(), Line::default());
    for (at, stretch) in stretches.iter().enumerate() {
        let share = (at as f64 + 0.5) / stretches.len() as f64;
        let x = axis.left + share * (axis.right - axis.left);
        mid.add(x, stretch.median().map(|ns| scale.y(ns)));
        tail.add(x, stretch.tail().map(|ns| scale.y(ns)));
    }
    svg.path(
        &tail.path,
        &format!(r##"class="tail" stroke="#d4700f" stroke-width="1.6" {SHAPE}"##),
    );
    svg.path(
        &mid.path,
        &format!(r##"class="back" stroke="#fff" stroke-width="3.6" stroke-opacity=".8" {SHAPE}"##),
    );
    svg.path(
        &mid.path,
        &format!(r##"class="mid" stroke="#35a35a" stroke-width="1.6" {SHAPE}"##),
    );
}

/// Dots, at most one per pixel, on a grid made coarser until there are few enough.
pub(super) fn marks<'a>(
    points: &(impl Iterator<Item = &'a Point> + Clone),
    axis: TimeAxis,
    scale: LogAxis,
    most: usize,
) -> String {
    let mut grid = 1.0;
    loop {
        let places: BTreeSet<(i64, i64)> = points
            .clone()
            .map(|point| {
                let (x, y) = (axis.x(point.start), scale.y(point.took));
                ((x / grid).round() as i64, (y / grid).round() as i64)
            })
            .collect();
        if places.len() <= most {
            let mut path = String::new();
            for (x, y) in places {
                put!(path, "M{} {}h.01", Px(x as f64 * grid), Px(y as f64 * grid));
            }
            return path;
        }
        grid *= 1.5;
    }
}

/// A line that breaks where a value is missing.
#[derive(Debug, Default)]
struct Line {
    path: String,
    drawing: bool,
}

impl Line {
    fn add(&mut self, x: f64, y: Option<f64>) {
        if let Some(y) = y {
            // A value between two gaps is a dot: the line's round caps make it visible.
            if self.drawing {
                put!(self.path, "L{} {}", Px(x), Px(y));
            } else {
                put!(self.path, "M{} {}h.01", Px(x), Px(y));
            }
        }
        self.drawing = y.is_some();
    }
}

/// The cell of a share from 0 to 1; what lies outside belongs to the outermost cells.
pub(super) fn cell(share: f64, cells: usize) -> usize {
    ((share * cells as f64) as usize).min(cells - 1)
}

/// Height of the plot itself: three units a row.
const AREA: f64 = 216.0;
/// Columns × rows stay below 35,000 cells, about 300 KB at worst.
const COLUMNS: usize = 480;
const ROWS: usize = 72;
const SHAPE: &str = r#"fill="none" stroke-linejoin="round" stroke-linecap="round""#;
/// Dots per outcome.
const MAX_MARKS: usize = 3000;
const SHADES: [&str; 8] = [
    "#dbe9f8", "#b9d6f2", "#92bfe8", "#6aa5db", "#4389c9", "#256cb1", "#124f90", "#08356a",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_breaks_the_line() {
        let mut line = Line::default();
        for y in [Some(1.0), Some(2.0), None, Some(3.0)] {
            line.add(10.0, y);
        }
        assert_eq!(line.path, "M10 1h.01L10 2M10 3h.01");
    }

    #[test]
    fn marks_are_thinned_to_the_cap() {
        let axis = TimeAxis {
            from: 0.0,
            to: 10.0,
            left: 0.0,
            right: 1000.0,
        };
        let scale = LogAxis {
            low: 1e3,
            high: 1e9,
            top: 0.0,
            bottom: 200.0,
        };
        let points: Vec<Point> = (0..20_000_u64)
            .map(|i| Point {
                start: Nanos(i * 500_000),
                took: 1_000 + (i * 7919) % 900_000_000,
                outcome: Ending::Fail,
            })
            .collect();
        let path = marks(&points.iter(), axis, scale, 500);
        let dots = path.matches('M').count();
        assert!((100..=500).contains(&dots), "{dots}");
    }
}
