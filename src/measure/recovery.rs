//! From the first detection to the first write: the phases of a failover.
//!
//! *Winner*: the leader whose epoch first commits a client write after the fault, that is, the
//! last activation at or before the completion of that write. Invariant: if `reroute` is known,
//! then detect.first + elect + sync.leader + reroute = recover.first, to the nanosecond.

use std::collections::BTreeSet;

use crate::clock::Nanos;
use crate::history::{Event, EventKind, History, NodeEventKind, ProbeOp};
use crate::id::NodeId;

use super::roles::{Activation, Roles};
use super::timeline::{Fault, Timeline};

/// The phases of one failover, as lengths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Phases {
    pub(super) winner: Option<NodeId>,
    pub(super) elect: Option<Nanos>,
    pub(super) rounds: Option<u32>,
    pub(super) split: bool,
    pub(super) sync_leader: Option<Nanos>,
    pub(super) reroute: Option<Nanos>,
}

/// The first successful write of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstWrite {
    /// Completed then.
    At(Nanos),
    /// Writes were tried, but none succeeded within the window.
    None,
    /// Nobody tried.
    NotTried,
}

/// When the first successful write invoked after the fault was answered.
///
/// Writes of clients count; the probes' stand in only where clients never write. An answer that
/// the victim of a process fault gave before it was brought down is not a recovery: if the leader
/// was replaced, the write must be answered after its successor may commit, else after the fault
/// landed. A successor counts up to `patience` after the heal, for an election may be under way.
pub(super) fn first_write(
    history: &History,
    timeline: &Timeline<'_>,
    roles: &Roles,
    fault: &Fault<'_>,
    leader: Option<NodeId>,
    patience: Nanos,
) -> FirstWrite {
    let origin = fault.origin();
    let served_from = if fault.is_process() && leader.is_some() {
        let until = (fault.noticeable_until() + patience).min(fault.end);
        let successor = roles
            .activations_within(origin, until)
            .find(|activation| Some(activation.node) != leader);
        successor.map_or_else(
            || fault.landed.unwrap_or(origin),
            |activation| activation.time,
        )
    } else {
        origin
    };
    let has_writers = history
        .operations
        .iter()
        .any(|operation| operation.action.is_update() && timeline.load.contains(operation.invoked));
    let window = (origin, fault.end, served_from);
    if has_writers {
        first_client_write(history, window)
    } else {
        first_probe_write(&timeline.events, window)
    }
}

fn first_client_write(
    history: &History,
    (origin, end, served_from): (Nanos, Nanos, Nanos),
) -> FirstWrite {
    let from = history
        .operations
        .partition_point(|operation| operation.invoked < origin);
    let mut best = None;
    let mut tried = false;
    for operation in &history.operations[from..] {
        let bound = best.unwrap_or(end);
        if operation.invoked > bound {
            break;
        }
        tried |= operation.action.is_update();
        if operation.is_acknowledged_update()
            && operation.completed >= served_from
            && operation.completed <= bound
        {
            best = Some(operation.completed);
        }
    }
    conclude(best, tried)
}

fn first_probe_write(
    events: &[&Event],
    (origin, end, served_from): (Nanos, Nanos, Nanos),
) -> FirstWrite {
    let mut tried = false;
    // Probes are recorded at their completion, and events are in the order of time.
    let best = events.iter().find_map(|event| match &event.kind {
        EventKind::Probe(probe) if probe.op == ProbeOp::Write && probe.started >= origin => {
            tried |= probe.started <= end;
            (probe.ok && event.time >= served_from && event.time <= end).then_some(event.time)
        }
        _ => None,
    });
    conclude(best, tried)
}

fn conclude(best: Option<Nanos>, tried: bool) -> FirstWrite {
    match (best, tried) {
        (Some(time), _) => FirstWrite::At(time),
        (None, true) => FirstWrite::None,
        (None, false) => FirstWrite::NotTried,
    }
}

