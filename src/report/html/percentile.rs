//! Latency by percentile, per kind of operation: nines to the right.

use hdrhistogram::Histogram;

use crate::clock::Nanos;
use crate::results::RunRecord;

use super::svg::{Anchor, HALF_WIDTH, LogAxis, Px, Svg, ink, put, width_of};
use crate::report::hdr::histograms;
use crate::report::text::grouped;

pub(super) fn chart(record: &RunRecord, scale: LogAxis) -> String {
    let curves = curves(record);
    let (top, bottom) = (8.0, 8.0 + AREA);
    let scale = scale.at(top, bottom);
    let mut svg = Svg::new(HALF_WIDTH, bottom + 40.0);
    // With n operations nothing is known beyond the percentile 1 − 1/n.
    let most = curves
        .iter()
        .map(|curve| curve.histogram.len())
        .max()
        .unwrap_or(0);
    let nines = (most as f64).max(10.0).log10().min(6.0);
    let x = |nine: f64| LEFT + nine / nines * (RIGHT - LEFT);
    for (nine, name) in [
        "0 %",
        "90 %",
        "99 %",
        "99.9 %",
        "99.99 %",
        "99.999 %",
        "99.9999 %",
    ]
    .iter()
    .enumerate()
    {
        let nine = nine as f64;
        if nine <= nines {
            svg.path(
                &format!("M{} {}V{}", Px(x(nine)), Px(top), Px(bottom)),
                ink::GRID,
            );
            svg.text(x(nine), bottom + 14.0, Anchor::Middle, ink::TICK, name);
        }
    }
    scale.draw(&mut svg, LEFT, RIGHT);
    let mut key = LEFT;
    for curve in curves.iter().filter(|curve| !curve.histogram.is_empty()) {
        let own = (curve.histogram.len() as f64).log10().min(nines);
        let mut path = String::new();
        for step in 0..=STEPS {
            let nine = own * f64::from(step) / f64::from(STEPS);
            let value = curve
                .histogram
                .value_at_quantile(1.0 - 10.0_f64.powf(-nine));
            let pen = if step == 0 { 'M' } else { 'L' };
            put!(path, "{pen}{} {}", Px(x(nine)), Px(scale.y(value)));
        }
        svg.path(&path, curve.ink);
        svg.path(&format!("M{} {}h18", Px(key), Px(bottom + 30.0)), curve.ink);
        let text = format!("{} ({})", curve.word, grouped(curve.histogram.len()));
        svg.text(key + 23.0, bottom + 34.0, Anchor::Start, ink::TICK, &text);
        key += 23.0 + width_of(&text) + 12.0;
    }
    let slowest = curves
        .first()
        .map_or(Nanos::ZERO, |all| Nanos(all.histogram.max()));
    let described = format!(
        "Latency of {} operations by percentile; the slowest took {slowest}.",
        grouped(most)
    );
    svg.finish("percentiles", "Latency by percentile", &described)
}

struct Curve {
    word: &'static str,
    ink: &'static str,
    histogram: Histogram<u64>,
}

/// All operations under load first, then each kind.
fn curves(record: &RunRecord) -> Vec<Curve> {
    let mut histograms = histograms(record);
    let mut take = |word| histograms.get_mut(word)?.remove("all");
    KINDS
        .iter()
        .filter_map(|(word, ink)| {
            Some(Curve {
                word,
                ink,
                histogram: take(word)?,
            })
        })
        .collect()
}

const LEFT: f64 = 62.0;
const RIGHT: f64 = HALF_WIDTH - 24.0;
const AREA: f64 = 190.0;
const STEPS: u32 = 160;
const KINDS: [(&str, &str); 4] = [
    (
        "all",
        r##"class="all" fill="none" stroke="#0b5cad" stroke-width="2.4""##,
    ),
    (
        "read",
        r##"class="kr" fill="none" stroke="#35a35a" stroke-width="1.5" stroke-dasharray="6 3""##,
    ),
    (
        "write",
        r##"class="kw" fill="none" stroke="#d4700f" stroke-width="1.5" stroke-dasharray="2 2""##,
    ),
    (
        "cas",
        r##"class="kc" fill="none" stroke="#8250df" stroke-width="1.5" stroke-dasharray="8 2 2 2""##,
    ),
];
