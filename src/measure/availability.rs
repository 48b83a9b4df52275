//! Outages as the open-loop probes saw them.
//!
//! *Vantage*: the node that a probe asked. *Slot*: the probes of one kind meant for the same
//! stretch of one probe period, one per vantage. *Bad*: not answered well by its intended time
//! plus the deadline. *Void*: bad, but the harness itself stood still: it says nothing. *Any*
//! outage: bad from every vantage, so any node would have done. *All* outage: bad from at least
//! one.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::history::{EventKind, ProbeOp};
use crate::id::NodeId;

use super::Context;
use super::lag::Lag;
use super::record::Outage;
use super::spans::{Span, Spans};
use super::timeline::Timeline;

/// What the probes of one kind saw.
#[derive(Debug)]
pub(super) struct Availability {
    /// `read` or `write`.
    pub(super) op: &'static str,
    /// Bad from every vantage, in the order of time.
    pub(super) any: Vec<Outage>,
    /// Bad from at least one vantage.
    pub(super) all: Vec<Outage>,
    /// Of each vantage by itself.
    pub(super) by_node: Vec<Outage>,
    /// Share of the probed time without an `any` outage.
    pub(super) share: f64,
    /// The same over the time in which a connected quorum existed; `None` if there was none.
    pub(super) unexcused: Option<f64>,
}

/// One judged probe, or one judged slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sight {
    intended: Nanos,
    /// When it was answered; `None` = bad.
    good_at: Option<Nanos>,
}

/// Judges all probes of a kind; `None` if none ran.
pub(super) fn availability(
    timeline: &Timeline<'_>,
    lag: &Lag,
    context: &Context,
    op: ProbeOp,
) -> Option<Availability> {
    let every = context.probe_every.filter(|every| *every > Nanos::ZERO)?;
    let by_vantage = sights(timeline, lag, context, op);
    let begin = by_vantage
        .values()
        .filter_map(|sights| Some(sights.first()?.intended))
        .min()?;
    let last = by_vantage
        .values()
        .filter_map(|sights| Some(sights.last()?.intended))
        .max()?;
    let probed = Span::new(begin, last + every);
    let word = match op {
        ProbeOp::Read => "read",
        ProbeOp::Write => "write",
    };
    let end = last + context.probe_deadline;
    let runs = |sights: &[Sight], node| outages(sights, word, node, end);
    let (any, all) = slots(&by_vantage, every);
    let any = runs(&any, None);
    let lost: Spans = any
        .iter()
        .map(|out| Span::new(out.to.since(out.upper), out.to))
        .collect();
    let quorate = connected_quorum(timeline, &context.voters, probed);
    Some(Availability {
        op: word,
        all: runs(&all, None),
        by_node: by_vantage
            .iter()
            .flat_map(|(&node, sights)| runs(sights, Some(node)))
            .collect(),
        share: share(&lost, &[probed].into_iter().collect()).unwrap_or(1.0),
        unexcused: share(&lost, &quorate),
        any,
    })
}

fn sights(
    timeline: &Timeline<'_>,
    lag: &Lag,
    context: &Context,
    op: ProbeOp,
) -> BTreeMap<NodeId, Vec<Sight>> {
    let deadline = context.probe_deadline;
    let stalls = lag.stalls(Nanos(deadline.0 / 2));
    let mut by_vantage: BTreeMap<NodeId, Vec<Sight>> = BTreeMap::new();
    for event in &timeline.events {
        let EventKind::Probe(probe) = &event.kind else {
            continue;
        };
        if probe.op != op {
            continue;
        }
        let until = probe.intended + deadline;
        let good = probe.ok && event.time <= until;
        if good || !stalls.touches(probe.intended, until) {
            by_vantage.entry(probe.node).or_default().push(Sight {
                intended: probe.intended,
                good_at: good.then_some(event.time),
            });
        }
    }
    for sights in by_vantage.values_mut() {
        sights.sort_by_key(|sight| sight.intended);
    }
    by_vantage
}

/// The probes of all vantages, slot by slot: good if any was good, and good if all were.
fn slots(by_vantage: &BTreeMap<NodeId, Vec<Sight>>, every: Nanos) -> (Vec<Sight>, Vec<Sight>) {
    let mut slots: BTreeMap<u64, Vec<Sight>> = BTreeMap::new();
    for sight in by_vantage.values().flatten() {
        slots
            .entry(sight.intended.0 / every.0)
            .or_default()
            .push(*sight);
    }
    let merged = |sights: &Vec<Sight>, good_at: Option<Nanos>| Sight {
        intended: sights
            .iter()
            .map(|sight| sight.intended)
            .min()
            .unwrap_or_default(),
        good_at,
    };
    let any = |sights: &Vec<Sight>| {
        merged(
            sights,
            sights.iter().filter_map(|sight| sight.good_at).min(),
        )
    };
    let all = |sights: &Vec<Sight>| {
        let answers: Option<Vec<Nanos>> = sights.iter().map(|sight| sight.good_at).collect();
        merged(
            sights,
            answers.and_then(|answers| answers.into_iter().max()),
        )
    };
    (
        slots.values().map(any).collect(),
        slots.values().map(all).collect(),
    )
}

