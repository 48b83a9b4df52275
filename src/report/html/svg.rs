//! Drawing: one SVG with its axes, and the inks that all charts share.
//!
//! *Ink*: the attributes of a mark: a class for the page's style sheet, and presentation
//! attributes that keep the chart readable where style sheets are forbidden.
//! Invariant: every recorded text passes [`escape`].

use std::fmt;

use crate::clock::Nanos;

/// Appends formatted text to a `String`.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {
        std::fmt::Write::write_fmt(&mut $out, format_args!($($text)*))
            .expect("writing to a String cannot fail")
    };
}
pub(super) use put;

/// Attributes of marks.
pub(super) mod ink {
    pub(in crate::report::html) const GRID: &str =
        r##"class="gr" fill="none" stroke="#d9dfe5" stroke-width=".7""##;
    pub(in crate::report::html) const TICK: &str = r##"class="tk" fill="#57606a" font-size="11""##;
    pub(in crate::report::html) const TEXT: &str = r##"class="tx" fill="#1c2128" font-size="11""##;
    pub(in crate::report::html) const LABEL: &str =
        r##"class="lb" fill="#1c2128" font-size="11" font-weight="600""##;
    pub(in crate::report::html) const HALO: &str = r##"class="lb halo" fill="#1c2128" stroke="#fff" stroke-width="3" stroke-linejoin="round" paint-order="stroke" font-size="11" font-weight="600""##;
    pub(in crate::report::html) const ON_DARK: &str =
        r##"fill="#fff" font-size="11" font-weight="600""##;
    pub(in crate::report::html) const EVENT: &str = r##"class="ev" fill="none" stroke="#1c2128" stroke-width=".9" stroke-opacity=".55" stroke-dasharray="3 3""##;
    pub(in crate::report::html) const OK_DOT: &str =
        r##"class="ok" fill="none" stroke="#256cb1" stroke-linecap="round""##;
    pub(in crate::report::html) const FAIL_DOT: &str =
        r##"class="no" fill="none" stroke="#cf222e" stroke-width="2.6" stroke-linecap="round""##;
    pub(in crate::report::html) const OTHER_DOT: &str =
        r##"class="df" fill="none" stroke="#8b949e" stroke-width="2" stroke-linecap="round""##;
    pub(in crate::report::html) const INFO_DOT: &str =
        r##"class="in" fill="none" stroke="#e0a015" stroke-width="3" stroke-linecap="round""##;
    pub(in crate::report::html) const CROSS_HAIR: &str =
        r##"class="xh" fill="none" stroke="#0b5cad" stroke-width="1""##;
    pub(in crate::report::html) const PICK: &str =
        r##"class="pick" fill="none" stroke="#0b5cad" stroke-width="1.6""##;
}

/// One chart under construction, in user units (1 unit is about 1 pixel).
#[derive(Debug)]
pub(super) struct Svg {
    width: f64,
    height: f64,
    pub(super) body: String,
}

/// Where a text stands in relation to its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A span of time laid over a span of x.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeAxis {
    /// Seconds on the run's axis at `left`.
    pub(super) from: f64,
    /// Seconds at `right`; later than `from`.
    pub(super) to: f64,
    pub(super) left: f64,
    pub(super) right: f64,
}

/// A logarithmic scale of lengths of time, in nanoseconds; small is below.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogAxis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// A coordinate, to a tenth of a unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Px(pub(super) f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0).round() as i64;
        match (tenths / 10, tenths % 10) {
            (whole, 0) => write!(f, "{whole}"),
            _ => write!(f, "{:.1}", tenths as f64 / 10.0),
        }
    }
}

