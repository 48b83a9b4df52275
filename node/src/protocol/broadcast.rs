//! Proposing, acknowledging, committing (Zab phase 3), and who takes part in it.
//!
//! Everything travels on one ordered stream per follower, so acknowledgements and commits are
//! cumulative. A transaction is committed when a quorum has it durably; the leader counts itself
//! like any other. Only transactions of the leader's own epoch are counted; the history that it
//! began with was committed as a whole when it was established.

use crate::bug::Bug;

use super::discovery::EpochAnswer;
use super::io::{Output, RejectReason, TraceEvent};
use super::machine::Core;
use super::message::{Body, Entry, MAX_PAYLOAD, MAX_TRANSACTIONS, Payload};
use super::quorum::reached_by;
use super::role::{FollowerStage, LeaderStage, Progress, Role};
use super::zxid::{COUNTER_LIMIT, Nanos, Sid, Zxid};

/// How many requests of one node's clients may be under way.
pub(super) const MAX_REQUESTS: usize = 20_000;

/// A follower that acknowledges nothing new for that long while something waits is evicted.
const ACK_PATIENCE: Nanos = Nanos::from_millis(1000);

/// The same while it receives and writes down a history, perhaps a snapshot.
const SYNC_PATIENCE: Nanos = Nanos::from_millis(10_000);

impl Core {
    pub(super) fn on_propose(&mut self, request: u64, payload: Payload) {
        let refusal = if payload.len() > MAX_PAYLOAD {
            Some(RejectReason::TooLarge)
        } else if !self.serving {
            Some(RejectReason::NotServing)
        } else if self.writes.len() >= MAX_REQUESTS {
            Some(RejectReason::Busy)
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.out.push(Output::Rejected { request, reason });
            return;
        }
        self.writes.insert(request);
        if matches!(self.role, Role::Following(_)) {
            self.tell_leader(Body::Request { request, payload });
        } else if !self.propose(self.me, request, payload) && self.writes.remove(&request) {
            self.out.push(Output::Rejected {
                request,
                reason: RejectReason::Busy,
            });
        }
    }

    /// Leader: dispatches what a follower says in order.
    pub(super) fn on_follower_message(&mut self, from: Sid, body: Body) {
        match body {
            Body::AckEpoch {
                promised,
                standing,
                epoch_ends,
            } => {
                self.on_ack_epoch(
                    from,
                    EpochAnswer {
                        promised,
                        standing,
                        epoch_ends,
                    },
                );
            }
            Body::AckNewLeader { zxid } => self.on_ack_new_leader(from, zxid),
            Body::Ack { zxid } => self.on_ack(from, zxid),
            Body::Request { request, payload } => {
                if !self.propose(from, request, payload) {
                    self.tell_follower(from, Body::RequestRefused { request });
                }
            }
            Body::ReadIndex { request } => self.register_read(from, request),
            Body::FollowerInfo { .. }
            | Body::NewEpoch { .. }
            | Body::Truncate { .. }
            | Body::SnapshotChunk { .. }
            | Body::SyncEntries { .. }
            | Body::NewLeader { .. }
            | Body::UpToDate { .. }
            | Body::Proposal { .. }
            | Body::Commit { .. }
            | Body::RequestRefused { .. }
            | Body::ReadIndexReply { .. } => {}
        }
    }

    /// Leader: gives the request its place in the history. Tells whether it did.
    fn propose(&mut self, origin: Sid, request: u64, payload: Payload) -> bool {
        let Role::Leading(leading) = &self.role else {
            return false;
        };
        let outstanding = self.log.count_after(self.committed.max(self.log.base()));
        if leading.stage != LeaderStage::Established || outstanding >= MAX_TRANSACTIONS {
            return false;
        }
        let last = self.log.last();
        let zxid = if last.epoch() == leading.epoch {
            Zxid(last.0 + 1)
        } else {
            Zxid::new(leading.epoch, 1)
        };
        if zxid.counter() > COUNTER_LIMIT {
            self.look("counter_limit");
            return false;
        }
        let entry = Entry {
            zxid,
            origin,
            request,
            payload,
        };
        let commit = self.committed;
        let from = if self.bugs.has(Bug::SkippedSyncForwarding) {
            Progress::Synced
        } else {
            Progress::Receiving
        };
        let receivers: Vec<(Sid, u64)> = leading
            .followers
            .iter()
            .filter(|(_, follower)| follower.stage >= from)
            .map(|(&sid, follower)| (sid, follower.incarnation))
            .collect();
        for (sid, incarnation) in receivers {
            self.note_waiting(sid);
            self.say(
                sid,
                incarnation,
                Body::Proposal {
                    entry: entry.clone(),
                    commit,
                },
            );
        }
        self.append(vec![entry]);
        true
    }