/// A run of bad sights under way.
struct Run {
    last_good_before: Nanos,
    first_bad: Nanos,
    last_bad: Nanos,
    /// Good ones since the last bad: how many, and the completion of the first.
    good: Option<(usize, Nanos)>,
}

impl Run {
    fn close(&self, op: &str, node: Option<NodeId>, end: Nanos) -> Outage {
        let to = self.good.map_or(end, |(_, completed)| completed);
        Outage {
            op: op.to_owned(),
            node,
            from: self.first_bad,
            to,
            lower: self.last_bad.since(self.first_bad),
            upper: to.since(self.last_good_before),
            open: self.good.is_none(),
        }
    }
}

/// Maximal runs of bad sights; [`GOOD_TO_END`] good ones end a run.
fn outages(sights: &[Sight], op: &str, node: Option<NodeId>, end: Nanos) -> Vec<Outage> {
    let mut found = Vec::new();
    let mut run: Option<Run> = None;
    let mut last_good = None;
    for sight in sights {
        let Some(completed) = sight.good_at else {
            let before = last_good.unwrap_or(sight.intended);
            let run = run.get_or_insert(Run {
                last_good_before: before,
                first_bad: sight.intended,
                last_bad: sight.intended,
                good: None,
            });
            run.last_bad = sight.intended;
            run.good = None;
            continue;
        };
        last_good = Some(sight.intended);
        if let Some(open) = run.as_mut() {
            let (count, first) = open.good.unwrap_or((0, completed));
            open.good = Some((count + 1, first));
            if count + 1 == GOOD_TO_END {
                found.push(open.close(op, node, end));
                run = None;
            }
        }
    }
    found.extend(run.map(|run| run.close(op, node, end)));
    found
}

/// 1 − lost ÷ whole; `None` of no time at all.
fn share(lost: &Spans, whole: &Spans) -> Option<f64> {
    let total = whole.total().as_secs_f64();
    (total > 0.0).then(|| 1.0 - lost.intersection(whole).total().as_secs_f64() / total)
}

/// When, by the ledger, some running node was joined both ways with enough running voters to make
/// a quorum, and clients could reach one of them.
fn connected_quorum(timeline: &Timeline<'_>, voters: &[NodeId], window: Span) -> Spans {
    let stopped: BTreeMap<NodeId, Spans> = voters
        .iter()
        .map(|&voter| (voter, timeline.not_running(voter)))
        .collect();
    let mut changes: Vec<Nanos> = stopped
        .values()
        .flat_map(Spans::iter)
        .chain(
            timeline
                .links
                .iter()
                .filter(|link| link.total)
                .map(|link| link.span),
        )
        .flat_map(|span| [span.from, span.to])
        .chain([window.from, window.to])
        .filter(|&time| window.from <= time && time <= window.to)
        .collect();
    changes.sort();
    changes.dedup();
    changes
        .windows(2)
        .map(|pair| Span::new(pair[0], pair[1]))
        .filter(|stretch| is_quorate(timeline, voters, &stopped, stretch.from))
        .collect()
}

fn is_quorate(
    timeline: &Timeline<'_>,
    voters: &[NodeId],
    stopped: &BTreeMap<NodeId, Spans>,
    at: Nanos,
) -> bool {
    let running: Vec<NodeId> = voters
        .iter()
        .copied()
        .filter(|voter| !stopped[voter].contains(at))
        .collect();
    let cuts: Vec<_> = timeline
        .links
        .iter()
        .filter(|link| link.total && link.span.contains(at))
        .collect();
    let joined = |a: NodeId, b: NodeId| a == b || !cuts.iter().any(|cut| cut.joins(a, b));
    let reachable = |node: NodeId| {
        !cuts
            .iter()
            .any(|cut| (cut.from == "clients" || cut.to == "clients") && cut.touches_node(node))
    };
    running.iter().any(|&leader| {
        let members: Vec<NodeId> = running
            .iter()
            .copied()
            .filter(|&node| joined(leader, node))
            .collect();
        members.len() > voters.len() / 2 && members.iter().any(|&node| reachable(node))
    })
}

/// So many good probes in a row end an outage: fewer may be luck.
const GOOD_TO_END: usize = 3;

#[cfg(test)]
mod tests {
    use super::super::stream::{Stream, link, ms};
    use super::*;

    fn any_of(s: &Stream) -> Vec<Outage> {
        let outages = s.measure().outages;
        outages
            .into_iter()
            .filter(|outage| outage.node.is_none())
            .collect()
    }

