//! Failover anatomy: what the time from fault to first success was spent on, per trial, and how
//! each stage is distributed over all trials. All rows share one scale.

use crate::clock::Nanos;
use crate::measure::TrialMeasure;
use crate::results::RunRecord;

use super::closeup::name;
use super::moment::details;
use super::svg::{Anchor, BOLD, PAGE_WIDTH, Px, Svg, escape, ink, put, short, ticks, width_of};
use crate::report::distribution::Ranked;
use crate::report::text::counted;

/// The chart with its legend and a note; nothing if no fault ended with a measured recovery.
pub(super) fn section(record: &RunRecord) -> String {
    let trials = &record.measurements.trials;
    let landed: Vec<&TrialMeasure> = trials
        .iter()
        .filter(|trial| trial.landed.is_some())
        .collect();
    if landed.iter().all(|trial| trial.recover_first.is_none()) {
        return String::new();
    }
    let shown = slowest(&landed);
    let mut note = "From the fault to the first success of a write that began after it.".to_owned();
    if shown.len() < landed.len() {
        note.push_str(&format!(
            " The {} slowest of {} are drawn; the distributions hold all.",
            shown.len(),
            counted(landed.len(), "trial")
        ));
    }
    format!(
        "<h2>Failover anatomy</h2><div class=\"scroll\">{}</div><p class=\"dim\">{}</p>\
         <div class=\"scroll\">{}</div>{}",
        legend(),
        escape(&note),
        chart(&shown, &landed),
        table(&landed)
    )
}

/// At most [`MAX_ROWS`] trials, the slowest, in the order of time.
fn slowest<'a>(landed: &[&'a TrialMeasure]) -> Vec<&'a TrialMeasure> {
    let mut shown = landed.to_vec();
    shown.sort_by_key(|trial| std::cmp::Reverse(trial.recover_first.unwrap_or(Nanos::MAX)));
    shown.truncate(MAX_ROWS);
    shown.sort_by_key(|trial| trial.asked);
    shown
}

fn chart(shown: &[&TrialMeasure], all: &[&TrialMeasure]) -> String {
    let longest = all
        .iter()
        .filter_map(|trial| trial.recover_first)
        .max()
        .unwrap_or(Nanos::ZERO);
    let scale = Scale {
        longest: longest.as_millis_f64().max(0.001),
    };
    let rows: Vec<(usize, &str, Vec<f64>)> = STAGES
        .iter()
        .enumerate()
        .map(|(at, (name, stage))| {
            let samples = all.iter().filter_map(|trial| stage(trial));
            (at, *name, samples.map(Nanos::as_millis_f64).collect())
        })
        .filter(|(_, _, samples): &(usize, &str, Vec<f64>)| !samples.is_empty())
        .collect();
    let rows = if all.len() < 2 { Vec::new() } else { rows };
    let split = 4.0 + shown.len() as f64 * BAR;
    let gap = if rows.is_empty() { 0.0 } else { 24.0 };
    let bottom = split + gap + rows.len() as f64 * STRIP;
    let mut svg = Svg::new(PAGE_WIDTH, bottom + 22.0);
    scale.draw(&mut svg, bottom);
    for (at, trial) in shown.iter().enumerate() {
        svg.begin(&told(trial));
        bar(&mut svg, scale, trial, 4.0 + at as f64 * BAR);
        svg.end();
    }
    if !rows.is_empty() {
        for (name, right) in COLUMNS {
            svg.text(right, split + gap - 6.0, Anchor::End, ink::TICK, name);
        }
    }
    for (at, (stage, name, samples)) in rows.iter().enumerate() {
        strip(
            &mut svg,
            scale,
            (*stage, name),
            samples,
            split + gap + at as f64 * STRIP,
        );
    }
    let described = format!(
        "Stacked bars of {}, then the distribution of each stage over {}.",
        counted(shown.len(), "trial"),
        counted(all.len(), "trial"),
    );
    svg.finish("anatomy", "Failover anatomy", &described)
}