    /// Leader: the patience with a follower begins with the first thing that it owes.
    fn note_waiting(&mut self, sid: Sid) {
        let (now, last) = (self.now, self.log.last());
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if let Some(follower) = leading.followers.get_mut(&sid)
            && follower.acked == last
        {
            follower.progress = now;
        }
    }

    fn on_ack(&mut self, from: Sid, zxid: Zxid) {
        let (now, last) = (self.now, self.log.last());
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let Some(follower) = leading.followers.get_mut(&from) else {
            return;
        };
        if zxid > last {
            self.fatal(format!(
                "{from} acknowledges {zxid}, which was never proposed"
            ));
            return;
        }
        if follower.stage >= Progress::Synced && zxid > follower.acked {
            follower.acked = zxid;
            follower.progress = now;
            self.advance_commit();
        }
    }

    /// Leader: what it sent is arriving, even if nothing is acknowledged in the protocol yet.
    pub(super) fn on_stream_progress(&mut self, from: Sid) {
        let now = self.now;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if let Some(follower) = leading.followers.get_mut(&from)
            && follower.stage == Progress::Receiving
        {
            follower.progress = now;
            leading.progress = now;
        }
    }

    /// Leader: becomes established once a quorum holds its history.
    pub(super) fn establish_when_held(&mut self) {
        let quorum = self.quorum;
        let zxid = self.log.last();
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let holders = leading.at_least(Progress::Synced) + usize::from(leading.persisted);
        if leading.stage != LeaderStage::Syncing || !leading.persisted || holders < quorum {
            return;
        }
        leading.stage = LeaderStage::Established;
        let epoch = leading.epoch;
        let synced: Vec<Sid> = leading
            .followers
            .iter()
            .filter(|(_, follower)| follower.stage >= Progress::Synced)
            .map(|(&sid, _)| sid)
            .collect();
        self.committed = self.committed.max(zxid);
        self.trace(TraceEvent::Active { epoch, zxid });
        for sid in synced {
            self.let_in(sid);
        }
        self.deliver();
    }

    /// Leader: a follower that holds the history takes part from now on.
    pub(super) fn let_in(&mut self, sid: Sid) {
        let commit = self.committed;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let Some(follower) = leading.followers.get_mut(&sid) else {
            return;
        };
        follower.stage = Progress::Active;
        self.tell_follower(sid, Body::UpToDate { commit });
    }

    /// Leader: commits what a quorum has.
    pub(super) fn advance_commit(&mut self) {
        let durable = if self.bugs.has(Bug::SelfAckBeforeFsync) {
            self.log.last()
        } else {
            self.gate.durable()
        };
        let quorum = self.quorum - usize::from(self.bugs.has(Bug::CommitWithoutQuorum));
        let Role::Leading(leading) = &self.role else {
            return;
        };
        if leading.stage != LeaderStage::Established {
            return;
        }
        let holders = leading
            .followers
            .values()
            .filter(|follower| follower.stage >= Progress::Synced)
            .map(|follower| follower.acked)
            .chain([durable])
            .collect();
        let zxid = reached_by(quorum, holders);
        if zxid <= self.committed || zxid.epoch() != leading.epoch {
            return;
        }
        self.committed = zxid;
        let told: Vec<Sid> = leading
            .followers
            .iter()
            .filter(|(_, follower)| follower.stage == Progress::Active)
            .map(|(&sid, _)| sid)
            .collect();
        for sid in told {
            self.tell_follower(sid, Body::Commit { zxid });
        }
        self.deliver();
    }

    /// More of the log is durable: that counts as an acknowledgement.
    pub(super) fn after_durable(&mut self) {
        let durable = if self.bugs.has(Bug::AckBeforeFsync) {
            self.log.last()
        } else {
            self.gate.durable()
        };
        match &mut self.role {
            Role::Looking(_) => {}
            Role::Leading(_) => self.advance_commit(),
            Role::Following(following) => {
                let acks = matches!(
                    following.stage,
                    FollowerStage::Acked | FollowerStage::Joined
                );
                if acks && durable > following.acked {
                    following.acked = durable;
                    self.tell_leader(Body::Ack { zxid: durable });
                }
            }
        }
    }

