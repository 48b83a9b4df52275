//! Node roles: one lane per node, from what the nodes report and what the harness did to them;
//! below them the outages that probes saw.
//!
//! *Lane*: the spans of one node in the order of time, without overlap.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::history::{Event, EventKind, NodeEventKind, Tag};
use crate::id::{FaultId, NodeId};
use crate::measure::Outage;
use crate::results::RunRecord;

use super::band::{self, Band};
use super::svg::{Anchor, PAGE_WIDTH, Px, RIGHT, Svg, TimeAxis, ink, put, width_of};
use crate::report::text::counted;

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Down,
    Follower,
    Leader,
    Paused,
    Syncing,
    Looking,
}

/// A stretch of one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Nanos,
    pub(super) to: Nanos,
    pub(super) state: State,
}

/// All nodes of a run.
#[derive(Debug)]
pub(super) struct Lanes {
    nodes: Vec<Vec<Span>>,
    /// Per node: when some of its links were faulty.
    cut: Vec<Vec<(Nanos, Nanos)>>,
}

impl Lanes {
    pub(super) fn of(record: &RunRecord) -> Self {
        Self::of_events(&record.events, record.plan.nodes, record.duration)
    }

    /// What `nodes` nodes did until `end`.
    pub(super) fn of_events(events: &[Event], nodes: u8, end: Nanos) -> Self {
        let mut tracker = Tracker {
            nodes: vec![Track::default(); usize::from(nodes)],
            effects: BTreeMap::new(),
        };
        let mut events: Vec<&Event> = events.iter().filter(|event| event.time <= end).collect();
        events.sort_by_key(|event| event.time);
        for event in events {
            tracker.see(event);
        }
        let mut lanes = Self {
            nodes: Vec::new(),
            cut: Vec::new(),
        };
        for mut track in tracker.nodes {
            track.turn(end);
            if let Some(since) = track.cut_since {
                track.cut.push((since, end));
            }
            lanes.nodes.push(track.spans);
            lanes.cut.push(track.cut);
        }
        lanes
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Per node: its stretches in the order of time.
    pub(super) fn spans(&self) -> &[Vec<Span>] {
        &self.nodes
    }

    /// Draws every lane `height` high, one below the other at distance `pitch`; `words` writes the
    /// states where they have room.
    pub(super) fn draw(
        &self,
        svg: &mut Svg,
        axis: TimeAxis,
        (top, pitch, height): (f64, f64, f64),
        words: bool,
    ) {
        let mut paths: BTreeMap<State, String> = BTreeMap::new();
        let mut cuts = String::new();
        let mut labels = Vec::new();
        for (at, (spans, cut)) in self.nodes.iter().zip(&self.cut).enumerate() {
            let y = top + at as f64 * pitch;
            let least = least(spans.len());
            let mut drawn = f64::NEG_INFINITY;
            for span in spans.iter().filter(|span| inside(axis, span.from, span.to)) {
                let (from, to) = (axis.x(span.from), axis.x(span.to));
                // What is shorter than a pixel would vanish; what begins in the same third of a
                // pixel as the last one adds nothing.
                if to - from < 1.0 && (from - drawn < 0.3 || axis.right - from < 0.5) {
                    continue;
                }
                drawn = from;
                // What begins with the last pixel is the end of the run.
                let width = (to - from).max(least.min(axis.right - from));
                let path = paths.entry(span.state).or_default();
                put!(
                    *path,
                    "M{} {}h{}v{}h-{}z",
                    Px(from),
                    Px(y),
                    Px(width),
                    Px(height),
                    Px(width)
                );
                if words && to - from > width_of(span.state.word()) + 10.0 {
                    labels.push((from + 5.0, y + height - 5.0, span.state));
                }
            }
            for (from, to) in cut.iter().filter(|(from, to)| inside(axis, *from, *to)) {
                let (from, to) = (axis.x(*from), axis.x(*to));
                let thick = (height / 5.0).max(2.0);
                let y = y + height - thick;
                let width = (to - from).max(1.6);
                put!(
                    cuts,
                    "M{} {}h{}v{}h-{}z",
                    Px(from),
                    Px(y),
                    Px(width),
                    Px(thick),
                    Px(width)
                );
            }
        }
        // In the order of `State`: short states are drawn over long ones.
        for (state, path) in &paths {
            svg.path(path, state.ink());
        }
        svg.path(&cuts, CUT_INK);
        for (x, y, state) in labels {
            svg.text(x, y, Anchor::Start, state.words(), state.word());
        }
    }
}

pub(super) fn chart(record: &RunRecord, lanes: &Lanes, bands: &[Band], axis: TimeAxis) -> String {
    let service = ["write", "read"].map(|op| (op, outages(&record.measurements.outages, op)));
    let probed = record.plan.probe_every.is_some();
    let service: Vec<_> = service
        .into_iter()
        .filter(|(_, o)| probed || !o.is_empty())
        .collect();
    let top = 6.0;
    let count = lanes.len() + service.len();
    let gap = if service.is_empty() { 0.0 } else { 5.0 };
    let bottom = top + count as f64 * PITCH + gap;
    let mut svg = Svg::new(PAGE_WIDTH, bottom + 20.0);
    band::shade(&mut svg, bands, axis, 0.0, bottom);
    axis.draw(&mut svg, top, bottom);
    for at in 0..lanes.len() {
        let y = top + at as f64 * PITCH + HEIGHT - 5.0;
        svg.text(
            axis.left - 8.0,
            y,
            Anchor::End,
            ink::TEXT,
            &format!("n{}", at + 1),
        );
    }
    lanes.draw(&mut svg, axis, (top, PITCH, HEIGHT), true);
    for (at, (op, outages)) in service.iter().enumerate() {
        let y = top + gap + (lanes.len() + at) as f64 * PITCH;
        svg.text(
            axis.left - 8.0,
            y + HEIGHT - 5.0,
            Anchor::End,
            ink::TEXT,
            &format!("{op}s"),
        );
        svg.rect(
            axis.left,
            y + 4.0,
            axis.right - axis.left,
            HEIGHT - 8.0,
            SERVED_INK,
        );
        let mut path = String::new();
        for outage in outages {
            let (from, to) = (axis.x(outage.from), axis.x(outage.to));
            let width = (to - from).max(least(outages.len()));
            put!(
                path,
                "M{} {}h{}v{}h-{}z",
                Px(from),
                Px(y + 1.0),
                Px(width),
                Px(HEIGHT - 2.0),
                Px(width)
            );
        }
        svg.path(&path, OUT_INK);
    }
    band::mark(&mut svg, bands, axis, (0.0, 0.0), bottom);
    let described = format!(
        "What each of {} did over time, and {} that probes saw.",
        counted(lanes.len(), "node"),
        counted(record.measurements.outages.len(), "outage"),
    );
    svg.finish_timed("roles", "Node roles", &described, axis)
}

pub(super) fn legend() -> String {
    let mut svg = Svg::new(PAGE_WIDTH, 14.0);
    let states = [
        State::Leader,
        State::Follower,
        State::Looking,
        State::Syncing,
        State::Paused,
        State::Down,
    ];
    let mut entries: Vec<(&str, &str)> = states.map(|state| (state.word(), state.ink())).into();
    entries.push(("links faulty", CUT_INK));
    entries.push(("outage", OUT_INK));
    svg.legend(RIGHT, 11.0, &entries);
    svg.finish("roles-key", "Legend", "Colours of the node lanes")
}

fn outages<'a>(outages: &'a [Outage], op: &str) -> Vec<&'a Outage> {
    outages
        .iter()
        .filter(|outage| outage.op == op && outage.node.is_none())
        .collect()
}

