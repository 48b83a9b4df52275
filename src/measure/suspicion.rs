//! Suspicions that were wrong, faults that nobody noticed, and leaders that came and went.
//!
//! *Clean*: for the whole look-back before a suspicion, by the ledger, both nodes ran and nothing
//! was wrong with the links between them; a suspicion after a fault was asked is never false.
//! *Grey*: not clean only because a link lost a part or was slow. *Told*: the suspected node had
//! itself just given up its role, or the observer, and so closed the connection: no error of the
//! detector.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::history::NodeEventKind;
use crate::id::NodeId;

use super::Context;
use super::roles::{Activation, Roles, gives_up_leading};
use super::timeline::{Fault, Timeline};

/// A node gave up another one that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// Who suspected.
    pub observer: NodeId,
    /// Whom.
    pub of: NodeId,
    /// When.
    pub at: Nanos,
    /// How long until it was retracted; `None` if never.
    pub lasted: Option<Nanos>,
    /// A partial fault (loss, delay) was in force on a link of either.
    pub grey: bool,
    /// Another leader activated before it was retracted.
    pub changed_leader: bool,
}

/// All false suspicions, grey ones included, in the order of time.
pub(super) fn false_suspicions(
    timeline: &Timeline<'_>,
    roles: &Roles,
    context: &Context,
) -> Vec<Suspicion> {
    let mut latest: BTreeMap<(NodeId, NodeId), Nanos> = BTreeMap::new();
    let mut gave_up: BTreeMap<NodeId, Nanos> = BTreeMap::new();
    let mut found = Vec::new();
    for (time, node, what) in timeline.node_events() {
        if gives_up_leading(what) {
            gave_up.insert(node, time);
        }
        let (of, patience) = match what {
            NodeEventKind::Suspect {
                of,
                silence_ns,
                timeout_ns,
                ..
            } => (*of, Nanos(*silence_ns.max(timeout_ns))),
            NodeEventKind::Evict { of, .. } => (*of, Nanos::ZERO),
            _ => continue,
        };
        let from = time.since(patience.max(context.suspect_timeout));
        // Suspect and evict, or two suspicions in a row, are one change of mind.
        let repeated = latest
            .insert((node, of), time)
            .is_some_and(|before| before >= from);
        let told = gave_up.get(&of).is_some_and(|&given_up| given_up >= from)
            || latest
                .get(&(of, node))
                .is_some_and(|&accused| accused >= from);
        if repeated || told || roles.first_steady.is_none_or(|steady| from < steady) {
            continue;
        }
        if let Some(grey) = judge(timeline, (node, of), from, time) {
            let retracted = retracted(timeline, node, of, time);
            let until = retracted.unwrap_or(timeline.end);
            found.push(Suspicion {
                observer: node,
                of,
                at: time,
                lasted: retracted.map(|until| until.since(time)),
                grey,
                changed_leader: roles.activations_within(time, until).next().is_some(),
            });
        }
    }
    found
}

/// `None` if the suspicion is justified, else whether it is grey.
fn judge(
    timeline: &Timeline<'_>,
    (observer, of): (NodeId, NodeId),
    from: Nanos,
    to: Nanos,
) -> Option<bool> {
    if timeline.stood_still(of, from, to) || timeline.stood_still(observer, from, to) {
        return None;
    }
    let wrong = timeline
        .links
        .iter()
        .filter(|link| link.span.touches(from, to));
    let mut grey = false;
    for link in wrong {
        if link.total && link.joins(observer, of) {
            return None;
        }
        grey |= !link.total && (link.touches_node(observer) || link.touches_node(of));
    }
    Some(grey)
}

/// When the observer took the suspected node back.
fn retracted(
    timeline: &Timeline<'_>,
    observer: NodeId,
    suspected: NodeId,
    from: Nanos,
) -> Option<Nanos> {
    timeline
        .node_events_within(from, timeline.end)
        .find(|(_, node, what)| match what {
            NodeEventKind::Trust { of } | NodeEventKind::Rejoin { of } => {
                *node == observer && *of == suspected
            }
            NodeEventKind::Following { leader } => {
                (*node == observer && *leader == suspected)
                    || (*node == suspected && *leader == observer)
            }
            _ => false,
        })
        .map(|(time, ..)| time)
}

/// Whether a fault that outlasted every timeout was noticed by nobody. `None`: it did not last,
/// or nobody could notice.
pub(super) fn is_missed(
    fault: &Fault<'_>,
    detected: bool,
    possible: bool,
    context: &Context,
) -> Option<bool> {
    let lasted = fault.noticeable_until().since(fault.origin());
    let outlasts = lasted > context.suspect_timeout + context.suspect_slack;
    (possible && (detected || outlasts)).then_some(!detected)
}

/// Activations of new epochs after the first steady state.
pub(super) fn leader_changes(roles: &Roles) -> Vec<Activation> {
    let Some(steady) = roles.first_steady else {
        return Vec::new();
    };
    let mut highest = 0;
    let mut changes = Vec::new();
    for activation in &roles.activations {
        if activation.time > steady && activation.epoch > highest {
            changes.push(*activation);
        }
        highest = highest.max(activation.epoch);
    }
    changes
}

