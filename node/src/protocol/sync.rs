//! Giving every follower the leader's history (Zab phase 2), from both sides.
//!
//! The leader sends what follows the last common transaction, or cuts the follower's log back to
//! it first, or sends a snapshot if it does not go back that far. From the moment its log is read
//! for a follower, everything proposed later is sent to that follower too, behind it on the same
//! stream: nothing falls between.
//!
//! The follower writes the history down, then the epoch, and only then acknowledges: whoever has
//! an epoch has all that its leader began it with.

use crate::bug::Bug;

use super::blob::Blob;
use super::gate::Then;
use super::io::{DiskOp, Output, TraceEvent};
use super::machine::Core;
use super::message::{Body, Entry, SyncMode};
use super::role::{FollowerStage, Following, IncomingSnapshot, LeaderStage, Progress, Role};
use super::zxid::{Sid, Zxid};

/// How many bytes of entries go into one message: far below the frame's bound, so that a lost
/// frame costs little.
const BATCH_BYTES: usize = 64 << 10;

/// How many entries go into one message.
const BATCH_ENTRIES: usize = 512;

/// The size of a piece of a snapshot in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// The largest snapshot that a follower accepts, in bytes.
const MAX_SNAPSHOT: u64 = 1 << 30;

impl Core {
    /// Leader: sends its history to a follower that has answered the epoch.
    pub(super) fn sync_follower(&mut self, sid: Sid) {
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let Some(follower) = leading.followers.get_mut(&sid) else {
            return;
        };
        follower.progress = self.now;
        let Some(common) = self.log.common_point(&follower.epoch_ends) else {
            follower.stage = Progress::AwaitingSnapshot;
            if !std::mem::replace(&mut leading.snapshot_asked, true) {
                self.out.push(Output::SnapshotWanted);
            }
            return;
        };
        let incarnation = follower.incarnation;
        let mode = if follower.epoch_ends.first() == Some(&common) {
            SyncMode::Diff
        } else {
            self.say(sid, incarnation, Body::Truncate { to: common });
            SyncMode::Trunc
        };
        self.send_history(sid, mode, common, 0);
    }

    /// Leader: the state machine as it is now, for those who wait for it.
    pub(super) fn on_snapshot(&mut self, zxid: Zxid, bytes: &Blob) {
        let base = self.log.base();
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        leading.snapshot_asked = false;
        let waiting: Vec<(Sid, u64)> = leading
            .followers
            .iter()
            .filter(|(_, follower)| follower.stage == Progress::AwaitingSnapshot)
            .map(|(&sid, follower)| (sid, follower.incarnation))
            .collect();
        if zxid < base {
            // Older than the log: the state machine is behind a snapshot that was installed
            // meanwhile. The next one will do.
            leading.snapshot_asked = !waiting.is_empty();
            if leading.snapshot_asked {
                self.out.push(Output::SnapshotWanted);
            }
            return;
        }
        let total = bytes.len() as u64;
        for (sid, incarnation) in waiting {
            let mut offset = 0;
            loop {
                let end = bytes.len().min(offset + CHUNK_BYTES);
                let at = offset as u64;
                let body = Body::SnapshotChunk {
                    zxid,
                    total,
                    offset: at,
                    bytes: bytes.piece(offset..end),
                };
                self.say(sid, incarnation, body);
                offset = end;
                if offset == bytes.len() {
                    break;
                }
            }
            self.send_history(sid, SyncMode::Snap, zxid, total);
        }
    }

    /// Leader: sends everything after `from`, then the epoch.
    fn send_history(&mut self, sid: Sid, mode: SyncMode, from: Zxid, snapshot_bytes: u64) {
        let missing = self.log.after(from);
        let holed = self.bugs.has(Bug::HoleInDiff) && self.log.count_after(from) > 1;
        let batches = batches(missing.skip(usize::from(holed)));
        let (epoch, zxid, now) = (self.current_epoch, self.log.last(), self.now);
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let Some(follower) = leading.followers.get_mut(&sid) else {
            return;
        };
        follower.stage = Progress::Receiving;
        follower.progress = now;
        let incarnation = follower.incarnation;
        let txns = batches.iter().map(Vec::len).sum::<usize>() as u64;
        let bytes = snapshot_bytes + batches.iter().flatten().map(size).sum::<u64>();
        for entries in batches {
            self.say(sid, incarnation, Body::SyncEntries { entries });
        }
        self.say(sid, incarnation, Body::NewLeader { epoch, zxid, mode });
        self.trace(TraceEvent::SyncStart {
            peer: sid,
            mode,
            txns,
            bytes,
        });
    }