/// The least width of a stretch: short ones must not vanish, but where there are very many they
/// must not hide the long ones either.
const fn least(count: usize) -> f64 {
    if count <= MANY { 1.6 } else { 0.3 }
}

/// Whether a stretch can be seen on an axis.
fn inside(axis: TimeAxis, from: Nanos, to: Nanos) -> bool {
    to.as_secs_f64() > axis.from && from.as_secs_f64() < axis.to
}

/// Follows all nodes through the events.
struct Tracker {
    nodes: Vec<Track>,
    effects: BTreeMap<FaultId, Vec<Tag>>,
}

/// One node while the events go by.
#[derive(Debug, Clone)]
struct Track {
    spans: Vec<Span>,
    since: Nanos,
    alive: bool,
    role: State,
    pauses: u32,
    cuts: u32,
    cut_since: Option<Nanos>,
    cut: Vec<(Nanos, Nanos)>,
}

impl Default for Track {
    fn default() -> Self {
        Self {
            spans: Vec::new(),
            since: Nanos::ZERO,
            alive: false,
            role: State::Looking,
            pauses: 0,
            cuts: 0,
            cut_since: None,
            cut: Vec::new(),
        }
    }
}

impl Tracker {
    fn see(&mut self, event: &Event) {
        let time = event.time;
        match &event.kind {
            EventKind::ProcessStarted { node, .. } => self.change(*node, time, |track| {
                (track.alive, track.role, track.pauses) = (true, State::Looking, 0);
            }),
            EventKind::ProcessExited { node, .. } => {
                self.change(*node, time, |track| track.alive = false);
            }
            EventKind::ProcessPaused { node, paused } => {
                self.change(*node, time, |track| track.pauses = u32::from(*paused));
            }
            EventKind::FaultAsked(asked) => {
                self.effects.insert(asked.fault, asked.effects.clone());
            }
            EventKind::FaultLanded { fault } => {
                for tag in self.effects.get(fault).cloned().unwrap_or_default() {
                    self.effect(&tag, time, true);
                }
            }
            EventKind::FaultHealed { fault } => {
                for tag in self.effects.remove(fault).unwrap_or_default() {
                    self.effect(&tag, time, false);
                }
            }
            EventKind::Node(report) => {
                if let Some(role) = role_after(&report.what) {
                    self.change(report.node, time, |track| track.role = role);
                }
            }
            _ => {}
        }
    }

