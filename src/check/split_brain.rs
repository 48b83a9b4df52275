//! Split brain: writes acknowledged by an older epoch that a newer epoch does not have.
//!
//! Which writes are missing is for [`super::lost_writes`] to say; here each is given the epoch
//! that acknowledged it: the one in which the node that was asked last said it was active or
//! synchronised. A lost write of an epoch older than the newest is a split-brain write; one of the
//! newest epoch was lost in another way.

use std::collections::BTreeMap;

use super::durability::Durability;
use super::{CheckResult, Class};
use crate::clock::Nanos;
use crate::history::{Event, EventKind, History, NodeEventKind};
use crate::id::NodeId;
use crate::verdict::Verdict;

/// What became of writes of older epochs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitBrain {
    /// Pass: no lost write is of an older epoch, and losses were decidable. Unknown: they were
    /// not, or no node told its epochs, or a lost write belongs to no known epoch.
    pub verdict: Verdict,
    /// Lost writes of older epochs, as indices into `History::operations`.
    pub writes: Vec<usize>,
    /// Why it is unknown; empty otherwise.
    pub reason: String,
}

/// Since when each node was in which epoch.
type Epochs = BTreeMap<NodeId, Vec<(Nanos, u64)>>;

/// Finds the split-brain writes among the lost ones.
#[must_use]
pub fn split_brain_writes(
    history: &History,
    events: &[Event],
    durability: &Durability,
) -> SplitBrain {
    let epochs = epochs(events);
    let newest = epochs.values().flatten().map(|(_, epoch)| *epoch).max();
    let mut writes = Vec::new();
    let mut unplaced = 0;
    for lost in &durability.lost {
        let operation = &history.operations[lost.operation];
        let of_node = operation.node.and_then(|node| epochs.get(&node));
        let before = of_node.and_then(|list| {
            let after = list.partition_point(|(since, _)| *since <= operation.completed);
            Some(list[after.checked_sub(1)?].1)
        });
        match before {
            Some(epoch) if Some(epoch) < newest => writes.push(lost.operation),
            Some(_) => {}
            None => unplaced += 1,
        }
    }
    let reason = if !writes.is_empty() {
        String::new()
    } else if newest.is_none() {
        "no node told its epochs".to_owned()
    } else if durability.verdict == Verdict::Unknown {
        durability.reason.clone()
    } else if unplaced > 0 {
        format!("the epoch of {unplaced} lost writes is not known")
    } else {
        String::new()
    };
    let verdict = match (writes.is_empty(), reason.is_empty()) {
        (false, _) => Verdict::Fail,
        (true, true) => Verdict::Pass,
        (true, false) => Verdict::Unknown,
    };
    SplitBrain {
        verdict,
        writes,
        reason,
    }
}

impl SplitBrain {
    /// As a line of the report.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        CheckResult {
            name: "split_brain_writes".to_owned(),
            class: Class::Safety,
            verdict: self.verdict,
            limit: "0".to_owned(),
            measured: self.writes.len().to_string(),
            reason: match self.writes.len() {
                0 => self.reason.clone(),
                n => format!("{n} writes acknowledged by an older epoch are not in the newest"),
            },
        }
    }
}

fn epochs(events: &[Event]) -> Epochs {
    let mut epochs = Epochs::new();
    for event in events {
        let EventKind::Node(report) = &event.kind else {
            continue;
        };
        let (NodeEventKind::Active { epoch, .. } | NodeEventKind::Synced { epoch, .. }) =
            &report.what
        else {
            continue;
        };
        epochs
            .entry(report.node)
            .or_default()
            .push((event.time, *epoch));
    }
    for list in epochs.values_mut() {
        list.sort_by_key(|(since, _)| *since);
    }
    epochs
}

#[cfg(test)]
mod tests {
    use super::super::lost_writes;
    use super::super::testing::{final_state, ok};
    use super::*;
    use crate::history::{Action, NodeEvent, Value};

    fn active(node: u8, time: u64, epoch: u64) -> Event {
        Event {
            time: Nanos(time),
            kind: EventKind::Node(NodeEvent {
                node: NodeId(node),
                what: NodeEventKind::Active { epoch, zxid: 0 },
            }),
        }
    }

    fn judge(asked: Option<NodeId>, events: &[Event], last: i64) -> SplitBrain {
        let mut lost = ok(Action::Write(Value(2)), 20, 30, None);
        lost.node = asked;
        let history = History {
            keys: vec!["k1".to_owned()],
            errors: vec![],
            values: crate::history::Values::default(),
            operations: vec![ok(Action::Write(Value(1)), 5, 9, None), lost],
        };
        let states = (1..=3).map(|node| final_state(node, "k1", last, None));
        let events: Vec<Event> = events.iter().cloned().chain(states).collect();
        split_brain_writes(&history, &events, &lost_writes(&history, &events, 3))
    }

    #[test]
    fn a_lost_write_of_a_deposed_leader_is_a_split_brain_write() {
        let events = [active(1, 1, 1), active(2, 15, 2)];
        let found = judge(Some(NodeId(1)), &events, 1);
        assert_eq!((found.verdict, found.writes), (Verdict::Fail, vec![1]));
    }

    #[test]
    fn a_lost_write_of_the_newest_epoch_is_not() {
        let events = [active(1, 1, 1), active(2, 15, 2)];
        let found = judge(Some(NodeId(2)), &events, 1);
        assert_eq!((found.verdict, found.writes), (Verdict::Pass, vec![]));
    }

    #[test]
    fn without_epochs_or_the_node_asked_it_is_unknown() {
        assert_eq!(judge(Some(NodeId(1)), &[], 1).verdict, Verdict::Unknown);
        let events = [active(1, 1, 1), active(2, 15, 2)];
        assert_eq!(judge(None, &events, 1).verdict, Verdict::Unknown);
        assert_eq!(judge(None, &events, 2).verdict, Verdict::Pass);
    }
}
