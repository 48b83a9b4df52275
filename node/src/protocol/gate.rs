//! What waits for the disk.
//!
//! Disk batches complete in the order in which they were issued. A *continuation* is what a role
//! may do or say once its batch is durable; it names the incarnation that issued it and is dropped
//! if the role has changed since. What concerns the log itself (how far it is durable, a snapshot
//! to restore) happens whatever the role.

use std::collections::VecDeque;

use super::blob::Blob;
use super::io::{DiskOp, Output};
use super::message::Body;
use super::zxid::{Nanos, Ticket, Zxid};

/// What a role does once its batch is durable.
#[derive(Debug, Clone)]
pub(super) enum Then {
    /// Follower: send this to the leader.
    Tell(Body),
    /// Follower: the history and epoch of the leader are durable.
    NewLeaderDurable(Zxid),
    /// Leader: the new epoch is promised by itself.
    EpochPromised,
    /// Leader: its own history and epoch are durable.
    HistoryDurable,
}

/// A continuation and the incarnation that it belongs to.
#[derive(Debug, Clone)]
pub(super) struct Continuation {
    pub(super) incarnation: u64,
    pub(super) then: Then,
}

#[derive(Debug)]
struct Batch {
    ticket: Ticket,
    /// The end of the log when this batch is done, less what later batches cut off.
    end: Zxid,
    issued: Nanos,
    restore: Option<(Zxid, Blob)>,
    then: Vec<Continuation>,
}

/// What came due with a completion.
#[derive(Debug, Default)]
pub(super) struct Completion {
    pub(super) restore: Option<(Zxid, Blob)>,
    pub(super) then: Vec<Continuation>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    last_ticket: u64,
    batches: VecDeque<Batch>,
    durable: Zxid,
}

impl Gate {
    /// A disk that holds the log up to `durable`.
    pub(super) const fn new(durable: Zxid) -> Self {
        Self {
            last_ticket: 0,
            batches: VecDeque::new(),
            durable,
        }
    }

    /// Issues a batch after which the log ends with `end`.
    pub(super) fn issue(&mut self, now: Nanos, ops: Vec<DiskOp>, end: Zxid) -> Output {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let mut restore = None;
        for op in &ops {
            match op {
                DiskOp::Truncate { after } => self.cap(*after),
                DiskOp::InstallSnapshot { zxid, bytes, .. } => {
                    // Nothing of the old log counts any more, and until this is done the new one
                    // is not there either.
                    self.cap(Zxid::ZERO);
                    restore = Some((*zxid, bytes.clone()));
                }
                DiskOp::Append(_) | DiskOp::SetMeta { .. } => {}
            }
        }
        self.batches.push_back(Batch {
            ticket,
            end,
            issued: now,
            restore,
            then: Vec::new(),
        });
        Output::Disk { ticket, ops }
    }

    /// Holds `continuation` until everything issued so far is durable. Gives it back if it is.
    #[must_use]
    pub(super) fn hold(&mut self, continuation: Continuation) -> Option<Continuation> {
        match self.batches.back_mut() {
            Some(batch) => {
                batch.then.push(continuation);
                None
            }
            None => Some(continuation),
        }
    }

    /// Takes note that `ticket` and all earlier ones are durable.
    pub(super) fn done(&mut self, ticket: Ticket) -> Completion {
        let mut completion = Completion::default();
        while self
            .batches
            .front()
            .is_some_and(|batch| batch.ticket <= ticket)
        {
            let Some(batch) = self.batches.pop_front() else {
                break;
            };
            self.durable = batch.end;
            completion.restore = batch.restore.or(completion.restore);
            completion.then.extend(batch.then);
        }
        completion
    }

    /// The node itself stood still for `late`: no batch is to blame for that.
    pub(super) fn forgive(&mut self, late: Nanos) {
        for batch in &mut self.batches {
            batch.issued = batch.issued.after(late);
        }
    }

    /// The last transaction that is durable in the log.
    pub(super) const fn durable(&self) -> Zxid {
        self.durable
    }

    /// When the oldest unfinished batch was issued.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        self.batches.front().map(|batch| batch.issued)
    }

    fn cap(&mut self, end: Zxid) {
        self.durable = self.durable.min(end);
        for batch in &mut self.batches {
            batch.end = batch.end.min(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = Nanos::ZERO;

    fn append() -> Vec<DiskOp> {
        vec![DiskOp::Append(Vec::new())]
    }

    fn told(incarnation: u64) -> Continuation {
        Continuation {
            incarnation,
            then: Then::EpochPromised,
        }
    }

    #[test]
    fn a_continuation_waits_for_everything_issued_before_it() {
        let mut gate = Gate::new(Zxid::ZERO);
        assert!(gate.hold(told(1)).is_some(), "nothing to wait for");
        gate.issue(NOW, append(), Zxid::new(1, 1));
        gate.issue(NOW, append(), Zxid::new(1, 2));
        assert!(gate.hold(told(1)).is_none());
        assert!(gate.done(Ticket(1)).then.is_empty());
        assert_eq!(gate.durable(), Zxid::new(1, 1));
        assert_eq!(gate.done(Ticket(2)).then.len(), 1);
        assert_eq!(gate.durable(), Zxid::new(1, 2));
    }

    #[test]
    fn one_report_completes_all_earlier_batches() {
        let mut gate = Gate::new(Zxid::ZERO);
        for counter in 1..=3 {
            gate.issue(NOW, append(), Zxid::new(1, counter));
            assert!(gate.hold(told(1)).is_none());
        }
        assert_eq!(gate.done(Ticket(3)).then.len(), 3);
        assert_eq!(gate.oldest(), None);
    }

    #[test]
    fn what_is_cut_off_is_never_reported_durable() {
        let mut gate = Gate::new(Zxid::new(1, 1));
        gate.issue(NOW, append(), Zxid::new(1, 9));
        gate.issue(
            NOW,
            vec![DiskOp::Truncate {
                after: Zxid::new(1, 4),
            }],
            Zxid::new(1, 4),
        );
        gate.done(Ticket(1));
        assert_eq!(gate.durable(), Zxid::new(1, 4));
    }

    #[test]
    fn an_installed_snapshot_counts_only_when_it_is_durable() {
        let mut gate = Gate::new(Zxid::new(1, 7));
        let (zxid, bytes) = (Zxid::new(2, 3), Blob::from(&[1u8]));
        let install = DiskOp::InstallSnapshot {
            zxid,
            bytes,
            entries: Vec::new(),
        };
        gate.issue(NOW, vec![install], zxid);
        assert_eq!(gate.durable(), Zxid::ZERO);
        assert_eq!(
            gate.done(Ticket(1)).restore,
            Some((zxid, Blob::from(&[1u8])))
        );
        assert_eq!(gate.durable(), zxid);
    }
}
