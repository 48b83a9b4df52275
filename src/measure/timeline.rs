//! The recorded events arranged for measuring: faults, trials, who ran, which links passed.
//!
//! *Origin* (`t0`): the instant from which a fault counts: asked for a process fault, landed for
//! a link fault. *Victim*: a node that the fault takes out of every quorum. *Window* of a fault:
//! from its origin to the end of its trial, the next fault or the end of the load.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Nanos;
use crate::history::{Event, EventKind, FaultAsked, NodeEvent, NodeEventKind, Tag, TrialOutcome};
use crate::id::{FaultId, NodeId, TrialId};

use super::Context;
use super::spans::{Span, Spans};

/// The events of a run, arranged.
#[derive(Debug)]
pub(super) struct Timeline<'a> {
    /// In the order of time.
    pub(super) events: Vec<&'a Event>,
    /// In the order of injection.
    pub(super) faults: Vec<Fault<'a>>,
    /// While clients were meant to work.
    pub(super) load: Span,
    /// One past the last event.
    pub(super) end: Nanos,
    /// When a node's process was gone.
    pub(super) down: BTreeMap<NodeId, Spans>,
    /// When a node's process was stopped.
    pub(super) paused: BTreeMap<NodeId, Spans>,
    /// When which link was wrong.
    pub(super) links: Vec<LinkSpan<'a>>,
}

/// One fault with its times.
#[derive(Debug)]
pub(super) struct Fault<'a> {
    pub(super) asked: &'a FaultAsked,
    pub(super) asked_at: Nanos,
    pub(super) landed: Option<Nanos>,
    pub(super) healed: Option<Nanos>,
    /// It was refused: it never came into force.
    pub(super) missed: bool,
    /// The end of its window.
    pub(super) end: Nanos,
    /// When the next fault was asked, or the load ended.
    pub(super) next: Nanos,
    pub(super) outcome: Option<TrialOutcome>,
    /// What it really did, as far as it was counted.
    pub(super) figures: BTreeMap<String, u64>,
    /// The victims, see the module's words.
    pub(super) victims: BTreeSet<NodeId>,
}

/// One link that is wrong for a while. Ends are `n1` … or `clients`.
#[derive(Debug)]
pub(super) struct LinkSpan<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) total: bool,
    pub(super) span: Span,
}

impl Fault<'_> {
    /// Whether it harms a process, not only links.
    pub(super) fn is_process(&self) -> bool {
        self.asked
            .effects
            .iter()
            .any(|tag| !matches!(tag, Tag::Link { .. }))
    }

    /// The instant from which it counts.
    pub(super) fn origin(&self) -> Nanos {
        if self.is_process() {
            self.asked_at
        } else {
            self.landed.unwrap_or(self.asked_at)
        }
    }

    /// While it may have had an effect: asked … healed.
    pub(super) fn in_force(&self, run_end: Nanos) -> Span {
        let to = if self.missed {
            self.asked_at
        } else {
            self.healed.unwrap_or(run_end)
        };
        Span::new(self.asked_at, to)
    }

    /// Until when its effect can still be noticed within its window.
    pub(super) fn noticeable_until(&self) -> Nanos {
        self.healed.map_or(self.end, |healed| healed.min(self.end))
    }

    /// Pairs of nodes between which nothing passes in at least one direction.
    pub(super) fn cut_pairs(&self) -> BTreeSet<(NodeId, NodeId)> {
        cut_pairs(&self.asked.effects)
    }
}

impl LinkSpan<'_> {
    pub(super) fn joins(&self, a: NodeId, b: NodeId) -> bool {
        (self.starts_at(a) && self.ends_at(b)) || (self.starts_at(b) && self.ends_at(a))
    }

    pub(super) fn touches_node(&self, node: NodeId) -> bool {
        self.starts_at(node) || self.ends_at(node)
    }

    fn starts_at(&self, node: NodeId) -> bool {
        self.from.parse() == Ok(node)
    }

    fn ends_at(&self, node: NodeId) -> bool {
        self.to.parse() == Ok(node)
    }
}

