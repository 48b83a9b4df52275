//! The picture: one lane per process with its operations as bars, the longest order as numbered
//! points, what the object held after each, and beside it what else went on.

use crate::check::{Attempt, Evidence, Row, brief, describe, ended, rows};
use crate::clock::Nanos;
use crate::history::{Event, EventKind, History, Operation, Outcome};

use super::super::band::{self, Band};
use super::super::roles::Lanes;
use super::super::svg::{Anchor, PAGE_WIDTH, Px, Svg, escape, ink, put, width_of};
use super::context::Context;
use super::layout::{LEFT, Layout, RIGHT};
use crate::report::text::counted;

/// The picture as SVG; nothing without operations.
pub(super) fn picture(history: &History, evidence: &Evidence, events: &[Event]) -> String {
    let shown = evidence.shown();
    let bars: Vec<Bar<'_>> = (shown.iter())
        .filter_map(|index| Bar::of(history, evidence, *index))
        .collect();
    if bars.is_empty() {
        return String::new();
    }
    let needs: Vec<(&Operation, f64)> = (bars.iter())
        .map(|bar| (bar.operation, bar.need()))
        .collect();
    let layout = Layout::of(&needs);
    let operations: Vec<&Operation> = bars.iter().map(|bar| bar.operation).collect();
    let context = Context::of(history, &shown, layout.window());
    let roles = roles(events, &layout);
    let bands = bands(events, &layout);
    let heights = Heights::of(rows(&operations).len(), &context, &roles, evidence, &bands);
    let picture = Picture {
        history,
        evidence,
        layout,
        bars,
        rows: rows(&operations),
        heights,
    };
    picture.draw(&context, &roles, &bands)
}

/// An operation of the evidence.
struct Bar<'a> {
    index: usize,
    operation: &'a Operation,
    words: String,
    is_stuck: bool,
}

impl<'a> Bar<'a> {
    fn of(history: &'a History, evidence: &Evidence, index: usize) -> Option<Self> {
        let operation = history.operations.get(index)?;
        let attempt = evidence.attempt.as_ref();
        Some(Self {
            index,
            operation,
            words: describe(operation, &history.values, WORDS),
            is_stuck: attempt.is_some_and(|attempt| attempt.stuck == index),
        })
    }

    fn need(&self) -> f64 {
        width_of(&self.words) + 22.0
    }
}

/// From where to where each part reaches, from top to bottom.
struct Heights {
    lanes: f64,
    held: f64,
    context: f64,
    roles: f64,
    axis: f64,
    bottom: f64,
}

impl Heights {
    fn of(
        lanes: usize,
        context: &Context<'_>,
        roles: &Lanes,
        evidence: &Evidence,
        bands: &[Band],
    ) -> Self {
        let part = |count: usize, pitch: f64| match count {
            0 => 0.0,
            count => count as f64 * pitch + GAP,
        };
        let top = LEGEND + part(usize::from(!bands.is_empty()), FAULTS);
        let held = top + lanes as f64 * LANE + GAP;
        let context_top = held + part(usize::from(evidence.attempt.is_some()), HELD);
        let roles_top = context_top + part(context.rows.len(), THIN);
        let axis = roles_top + part(roles.len(), THIN);
        Self {
            lanes: top,
            held,
            context: context_top,
            roles: roles_top,
            axis,
            bottom: axis + 36.0,
        }
    }
}

struct Picture<'a> {
    history: &'a History,
    evidence: &'a Evidence,
    layout: Layout,
    bars: Vec<Bar<'a>>,
    rows: Vec<Row>,
    heights: Heights,
}

/// A place in the longest order.
struct Point {
    x: f64,
    y: f64,
}