impl Svg {
    pub(super) const fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, ink: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        put!(
            self.body,
            r#"<text x="{}" y="{}"{anchor} {ink}>{}</text>"#,
            Px(x),
            Px(y),
            escape(text)
        );
    }

    pub(super) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, ink: &str) {
        put!(
            self.body,
            r#"<rect x="{}" y="{}" width="{}" height="{}" {ink}/>"#,
            Px(x),
            Px(y),
            Px(width),
            Px(height)
        );
    }

    /// A path; an empty one is left out.
    pub(super) fn path(&mut self, data: &str, ink: &str) {
        if !data.is_empty() {
            put!(self.body, r#"<path d="{data}" {ink}/>"#);
        }
    }

    /// Squares with words, ending at `right`; the last entry stands outermost.
    pub(super) fn legend(&mut self, right: f64, y: f64, entries: &[(&str, &str)]) {
        let mut x = right;
        for (word, ink) in entries.iter().rev() {
            x -= width_of(word);
            self.text(x, y, Anchor::Start, ink::TICK, word);
            x -= 15.0;
            self.rect(x, y - 9.0, 10.0, 10.0, ink);
            x -= 12.0;
        }
    }

    /// Begins a mark that carries words: shown on hover, and on focus where scripts run.
    pub(super) fn begin(&mut self, words: &str) {
        put!(self.body, "<g><title>{}</title>", escape(words));
    }

    /// Ends the mark.
    pub(super) fn end(&mut self) {
        self.body.push_str("</g>");
    }

    /// A text in the middle of `x`, but within the chart.
    pub(super) fn label(&mut self, x: f64, y: f64, ink: &str, text: &str) {
        let half = width_of(text) / 2.0;
        if x + half > self.width {
            self.text(self.width, y, Anchor::End, ink, text);
        } else {
            self.text(x.max(half), y, Anchor::Middle, ink, text);
        }
    }

    /// The whole element. `id` names it within the page, `title` and `description` tell those who
    /// cannot see it what it shows.
    pub(super) fn finish(self, id: &str, title: &str, description: &str) -> String {
        self.element(id, title, description, "")
    }

    /// The same for a close-up whose dots can be asked for: `place` says where they are.
    pub(super) fn finish_near(
        mut self,
        id: &str,
        title: &str,
        description: &str,
        place: &str,
    ) -> String {
        put!(
            self.body,
            r#"<circle r="5" visibility="hidden" {}/>"#,
            ink::PICK
        );
        self.element(id, title, description, place)
    }

    /// The same for a chart over the whole run, which takes part in the shared cross-hair.
    pub(super) fn finish_timed(
        mut self,
        id: &str,
        title: &str,
        description: &str,
        axis: TimeAxis,
    ) -> String {
        put!(
            self.body,
            r#"<path d="M0 0V{}" visibility="hidden" {}/>"#,
            Px(self.height),
            ink::CROSS_HAIR
        );
        let data = format!(
            r#" data-left="{}" data-right="{}" data-to="{:.6}""#,
            Px(axis.left),
            Px(axis.right),
            axis.to
        );
        self.element(id, title, description, &data)
    }

    fn element(&self, id: &str, title: &str, description: &str, data: &str) -> String {
        let (width, height) = (Px(self.width), Px(self.height));
        let own = if self.width > PAGE_WIDTH {
            " own"
        } else if id.ends_with(KEY) {
            " key"
        } else {
            ""
        };
        format!(
            r#"<svg id="{id}" class="plot{own}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-labelledby="{id}-t {id}-d" font-family="system-ui, 'DejaVu Sans', sans-serif"{data}><title id="{id}-t">{}</title><desc id="{id}-d">{}</desc>{}</svg>"#,
            escape(title),
            escape(description),
            self.body
        )
    }
}

impl TimeAxis {
    /// The axis of the charts over the whole run; a run without length gets a second.
    pub(super) fn of_run(duration: Nanos) -> Self {
        let to = if duration == Nanos::ZERO {
            1.0
        } else {
            duration.as_secs_f64()
        };
        Self {
            from: 0.0,
            to,
            left: LEFT,
            right: RIGHT,
        }
    }

    pub(super) fn x(&self, time: Nanos) -> f64 {
        self.x_of(time.as_secs_f64())
    }

    fn x_of(&self, seconds: f64) -> f64 {
        let share = (seconds - self.from) / (self.to - self.from);
        self.left + share.clamp(0.0, 1.0) * (self.right - self.left)
    }

    /// Vertical lines with their times below.
    pub(super) fn draw(&self, svg: &mut Svg, top: f64, bottom: f64) {
        let minutes = self.to - self.from > 600.0;
        for tick in instants(self.from, self.to, 10) {
            let x = self.x_of(tick);
            svg.path(&format!("M{} {}V{}", Px(x), Px(top), Px(bottom)), ink::GRID);
            let label = if minutes {
                short(tick / 60.0, " min")
            } else {
                short(tick, " s")
            };
            svg.label(x, bottom + 14.0, ink::TICK, &label);
        }
    }
}

impl LogAxis {
    /// A scale that holds all of `values`, at least one decade wide.
    pub(super) fn over(values: impl Iterator<Item = u64>, top: f64, bottom: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values {
            let value = (value as f64).max(1000.0);
            (low, high) = (low.min(value), high.max(value));
        }
        if high == 0.0 {
            (low, high) = (1e6, 1e7);
        }
        let (low, high) = (low / 1.15, high * 1.15);
        // A little over ten, so that rounding cannot make it less.
        let missing = (10.01 / (high / low)).max(1.0).sqrt();
        Self {
            low: low / missing,
            high: high * missing,
            top,
            bottom,
        }
    }

    pub(super) fn at(self, top: f64, bottom: f64) -> Self {
        Self {
            top,
            bottom,
            ..self
        }
    }

    /// From 0 (low) to 1 (high).
    pub(super) fn share(&self, ns: u64) -> f64 {
        ((ns as f64).max(1.0) / self.low).ln() / (self.high / self.low).ln()
    }