impl<'a> Timeline<'a> {
    pub(super) fn new(events: &'a [Event], context: &Context) -> Self {
        let mut events: Vec<&Event> = events.iter().collect();
        events.sort_by_key(|event| event.time);
        let end = events
            .last()
            .map_or(Nanos::ZERO, |event| Nanos(event.time.0 + 1));
        let load = load_window(&events, end);
        let mut faults = faults(&events, &context.voters);
        close_windows(&mut faults, &trial_ends(&events), load.to);
        let down = stops(&events, &faults, end, &down_change, &|tag| match tag {
            Tag::Down(node) => Some(*node),
            Tag::Paused(_) | Tag::Hampered { .. } | Tag::Link { .. } => None,
        });
        let paused = stops(&events, &faults, end, &pause_change, &|tag| match tag {
            Tag::Paused(node) => Some(*node),
            Tag::Down(_) | Tag::Hampered { .. } | Tag::Link { .. } => None,
        });
        let links = links(&faults, end);
        Self {
            events,
            faults,
            load,
            end,
            down,
            paused,
            links,
        }
    }

    /// What nodes reported, in the order of time.
    pub(super) fn node_events(&self) -> impl Iterator<Item = (Nanos, NodeId, &'a NodeEventKind)> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Node(NodeEvent { node, what }) => Some((event.time, *node, what)),
            _ => None,
        })
    }

    /// The same within `[from, to]`.
    pub(super) fn node_events_within(
        &self,
        from: Nanos,
        to: Nanos,
    ) -> impl Iterator<Item = (Nanos, NodeId, &'a NodeEventKind)> {
        let start = self.events.partition_point(|event| event.time < from);
        self.events[start..]
            .iter()
            .take_while(move |event| event.time <= to)
            .filter_map(|event| match &event.kind {
                EventKind::Node(NodeEvent { node, what }) => Some((event.time, *node, what)),
                _ => None,
            })
    }

    /// When the node was gone or stopped.
    pub(super) fn not_running(&self, node: NodeId) -> Spans {
        let none = Spans::default();
        self.down
            .get(&node)
            .unwrap_or(&none)
            .union(self.paused.get(&node).unwrap_or(&none))
    }

    /// Whether the node was gone or stopped at any instant of `[from, to]`.
    pub(super) fn stood_still(&self, node: NodeId, from: Nanos, to: Nanos) -> bool {
        [&self.down, &self.paused].iter().any(|stops| {
            stops
                .get(&node)
                .is_some_and(|spans| spans.touches(from, to))
        })
    }

    /// When any fault was in force, from asked to the end of its window or its heal, whichever is
    /// later.
    pub(super) fn disturbed(&self) -> Spans {
        self.faults
            .iter()
            .filter(|fault| !fault.missed)
            .map(|fault| Span::new(fault.asked_at, fault.end.max(fault.in_force(self.end).to)))
            .collect()
    }
}

fn load_window(events: &[&Event], end: Nanos) -> Span {
    let phase = |names: &[&str]| {
        events.iter().find_map(|event| match &event.kind {
            EventKind::Phase { phase } if names.contains(&phase.as_str()) => Some(event.time),
            _ => None,
        })
    };
    let from = phase(&["load"])
        .or_else(|| phase(&["steps"]))
        .unwrap_or(Nanos::ZERO);
    let to = phase(&["drain", "final_reads", "end"]).unwrap_or(end);
    Span::new(from, to.max(from))
}

fn faults<'a>(events: &[&'a Event], voters: &[NodeId]) -> Vec<Fault<'a>> {
    let mut faults: Vec<Fault<'a>> = Vec::new();
    let mut places: BTreeMap<FaultId, usize> = BTreeMap::new();
    for event in events {
        match &event.kind {
            EventKind::FaultAsked(asked) => {
                places.insert(asked.fault, faults.len());
                faults.push(Fault {
                    asked,
                    asked_at: event.time,
                    landed: None,
                    healed: None,
                    missed: false,
                    end: event.time,
                    next: event.time,
                    outcome: None,
                    figures: BTreeMap::new(),
                    victims: victims(&asked.effects, voters),
                });
            }
            EventKind::FaultLanded { fault } => {
                if let Some(&place) = places.get(fault) {
                    faults[place].landed.get_or_insert(event.time);
                }
            }
            EventKind::FaultMissed { fault, .. } => {
                if let Some(&place) = places.get(fault) {
                    faults[place].missed = true;
                }
            }
            EventKind::FaultMeasured { fault, figures } => {
                if let Some(&place) = places.get(fault) {
                    faults[place].figures.extend(figures.clone());
                }
            }
            EventKind::FaultHealed { fault } => {
                if let Some(&place) = places.get(fault) {
                    faults[place].healed.get_or_insert(event.time);
                }
            }
            _ => {}
        }
    }
    faults
}