    pub(super) fn on_proposal(&mut self, entry: Entry, commit: Zxid) {
        let Role::Following(following) = &self.role else {
            return;
        };
        if matches!(
            following.stage,
            FollowerStage::Discovery | FollowerStage::Sync
        ) {
            self.fatal(format!(
                "{} was proposed before the history was sent",
                entry.zxid
            ));
            return;
        }
        self.append(vec![entry]);
        if self.bugs.has(Bug::AckBeforeFsync) {
            self.after_durable();
        }
        self.on_commit(commit);
    }

    pub(super) fn on_commit(&mut self, zxid: Zxid) {
        let Role::Following(following) = &self.role else {
            return;
        };
        // The proposal that carries it may reach a follower that is not let in yet.
        if following.stage != FollowerStage::Joined || zxid <= self.committed {
            return;
        }
        let last = self.log.last();
        if zxid > last && self.bugs.has(Bug::SkippedSyncForwarding) {
            return;
        }
        if zxid > last {
            self.fatal(format!("{zxid} is committed, but the log ends with {last}"));
            return;
        }
        self.committed = zxid;
        self.deliver();
    }

    pub(super) fn on_up_to_date(&mut self, commit: Zxid) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        if following.stage != FollowerStage::Acked {
            return;
        }
        following.stage = FollowerStage::Joined;
        following.serve_from = commit;
        self.on_commit(commit);
        self.serve_when_ready();
    }

    pub(super) fn on_request_refused(&mut self, request: u64) {
        if self.writes.remove(&request) {
            self.out.push(Output::Rejected {
                request,
                reason: RejectReason::Busy,
            });
        }
    }

    /// Lets clients in once all is delivered that was committed when this node was let in.
    pub(super) fn serve_when_ready(&mut self) {
        if self.serving {
            return;
        }
        let leader = match &self.role {
            Role::Following(following)
                if following.stage == FollowerStage::Joined
                    && self.delivered >= following.serve_from
                    && self.gate.durable() >= following.serve_from =>
            {
                let event = TraceEvent::Synced {
                    leader: following.leader,
                    epoch: self.current_epoch,
                    mode: following.mode,
                    txns: following.txns,
                    bytes: following.bytes,
                    zxid: self.delivered,
                };
                let leader = following.leader;
                self.trace(event);
                leader
            }
            Role::Leading(leading)
                if leading.stage == LeaderStage::Established
                    && self.delivered >= self.committed =>
            {
                self.me
            }
            Role::Following(_) | Role::Leading(_) | Role::Looking(_) => return,
        };
        self.serving = true;
        self.attempts = 0;
        self.out.push(Output::Serving {
            leader,
            epoch: self.current_epoch,
        });
    }

    /// Leader: evicts who owes an acknowledgement for too long.
    pub(super) fn evict_laggards(&mut self) {
        let (now, last) = (self.now, self.log.last());
        let Role::Leading(leading) = &self.role else {
            return;
        };
        let late = leading.followers.iter().find(|(_, follower)| {
            let waited = now.since(follower.progress);
            match follower.stage {
                Progress::Active => follower.acked < last && waited > ACK_PATIENCE,
                Progress::Receiving | Progress::AwaitingSnapshot => waited > SYNC_PATIENCE,
                Progress::Announced
                | Progress::Answered
                | Progress::Promised
                | Progress::Synced => false,
            }
        });
        if let Some((&sid, _)) = late {
            self.cut_link(sid, "ack_lag");
        }
    }

    /// Leader: goes on without this follower, or gives up if too few are left.
    pub(super) fn evict(&mut self, sid: Sid, reason: &'static str) {
        let quorum = self.quorum;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let Some(follower) = leading.followers.remove(&sid) else {
            return;
        };
        if follower.stage != Progress::Active {
            return;
        }
        let left = leading.at_least(Progress::Active) + 1;
        self.trace(TraceEvent::Evict { of: sid, reason });
        if left < quorum {
            self.look("quorum_lost");
        }
    }

    pub(super) fn tell_follower(&mut self, sid: Sid, body: Body) {
        let Role::Leading(leading) = &self.role else {
            return;
        };
        if let Some(incarnation) = leading.followers.get(&sid).map(|f| f.incarnation) {
            self.say(sid, incarnation, body);
        }
    }

    pub(super) fn tell_leader(&mut self, body: Body) {
        let Role::Following(following) = &self.role else {
            return;
        };
        let (leader, tenure) = (following.leader, following.tenure);
        self.say(leader, tenure, body);
    }
}