/// Pairs of changes within ten election timeouts with no fault asked or healed between them.
pub(super) fn flaps(
    changes: &[Activation],
    timeline: &Timeline<'_>,
    election_timeout: Nanos,
) -> usize {
    let quick = Nanos(10 * election_timeout.0);
    let fault_between = |from: Nanos, to: Nanos| {
        timeline.faults.iter().any(|fault| {
            [Some(fault.asked_at), fault.healed]
                .iter()
                .flatten()
                .any(|&time| from < time && time <= to)
        })
    };
    changes
        .windows(2)
        .filter(|pair| {
            let (first, second) = (pair[0].time, pair[1].time);
            second.since(first) < quick && !fault_between(first, second)
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::super::stream::{Stream, link, ms};
    use super::*;

    fn count(s: &Stream, name: &str) -> f64 {
        s.measure().metrics[name].samples[0]
    }

    #[test]
    fn suspecting_a_node_that_ran_on_clean_links_is_false() {
        let mut s = Stream::steady(3);
        s.suspect(3000, 2, 3, "timeout");
        s.node(3050, 2, NodeEventKind::Trust { of: NodeId(3) });
        s.phase(9000, "end");
        assert_eq!(count(&s, "false_suspicions"), 1.0);
        assert_eq!(count(&s, "false_suspicions.grey"), 0.0);
        let found = super::super::suspicions(s.events(), s.context());
        assert_eq!(found[0].lasted, Some(ms(50)));
        assert!(!found[0].changed_leader);
    }

    #[test]
    fn a_suspicion_after_the_asking_is_never_false_even_before_the_landing() {
        let mut s = Stream::steady(3);
        let fault = s.pause(3000, 1);
        s.suspect(3000, 2, 1, "timeout");
        s.heal(3500, fault);
        // The backlog of the pause: within the look-back of 1 s.
        s.suspect(4400, 3, 1, "timeout");
        s.suspect(6000, 3, 1, "timeout");
        s.phase(9000, "end");
        assert_eq!(count(&s, "false_suspicions"), 1.0);
    }

    #[test]
    fn what_a_node_suspects_after_it_slept_itself_is_not_false() {
        let mut s = Stream::steady(3);
        let fault = s.pause(3000, 3);
        s.heal(3500, fault);
        s.suspect(3501, 3, 1, "timeout");
        s.phase(9000, "end");
        assert_eq!(count(&s, "false_suspicions"), 0.0);
    }

    #[test]
    fn suspicions_under_loss_are_grey_and_counted_apart() {
        let mut s = Stream::steady(3);
        s.links(3000, vec![link("n1", "n2", false)], &[1, 2]);
        s.suspect(4000, 2, 1, "timeout");
        s.active(4100, 2, 2);
        s.phase(9000, "end");
        assert_eq!(count(&s, "false_suspicions"), 0.0);
        assert_eq!(count(&s, "false_suspicions.grey"), 1.0);
        assert!(super::super::suspicions(s.events(), s.context())[0].changed_leader);
    }

    #[test]
    fn suspect_and_evict_of_one_node_are_one_suspicion() {
        let mut s = Stream::steady(3);
        s.suspect(3000, 1, 3, "timeout");
        s.evict(3001, 1, 3);
        s.phase(9000, "end");
        assert_eq!(count(&s, "false_suspicions"), 1.0);
    }

    #[test]
    fn closing_the_connection_to_a_node_that_stepped_down_is_not_false() {
        let mut s = Stream::steady(3);
        s.step_down(2999, 1, 1);
        s.suspect(3000, 2, 1, "eof");
        s.phase(9000, "end");
        assert_eq!(count(&s, "false_suspicions"), 0.0);
    }

    #[test]
    fn of_two_nodes_that_part_only_the_first_suspicion_is_false() {
        let mut s = Stream::steady(3);
        s.suspect(3000, 2, 3, "timeout");
        s.suspect(3001, 3, 2, "eof");
        s.phase(9000, "end");
        assert_eq!(count(&s, "false_suspicions"), 1.0);
    }

    #[test]
    fn a_long_fault_that_nobody_suspects_is_missed_and_a_short_one_is_not() {
        let mut s = Stream::steady(3);
        let short = s.pause(1000, 3);
        s.heal(1200, short);
        let noticed = s.pause(2000, 3);
        s.suspect(2150, 1, 3, "timeout");
        s.heal(2200, noticed);
        s.phase(9000, "end");
        assert_eq!(count(&s, "missed"), 0.0);
        let long = s.pause(4000, 3);
        s.heal(8000, long);
        let measured = s.measure();
        assert_eq!(measured.metrics["missed"].samples, [1.0]);
        assert_eq!(measured.metrics["detect.first"].samples, [150e6, 4000e6]);
        assert_eq!(measured.metrics["detect.first"].censored, 1);
    }

    #[test]
    fn leader_changes_count_new_epochs_after_the_first_steady_state() {
        let mut s = Stream::steady(3);
        s.active(1000, 2, 2);
        s.active(9000, 2, 3);
        s.phase(9900, "end");
        assert_eq!(count(&s, "leader_changes"), 2.0);
        assert_eq!(count(&s, "flaps"), 0.0);
    }

    #[test]
    fn two_changes_in_quick_succession_are_a_flap_unless_a_fault_lies_between() {
        let mut s = Stream::steady(3);
        s.active(1000, 2, 2);
        s.active(1100, 3, 3);
        s.phase(9900, "end");
        assert_eq!(count(&s, "flaps"), 1.0);
        s.kill(1050, 2);
        assert_eq!(count(&s, "flaps"), 0.0);
    }
}
