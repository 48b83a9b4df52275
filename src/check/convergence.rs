//! Convergence: after healing, all nodes hold the same.

use std::collections::BTreeSet;

use super::final_state::{FinalState, FinalStates};
use super::{CheckResult, Class};
use crate::history::Event;
use crate::id::NodeId;
use crate::verdict::Verdict;

/// Whether the final states of the nodes agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convergence {
    /// Pass: all agree. Fail: two differ in their registers or digests. Unknown: a node gave no
    /// state, or states were read at different points of the history.
    pub verdict: Verdict,
    /// Nodes that gave a final state.
    pub nodes: usize,
    /// The difference or what is missing; empty when passed.
    pub reason: String,
}

/// Compares the final states of the nodes `1..=nodes`.
#[must_use]
pub fn converged(events: &[Event], nodes: u8) -> Convergence {
    let states = FinalStates::of(events);
    let missing = states.missing(nodes);
    let mut all = states.nodes.iter();
    let first = all.next();
    let rest: Vec<_> = all.collect();
    let compare = |verdict: fn(&FinalState<'_>, &FinalState<'_>) -> Option<String>| {
        rest.iter().find_map(|(node, state)| {
            let (reference, expected) = first?;
            Some(format!(
                "{reference} and {node} {}",
                verdict(expected, state)?
            ))
        })
    };
    let (verdict, reason) = if let Some(difference) = compare(difference) {
        (Verdict::Fail, difference)
    } else if !missing.is_empty() || nodes == 0 {
        (Verdict::Unknown, missing_text(&missing))
    } else if let Some(lag) = compare(lag) {
        (Verdict::Unknown, lag)
    } else {
        (Verdict::Pass, String::new())
    };
    Convergence {
        verdict,
        nodes: states.nodes.len(),
        reason,
    }
}

impl Convergence {
    /// As a line of the report.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        CheckResult {
            name: "converged".to_owned(),
            class: Class::Safety,
            verdict: self.verdict,
            limit: String::new(),
            measured: format!("{} final states", self.nodes),
            reason: self.reason.clone(),
        }
    }
}

/// How two states differ in what they hold. Behind by a few transactions is also a difference:
/// who asks does so after the cluster had time to settle.
fn difference(one: &FinalState<'_>, other: &FinalState<'_>) -> Option<String> {
    let names: BTreeSet<&str> = one.keys.keys().chain(other.keys.keys()).copied().collect();
    let key = (names.into_iter()).find(|name| one.register(name) != other.register(name));
    if let Some(key) = key {
        let (a, b) = (one.register(key), other.register(key));
        return Some(format!("differ on {key}: {a} and {b}"));
    }
    match (one.digest, other.digest) {
        (Some(a), Some(b)) if a != b && one.zxid == other.zxid => Some(format!(
            "have equal registers but different digests: {a} and {b}"
        )),
        _ => None,
    }
}

/// How two states that hold the same registers are still no proof of agreement.
fn lag(one: &FinalState<'_>, other: &FinalState<'_>) -> Option<String> {
    let (a, b) = (one.zxid, other.zxid);
    (a != b)
        .then(|| format!("were read at different points of the history: zxid {a:#x} and {b:#x}"))
}

/// `no final state of n2, n3`.
pub(super) fn missing_text(missing: &[NodeId]) -> String {
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    match names.is_empty() {
        true => "no node was asked for its final state".to_owned(),
        false => format!("no final state of {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;
    use crate::history::{EventKind, FinalKey};

    fn state(node: u8, zxid: u64, digest: &str, value: Option<i64>) -> Event {
        Event {
            time: Nanos(1),
            kind: EventKind::FinalState {
                node: NodeId(node),
                zxid,
                digest: (!digest.is_empty()).then(|| digest.to_owned()),
                keys: vec![FinalKey {
                    key: "k1".to_owned(),
                    value,
                    version: Some(3),
                }],
            },
        }
    }

    fn verdict(events: &[Event]) -> (Verdict, String) {
        let found = converged(events, 2);
        (found.verdict, found.reason)
    }

    #[test]
    fn equal_states_pass() {
        let events = [state(1, 7, "a", Some(5)), state(2, 7, "a", Some(5))];
        assert_eq!(verdict(&events), (Verdict::Pass, String::new()));
    }

    #[test]
    fn a_register_that_differs_fails_and_is_named() {
        let events = [state(1, 7, "a", Some(5)), state(2, 6, "b", None)];
        let reason = "n1 and n2 differ on k1: 5 (version 3) and nil (version 3)";
        assert_eq!(verdict(&events), (Verdict::Fail, reason.to_owned()));
    }

    #[test]
    fn a_hidden_difference_shows_in_the_digest() {
        let events = [state(1, 7, "a", Some(5)), state(2, 7, "b", Some(5))];
        assert_eq!(verdict(&events).0, Verdict::Fail);
    }

    #[test]
    fn a_missing_node_leaves_it_unknown_but_does_not_hide_a_difference() {
        let one = [state(1, 7, "a", Some(5))];
        let missing = "no final state of n2".to_owned();
        assert_eq!(verdict(&one), (Verdict::Unknown, missing));
        assert_eq!(converged(&[], 0).verdict, Verdict::Unknown);
        let two = [state(1, 7, "", Some(5)), state(2, 7, "", Some(6))];
        assert_eq!(converged(&two, 3).verdict, Verdict::Fail);
    }

    #[test]
    fn equal_registers_at_different_zxids_are_unknown() {
        let events = [state(1, 7, "a", Some(5)), state(2, 8, "b", Some(5))];
        assert_eq!(verdict(&events).0, Verdict::Unknown);
    }
}