    fn effect(&mut self, tag: &Tag, time: Nanos, begins: bool) {
        match tag {
            // The exit of the process tells it more exactly.
            Tag::Down(_) | Tag::Hampered { .. } => {}
            Tag::Paused(node) => {
                self.change(*node, time, |track| track.pauses = u32::from(begins));
            }
            Tag::Link { from, to, .. } => {
                for node in [from, to]
                    .into_iter()
                    .filter_map(|end| end.parse::<NodeId>().ok())
                {
                    if let Some(track) = self.nodes.get_mut(node.index()) {
                        track.cut(time, begins);
                    }
                }
            }
        }
    }

    fn change(&mut self, node: NodeId, time: Nanos, change: impl FnOnce(&mut Track)) {
        if let Some(track) = self.nodes.get_mut(node.index()) {
            track.turn(time);
            change(track);
        }
    }
}

impl Track {
    /// Closes the current span at `time`, joining it to the last one of the same state.
    fn turn(&mut self, time: Nanos) {
        let (from, state) = (self.since, self.state());
        self.since = time;
        match self.spans.last_mut() {
            Some(last) if last.state == state => last.to = time,
            _ if time > from => self.spans.push(Span {
                from,
                to: time,
                state,
            }),
            _ => {}
        }
    }

    fn cut(&mut self, time: Nanos, begins: bool) {
        self.cuts = if begins {
            self.cuts + 1
        } else {
            self.cuts.saturating_sub(1)
        };
        match (self.cuts, self.cut_since) {
            (0, Some(since)) => {
                self.cut.push((since, time));
                self.cut_since = None;
            }
            (1.., None) => self.cut_since = Some(time),
            _ => {}
        }
    }

    const fn state(&self) -> State {
        if !self.alive {
            State::Down
        } else if self.pauses > 0 {
            State::Paused
        } else {
            self.role
        }
    }
}

/// The role of a node once it has reported this; `None` if that says nothing about its role.
const fn role_after(what: &NodeEventKind) -> Option<State> {
    match what {
        NodeEventKind::Boot { .. }
        | NodeEventKind::Looking { .. }
        | NodeEventKind::StepDown { .. } => Some(State::Looking),
        NodeEventKind::Elected { .. } | NodeEventKind::Following { .. } => Some(State::Syncing),
        NodeEventKind::Active { .. } => Some(State::Leader),
        NodeEventKind::Synced { .. } => Some(State::Follower),
        NodeEventKind::Suspect { .. }
        | NodeEventKind::Trust { .. }
        | NodeEventKind::Candidate { .. }
        | NodeEventKind::EpochAgreed { .. }
        | NodeEventKind::SyncStart { .. }
        | NodeEventKind::Evict { .. }
        | NodeEventKind::Rejoin { .. }
        | NodeEventKind::Stalled { .. }
        | NodeEventKind::Stop => None,
    }
}