/// Takes a failover apart.
///
/// Three cases: the write was committed by a new leader (all phases); it was still committed by
/// the old one, or none succeeded, and a new leader came later (no `reroute`); nobody came.
pub(super) fn phases(
    timeline: &Timeline<'_>,
    roles: &Roles,
    fault: &Fault<'_>,
    detected: Option<Nanos>,
    written: FirstWrite,
) -> Phases {
    let origin = fault.origin();
    let old = roles.leader_before(origin);
    let is_new = |activation: &Activation| {
        old.is_none_or(|old| activation.node != old.node || activation.epoch > old.epoch)
    };
    let by_new_leader = match written {
        FirstWrite::At(time) => roles.activations_within(origin, time).rfind(is_new),
        FirstWrite::None | FirstWrite::NotTried => None,
    };
    let activation =
        by_new_leader.or_else(|| roles.activations_within(origin, fault.end).find(is_new));
    let Some(detected) = detected else {
        return Phases {
            winner: activation.map(|activation| activation.node),
            ..Phases::default()
        };
    };
    let Some(elected) = elected(timeline, detected, activation, fault) else {
        return Phases {
            winner: activation.map(|activation| activation.node),
            ..Phases::default()
        };
    };
    let (rounds, split) = rounds(timeline, detected, elected, fault);
    let sync_leader = activation.map(|activation| activation.time.since(elected));
    let reroute = match (written, by_new_leader) {
        (FirstWrite::At(time), Some(activation)) => Some(time.since(activation.time)),
        _ => None,
    };
    Phases {
        winner: activation.map(|activation| activation.node),
        elect: Some(elected.since(detected)),
        rounds,
        split,
        sync_leader,
        reroute,
    }
}

/// When the winner (or, before there is one, the last to win an election) learned that it won.
fn elected(
    timeline: &Timeline<'_>,
    detected: Nanos,
    activation: Option<Activation>,
    fault: &Fault<'_>,
) -> Option<Nanos> {
    let until = activation.map_or(fault.end, |activation| activation.time);
    timeline
        .node_events_within(detected, until)
        .filter(|(_, node, what)| {
            matches!(what, NodeEventKind::Elected { .. })
                && activation.is_none_or(|activation| activation.node == *node)
        })
        .map(|(time, ..)| time)
        .last()
}