fn trial_ends(events: &[&Event]) -> BTreeMap<TrialId, (Nanos, TrialOutcome)> {
    events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::TrialEnd { trial, outcome, .. } => Some((*trial, (event.time, *outcome))),
            _ => None,
        })
        .collect()
}

fn close_windows(
    faults: &mut [Fault<'_>],
    trials: &BTreeMap<TrialId, (Nanos, TrialOutcome)>,
    load_end: Nanos,
) {
    let mut next = load_end;
    for fault in faults.iter_mut().rev() {
        fault.next = next.max(fault.asked_at);
        let trial = fault.asked.trial.and_then(|trial| trials.get(&trial));
        fault.outcome = trial.map(|(_, outcome)| *outcome);
        fault.end = trial.map_or(fault.next, |(end, _)| (*end).min(fault.next));
        next = fault.asked_at;
    }
}

/// A change of one kind of stop: the node and whether the stop begins.
type Change<'e> = dyn Fn(&'e EventKind) -> Option<(NodeId, bool)>;

const fn down_change(kind: &EventKind) -> Option<(NodeId, bool)> {
    match kind {
        EventKind::ProcessExited { node, .. } => Some((*node, true)),
        EventKind::ProcessStarted { node, .. } => Some((*node, false)),
        _ => None,
    }
}

const fn pause_change(kind: &EventKind) -> Option<(NodeId, bool)> {
    match kind {
        EventKind::ProcessPaused { node, paused } => Some((*node, *paused)),
        // A process that ended, or a new one, is not a stopped one.
        EventKind::ProcessExited { node, .. } | EventKind::ProcessStarted { node, .. } => {
            Some((*node, false))
        }
        _ => None,
    }
}

/// When each node stood still, by what the harness did (from asked on) and by what it observed.
fn stops<'a>(
    events: &[&'a Event],
    faults: &[Fault<'a>],
    end: Nanos,
    change: &Change<'a>,
    victim: &dyn Fn(&Tag) -> Option<NodeId>,
) -> BTreeMap<NodeId, Spans> {
    let mut spans: BTreeMap<NodeId, Vec<Span>> = BTreeMap::new();
    let mut open: BTreeMap<NodeId, Nanos> = BTreeMap::new();
    let mut ends: BTreeMap<NodeId, Vec<Nanos>> = BTreeMap::new();
    for event in events {
        match change(&event.kind) {
            Some((node, true)) => {
                open.entry(node).or_insert(event.time);
            }
            Some((node, false)) => {
                ends.entry(node).or_default().push(event.time);
                if let Some(from) = open.remove(&node) {
                    spans
                        .entry(node)
                        .or_default()
                        .push(Span::new(from, event.time));
                }
            }
            None => {}
        }
    }
    for (node, from) in open {
        spans.entry(node).or_default().push(Span::new(from, end));
    }
    for fault in faults.iter().filter(|fault| !fault.missed) {
        for node in fault.asked.effects.iter().filter_map(victim) {
            // The process's own return is nearer to the truth than the ledger's line about it.
            let observed = ends
                .get(&node)
                .and_then(|ends| ends.iter().find(|&&time| time > fault.asked_at))
                .copied()
                .unwrap_or(end);
            let to = observed.min(fault.in_force(end).to);
            spans
                .entry(node)
                .or_default()
                .push(Span::new(fault.asked_at, to));
        }
    }
    spans
        .into_iter()
        .map(|(node, spans)| (node, spans.into_iter().collect()))
        .collect()
}

fn links<'a>(faults: &[Fault<'a>], end: Nanos) -> Vec<LinkSpan<'a>> {
    let mut links = Vec::new();
    for fault in faults {
        let span = fault.in_force(end);
        for tag in &fault.asked.effects {
            if let Tag::Link {
                from, to, total, ..
            } = tag
            {
                links.push(LinkSpan {
                    from,
                    to,
                    total: *total,
                    span,
                });
            }
        }
    }
    links
}

fn cut_pairs(effects: &[Tag]) -> BTreeSet<(NodeId, NodeId)> {
    effects
        .iter()
        .filter_map(|tag| match tag {
            Tag::Link {
                from,
                to,
                total: true,
                ..
            } => Some((from.parse().ok()?, to.parse().ok()?)),
            _ => None,
        })
        .flat_map(|(a, b): (NodeId, NodeId)| [(a, b), (b, a)])
        .collect()
}