    /// Leader: its own history and epoch are durable.
    pub(super) fn on_history_durable(&mut self) {
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        leading.persisted = true;
        self.establish_when_held();
    }

    /// Leader: a follower holds the history up to `zxid`.
    pub(super) fn on_ack_new_leader(&mut self, from: Sid, zxid: Zxid) {
        let now = self.now;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let Some(follower) = leading.followers.get_mut(&from) else {
            return;
        };
        if follower.stage != Progress::Receiving {
            return;
        }
        follower.stage = Progress::Synced;
        follower.acked = zxid;
        follower.progress = now;
        leading.progress = now;
        if leading.stage == LeaderStage::Established {
            self.let_in(from);
            self.trace(TraceEvent::Rejoin { of: from });
            self.advance_commit();
        } else {
            self.establish_when_held();
        }
    }

    /// Follower: dispatches what the leader says in order.
    pub(super) fn on_leader_message(&mut self, body: Body) {
        match body {
            Body::NewEpoch { epoch } => self.on_new_epoch(epoch),
            Body::Truncate { to } => self.on_truncate(to),
            Body::SnapshotChunk {
                zxid,
                total,
                offset,
                bytes,
            } => {
                self.on_snapshot_chunk(zxid, total, offset, &bytes);
            }
            Body::SyncEntries { entries } => self.on_sync_entries(entries),
            Body::NewLeader { epoch, zxid, mode } => self.on_new_leader(epoch, zxid, mode),
            Body::UpToDate { commit } => self.on_up_to_date(commit),
            Body::Proposal { entry, commit } => self.on_proposal(entry, commit),
            Body::Commit { zxid } => self.on_commit(zxid),
            Body::RequestRefused { request } => self.on_request_refused(request),
            Body::ReadIndexReply { request, zxid } => self.on_read_index_reply(request, zxid),
            Body::FollowerInfo { .. }
            | Body::AckEpoch { .. }
            | Body::AckNewLeader { .. }
            | Body::Ack { .. }
            | Body::Request { .. }
            | Body::ReadIndex { .. } => {}
        }
    }

    fn on_truncate(&mut self, to: Zxid) {
        if to < self.committed || to < self.log.base() {
            let committed = self.committed;
            self.fatal(format!(
                "asked to cut the log back to {to}, behind {committed}"
            ));
            return;
        }
        let Some(following) = self.receiving() else {
            return;
        };
        following.mode = SyncMode::Trunc;
        if self.bugs.has(Bug::NoTruncate) {
            return;
        }
        self.log.truncate(to);
        self.disk(vec![DiskOp::Truncate { after: to }]);
    }

    fn on_snapshot_chunk(&mut self, zxid: Zxid, total: u64, offset: u64, piece: &[u8]) {
        let Some(following) = self.receiving() else {
            return;
        };
        if offset == 0 && total <= MAX_SNAPSHOT {
            following.mode = SyncMode::Snap;
            following.snapshot = Some(IncomingSnapshot {
                zxid,
                total,
                bytes: Vec::new(),
                entries: Vec::new(),
            });
        }
        following.bytes += piece.len() as u64;
        let fits = following
            .snapshot
            .as_mut()
            .is_some_and(|snapshot| snapshot.extend(zxid, total, offset, piece));
        if !fits {
            self.fatal(format!(
                "piece {offset} of a snapshot of {total} bytes does not fit"
            ));
        }
    }

    fn on_sync_entries(&mut self, entries: Vec<Entry>) {
        let ahead = self.bugs.has(Bug::EpochBeforeHistory) && self.receiving().is_some();
        if ahead && self.current_epoch < self.accepted_epoch {
            self.current_epoch = self.accepted_epoch;
            self.disk(vec![self.meta()]);
        }
        let Some(following) = self.receiving() else {
            return;
        };
        following.txns += entries.len() as u64;
        following.bytes += entries.iter().map(size).sum::<u64>();
        match &mut following.snapshot {
            Some(snapshot) => snapshot.entries.extend(entries),
            None => self.append(entries),
        }
    }

