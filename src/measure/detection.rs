//! Who noticed a fault, when and how.
//!
//! *Survivor*: a running voter that is no victim. *Detection instant* of a survivor: it stops
//! treating the victim as alive or as leader: a state change, not a retry. What the victim itself
//! suspects does not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Nanos;
use crate::history::NodeEventKind;
use crate::id::NodeId;

use super::record::Channel;
use super::timeline::{Fault, Timeline};

/// Who noticed a fault. All instants are on the run's axis.
#[derive(Debug, Default)]
pub(super) struct Detection {
    /// The earliest.
    pub(super) first: Option<Nanos>,
    /// The q-th over all voters; only for a leader fault.
    pub(super) quorum: Option<Nanos>,
    /// The latest, once all survivors noticed.
    pub(super) last: Option<Nanos>,
    /// A leader took a victim out of its active set.
    pub(super) evict: Option<Nanos>,
    /// How the earliest came about, if the node said so.
    pub(super) channel: Option<Channel>,
    /// For a timeout: detection ÷ the timeout in force.
    pub(super) ratio: Option<f64>,
}

/// Whom a survivor must give up for the fault to be noticed.
#[derive(Debug)]
pub(super) struct Expected {
    /// Observer and subject.
    pairs: BTreeSet<(NodeId, NodeId)>,
    survivors: BTreeSet<NodeId>,
    /// The victim that led, if one did.
    leader: Option<NodeId>,
}

impl Expected {
    /// What a fault should make others notice; empty for a fault that only slows.
    pub(super) fn new(
        fault: &Fault<'_>,
        leader: Option<NodeId>,
        timeline: &Timeline<'_>,
        voters: &[NodeId],
    ) -> Self {
        let leader = leader.filter(|leader| fault.victims.contains(leader));
        let survivors: BTreeSet<NodeId> = voters
            .iter()
            .copied()
            .filter(|node| !fault.victims.contains(node))
            .filter(|&node| !timeline.stood_still(node, fault.origin(), fault.origin()))
            .collect();
        let pairs = if fault.victims.is_empty() {
            fault.cut_pairs()
        } else {
            let subjects: Vec<NodeId> =
                leader.map_or_else(|| fault.victims.iter().copied().collect(), |one| vec![one]);
            survivors
                .iter()
                .flat_map(|&observer| subjects.iter().map(move |&subject| (observer, subject)))
                .collect()
        };
        Self {
            pairs,
            survivors,
            leader,
        }
    }

    /// Whether anybody could notice anything.
    pub(super) fn is_possible(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// Whether the fault took out the leader.
    pub(super) const fn is_leader_fault(&self) -> bool {
        self.leader.is_some()
    }

    /// How many voters must notice before a failover is legal.
    fn quorum(voters: &[NodeId]) -> usize {
        voters.len() / 2 + 1
    }

    /// Whether this report of `observer` says that it gave up a subject.
    fn is_met_by(&self, observer: NodeId, what: &NodeEventKind) -> bool {
        match what {
            NodeEventKind::Suspect { of, .. } | NodeEventKind::Evict { of, .. } => {
                self.pairs.contains(&(observer, *of))
            }
            NodeEventKind::Looking { reason } => reason != "boot" && self.survives_leader(observer),
            NodeEventKind::Following { leader } => {
                Some(*leader) != self.leader && self.survives_leader(observer)
            }
            _ => false,
        }
    }

    fn survives_leader(&self, observer: NodeId) -> bool {
        self.leader.is_some() && self.survivors.contains(&observer)
    }
}

/// Who noticed the fault within its window and before its heal.
pub(super) fn detect(
    fault: &Fault<'_>,
    expected: &Expected,
    timeline: &Timeline<'_>,
    voters: &[NodeId],
) -> Detection {
    let origin = fault.origin();
    let mut instants: BTreeMap<NodeId, Nanos> = BTreeMap::new();
    let mut found = Detection::default();
    for (time, node, what) in timeline.node_events_within(origin, fault.noticeable_until()) {
        if !expected.is_met_by(node, what) {
            continue;
        }
        if found.first.is_none() {
            found.first = Some(time);
            (found.channel, found.ratio) = how(what, time.since(origin));
        }
        instants.entry(node).or_insert(time);
        if let NodeEventKind::Evict { of, .. } = what
            && fault.victims.contains(of)
        {
            found.evict.get_or_insert(time);
        }
    }
    let mut sorted: Vec<Nanos> = instants.into_values().collect();
    sorted.sort();
    if expected.is_leader_fault() {
        found.quorum = sorted.get(Expected::quorum(voters) - 1).copied();
    }
    if !fault.victims.is_empty() && sorted.len() == expected.survivors.len() {
        found.last = sorted.last().copied();
    }
    found
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio of two lengths of at most some minutes"
)]
fn how(what: &NodeEventKind, after: Nanos) -> (Option<Channel>, Option<f64>) {
    match what {
        NodeEventKind::Suspect {
            channel,
            timeout_ns,
            ..
        } => {
            let channel = channel_of(channel);
            let timed = channel == Channel::Timeout && *timeout_ns > 0;
            let ratio = timed.then(|| after.0 as f64 / *timeout_ns as f64);
            (Some(channel), ratio)
        }
        NodeEventKind::Evict { reason, .. } => (Some(channel_of(reason)), None),
        _ => (None, None),
    }
}

