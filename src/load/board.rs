//! What the load shows to others while it runs: counters that a step can wait for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::clock::Nanos;
use crate::history::{Operation, Outcome, ProbeOp};
use crate::id::NodeId;

/// Live counters; every change wakes those who wait.
#[derive(Debug)]
pub struct Board {
    changed: Notify,
    ok: AtomicU64,
    fail: AtomicU64,
    info: AtomicU64,
    in_flight: AtomicU32,
    /// The latest invocation among successful updates, plus one; 0 = none yet.
    served: AtomicU64,
    /// The id of the leader; 0 = not known.
    leader: AtomicU8,
    /// Good probes in a row, by node and op.
    good_probes: Vec<[AtomicU32; 2]>,
    /// The latest successful updates.
    updates: Mutex<VecDeque<Operation>>,
}

impl Board {
    /// An empty board for `nodes` nodes.
    #[must_use]
    pub fn new(nodes: u8) -> Self {
        Self {
            changed: Notify::new(),
            ok: AtomicU64::new(0),
            fail: AtomicU64::new(0),
            info: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            served: AtomicU64::new(0),
            leader: AtomicU8::new(0),
            good_probes: NodeId::all(nodes).map(|_| Default::default()).collect(),
            updates: Mutex::new(VecDeque::new()),
        }
    }

    /// Waits for the next change. Enable it before looking, so that no change is missed.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Completed operations: ok, fail, info.
    #[must_use]
    pub fn completed(&self) -> [u64; 3] {
        [&self.ok, &self.fail, &self.info].map(|count| count.load(Ordering::Relaxed))
    }

    /// Tells workers that follow the leader where it is.
    pub fn set_leader(&self, leader: Option<NodeId>) {
        self.leader
            .store(leader.map_or(0, |node| node.0), Ordering::Relaxed);
    }

    /// The leader, if it is known.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        let id = self.leader.load(Ordering::Relaxed);
        (id != 0).then_some(NodeId(id))
    }

    /// Operations in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether an update invoked after `time` has succeeded.
    #[must_use]
    pub fn served_since(&self, time: Nanos) -> bool {
        self.served.load(Ordering::Relaxed) > time.0.saturating_add(1)
    }

    /// Whether the last `count` probes of every kind were good, at this node. `kinds` tells which
    /// kinds are probed at all (read, write).
    #[must_use]
    pub fn probes_good(&self, node: NodeId, count: u32, kinds: [bool; 2]) -> bool {
        let Some(good) = self.good_probes.get(node.index()) else {
            return false;
        };
        good.iter()
            .zip(kinds)
            .all(|(good, probed)| !probed || good.load(Ordering::Relaxed) >= count)
    }

    pub(super) fn invoked(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Ok => &self.ok,
            Outcome::Fail => &self.fail,
            Outcome::Info => &self.info,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// The successful updates invoked since `time`, as far back as they are kept.
    #[must_use]
    pub fn updates_since(&self, time: Nanos) -> Vec<Operation> {
        let updates = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        updates
            .iter()
            .filter(|update| update.invoked >= time)
            .cloned()
            .collect()
    }

    pub(super) fn update_served(&self, update: Operation) {
        self.served
            .fetch_max(update.invoked.0.saturating_add(1), Ordering::Relaxed);
        let mut updates = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        if updates.len() == UPDATES_KEPT {
            updates.pop_front();
        }
        updates.push_back(update);
    }

    pub(super) fn probed(&self, node: NodeId, op: ProbeOp, good: bool) {
        let Some(counts) = self.good_probes.get(node.index()) else {
            return;
        };
        let count = &counts[op as usize];
        if good {
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            count.store(0, Ordering::Relaxed);
        }
        self.changed.notify_waiters();
    }
}

/// Enough for the longest trial at a usual rate; a report made afterwards knows them all.
const UPDATES_KEPT: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Action, KeyId, Value};
    use crate::id::ProcessId;

    fn update(invoked: Nanos) -> Operation {
        Operation {
            process: ProcessId(1),
            key: KeyId(0),
            action: Action::Write(Value(1)),
            invoked,
            completed: invoked + Nanos(1),
            outcome: Outcome::Ok,
            seen: None,
            intended: None,
            node: None,
            version: None,
            error: None,
        }
    }

    #[test]
    fn served_means_invoked_strictly_later() {
        let board = Board::new(1);
        assert!(!board.served_since(Nanos(0)));
        board.update_served(update(Nanos(5)));
        assert!(board.served_since(Nanos(4)));
        assert!(!board.served_since(Nanos(5)));
    }

    #[test]
    fn one_bad_probe_starts_the_count_again() {
        let board = Board::new(2);
        let node = NodeId(2);
        for _ in 0..3 {
            board.probed(node, ProbeOp::Read, true);
        }
        assert!(board.probes_good(node, 3, [true, false]));
        assert!(!board.probes_good(node, 3, [true, true]));
        board.probed(node, ProbeOp::Read, false);
        assert!(!board.probes_good(node, 1, [true, false]));
    }
}
