//! The run beside its baseline: a table with the samples of both sides, each on a scale of its
//! own.

use crate::measure::{Change, Metric, Row};
use crate::results::RunRecord;

use super::svg::{Px, Svg, escape, put};
use crate::report::comparison::{Line, remarks};
use crate::report::text::figure;

/// The section; nothing if the run has nothing to be compared with.
pub(super) fn section(record: &RunRecord) -> String {
    let Some(compared) = &record.compared else {
        return String::new();
    };
    let mut html = "<h2>Beside the baseline</h2>".to_owned();
    for remark in remarks(compared) {
        put!(html, "<p class=\"dim\">{}</p>", escape(&remark));
    }
    if compared.rows.is_empty() {
        return html;
    }
    html.push_str(
        "<p class=\"dim\">Upper dots: baseline; lower dots: this run; bars: medians. The interval \
         is what the samples do not refute of the typical ratio.</p>\
         <div class=\"wide\"><table class=\"half\"><thead><tr><th>metric</th><th>samples</th>\
         <th class=\"num\">before</th><th class=\"num\">now</th><th class=\"num\">change</th>\
         <th>interval</th><th class=\"num\">n</th><th>result</th></tr></thead><tbody>",
    );
    for row in &compared.rows {
        let name = row.metric.name;
        let before = compared.baseline.metrics.get(name);
        let now = record.measurements.metrics.get(name);
        let strip = match (before, now) {
            (Some(before), Some(now)) => strip(row, before, now),
            _ => String::new(),
        };
        let line = Line::of(row);
        let (class, mark) = look(row);
        put!(
            html,
            "<tr><td>{name}</td><td class=\"strip\">{strip}</td><td class=\"num\">{}</td>\
             <td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"line\">{}</td>\
             <td class=\"num\">{}</td><td class=\"{class}\">{mark} {}{}</td></tr>",
            line.before,
            line.now,
            line.change,
            line.interval,
            line.n,
            line.word,
            if line.more.is_empty() {
                String::new()
            } else {
                format!("<br><span class=\"dim\">{}</span>", line.more)
            }
        );
    }
    html.push_str("</tbody></table></div>");
    html
}

fn look(row: &Row) -> (&'static str, &'static str) {
    match row.contrast.change {
        Change::Worse => ("fail", "▲"),
        Change::Better => ("pass", "▼"),
        Change::Same => ("dim", "="),
        Change::Unclear { .. } => ("unknown", "?"),
    }
}

/// The samples of both sides as two rows of dots.
fn strip(row: &Row, before: &Metric, now: &Metric) -> String {
    let name = row.metric.name;
    let [earlier, later] = row.contrast.median;
    let longest = before.samples.iter().chain(&now.samples);
    let longest = longest.copied().fold(0.0, f64::max);
    if longest <= 0.0 {
        return String::new();
    }
    let mut svg = Svg::new(WIDTH, HEIGHT);
    for (y, metric, median, ink) in [(8.0, before, earlier, BEFORE), (20.0, now, later, NOW)] {
        let x = |value: f64| 4.0 + value / longest * (WIDTH - 8.0);
        let mut sorted = metric.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let step = sorted.len().div_ceil(MOST_DOTS).max(1);
        for value in sorted.iter().step_by(step) {
            let x = Px(x(*value));
            put!(
                svg.body,
                r#"<circle cx="{x}" cy="{y}" r="2.5" fill-opacity=".5" {ink}/>"#
            );
        }
        svg.rect(x(median) - 1.0, y - 5.0, 2.0, 10.0, ink);
    }
    let unit = figure(before.unit, longest);
    let title = format!("{name}: samples of the baseline above, of this run below");
    let id = format!("beside-{}", name.replace('.', "-"));
    svg.finish(&id, &title, &format!("From 0 to {unit}"))
}

/// In pixels.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 28.0;

const BEFORE: &str = r##"class="tk" fill="#57606a""##;
const NOW: &str = r##"class="dot" fill="#0b5cad""##;

/// Per side; the others are left out evenly.
const MOST_DOTS: usize = 120;
