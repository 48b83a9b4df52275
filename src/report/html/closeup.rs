//! Close-ups: the seconds around one fault, each operation a dot, the stages of the failover
//! behind them and the nodes' lanes below.

use crate::clock::Nanos;
use crate::measure::TrialMeasure;
use crate::results::RunRecord;

use super::anatomy::INKS;
use super::latency::{Point, marks};
use super::moment::place;
use super::roles::Lanes;
use super::svg::{
    Anchor, HALF_WIDTH, LogAxis, Px, Svg, TimeAxis, escape, ink, put, short, ticks, width_of,
};
use crate::report::distribution::Ending;

/// A grid of close-ups: of every fault, or of the worst.
pub(super) fn section(
    record: &RunRecord,
    points: &[Point],
    lanes: &Lanes,
    scale: LogAxis,
) -> String {
    let mut chosen: Vec<&TrialMeasure> = record
        .measurements
        .trials
        .iter()
        .filter(|trial| trial.landed.is_some())
        .collect();
    if chosen.is_empty() {
        return String::new();
    }
    let all = chosen.len();
    chosen.sort_by_key(|trial| std::cmp::Reverse(trial.recover_first.unwrap_or(Nanos::MAX)));
    chosen.truncate(MAX_CLOSE_UPS);
    chosen.sort_by_key(|trial| trial.asked);
    let which = if all > chosen.len() {
        format!("the {} slowest of {all}", chosen.len())
    } else {
        "every fault".to_owned()
    };
    let mut html = format!(
        "<h2>Close-ups: {which}</h2><p class=\"dim\">Each dot is an operation, at the time it was \
         meant to start, in the colours of the latency above; an open tick and ? means that nobody \
         knows whether it took effect.</p>\
         <div class=\"two\">"
    );
    for trial in chosen {
        put!(
            html,
            "<div><h3><span>{}</span> <b>{}</b></h3>{}</div>",
            escape(&name(trial)),
            escape(&result(trial)),
            chart(trial, points, lanes, scale)
        );
    }
    html.push_str("</div>");
    html
}

/// `T1 SIGKILL n1 (leader)`.
pub(super) fn name(trial: &TrialMeasure) -> String {
    let tag = trial
        .trial
        .map_or_else(|| trial.fault.to_string(), |trial| trial.to_string());
    format!("{tag} {}", trial.label)
}

/// How it ended, in a few words.
fn result(trial: &TrialMeasure) -> String {
    let noisy = if trial.noisy { " (noisy)" } else { "" };
    match trial.recover_first {
        Some(recovered) => format!("first ok after {recovered}{noisy}"),
        None => format!("no success before its end{noisy}"),
    }
}

fn chart(trial: &TrialMeasure, points: &[Point], lanes: &Lanes, scale: LogAxis) -> String {
    let axis = window(trial);
    let (top, bottom) = (20.0, 20.0 + AREA);
    let scale = scale.at(top, bottom);
    let lanes_top = bottom + 6.0;
    let lanes_bottom = lanes_top + lanes.len() as f64 * LANE;
    let mut svg = Svg::new(HALF_WIDTH, lanes_bottom + 40.0);
    let words = stages(&mut svg, trial, axis, top, bottom);
    scale.draw(&mut svg, axis.left, axis.right);
    relative(&mut svg, trial, axis, top, lanes_bottom);
    dots(&mut svg, points, axis, scale);
    for at in 0..lanes.len() {
        let y = lanes_top + at as f64 * LANE + 9.5;
        svg.text(
            axis.left - 8.0,
            y,
            Anchor::End,
            ink::TICK,
            &format!("n{}", at + 1),
        );
    }
    lanes.draw(&mut svg, axis, (lanes_top, LANE, LANE - 3.0), false);
    moments(&mut svg, trial, axis, lanes_bottom);
    let mut x = axis.left;
    for (at, word) in words {
        svg.rect(x, lanes_bottom + 25.0, 10.0, 10.0, INKS[at]);
        svg.text(
            x + 14.0,
            lanes_bottom + 34.0,
            Anchor::Start,
            ink::TICK,
            &word,
        );
        x += 14.0 + width_of(&word) + 14.0;
    }
    let id = format!("close-{}", trial.fault.0);
    svg.finish_near(
        &id,
        &format!("{}: {}", name(trial), result(trial)),
        "Latency of single operations around the fault, on a log scale",
        &place(axis, trial.origin.as_secs_f64(), scale),
    )
}

/// From a little before the fault to a little after the recovery.
fn window(trial: &TrialMeasure) -> TimeAxis {
    let recovery = trial
        .recover_first
        .unwrap_or(trial.end - trial.origin)
        .as_secs_f64();
    let before = (recovery * 0.35).clamp(0.02, 0.25);
    let after = (recovery * 1.25 + before).clamp(0.05, 60.0);
    let origin = trial.origin.as_secs_f64();
    TimeAxis {
        from: origin - before,
        to: origin + after,
        left: 62.0,
        right: HALF_WIDTH - 8.0,
    }
}