/// Silence is a timeout; everything else a node learned from its transport.
pub(super) fn channel_of(word: &str) -> Channel {
    match word {
        "timeout" | "ack_lag" | "ack-lag" => Channel::Timeout,
        _ => Channel::Transport,
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::{Stream, link, ms};
    use super::*;

    #[test]
    fn first_quorum_and_last_are_the_earliest_the_qth_and_the_latest_survivor() {
        let mut s = Stream::steady(5);
        s.kill(100, 1);
        for (at, node) in [(101, 3), (104, 2), (109, 5), (120, 4)] {
            s.suspect(at, node, 1, "eof");
        }
        s.phase(900, "end");
        let trial = &s.measure().trials[0];
        assert_eq!(trial.detect_first, Some(ms(1)));
        assert_eq!(trial.detect_quorum, Some(ms(9)));
        assert_eq!(trial.detect_last, Some(ms(20)));
        assert_eq!(trial.channel, Some(Channel::Transport));
        assert_eq!(trial.detect_ratio, None);
    }

    #[test]
    fn silence_is_compared_with_the_timeout_in_force() {
        let mut s = Stream::steady(3);
        s.pause(100, 1);
        s.suspect(250, 2, 1, "timeout");
        s.phase(900, "end");
        let trial = &s.measure().trials[0];
        assert_eq!(trial.channel, Some(Channel::Timeout));
        assert!((trial.detect_ratio.unwrap() - 1.25).abs() < 1e-9);
        assert_eq!(trial.detect_last, None);
    }

    #[test]
    fn what_the_victim_suspects_does_not_count() {
        let mut s = Stream::steady(3);
        s.links(
            100,
            vec![link("n1", "n2", true), link("n1", "n3", true)],
            &[1],
        );
        s.suspect(110, 1, 2, "timeout");
        s.looking(111, 1, "quorum_lost");
        s.suspect(222, 2, 1, "timeout");
        s.phase(900, "end");
        assert_eq!(s.measure().trials[0].detect_first, Some(ms(120)));
    }

    #[test]
    fn a_dead_follower_is_evicted_and_has_no_quorum_detection() {
        let mut s = Stream::steady(3);
        s.kill(100, 3);
        s.suspect(102, 2, 3, "eof");
        s.suspect(103, 1, 3, "eof");
        s.evict(105, 1, 3);
        s.phase(900, "end");
        let trial = &s.measure().trials[0];
        assert_eq!(trial.detect_first, Some(ms(2)));
        assert_eq!(trial.detect_quorum, None);
        assert_eq!(trial.detect_evict, Some(ms(5)));
    }

    #[test]
    fn a_survivor_that_turns_to_another_leader_has_given_the_old_one_up() {
        let mut s = Stream::steady(3);
        s.kill(100, 1);
        s.looking(103, 2, "leader_lost");
        s.following(130, 3, 2);
        s.phase(900, "end");
        let trial = &s.measure().trials[0];
        assert_eq!(trial.detect_first, Some(ms(3)));
        assert_eq!(trial.detect_quorum, Some(ms(30)));
    }

    #[test]
    fn a_link_that_loses_a_part_has_nothing_to_be_detected() {
        let mut s = Stream::steady(3);
        s.links(
            100,
            vec![link("n1", "n2", false), link("n2", "n1", false)],
            &[1, 2],
        );
        s.suspect(300, 2, 1, "timeout");
        s.phase(900, "end");
        let measured = s.measure();
        assert_eq!(measured.trials[0].detect_first, None);
        assert!(!measured.metrics.contains_key("detect.first"));
    }

    #[test]
    fn a_cut_pair_is_detected_by_either_end() {
        let mut s = Stream::steady(3);
        s.links(100, vec![link("n1", "n3", true)], &[1, 3]);
        s.suspect(150, 2, 1, "timeout");
        s.suspect(242, 3, 1, "timeout");
        s.phase(900, "end");
        let trial = &s.measure().trials[0];
        assert_eq!(trial.detect_first, Some(ms(140)));
        assert_eq!(trial.detect_quorum, None);
    }

    #[test]
    fn nothing_counts_before_the_fault_or_after_its_heal() {
        let mut s = Stream::steady(3);
        s.suspect(99, 2, 1, "timeout");
        let fault = s.pause(100, 1);
        s.heal(200, fault);
        s.suspect(201, 2, 1, "timeout");
        s.phase(900, "end");
        assert_eq!(s.measure().trials[0].detect_first, None);
    }
}