    fn on_new_leader(&mut self, epoch: u32, zxid: Zxid, mode: SyncMode) {
        let accepted = self.accepted_epoch;
        let promised = epoch == accepted || self.bugs.has(Bug::WrongEpochAccepted);
        let Some(following) = self.receiving() else {
            return;
        };
        if !promised || mode != following.mode {
            self.fatal(format!("epoch {epoch} begins while {accepted} is promised"));
            return;
        }
        following.stage = FollowerStage::Persisting;
        let snapshot = following.snapshot.take();
        let mut ops = Vec::new();
        if let Some(snapshot) = snapshot {
            if !snapshot.is_complete() {
                self.fatal(format!("the snapshot at {} is incomplete", snapshot.zxid));
                return;
            }
            ops.push(self.install(snapshot));
        }
        if self.log.last() != zxid && !self.bugs.has(Bug::NoTruncate) {
            let last = self.log.last();
            self.fatal(format!(
                "history ends with {last}, that of the leader with {zxid}"
            ));
            return;
        }
        // The order within the batch matters: the epoch must not be there before the history.
        self.current_epoch = epoch;
        ops.push(self.meta());
        self.disk(ops);
        if self.bugs.has(Bug::AckNewLeaderBeforeFsync) {
            self.on_new_leader_durable(zxid);
        } else {
            self.when_durable(Then::NewLeaderDurable(zxid));
        }
    }

    /// Follower: history and epoch are written down.
    pub(super) fn on_new_leader_durable(&mut self, zxid: Zxid) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        following.stage = FollowerStage::Acked;
        following.acked = zxid;
        self.tell_leader(Body::AckNewLeader { zxid });
    }

    /// Replaces log and state machine in memory and gives the batch that does it on disk.
    fn install(&mut self, snapshot: IncomingSnapshot) -> DiskOp {
        let IncomingSnapshot {
            zxid,
            bytes,
            entries,
            ..
        } = snapshot;
        self.log.reset(zxid);
        for entry in &entries {
            self.append_in_memory(entry.clone());
        }
        // The state machine goes back to the snapshot when that is durable; nothing is delivered
        // before, because nothing of the new log is durable before.
        self.delivered = zxid;
        self.committed = self.committed.max(zxid);
        DiskOp::InstallSnapshot {
            zxid,
            bytes: Blob::from(bytes),
            entries,
        }
    }

    /// Appends to the log in memory and on disk.
    pub(super) fn append(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            self.append_in_memory(entry.clone());
        }
        self.disk(vec![DiskOp::Append(entries)]);
    }

    fn append_in_memory(&mut self, entry: Entry) {
        let (last, next) = (self.log.last(), entry.zxid);
        let unchecked = self.bugs.has(Bug::HoleInDiff) || self.bugs.has(Bug::SkippedSyncForwarding);
        if unchecked && next > last {
            self.log.append_unchecked(entry);
        } else if !self.log.append(entry) {
            self.fatal(format!("transaction {next} does not follow {last}"));
        }
    }

    /// The role, if this node is a follower that receives the leader's history.
    fn receiving(&mut self) -> Option<&mut Following> {
        match &mut self.role {
            Role::Following(following) if following.stage == FollowerStage::Sync => Some(following),
            Role::Following(_) | Role::Looking(_) | Role::Leading(_) => None,
        }
    }
}

/// What an entry costs to send, in bytes.
fn size(entry: &Entry) -> u64 {
    entry.payload.len() as u64 + 32
}

/// Cuts a history into messages.
fn batches<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Vec<Entry>> {
    let mut batches = Vec::new();
    let mut batch: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let more = entry.payload.len() + 32;
        if !batch.is_empty() && (bytes + more > BATCH_BYTES || batch.len() >= BATCH_ENTRIES) {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += more;
        batch.push(entry.clone());
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_order_and_bounds() {
        let entries: Vec<Entry> = (1..=2000)
            .map(|counter| Entry {
                zxid: Zxid::new(1, counter),
                origin: Sid(1),
                request: 0,
                payload: vec![0; (counter as usize * 7919) % 3000].into(),
            })
            .collect();
        let batches = batches(entries.iter());
        assert_eq!(batches.concat(), entries);
        for batch in batches {
            let bytes: u64 = batch.iter().map(size).sum();
            assert!(batch.len() <= BATCH_ENTRIES && bytes <= BATCH_BYTES as u64);
        }
    }
}