/// One trial: its stages end to end.
fn bar(svg: &mut Svg, scale: Scale, trial: &TrialMeasure, y: f64) {
    let name = cut(&name(trial), NAME);
    svg.text(LEFT - 8.0, y + 14.0, Anchor::End, ink::TEXT, &name);
    let Some(total) = trial.recover_first else {
        let path = format!(
            "M{} {}H{}M{LEFT} {}H{}",
            LEFT,
            Px(y + 3.0),
            RIGHT,
            Px(y + 17.0),
            RIGHT
        );
        svg.path(
            &path,
            r##"class="no" fill="none" stroke="#cf222e" stroke-dasharray="5 3""##,
        );
        let waited = format!("no success within {}", trial.end - trial.origin);
        svg.text(LEFT + 8.0, y + 14.0, Anchor::Start, ink::LABEL, &waited);
        return;
    };
    let lengths: Vec<Option<Nanos>> = STAGES[..4].iter().map(|(_, stage)| stage(trial)).collect();
    let mut from = 0.0;
    // Without an election, writes went on beside the fault: a detection says nothing of them.
    if trial.elect.is_none() {
        svg.rect(
            LEFT,
            y + 2.0,
            scale.x(total.as_millis_f64()) - LEFT,
            BAR - 4.0,
            INKS[4],
        );
        from = total.as_millis_f64();
    }
    for (at, length) in lengths.into_iter().enumerate() {
        let Some(length) = length.filter(|_| trial.elect.is_some()) else {
            continue;
        };
        let to = from + length.as_millis_f64();
        let (left, right) = (scale.x(from), scale.x(to));
        svg.rect(left, y + 2.0, right - left, BAR - 4.0, INKS[at]);
        let word = format!("{} {}", STAGES[at].0, brief(length.as_millis_f64()));
        let bare = brief(length.as_millis_f64());
        let fits = [word, bare]
            .into_iter()
            .find(|word| width_of(word) * BOLD + 8.0 < right - left);
        if let Some(word) = fits {
            svg.text(left + 4.0, y + 14.0, Anchor::Start, ink::ON_DARK, &word);
        }
        from = to;
    }
    let noisy = if trial.noisy { " (noisy)" } else { "" };
    let total = format!("{total}{noisy}");
    svg.text(
        scale.x(from) + 6.0,
        y + 14.0,
        Anchor::Start,
        ink::LABEL,
        &total,
    );
}

/// One stage over all trials: a dot each, a line at the median, a short one at the 90th percentile.
fn strip(svg: &mut Svg, scale: Scale, (at, name): (usize, &str), samples: &[f64], y: f64) {
    let middle = y + STRIP / 2.0;
    let ranked = Ranked::new(samples);
    let known = [
        ("p50", ranked.at(500)),
        ("p90", ranked.at(900)),
        ("max", ranked.max()),
    ];
    let known = known.map(|(word, value)| format!("{word} {} ms", brief(value.unwrap_or(0.0))));
    svg.begin(&format!(
        "{name}, n = {}\n{}",
        samples.len(),
        known.join("\n")
    ));
    svg.text(LEFT - 8.0, middle + 4.0, Anchor::End, ink::TEXT, name);
    svg.path(&format!("M{LEFT} {}H{RIGHT}", Px(middle)), ink::GRID);
    let mut dots = String::new();
    for (i, sample) in samples.iter().take(MAX_DOTS).enumerate() {
        // Spread over five heights so that equal samples do not hide each other.
        let height = middle + ((i * 2) % 5) as f64 * 2.4 - 4.8;
        put!(dots, "M{} {}h.01", Px(scale.x(*sample)), Px(height));
    }
    let colour = COLOURS[at];
    svg.path(
        &dots,
        &format!(
            r#"class="d{at}" fill="none" stroke="{colour}" stroke-width="5" stroke-opacity=".6" stroke-linecap="round""#
        ),
    );
    svg.end();
    let (Some(p50), Some(p90), Some(max)) = (ranked.at(500), ranked.at(900), ranked.max()) else {
        return;
    };
    let marks = format!(
        "M{} {}v18M{} {}v10",
        Px(scale.x(p50)),
        Px(middle - 9.0),
        Px(scale.x(p90)),
        Px(middle - 5.0)
    );
    svg.path(
        &marks,
        r##"class="ax" fill="none" stroke="#1c2128" stroke-width="1.8""##,
    );
    for (value, (_, right)) in [p50, p90, max].into_iter().zip(COLUMNS) {
        let figure = format!("{} ms", brief(value));
        svg.text(right, middle + 4.0, Anchor::End, ink::TEXT, &figure);
    }
}

/// All that is known of one trial, for those who ask for it.
fn told(trial: &TrialMeasure) -> String {
    let mut words = name(trial);
    for (stage, length) in STAGES {
        if let Some(length) = length(trial) {
            words.push_str(&format!("\n{stage} {length}"));
        }
    }
    if trial.recover_first.is_none() {
        words.push_str("\nno success before its end");
    }
    words
}

