//! Linearizable reads without writing: which transaction must a read have seen?
//!
//! The leader notes what is committed when the read is asked, then waits until a quorum has
//! answered a ping sent *after* that while still following it in its epoch. Had another leader
//! committed anything before the read began, a member of that quorum would have promised the
//! other's epoch. There is no lease, hence no clock to trust and nothing to doubt after a pause.

use crate::bug::Bug;

use super::broadcast::MAX_REQUESTS;
use super::io::{Output, RejectReason};
use super::machine::Core;
use super::message::Body;
use super::role::{LeaderStage, Progress, Read, Role};
use super::zxid::{Sid, Zxid};

impl Core {
    pub(super) fn on_read_index(&mut self, request: u64) {
        if !self.serving || self.reads.len() >= MAX_REQUESTS {
            let reason = if self.serving {
                RejectReason::Busy
            } else {
                RejectReason::NotServing
            };
            self.out.push(Output::Rejected { request, reason });
            return;
        }
        self.reads.insert(request);
        if matches!(self.role, Role::Following(_)) {
            self.tell_leader(Body::ReadIndex { request });
        } else {
            self.register_read(self.me, request);
        }
    }

    /// Leader: notes a read and asks the followers for confirmation.
    pub(super) fn register_read(&mut self, origin: Sid, request: u64) {
        let read = Read {
            origin,
            request,
            zxid: self.committed,
            sent_from: self.last_ping_time + 1,
        };
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if leading.stage != LeaderStage::Established {
            return;
        }
        if self.bugs.has(Bug::StaleReadAfterPause) {
            self.answer_read(read);
            return;
        }
        let round_under_way = !leading.reads.is_empty();
        leading.reads.push_back(read);
        // One round at a time: reads that come during it share the next.
        if !round_under_way {
            self.ping_all(true);
            self.confirm_reads();
        }
    }

    /// Leader: answers the reads that a quorum has confirmed.
    pub(super) fn confirm_reads(&mut self) {
        let quorum = self.quorum;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if leading.stage != LeaderStage::Established || leading.reads.is_empty() {
            return;
        }
        let mut echoed: Vec<u64> = leading
            .followers
            .values()
            .filter(|follower| follower.stage == Progress::Active)
            .map(|follower| follower.echoed)
            .chain([u64::MAX])
            .collect();
        echoed.sort_unstable_by(|a, b| b.cmp(a));
        let confirmed = echoed.get(quorum - 1).copied().unwrap_or(0);
        let mut ready = Vec::new();
        while leading
            .reads
            .front()
            .is_some_and(|read| read.sent_from <= confirmed)
        {
            ready.extend(leading.reads.pop_front());
        }
        let more = !leading.reads.is_empty();
        let any = !ready.is_empty();
        for read in ready {
            self.answer_read(read);
        }
        if any && more {
            self.ping_all(true);
        }
    }

    fn answer_read(&mut self, read: Read) {
        let Read {
            origin,
            request,
            zxid,
            ..
        } = read;
        if origin == self.me {
            self.on_read_index_reply(request, zxid);
        } else {
            self.tell_follower(origin, Body::ReadIndexReply { request, zxid });
        }
    }

    pub(super) fn on_read_index_reply(&mut self, request: u64, zxid: Zxid) {
        if self.reads.remove(&request) {
            self.out.push(Output::ReadReady { request, zxid });
        }
    }

    /// Whether reads wait for a confirmation, so that pings ask for an answer.
    pub(super) fn leader_reads_wait(&self) -> bool {
        matches!(&self.role, Role::Leading(leading) if !leading.reads.is_empty())
    }
}