/// Who is taken out of every quorum: whose process stands still, and who talks both ways with too
/// few others. Where links leave nobody a quorum, nobody is a victim more than the others.
fn victims(effects: &[Tag], voters: &[NodeId]) -> BTreeSet<NodeId> {
    let still: BTreeSet<NodeId> = effects
        .iter()
        .filter_map(|tag| match tag {
            Tag::Down(node) | Tag::Paused(node) => Some(*node),
            Tag::Hampered { .. } | Tag::Link { .. } => None,
        })
        .collect();
    if !still.is_empty() {
        return still;
    }
    let cut = cut_pairs(effects);
    let quorum = voters.len() / 2 + 1;
    let lonely: BTreeSet<NodeId> = voters
        .iter()
        .copied()
        .filter(|&node| {
            let heard = voters
                .iter()
                .filter(|&&peer| !cut.contains(&(node, peer)))
                .count();
            heard < quorum
        })
        .collect();
    if lonely.len() == voters.len() {
        BTreeSet::new()
    } else {
        lonely
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::{Stream, link, ms};
    use super::*;

    fn nodes(ids: &[u8]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn the_victim_of_a_cut_is_who_cannot_talk_both_ways_with_a_quorum() {
        let voters: Vec<NodeId> = NodeId::all(3).collect();
        let deaf = [link("n2", "n1", true), link("n3", "n1", true)];
        assert_eq!(victims(&deaf, &voters), nodes(&[1]));
        assert_eq!(victims(&[link("n2", "n1", true)], &voters), nodes(&[]));
        assert_eq!(
            victims(&[link("n2", "n1", false), link("n3", "n1", false)], &voters),
            nodes(&[])
        );
        let islands = [
            link("n1", "n2", true),
            link("n2", "n3", true),
            link("n3", "n1", true),
        ];
        assert_eq!(victims(&islands, &voters), nodes(&[]));
    }

    #[test]
    fn a_window_ends_with_its_trial_the_next_fault_or_the_load() {
        let mut s = Stream::new(3);
        s.phase(0, "load");
        s.trial_begin(50, 1);
        s.kill(100, 1);
        s.trial_end(300, 1, TrialOutcome::Completed);
        s.kill(400, 2);
        s.kill(450, 3);
        s.phase(900, "drain");
        let timeline = Timeline::new(s.events(), s.context());
        let ends: Vec<_> = timeline.faults.iter().map(|f| (f.end, f.next)).collect();
        assert_eq!(
            ends,
            [(ms(300), ms(400)), (ms(450), ms(450)), (ms(900), ms(900)),]
        );
    }

    #[test]
    fn a_node_is_down_from_the_asking_until_its_process_is_back() {
        let mut s = Stream::new(3);
        let fault = s.kill(100, 1);
        s.exited(103, 1);
        s.started(400, 1);
        s.heal(420, fault);
        s.phase(900, "end");
        let timeline = Timeline::new(s.events(), s.context());
        let down: Vec<_> = timeline.not_running(NodeId(1)).iter().collect();
        assert_eq!(down, [Span::new(ms(100), ms(400))]);
        assert!(timeline.not_running(NodeId(2)).is_empty());
    }

    #[test]
    fn a_fault_that_did_not_land_stops_nobody() {
        let mut s = Stream::new(3);
        s.kill_that_misses(100, 1);
        s.phase(900, "end");
        let timeline = Timeline::new(s.events(), s.context());
        assert!(timeline.not_running(NodeId(1)).is_empty());
        assert!(timeline.disturbed().is_empty());
    }

    #[test]
    fn an_earlier_start_of_its_process_does_not_end_a_nodes_downtime() {
        let mut s = Stream::new(3);
        s.started(50, 1);
        let fault = s.kill(100, 1);
        s.heal(420, fault);
        s.phase(900, "end");
        let timeline = Timeline::new(s.events(), s.context());
        let down: Vec<_> = timeline.not_running(NodeId(1)).iter().collect();
        assert_eq!(down, [Span::new(ms(100), ms(420))]);
    }

    #[test]
    fn overlapping_faults_of_one_node_keep_it_down_until_the_last_is_healed() {
        let mut s = Stream::new(3);
        let first = s.kill(100, 1);
        let second = s.kill(200, 1);
        s.heal(300, first);
        s.heal(500, second);
        s.phase(900, "end");
        let timeline = Timeline::new(s.events(), s.context());
        let down: Vec<_> = timeline.not_running(NodeId(1)).iter().collect();
        assert_eq!(down, [Span::new(ms(100), ms(500))]);
    }
}