impl Picture<'_> {
    fn draw(&self, context: &Context<'_>, roles: &Lanes, bands: &[Band]) -> String {
        let mut svg = Svg::new(self.layout.width, self.heights.bottom);
        let mut entries = vec![("operation", OK)];
        if (self.bars.iter()).any(|bar| ended(bar.operation).is_none()) {
            entries.push(("unknown outcome", INFO));
        }
        if self.evidence.attempt.is_some() {
            entries.push(("does not fit", STUCK));
        }
        if !context.rows.is_empty() {
            entries.push(("others of this key", OTHER));
        }
        // Where it is seen before anything is scrolled.
        let right = self.layout.edges().1.min(PAGE_WIDTH - RIGHT);
        svg.legend(right, 11.0, &entries);
        self.faults(&mut svg, bands);
        self.axis(&mut svg);
        let points = self.points();
        self.order(&mut svg, &points);
        for (at, row) in self.rows.iter().enumerate() {
            self.row(&mut svg, row, self.lane(at));
        }
        self.marks(&mut svg, &points);
        if let Some(attempt) = &self.evidence.attempt {
            self.held(&mut svg, attempt, &points);
        }
        self.others(&mut svg, context);
        self.roles(&mut svg, roles);
        self.note(&mut svg, context);
        let title = format!("Counterexample on key {}", brief(&self.evidence.key, KEY));
        let attempt = self.evidence.attempt.as_ref();
        let order = attempt.map_or_else(String::new, |attempt| attempt.sentence(self.history));
        let description = format!("{}. {order}", self.evidence.sentence);
        svg.finish("counterexample", &title, &description)
    }

    /// The top of the bars of a lane.
    fn lane(&self, at: usize) -> f64 {
        self.heights.lanes + at as f64 * LANE + BADGE
    }

    fn to(&self, operation: &Operation) -> f64 {
        ended(operation).map_or_else(|| self.layout.edges().1, |end| self.layout.x(end))
    }

    /// The faults as shades with their names.
    fn faults(&self, svg: &mut Svg, bands: &[Band]) {
        let (left, right) = self.layout.edges();
        let (top, bottom) = (LEGEND, self.heights.axis);
        let mut taken = left;
        for band in bands {
            let (from, to) = (self.layout.x(band.from), self.layout.x(band.to));
            svg.rect(from, top, (to - from).max(1.0), bottom - top, band.ink);
            let name = brief(&band.name(), FAULT_WORDS);
            let x = (from + 4.0).min(right - width_of(&name)).max(taken);
            if x + width_of(&name) <= right {
                svg.text(x, top + 12.0, Anchor::Start, ink::LABEL, &name);
                taken = x + width_of(&name) + 12.0;
            }
            if from > left {
                let line = format!("M{} {}V{}", Px(from), Px(top), Px(bottom));
                svg.path(&line, ink::EVENT);
            }
        }
    }

    /// A line at each instant of the evidence, with its time where there is room.
    fn axis(&self, svg: &mut Svg) {
        let mut instants: Vec<Nanos> = (self.bars.iter())
            .flat_map(|bar| [Some(bar.operation.invoked), ended(bar.operation)])
            .flatten()
            .collect();
        instants.sort_unstable();
        instants.dedup();
        let (left, right) = self.layout.edges();
        let y = self.heights.axis;
        let mut lines = String::new();
        let mut taken = left;
        for instant in &instants {
            let x = self.layout.x(*instant);
            put!(
                lines,
                "M{} {}V{}",
                Px(x),
                Px(self.heights.lanes),
                Px(y + 4.0)
            );
            let label = millis(*instant, self.origin());
            let half = width_of(&label) / 2.0;
            if x - half >= taken && x + half <= right {
                svg.text(x, y + 16.0, Anchor::Middle, ink::TICK, &label);
                taken = x + half + 8.0;
            }
        }
        svg.path(&lines, GUIDE);
        svg.path(&format!("M{} {}H{}", Px(left), Px(y), Px(right)), ink::GRID);
        svg.text(left - 8.0, y + 16.0, Anchor::End, ink::TICK, "ms");
    }

    /// Where in the picture the operations of the longest order take effect, one after another;
    /// the last one is what does not fit.
    fn points(&self) -> Vec<Point> {
        let Some(attempt) = &self.evidence.attempt else {
            return Vec::new();
        };
        let order = attempt.order.iter().chain([&attempt.stuck]);
        let places: Vec<(f64, f64, f64)> = order.filter_map(|index| self.place(*index)).collect();
        let mut latest = f64::INFINITY;
        let mut limits: Vec<f64> = Vec::with_capacity(places.len());
        for (_, to, _) in places.iter().rev() {
            latest = to.min(latest - 0.1);
            limits.push(latest);
        }
        let mut points: Vec<Point> = Vec::with_capacity(places.len());
        for ((from, _, y), limit) in places.into_iter().zip(limits.into_iter().rev()) {
            let wanted = points
                .last()
                .map_or(from, |last| from.max(last.x + APART - INSET));
            let x = (wanted + INSET).min(limit);
            points.push(Point { x, y });
        }
        points
    }

    /// From where to where an operation reaches, and its lane.
    fn place(&self, index: usize) -> Option<(f64, f64, f64)> {
        let at = self.bars.iter().position(|bar| bar.index == index)?;
        let row = self
            .rows
            .iter()
            .position(|row| row.operations.contains(&at))?;
        let operation = self.bars[at].operation;
        let from = self.layout.x(operation.invoked);
        Some((from, self.to(operation), self.lane(row)))
    }

    /// The way from point to point, below the bars.
    fn order(&self, svg: &mut Svg, points: &[Point]) {
        let line = |points: &[Point]| {
            let mut line = String::new();
            for (at, point) in points.iter().enumerate() {
                let word = if at == 0 { "M" } else { "L" };
                put!(line, "{word}{} {}", Px(point.x), Px(point.y));
            }
            line
        };
        if let [worked @ .., last, _] = points {
            if !worked.is_empty() {
                svg.path(&line(&points[..points.len() - 1]), ORDER);
            }
            debug_assert!(last.x.is_finite(), "every point has a place");
            svg.path(&line(&points[points.len() - 2..]), BROKEN);
        }
    }

    /// One lane: its name, its bars.
    fn row(&self, svg: &mut Svg, row: &Row, y: f64) {
        let (left, right) = self.layout.edges();
        let middle = y + BAR / 2.0;
        let line = format!("M{} {}H{}", Px(left), Px(middle), Px(right));
        svg.path(&line, ink::GRID);
        if !row.is_more {
            let name = format!("process {}", brief(&row.process.to_string(), 8));
            svg.text(left - 8.0, middle + 4.0, Anchor::End, ink::TEXT, &name);
        }
        for at in &row.operations {
            let bar = &self.bars[*at];
            let (from, to) = (self.layout.x(bar.operation.invoked), self.to(bar.operation));
            let ink = match bar.operation.outcome {
                _ if bar.is_stuck => STUCK,
                Outcome::Ok => OK,
                Outcome::Fail => FAIL,
                Outcome::Info => INFO,
            };
            self.open(svg, bar.operation);
            match ended(bar.operation) {
                Some(_) => svg.rect(from, y, to - from, BAR, ink),
                None => svg.path(&open_ended(from, to, y), ink),
            }
            let words = if bar.is_stuck { ink::LABEL } else { ink::TEXT };
            svg.text(from + 8.0, y + BAR - 8.0, Anchor::Start, words, &bar.words);
            svg.body.push_str("</g>");
        }
    }

    /// Begins a group with all that is known of an operation.
    fn open(&self, svg: &mut Svg, operation: &Operation) {
        let told = told(self.history, operation, self.origin());
        put!(svg.body, "<g><title>{}</title>", escape(&told));
    }

    /// Numbers along the order, and a cross on what does not fit.
    fn marks(&self, svg: &mut Svg, points: &[Point]) {
        for (at, point) in points.iter().enumerate() {
            let (ink, word) = if at + 1 == points.len() {
                (CROSS, "✗".to_owned())
            } else {
                (PLACE, (at + 1).to_string())
            };
            let (x, y) = (Px(point.x), Px(point.y));
            put!(svg.body, r#"<circle cx="{x}" cy="{y}" r="8.5" {ink}/>"#);
            svg.text(point.x, point.y + 4.0, Anchor::Middle, ink::ON_DARK, &word);
        }
    }

    /// What the object held between the points.
    fn held(&self, svg: &mut Svg, attempt: &Attempt, points: &[Point]) {
        let (left, right) = self.layout.edges();
        let y = self.heights.held;
        let name = attempt.object;
        svg.text(left - 8.0, y + 14.0, Anchor::End, ink::TEXT, name);
        let mut since = left;
        for (at, held) in attempt.held.iter().enumerate() {
            // Up to the next change; a read leaves what was there.
            let is_same = attempt.held.get(at + 1) == Some(held);
            let Some(point) = points.get(at) else {
                break;
            };
            if is_same {
                continue;
            }
            let title = escape(held);
            put!(svg.body, "<g><title>{title}</title>");
            svg.rect(since, y, point.x - since, HELD - 2.0, STATE);
            svg.body.push_str("</g>");
            let room = ((point.x - since - 6.0) / 6.9).max(0.0) as usize;
            let word = brief(held, room);
            if room > LEGIBLE || word == *held {
                let middle = f64::midpoint(since, point.x);
                svg.text(middle, y + 14.0, Anchor::Middle, ink::LABEL, &word);
            }
            since = point.x;
        }
        if let Some(stuck) = points.last() {
            let word = "✗ no order goes on";
            if stuck.x + 6.0 + width_of(word) <= right {
                svg.text(stuck.x + 6.0, y + 14.0, Anchor::Start, NO_MORE, word);
            }
        }
    }

    /// Other operations of the key, faint.
    fn others(&self, svg: &mut Svg, context: &Context<'_>) {
        let left = self.layout.edges().0;
        for (at, row) in context.rows.iter().enumerate() {
            let y = self.heights.context + at as f64 * THIN;
            if at == 0 {
                svg.text(left - 8.0, y + 11.0, Anchor::End, ink::TICK, "others");
            }
            for operation in row {
                let from = self.layout.x(operation.invoked);
                let to = self.to(operation).max(from + 2.0);
                let words = describe(operation, &self.history.values, WORDS);
                self.open(svg, operation);
                let is_open = ended(operation).is_none();
                let ink = if is_open { OTHER_OPEN } else { OTHER };
                svg.rect(from, y, to - from, THIN - 3.0, ink);
                if width_of(&words) * 0.82 + 8.0 <= to - from {
                    svg.text(from + 4.0, y + 10.0, Anchor::Start, OTHER_WORDS, &words);
                }
                svg.body.push_str("</g>");
            }
        }
    }

    /// What the nodes were meanwhile.
    fn roles(&self, svg: &mut Svg, roles: &Lanes) {
        let left = self.layout.edges().0;
        let (from, to) = self.layout.window();
        for (at, spans) in roles.spans().iter().enumerate() {
            let y = self.heights.roles + at as f64 * THIN;
            let name = format!("n{}", at + 1);
            svg.text(left - 8.0, y + 11.0, Anchor::End, ink::TEXT, &name);
            for span in spans.iter().filter(|span| span.from < to && span.to > from) {
                let (from, to) = (self.layout.x(span.from), self.layout.x(span.to));
                let word = span.state.word();
                svg.rect(from, y, (to - from).max(1.0), THIN - 2.0, span.state.ink());
                if to - from > width_of(word) + 10.0 {
                    svg.text(
                        from + 5.0,
                        y + 11.0,
                        Anchor::Start,
                        span.state.words(),
                        word,
                    );
                }
            }
        }
    }

    fn note(&self, svg: &mut Svg, context: &Context<'_>) {
        let hidden = match self.evidence.hidden() {
            0 => String::new(),
            hidden => format!(" {hidden} more in the middle are not shown."),
        };
        let more = match context.more {
            0 => String::new(),
            more => format!(
                " {} of this key at that time not shown.",
                counted(more, "other")
            ),
        };
        let origin = self.origin().as_millis_f64();
        let note = format!(
            "{} of {}.{hidden} 0 ms is {origin:.3} ms of the history; the order of instants is \
             true, lengths are not to scale.{more}",
            self.bars.len(),
            counted(self.history.operations.len(), "operation"),
        );
        svg.text(
            LEFT,
            self.heights.bottom - 3.0,
            Anchor::Start,
            ink::TICK,
            &note,
        );
    }

    fn origin(&self) -> Nanos {
        origin(self.bars.iter().map(|bar| bar.operation))
    }
}