    pub(super) fn y(&self, ns: u64) -> f64 {
        self.bottom - self.share(ns).clamp(0.0, 1.0) * (self.bottom - self.top)
    }

    /// Horizontal lines at the powers of ten, named at the left; with few of them, three times
    /// each as well.
    pub(super) fn draw(&self, svg: &mut Svg, left: f64, right: f64) {
        let inside = |value: &u64| (self.low..=self.high).contains(&(*value as f64));
        let mut values: Vec<u64> = (3..12)
            .map(|exponent| 10_u64.pow(exponent))
            .filter(inside)
            .collect();
        if values.len() < 3 {
            let threes = (2..12)
                .map(|exponent| 3 * 10_u64.pow(exponent))
                .filter(inside);
            values.extend(threes);
        }
        for value in values {
            let y = self.y(value);
            svg.path(&format!("M{} {}H{}", Px(left), Px(y), Px(right)), ink::GRID);
            let name = match value {
                0..1_000_000 => short(value as f64 / 1e3, " µs"),
                1_000_000..1_000_000_000 => short(value as f64 / 1e6, " ms"),
                _ => short(value as f64 / 1e9, " s"),
            };
            svg.text(left - 8.0, y + 4.0, Anchor::End, ink::TICK, &name);
        }
    }
}

/// Round numbers from `from` to `to`, at most about `count` of them.
pub(super) fn ticks(from: f64, to: f64, count: u32) -> Vec<f64> {
    let rough = (to - from) / f64::from(count.max(1));
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let decade = 10.0_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|round| round * decade);
    multiples(
        from,
        to,
        steps
            .into_iter()
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(rough),
    )
}

/// Instants that are round on a clock, in seconds.
fn instants(from: f64, to: f64, count: u32) -> Vec<f64> {
    let rough = (to - from) / f64::from(count.max(1));
    let clock = [15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
    match clock.into_iter().find(|step| *step >= rough) {
        Some(step) if rough > 10.0 => multiples(from, to, step),
        _ => ticks(from, to, count),
    }
}

fn multiples(from: f64, to: f64, step: f64) -> Vec<f64> {
    let first = (from / step).ceil() as i64;
    let all = (first..).map(|i| i as f64 * step);
    all.take_while(|tick| *tick <= to + step * 1e-9)
        .take(100)
        .collect()
}

/// A tick's number without needless zeros.
pub(super) fn short(number: f64, unit: &str) -> String {
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

/// About how wide a text of 11 units is, in the wider ones of the usual fonts.
pub(super) fn width_of(text: &str) -> f64 {
    let advance = |character| match character {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | 'I' | '.' | ',' | ':' | '(' | ')' | ' ' => 4.2,
        'm' | 'w' | 'M' | 'W' | '%' | '>' | '+' | '=' => 9.6,
        'A'..='Z' => 7.7,
        _ => 6.9,
    };
    text.chars().map(advance).sum()
}

/// Recorded text made harmless in HTML and SVG, in text and in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other if other.is_control() && other != '\n' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// How much wider bold words are.
pub(super) const BOLD: f64 = 1.1;
/// How the ids of legends end.
const KEY: &str = "-key";
/// Width of a chart over the whole page.
pub(super) const PAGE_WIDTH: f64 = 1080.0;
/// Width of a chart over half of it.
pub(super) const HALF_WIDTH: f64 = 540.0;
/// Where the time axis of the charts over the whole run begins and ends, so that they line up.
pub(super) const LEFT: f64 = 80.0;
pub(super) const RIGHT: f64 = 1066.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(
            ticks(0.0, 41.4, 10),
            [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0]
        );
        assert_eq!(instants(0.0, 120.0, 10).len(), 9);
        assert_eq!(instants(0.0, 41.4, 10), ticks(0.0, 41.4, 10));
        assert_eq!(ticks(0.0, 0.0, 10), Vec::<f64>::new());
        assert_eq!(ticks(-0.02, 0.09, 5), [-0.0, 0.05]);
    }

    #[test]
    fn nothing_recorded_can_become_markup() {
        assert_eq!(
            escape("<script>\"a\" & 'b'\u{0}"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;\u{fffd}"
        );
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!(Px(12.0).to_string(), "12");
        assert_eq!(Px(12.34).to_string(), "12.3");
        assert_eq!(Px(-0.04).to_string(), "0");
        assert_eq!(Px(-0.26).to_string(), "-0.3");
    }

    #[test]
    fn a_log_scale_holds_its_values_and_at_least_a_decade() {
        let axis = LogAxis::over([1_000_000, 1_100_000].into_iter(), 0.0, 100.0);
        assert!(axis.high / axis.low >= 10.0);
        assert!(axis.y(1_000_000) > axis.y(1_100_000));
        let empty = LogAxis::over(std::iter::empty(), 0.0, 100.0);
        assert!(empty.low > 0.0 && empty.high > empty.low);
    }
}