/// Shades the stages; returns their words for the line below the chart.
fn stages(
    svg: &mut Svg,
    trial: &TrialMeasure,
    axis: TimeAxis,
    top: f64,
    bottom: f64,
) -> Vec<(usize, String)> {
    let lengths = [
        ("detect", trial.detect_first),
        ("elect", trial.elect),
        ("sync", trial.sync_leader),
        ("reroute", trial.reroute),
    ];
    let mut from = trial.origin;
    let mut words = Vec::new();
    for (at, (name, length)) in lengths.into_iter().enumerate() {
        let Some(length) = length else { continue };
        let (left, right) = (axis.x(from), axis.x(from + length));
        let ink = format!(r#"{} fill-opacity=".16""#, INKS[at]);
        svg.rect(left, top, right - left, bottom - top, &ink);
        words.push((at, format!("{name} {length}")));
        from = from + length;
    }
    words
}

/// Time relative to the fault.
fn relative(svg: &mut Svg, trial: &TrialMeasure, axis: TimeAxis, top: f64, bottom: f64) {
    let origin = trial.origin.as_secs_f64();
    for tick in ticks((axis.from - origin) * 1e3, (axis.to - origin) * 1e3, 6) {
        let x = axis.left
            + (tick / 1e3 + origin - axis.from) / (axis.to - axis.from) * (axis.right - axis.left);
        svg.path(&format!("M{} {}V{}", Px(x), Px(top), Px(bottom)), ink::GRID);
        let sign = if tick > 0.0 { "+" } else { "" };
        let label = format!("{sign}{}", short(tick, " ms"));
        svg.label(x, bottom + 14.0, ink::TICK, &label);
    }
}

fn dots(svg: &mut Svg, points: &[Point], axis: TimeAxis, scale: LogAxis) {
    let time = |point: &Point| point.start.as_secs_f64();
    let first = points.partition_point(|point| time(point) < axis.from);
    let last = points.partition_point(|point| time(point) <= axis.to);
    let inside = &points[first..last];
    let of = |outcome| inside.iter().filter(move |point| point.outcome == outcome);
    let size = if inside.len() < FEW { 3.2 } else { 2.2 };
    let ok = format!(r#"{} stroke-width="{size}""#, ink::OK_DOT);
    svg.path(&marks(&of(Ending::Ok), axis, scale, MAX_DOTS), &ok);
    let differing = marks(&of(Ending::Differs), axis, scale, MAX_DOTS / 4);
    svg.path(&differing, ink::OTHER_DOT);
    svg.path(
        &marks(&of(Ending::Fail), axis, scale, MAX_DOTS / 4),
        ink::FAIL_DOT,
    );
    svg.path(
        &marks(&of(Ending::Info), axis, scale, MAX_DOTS / 4),
        ink::INFO_DOT,
    );
    let mut open = String::new();
    for point in of(Ending::Info).take(MAX_OPEN) {
        let (x, y) = (axis.x(point.start), scale.y(point.took));
        // Where there is no room above, it points down.
        let (length, word) = if y < scale.top + 28.0 {
            (14.0, y + 25.0)
        } else {
            (-14.0, y - 17.0)
        };
        put!(open, "M{} {}v{length}", Px(x), Px(y));
        svg.text(x, word, Anchor::Middle, UNKNOWN, "?");
    }
    svg.path(&open, OPEN);
}

/// Lines at the fault and at the first success.
fn moments(svg: &mut Svg, trial: &TrialMeasure, axis: TimeAxis, bottom: f64) {
    let x = axis.x(trial.origin);
    svg.path(&format!("M{} 6V{}", Px(x), Px(bottom)), ink::EVENT);
    let verb = trial.verb.replace('_', " ");
    svg.text(x - 4.0, 14.0, Anchor::End, ink::HALO, &verb);
    if let Some(recovered) = trial.recover_first {
        let x = axis.x(trial.origin + recovered);
        svg.path(&format!("M{} 6V{}", Px(x), Px(bottom)), ink::EVENT);
        let text = format!("first ok +{recovered}");
        let (at, anchor) = if x + width_of(&text) > axis.right {
            (x - 4.0, Anchor::End)
        } else {
            (x + 4.0, Anchor::Start)
        };
        svg.text(at, 14.0, anchor, ink::HALO, &text);
    }
}

const AREA: f64 = 180.0;
const LANE: f64 = 14.0;
const MAX_CLOSE_UPS: usize = 8;
/// Dots of one chart; with eight charts still below half a megabyte.
const MAX_DOTS: usize = 3000;
/// Fewer dots are drawn larger.
const FEW: usize = 500;
/// Question marks of one chart.
const MAX_OPEN: usize = 40;
const OPEN: &str =
    r##"class="in" fill="none" stroke="#e0a015" stroke-width="1.2" stroke-dasharray="3 2""##;
const UNKNOWN: &str = r##"class="qm" fill="#9a6700" font-size="10" font-weight="700""##;