/// The figures of the bars, and of those that are not drawn.
fn table(landed: &[&TrialMeasure]) -> String {
    let mut html = "<thead><tr><th>fault</th>".to_owned();
    for (stage, _) in STAGES {
        put!(html, "<th class=\"num\">{stage}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for trial in landed.iter().take(MAX_LINES) {
        put!(html, "<tr><td>{}</td>", escape(&name(trial)));
        for (_, length) in STAGES {
            let length = length(trial).map_or_else(|| "–".to_owned(), |length| length.to_string());
            put!(html, "<td class=\"num\">{length}</td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody>");
    let left = landed.len().saturating_sub(MAX_LINES);
    let note = if left > 0 {
        format!("… and {left} more in trials.csv")
    } else {
        String::new()
    };
    details("Every trial as a table", &html, &note)
}

fn legend() -> String {
    let mut svg = Svg::new(PAGE_WIDTH, 14.0);
    let entries: [(&str, &str); 5] = [
        (STAGES[0].0, INKS[0]),
        (STAGES[1].0, INKS[1]),
        (STAGES[2].0, INKS[2]),
        (STAGES[3].0, INKS[3]),
        ("without failover", INKS[4]),
    ];
    svg.legend(PAGE_WIDTH - 14.0, 11.0, &entries);
    svg.finish(
        "anatomy-key",
        "Legend",
        "Colours of the stages of a failover",
    )
}

/// Milliseconds from the fault over x.
#[derive(Debug, Clone, Copy)]
struct Scale {
    longest: f64,
}

impl Scale {
    fn x(self, ms: f64) -> f64 {
        LEFT + ms / (self.longest * 1.02) * (RIGHT - LEFT)
    }

    fn draw(self, svg: &mut Svg, bottom: f64) {
        for tick in ticks(0.0, self.longest, 8) {
            let x = self.x(tick);
            svg.path(&format!("M{} 0V{}", Px(x), Px(bottom)), ink::GRID);
            svg.label(x, bottom + 14.0, ink::TICK, &short(tick, " ms"));
        }
    }
}

/// Milliseconds in few characters.
fn brief(ms: f64) -> String {
    if ms < 9.95 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

/// A text of at most `most` characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

type Stage = (&'static str, fn(&TrialMeasure) -> Option<Nanos>);

const STAGES: [Stage; 5] = [
    ("detect", |trial| trial.detect_first),
    ("elect", |trial| trial.elect),
    ("sync", |trial| trial.sync_leader),
    ("reroute", |trial| trial.reroute),
    ("first ok", |trial| trial.recover_first),
];
/// In the order of [`STAGES`].
const COLOURS: [&str; 5] = ["#c4532b", "#9a7208", "#8250df", "#1a7f37", "#6e7781"];
pub(super) const INKS: [&str; 5] = [
    r##"class="s0" fill="#c4532b""##,
    r##"class="s1" fill="#9a7208""##,
    r##"class="s2" fill="#8250df""##,
    r##"class="s3" fill="#1a7f37""##,
    r##"class="s4" fill="#6e7781""##,
];
const LEFT: f64 = 236.0;
const RIGHT: f64 = 884.0;
/// Percentiles of the stages and where they end.
const COLUMNS: [(&str, f64); 3] = [("p50", 950.0), ("p90", 1008.0), ("max", 1066.0)];
/// Of a fault's name, in characters.
const NAME: usize = 34;
const MAX_LINES: usize = 200;
const BAR: f64 = 21.0;
const STRIP: f64 = 24.0;
const MAX_ROWS: usize = 24;
const MAX_DOTS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_slowest_trials_are_kept_in_the_order_of_time() {
        let shape = sample::Shape {
            trials: 60,
            operations: 0,
            pause: true,
            trial: Nanos::from_secs(3),
        };
        let record = sample::run(shape);
        let trials: Vec<&TrialMeasure> = record.measurements.trials.iter().collect();
        let shown = slowest(&trials);
        assert_eq!(shown.len(), MAX_ROWS);
        assert!(
            shown.iter().all(|trial| trial.verb == "pause"),
            "the slow ones"
        );
        assert!(shown.is_sorted_by_key(|trial| trial.asked));
    }

    #[test]
    fn a_trial_that_never_recovered_is_drawn_as_such() {
        let mut record = sample::small();
        record.measurements.trials[1].recover_first = None;
        let drawn = section(&record);
        assert!(drawn.contains("no success within 2."), "{drawn}");
    }

    #[test]
    fn without_a_recovery_there_is_no_chart() {
        assert_eq!(section(&sample::empty()), "");
    }
}