/// How often the most persistent candidate stood between the fault and the decision, and whether
/// more than one stood.
fn rounds(
    timeline: &Timeline<'_>,
    detected: Nanos,
    elected: Nanos,
    fault: &Fault<'_>,
) -> (Option<u32>, bool) {
    let candidacies: Vec<NodeId> = timeline
        .node_events_within(detected, elected)
        .filter(|(_, node, what)| {
            matches!(what, NodeEventKind::Candidate { .. }) && !fault.victims.contains(node)
        })
        .map(|(_, node, _)| node)
        .collect();
    let candidates: BTreeSet<NodeId> = candidacies.iter().copied().collect();
    let rounds = candidates
        .iter()
        .map(|candidate| candidacies.iter().filter(|&node| node == candidate).count())
        .max();
    (
        rounds.and_then(|rounds| u32::try_from(rounds).ok()),
        candidates.len() > 1,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::{Measurements, TrialMeasure};
    use super::super::stream::{Stream, link, ms};
    use super::*;
    use crate::history::{Outcome, TrialOutcome};

    /// Kill at 1000, detected 1002, elected 1044, active 1063, first write 1074.
    fn failover() -> Stream {
        let mut s = Stream::steady(3);
        s.writes(40, 1000, 4);
        s.trial_begin(900, 1);
        s.kill(1000, 1);
        s.suspect(1002, 2, 1, "eof");
        s.suspect(1003, 3, 1, "eof");
        s.candidate(1010, 2, 1);
        s.candidate(1030, 2, 2);
        s.elected(1044, 2, 2);
        s.active(1063, 2, 2);
        s.synced(1066, 3, 2, 2);
        s.write(1001, 1500, Outcome::Info);
        s.write(1070, 1074, Outcome::Ok);
        s
    }

    fn finish(mut s: Stream) -> Measurements {
        s.phase(3000, "end");
        s.measure()
    }

    fn assert_identity(trial: &TrialMeasure) {
        let sum = [
            trial.detect_first,
            trial.elect,
            trial.sync_leader,
            trial.reroute,
        ]
        .into_iter()
        .fold(Nanos::ZERO, |sum, phase| sum + phase.unwrap());
        assert_eq!(Some(sum), trial.recover_first);
    }

    #[test]
    fn a_leader_kill_comes_apart_into_phases_that_sum_up_to_the_first_write() {
        let measured = finish(failover());
        let trial = &measured.trials[0];
        assert_eq!(trial.winner, Some(NodeId(2)));
        assert_eq!(trial.detect_first, Some(ms(2)));
        assert_eq!(trial.elect, Some(ms(42)));
        assert_eq!(trial.elect_rounds, Some(2));
        assert!(!trial.elect_split);
        assert_eq!(trial.sync_leader, Some(ms(19)));
        assert_eq!(trial.reroute, Some(ms(11)));
        assert_eq!(trial.recover_first, Some(ms(74)));
        assert_identity(trial);
        assert_eq!(measured.metrics["recover.first"].samples, [74e6]);
        assert_eq!(measured.metrics["recover.first"].censored, 0);
    }

    #[test]
    fn a_write_that_the_victim_answered_while_it_died_is_no_recovery() {
        let mut s = failover();
        s.write(1000, 1002, Outcome::Ok);
        let trial = &finish(s).trials[0];
        assert_eq!(trial.recover_first, Some(ms(74)));
        assert_identity(trial);
    }

    #[test]
    fn events_out_of_order_in_the_stream_are_sorted_by_their_own_time() {
        let straight = finish(failover());
        let mut s = failover();
        s.phase(3000, "end");
        let mut events = s.events().to_vec();
        events.reverse();
        let mixed = super::super::measure(s.history(), &events, s.context());
        assert_eq!(mixed.trials[0].elect, straight.trials[0].elect);
    }

    #[test]
    fn a_successor_after_a_short_pause_is_waited_for() {
        let mut s = Stream::steady(3);
        let fault = s.pause(1000, 1);
        s.suspect(1125, 2, 1, "timeout");
        s.heal(1130, fault);
        s.elected(1140, 2, 1);
        s.active(1150, 2, 2);
        s.write(1000, 1002, Outcome::Ok);
        s.write(1001, 1160, Outcome::Ok);
        let trial = &finish(s).trials[0];
        assert_eq!(trial.recover_first, Some(ms(160)));
        assert_identity(trial);
    }

    #[test]
    fn two_candidates_in_the_deciding_time_are_a_split_vote() {
        let mut s = failover();
        s.candidate(1012, 3, 1);
        let measured = finish(s);
        assert!(measured.trials[0].elect_split);
        assert_eq!(measured.metrics["elect.split"].samples, [1.0]);
    }

    #[test]
    fn the_winner_is_the_last_activation_before_the_write_not_the_first() {
        let mut s = Stream::steady(3);
        s.kill(1000, 1);
        s.suspect(1002, 2, 1, "eof");
        s.elected(1010, 2, 1);
        s.active(1020, 2, 2);
        s.looking(1025, 2, "quorum_lost");
        s.elected(1040, 3, 2);
        s.active(1050, 3, 3);
        s.write(1001, 1060, Outcome::Ok);
        let trial = &finish(s).trials[0];
        assert_eq!(trial.winner, Some(NodeId(3)));
        assert_eq!(trial.elect, Some(ms(38)));
        assert_identity(trial);
    }

    #[test]
    fn a_trial_that_never_recovers_is_censored_at_its_end_and_kept() {
        let mut s = Stream::steady(3);
        s.writes(40, 1000, 4);
        s.trial_begin(900, 1);
        s.kill(1000, 1);
        s.suspect(1002, 2, 1, "eof");
        s.write(1001, 2001, Outcome::Info);
        s.trial_end(2500, 1, TrialOutcome::Censored);
        let measured = finish(s);
        assert_eq!(measured.trials[0].recover_first, None);
        for (name, at_least) in [("recover.first", 1500e6), ("elect", 1498e6)] {
            let metric = &measured.metrics[name];
            assert_eq!(
                (metric.samples.as_slice(), metric.censored),
                ([at_least].as_slice(), 1)
            );
        }
        assert!(!measured.metrics.contains_key("reroute"));
    }

    #[test]
    fn a_write_that_the_old_leader_still_serves_leaves_no_reroute_but_the_later_election() {
        let mut s = Stream::steady(3);
        s.writes(40, 1100, 4);
        s.links(
            1000,
            vec![link("n2", "n1", true), link("n3", "n1", true)],
            &[1],
        );
        s.suspect(1200, 2, 1, "ack_lag");
        s.elected(1230, 2, 1);
        s.active(1240, 2, 2);
        let trial = &finish(s).trials[0];
        assert_eq!(trial.recover_first, Some(ms(3)));
        assert_eq!(trial.elect, Some(ms(30)));
        assert_eq!(trial.sync_leader, Some(ms(10)));
        assert_eq!(trial.reroute, None);
    }

    #[test]
    fn a_fault_that_did_not_land_has_no_measures() {
        let mut s = Stream::steady(3);
        s.kill_that_misses(1000, 1);
        s.write(1001, 1002, Outcome::Ok);
        let measured = finish(s);
        assert_eq!(measured.trials[0].landed, None);
        assert_eq!(measured.trials[0].recover_first, None);
        assert!(!measured.metrics.contains_key("recover.first"));
    }

    #[test]
    fn without_any_write_there_is_nothing_to_recover() {
        let mut s = Stream::steady(3);
        s.kill(1000, 1);
        assert!(!finish(s).metrics.contains_key("recover.first"));
    }

    #[test]
    fn probes_stand_in_where_clients_never_write() {
        let mut s = Stream::steady(3);
        s.kill(1000, 1);
        s.probe(2, 1005, 300, false);
        s.probe(2, 1040, 20, true);
        assert_eq!(finish(s).trials[0].recover_first, Some(ms(60)));
    }

    #[test]
    fn the_second_of_two_overlapping_faults_ends_the_window_of_the_first() {
        let mut s = Stream::steady(5);
        s.writes(40, 1000, 4);
        s.kill(1000, 2);
        s.write(1001, 1100, Outcome::Ok);
        s.kill(1050, 3);
        s.write(1060, 1110, Outcome::Ok);
        let measured = finish(s);
        assert_eq!(measured.trials[0].recover_first, None);
        assert_eq!(measured.trials[1].recover_first, Some(ms(60)));
        assert_eq!(measured.metrics["recover.first"].censored, 1);
    }

    proptest! {
        #[test]
        fn whenever_reroute_is_known_the_phases_sum_up(
            gaps in prop::collection::vec(1u64..40, 4),
            served_early in any::<bool>(),
            one_way in any::<bool>(),
        ) {
            let mut s = Stream::steady(3);
            if one_way {
                s.links(1000, vec![link("n2", "n1", true), link("n3", "n1", true)], &[1]);
            } else {
                s.kill(1000, 1);
            }
            let mut at = 1002;
            at += gaps[0];
            s.suspect(at, 2, 1, "eof");
            at += gaps[1];
            s.elected(at, 2, 1);
            at += gaps[2];
            s.active(at, 2, 2);
            at += gaps[3];
            s.write(1003, at, Outcome::Ok);
            if served_early {
                s.write(1002, 1003, Outcome::Ok);
            }
            let trial = &finish(s).trials[0];
            prop_assert!(trial.recover_first.is_some());
            if trial.reroute.is_some() {
                assert_identity(trial);
            } else {
                prop_assert!(served_early && one_way);
            }
        }
    }
}