impl State {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Follower => "follower",
            Self::Leader => "leader",
            Self::Paused => "paused",
            Self::Syncing => "syncing",
            Self::Looking => "looking",
        }
    }

    /// The attributes of its word.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Leader | Self::Syncing => ink::ON_DARK,
            // These shades are the same in the dark.
            Self::Paused | Self::Looking => r##"fill="#1c2128" font-size="11""##,
            Self::Down | Self::Follower => ink::TEXT,
        }
    }

    pub(super) const fn ink(self) -> &'static str {
        match self {
            Self::Down => {
                r##"class="rd" fill="#fff" stroke="#cf222e" stroke-width="1" stroke-dasharray="3 2""##
            }
            Self::Follower => r##"class="rf" fill="#b9d6f2""##,
            Self::Leader => r##"class="rl" fill="#1f6fd0""##,
            Self::Paused => r##"class="rp" fill="#8b949e""##,
            Self::Syncing => r##"class="rs" fill="#8250df""##,
            Self::Looking => r##"class="rk" fill="#e0a015""##,
        }
    }
}

/// Stretches of one lane that can be told apart.
const MANY: usize = 300;
const HEIGHT: f64 = 18.0;
const PITCH: f64 = 22.0;
const CUT_INK: &str = r##"class="rc" fill="#bf3989""##;
const OUT_INK: &str = r##"class="ff" fill="#cf222e""##;
const SERVED_INK: &str = r##"class="up" fill="#35a35a" fill-opacity=".45""##;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn words(spans: &[Span]) -> Vec<&'static str> {
        spans.iter().map(|span| span.state.word()).collect()
    }

    #[test]
    fn a_killed_leader_goes_down_comes_back_and_follows() {
        let record = sample::small();
        let lanes = Lanes::of(&record);
        let until = record.measurements.trials[1].asked;
        let first: Vec<Span> = lanes.nodes[0]
            .iter()
            .copied()
            .filter(|span| span.from < until)
            .collect();
        assert_eq!(
            words(&first),
            [
                "down", "looking", "leader", "down", "looking", "syncing", "follower"
            ]
        );
        assert_eq!(first[3].from, record.measurements.trials[0].landed.unwrap());
    }

    #[test]
    fn lanes_have_no_overlap_and_end_with_the_run() {
        let record = sample::small();
        for spans in Lanes::of(&record).nodes {
            assert_eq!(spans[0].from, Nanos::ZERO);
            assert_eq!(spans.last().unwrap().to, record.duration);
            assert!(spans.windows(2).all(|pair| pair[0].to == pair[1].from));
        }
    }

    #[test]
    fn the_links_of_an_isolated_node_are_faulty_until_the_heal_and_it_goes_on_leading() {
        let shape = sample::Shape {
            trials: 2,
            operations: 10,
            pause: true,
            trial: Nanos::from_secs(3),
        };
        let mut record = sample::run(shape);
        sample::isolate(&mut record);
        let trial = &record.measurements.trials[1];
        let span = (trial.landed.unwrap(), trial.healed.unwrap());
        let lanes = Lanes::of(&record);
        assert!(
            lanes.cut.iter().all(|cut| *cut == [span]),
            "every node has a link to it"
        );
        let node = &lanes.nodes[trial.nodes[0].index()];
        let during = node
            .iter()
            .find(|one| one.from <= span.0 && span.1 <= one.to);
        assert_eq!(during.unwrap().state, State::Leader);
    }

    #[test]
    fn a_node_is_paused_while_the_fault_lasts_and_then_what_it_was() {
        let shape = sample::Shape {
            trials: 2,
            operations: 10,
            pause: true,
            trial: Nanos::from_secs(3),
        };
        let record = sample::run(shape);
        let trial = &record.measurements.trials[1];
        let spans = &Lanes::of(&record).nodes[trial.nodes[0].index()];
        let at = spans
            .iter()
            .position(|span| span.state == State::Paused)
            .unwrap();
        assert_eq!(
            (Some(spans[at].from), Some(spans[at].to)),
            (trial.landed, trial.healed)
        );
        assert_eq!(spans[at + 1].state, State::Leader, "until it notices");
    }
}