/// A bar without an end on its right.
fn open_ended(from: f64, to: f64, y: f64) -> String {
    let (left, right) = (Px(from), Px(to));
    format!("M{right} {}H{left}V{}H{right}", Px(y), Px(y + BAR))
}

/// When the first of them began.
pub(super) fn origin<'a>(operations: impl Iterator<Item = &'a Operation>) -> Nanos {
    operations
        .map(|operation| operation.invoked)
        .min()
        .unwrap_or_default()
}

/// Relative to the first operation, exact to the microsecond, without needless zeros.
pub(super) fn millis(time: Nanos, origin: Nanos) -> String {
    let since = if time >= origin {
        time.since(origin).as_millis_f64()
    } else {
        -origin.since(time).as_millis_f64()
    };
    let text = format!("{since:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// All that is known of an operation.
fn told(history: &History, operation: &Operation, origin: Nanos) -> String {
    let node = operation
        .node
        .map_or_else(String::new, |node| format!(" at {node}"));
    let key = brief(history.key_name(operation.key), KEY);
    let what = describe(operation, &history.values, TOLD);
    let begin = millis(operation.invoked, origin);
    let mut text = format!("{what}\nkey {key}, process {}{node}\n", operation.process);
    match ended(operation) {
        Some(end) => put!(
            text,
            "from {begin} to {} ms, took {}",
            millis(end, origin),
            end.since(operation.invoked)
        ),
        None => put!(
            text,
            "from {begin} ms on; it may take effect at any later time, or never"
        ),
    }
    put!(text, "\noutcome {}", operation.outcome.word());
    if let Some(version) = operation.version {
        put!(text, ", version {version}");
    }
    if let Some(error) = history.error_text(operation) {
        put!(text, "\n{}", brief(error, TOLD));
    }
    text
}

/// The nodes that events speak of; none where nothing is reported of them.
fn roles(events: &[Event], layout: &Layout) -> Lanes {
    let reported = |event: &Event| match &event.kind {
        EventKind::ProcessStarted { node, .. } => Some(node.0),
        EventKind::Node(report) => Some(report.node.0),
        _ => None,
    };
    let count = events.iter().filter_map(reported).max().unwrap_or(0);
    Lanes::of_events(events, count.min(NODES), layout.window().1)
}

/// The faults in force at that time.
fn bands(events: &[Event], layout: &Layout) -> Vec<Band> {
    let (from, to) = layout.window();
    let mut bands = band::bands(events, Nanos::MAX);
    bands.retain(|band| band.from < to && band.to > from && band.landed);
    bands.truncate(BANDS);
    bands
}

/// What is cut to less than this says nothing.
const LEGIBLE: usize = 12;
/// A longer description loses its middle.
const WORDS: usize = 30;
/// The same in what appears under the pointer.
const TOLD: usize = 300;
const KEY: usize = 60;
const FAULT_WORDS: usize = 40;
/// More nodes than these say nothing about one key.
const NODES: u8 = 16;
/// More faults at once are told by the chart of the run.
const BANDS: usize = 24;

/// The line of the legend.
const LEGEND: f64 = 20.0;
/// The names of faults.
const FAULTS: f64 = 12.0;
/// A lane with the numbers above its bars.
const LANE: f64 = 44.0;
/// The upper half of a number stands out.
const BADGE: f64 = 14.0;
const BAR: f64 = 27.0;
const HELD: f64 = 22.0;
const THIN: f64 = 16.0;
/// Between the parts.
const GAP: f64 = 10.0;
/// How far from the beginning of its bar a number stands.
const INSET: f64 = 11.0;
/// Between two numbers.
const APART: f64 = 19.0;

const GUIDE: &str =
    r##"class="gr" fill="none" stroke="#d9dfe5" stroke-width=".7" stroke-dasharray="2 3""##;
const OK: &str = r##"class="oo" fill="#b9d6f2" stroke="#4389c9" rx="3""##;
const FAIL: &str = r##"class="of" fill="#fff" stroke="#cf222e" rx="3""##;
const INFO: &str = r##"class="oi" fill="#fff" stroke="#9a6700" stroke-dasharray="4 3" rx="3""##;
const STUCK: &str = r##"class="os" fill="#ffe3e0" stroke="#cf222e" stroke-width="2" rx="3""##;
const OTHER: &str = r##"class="ot" fill="#eef1f4" stroke="#c3cad2" stroke-width=".7" rx="2""##;
const OTHER_OPEN: &str = r##"class="ot" fill="#eef1f4" stroke="#c3cad2" stroke-width=".7" stroke-dasharray="3 2" rx="2""##;
const OTHER_WORDS: &str = r##"class="tk" fill="#57606a" font-size="9""##;
const STATE: &str = r##"class="st" fill="#f5f7f9" stroke="#57606a" stroke-width=".7""##;
const ORDER: &str =
    r##"class="or" fill="none" stroke="#1f6fd0" stroke-width="2" stroke-opacity=".7""##;
const BROKEN: &str = r##"class="br" fill="none" stroke="#cf222e" stroke-width="2" stroke-opacity=".8" stroke-dasharray="5 4""##;
const PLACE: &str = r##"class="rl" fill="#1f6fd0""##;
const CROSS: &str = r##"fill="#cf222e""##;
const NO_MORE: &str = r##"class="nm" fill="#cf222e" font-size="11" font-weight="600""##;
