//! Throughput: operations that ended, per second, stacked by outcome.

use crate::clock::Nanos;
use crate::results::RunRecord;

use super::band::{self, Band};
use super::svg::{Anchor, PAGE_WIDTH, Px, RIGHT, Svg, TimeAxis, ink, put, ticks};
use crate::report::distribution::{Ending, over};
use crate::report::text::{counted, grouped};

pub(super) fn chart(record: &RunRecord, bands: &[Band], axis: TimeAxis) -> String {
    let (top, bottom) = (6.0, 6.0 + AREA);
    let bins = Bins::of(record, axis);
    let mut svg = Svg::new(PAGE_WIDTH, bottom + 20.0);
    band::shade(&mut svg, bands, axis, 0.0, bottom);
    axis.draw(&mut svg, top, bottom);
    let highest = bins.highest().max(1.0) * 1.05;
    let y = |rate: f64| bottom - rate / highest * AREA;
    for tick in ticks(0.0, highest, 3) {
        let at = y(tick);
        svg.path(
            &format!("M{} {}H{}", Px(axis.left), Px(at), Px(axis.right)),
            ink::GRID,
        );
        let label = format!("{} op/s", grouped(tick.round() as i64));
        // The lowest label keeps clear of the first time below it.
        let drop = if tick == 0.0 { 0.0 } else { 4.0 };
        svg.text(axis.left - 8.0, at + drop, Anchor::End, ink::TICK, &label);
    }
    let mut paths = INKS.map(|_| String::new());
    for (at, counts) in bins.counts.iter().enumerate() {
        let from = axis.x(Nanos((at as f64 * bins.width * 1e9) as u64));
        let to = axis.x(Nanos(((at + 1) as f64 * bins.width * 1e9) as u64));
        let mut below = 0.0;
        for (path, count) in paths
            .iter_mut()
            .zip(counts)
            .filter(|(_, count)| **count > 0)
        {
            let above = below + f64::from(*count) / bins.width;
            let (low, high) = (y(below), y(above));
            put!(
                *path,
                "M{} {}V{}H{}V{}z",
                Px(from),
                Px(low),
                Px(high),
                Px(to),
                Px(low)
            );
            below = above;
        }
    }
    for (path, (_, ink)) in paths.iter().zip(INKS) {
        svg.path(path, ink);
    }
    band::mark(&mut svg, bands, axis, (0.0, 0.0), bottom);
    let described = format!(
        "{} as bars of {:.0} ms, stacked by outcome.",
        counted(record.history.operations.len(), "operation"),
        bins.width * 1e3,
    );
    svg.finish_timed("throughput", "Throughput", &described, axis)
}

pub(super) fn legend() -> String {
    let mut svg = Svg::new(PAGE_WIDTH, 14.0);
    svg.legend(RIGHT, 11.0, &INKS);
    svg.finish(
        "throughput-key",
        "Legend",
        "Colours of the throughput chart",
    )
}

/// Operations by the time of their end.
pub(super) struct Bins {
    /// In seconds.
    pub(super) width: f64,
    /// Per bin, in the order of the legend.
    pub(super) counts: Vec<[u32; 4]>,
}

impl Bins {
    pub(super) fn of(record: &RunRecord, axis: TimeAxis) -> Self {
        let widths = [
            0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
        ];
        let width = widths
            .into_iter()
            .find(|width| axis.to / width <= MAX_BINS)
            .unwrap_or(axis.to / MAX_BINS);
        let bins = (axis.to / width).ceil().max(1.0) as usize;
        let mut counts = vec![[0; 4]; bins];
        for operation in &record.history.operations {
            let end = over(operation, record.plan.timeout).as_secs_f64();
            let row = match Ending::of(operation) {
                Ending::Ok => 0,
                Ending::Differs => 1,
                Ending::Info => 2,
                Ending::Fail => 3,
            };
            counts[((end / width) as usize).min(bins - 1)][row] += 1;
        }
        Self { width, counts }
    }

    fn highest(&self) -> f64 {
        let most = self
            .counts
            .iter()
            .map(|counts| counts.iter().sum::<u32>())
            .max()
            .unwrap_or(0);
        f64::from(most) / self.width
    }
}

const AREA: f64 = 84.0;
const MAX_BINS: f64 = 240.0;
const INKS: [(&str, &str); 4] = [
    ("ok", r##"class="fo" fill="#4389c9""##),
    ("cas: value differs", r##"class="fd" fill="#8b949e""##),
    ("info", r##"class="fi" fill="#e0a015""##),
    ("fail", r##"class="ff" fill="#cf222e""##),
];