    #[test]
    fn an_outage_is_an_interval_between_its_probes() {
        let mut s = Stream::steady(3);
        s.probes(1, 0, 100, true);
        s.probes(1, 100, 200, false);
        s.probes(1, 200, 300, true);
        let [outage] = any_of(&s).try_into().unwrap();
        assert_eq!((outage.from, outage.to), (ms(100), ms(201)));
        assert_eq!(
            (outage.lower, outage.upper, outage.open),
            (ms(90), ms(111), false)
        );
        let measured = s.measure();
        assert_eq!(measured.metrics["outage.write"].samples, [111e6]);
        assert!(!measured.metrics.contains_key("outage.read"));
        let share = measured.metrics["availability.write"].samples[0];
        assert!((share - (1.0 - 111.0 / 300.0)).abs() < 1e-9, "{share}");
    }

    #[test]
    fn an_answer_after_the_deadline_is_bad() {
        let mut s = Stream::steady(3);
        s.probes(1, 0, 100, true);
        s.probe(1, 100, 50, true);
        s.probe(1, 110, 51, true);
        s.probes(1, 120, 200, true);
        let [outage] = any_of(&s).try_into().unwrap();
        assert_eq!((outage.from, outage.lower), (ms(110), ms(0)));
    }

    #[test]
    fn fewer_than_three_good_probes_do_not_end_an_outage() {
        let mut s = Stream::steady(3);
        s.probes(1, 0, 100, true);
        s.probes(1, 100, 150, false);
        s.probes(1, 150, 170, true);
        s.probes(1, 170, 200, false);
        s.probes(1, 200, 300, true);
        let [outage] = any_of(&s).try_into().unwrap();
        assert_eq!((outage.from, outage.to), (ms(100), ms(201)));
    }

    #[test]
    fn an_outage_that_lasts_to_the_end_is_open_and_censored() {
        let mut s = Stream::steady(3);
        s.probes(1, 0, 100, true);
        s.probes(1, 100, 200, false);
        let [outage] = any_of(&s).try_into().unwrap();
        assert!(outage.open);
        assert_eq!((outage.to, outage.upper), (ms(240), ms(150)));
        assert_eq!(s.measure().metrics["outage.write"].censored, 1);
    }

    #[test]
    fn any_needs_every_vantage_bad_and_all_only_one() {
        let mut s = Stream::steady(3);
        for node in 1..=3 {
            s.probes(node, 0, 100, true);
        }
        s.probes(1, 100, 300, false);
        s.probes(2, 100, 200, false);
        s.probes(2, 200, 300, true);
        s.probes(3, 100, 150, false);
        s.probes(3, 150, 300, true);
        for node in 1..=3 {
            s.probes(node, 300, 400, true);
        }
        let measured = s.measure();
        assert_eq!(measured.metrics["outage.write"].samples, [61e6]);
        assert_eq!(measured.metrics["outage.write.all"].samples, [211e6]);
        assert_eq!(
            measured.outages.len(),
            4,
            "one from everywhere, one from each vantage"
        );
    }

    #[test]
    fn a_probe_that_the_harness_itself_delayed_says_nothing() {
        let mut s = Stream::steady(3);
        s.probes(1, 0, 100, true);
        s.probe(1, 100, 90, true);
        s.lag(185, 80);
        s.probes(1, 190, 300, true);
        assert_eq!(any_of(&s), []);
    }

    #[test]
    fn without_probes_nothing_is_known() {
        let measured = Stream::steady(3).measure();
        for name in [
            "outage.write",
            "availability.write",
            "availability.unexcused.write",
        ] {
            assert!(!measured.metrics.contains_key(name), "{name}");
        }
    }

    #[test]
    fn time_without_a_connected_quorum_is_excused() {
        let mut s = Stream::steady(3);
        s.probes(1, 0, 100, true);
        let first = s.kill(100, 2);
        let second = s.kill(100, 3);
        s.probes(1, 100, 200, false);
        s.heal(220, first);
        s.heal(220, second);
        s.probes(1, 200, 300, true);
        let metrics = s.measure().metrics;
        let unexcused = metrics["availability.unexcused.write"].samples[0];
        // Bad from 90 on; the quorum is gone from 100 to 220.
        assert!(
            (unexcused - (1.0 - 10.0 / 180.0)).abs() < 1e-6,
            "{unexcused}"
        );
        assert!(metrics["availability.write"].samples[0] < 0.7);
    }

    #[test]
    fn an_isolated_leader_leaves_a_connected_quorum_and_a_ring_without_hub_does_not() {
        let voters: Vec<NodeId> = NodeId::all(3).collect();
        let quorate = |cuts: Vec<crate::history::Tag>| {
            let mut s = Stream::steady(3);
            s.links(100, cuts, &[1]);
            s.phase(500, "end");
            let timeline = Timeline::new(s.events(), s.context());
            connected_quorum(&timeline, &voters, Span::new(ms(0), ms(400))).total()
        };
        assert_eq!(
            quorate(vec![link("n1", "n2", true), link("n1", "n3", true)]),
            ms(400)
        );
        let islands = vec![
            link("n1", "n2", true),
            link("n1", "n3", true),
            link("n3", "n2", true),
        ];
        assert_eq!(quorate(islands), ms(100));
        let walled = (1..=3)
            .map(|n| link("clients", &format!("n{n}"), true))
            .collect();
        assert_eq!(quorate(walled), ms(100));
    }
}
