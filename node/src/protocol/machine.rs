//! The state machine as a whole: what all roles share, and the one entry point.
//!
//! `log` and both epochs are as they will be when all disk batches are done; everything said to
//! others about them passes the [`Gate`] first. `delivered <= committed`, and nothing is delivered
//! that is not durable here.

use std::collections::{BTreeMap, BTreeSet};

use crate::bug::Bugs;

use super::gate::{Continuation, Gate, Then};
use super::io::{
    Boot, BootError, CoreConfig, DiskOp, Input, Output, Phase, RejectReason, Status, Timing,
    TraceEvent,
};
use super::log::Log;
use super::message::{Body, Message, Standing, VoteRequest};
use super::peer::Peer;
use super::quorum::majority;
use super::rng::Rng;
use super::role::{FollowerStage, LeaderStage, Looking, Progress, Role};
use super::zxid::{ConnId, Nanos, Sid, Ticket, Zxid};

/// A disk batch older than this makes a leader give up and a node not stand for election.
const DISK_PATIENCE: Nanos = Nanos::from_millis(500);

/// How many entries one step forgets at most: a hundred thousand at once would take milliseconds.
const FORGET_AT_ONCE: usize = 64;

/// One node of the protocol. See the module, and [`super::io`] for how to drive it.
#[derive(Debug)]
pub struct Core {
    pub(super) me: Sid,
    pub(super) quorum: usize,
    pub(super) timing: Timing,
    keep_entries: usize,
    pub(super) bugs: Bugs,
    pub(super) rng: Rng,
    pub(super) now: Nanos,
    /// The last wake-up asked for.
    wake_at: Nanos,
    /// Being later than this is a stall.
    due: Nanos,
    pub(super) out: Vec<Output>,
    pub(super) peers: BTreeMap<Sid, Peer>,
    /// Accepted connections whose peer is unknown, and when they were accepted.
    pub(super) strangers: BTreeMap<ConnId, Nanos>,
    /// The time of the last ping sent to anybody; strictly rising.
    pub(super) last_ping_time: u64,
    /// Rises with each change of role.
    pub(super) incarnation: u64,
    /// The greatest round of an election seen.
    pub(super) round: u64,
    /// Elections since clients were last served; each makes the next pause longer.
    pub(super) attempts: u32,
    /// The greatest epoch that anybody is known to have promised.
    pub(super) epoch_floor: u32,
    pub(super) accepted_epoch: u32,
    pub(super) current_epoch: u32,
    pub(super) log: Log,
    pub(super) gate: Gate,
    pub(super) committed: Zxid,
    pub(super) delivered: Zxid,
    /// The last transaction of the newest snapshot of this node's own state machine: the log up to
    /// here is being forgotten.
    covered: Zxid,
    /// Requests of this node's clients that are under way.
    pub(super) writes: BTreeSet<u64>,
    pub(super) reads: BTreeSet<u64>,
    pub(super) serving: bool,
    /// Vote requests that came while this node still had a leader.
    pub(super) asked: BTreeMap<Sid, (VoteRequest, Nanos)>,
    pub(super) role: Role,
}

impl Core {
    /// A node that starts with this disk. Its first outputs come with the first [`Core::step`],
    /// which should follow at once.
    pub fn new(config: CoreConfig, boot: Boot, now: Nanos) -> Result<Self, BootError> {
        let CoreConfig {
            me,
            voters,
            seed,
            timing,
            keep_entries,
            bugs,
        } = config;
        if !voters.contains(&me) {
            return Err(BootError::NotAVoter(me));
        }
        let (accepted_epoch, current_epoch, snapshot) =
            (boot.accepted_epoch, boot.current_epoch, boot.snapshot);
        let log = checked_log(boot)?;
        let voters: BTreeSet<Sid> = voters.into_iter().collect();
        let peers = voters
            .iter()
            .filter(|&&sid| sid != me)
            .map(|&sid| (sid, Peer::new(sid, me > sid, now)))
            .collect();
        let last = log.last();
        let looking = Looking {
            start_at: now,
            lost: None,
            campaign: None,
            grant: None,
        };
        Ok(Self {
            me,
            quorum: majority(voters.len()),
            timing,
            keep_entries,
            bugs,
            rng: Rng::new(seed),
            now,
            wake_at: Nanos::NEVER,
            due: Nanos::NEVER,
            out: vec![
                Output::Trace(TraceEvent::Boot {
                    accepted_epoch,
                    current_epoch,
                    last_zxid: last,
                }),
                Output::Trace(TraceEvent::Looking { reason: "boot" }),
            ],
            peers,
            strangers: BTreeMap::new(),
            last_ping_time: 0,
            incarnation: 1,
            round: 0,
            attempts: 0,
            epoch_floor: 0,
            accepted_epoch,
            current_epoch,
            gate: Gate::new(last),
            log,
            committed: snapshot,
            delivered: snapshot,
            covered: snapshot,
            writes: BTreeSet::new(),
            reads: BTreeSet::new(),
            serving: false,
            asked: BTreeMap::new(),
            role: Role::Looking(looking),
        })
    }

    /// Takes one input and appends what is to be done to `out`, in order.
    pub fn step(&mut self, now: Nanos, input: Input, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        self.note_stall();
        match input {
            Input::Tick => {
                // This may be the wake-up that was asked for: the next one is asked for anew.
                self.wake_at = Nanos::NEVER;
                self.tick();
            }
            Input::Connected { conn, dialed } => self.on_connected(conn, dialed),
            Input::Disconnected { conn, reason } => self.on_disconnected(conn, reason),
            Input::DialFailed { peer, reason } => self.on_dial_failed(peer, reason),
            Input::Frame { conn, frame } => self.on_frame(conn, frame),
            Input::DiskDone { ticket } => self.on_disk_done(ticket),
            Input::Propose { request, payload } => self.on_propose(request, payload),
            Input::ReadIndex { request } => self.on_read_index(request),
            Input::Snapshot { zxid, bytes } => self.on_snapshot(zxid, &bytes),
            Input::Compacted { zxid } => {
                self.covered = self.covered.max(zxid.min(self.delivered));
            }
        }
        self.log
            .compact(self.covered, self.keep_entries, FORGET_AT_ONCE);
        self.flush_streams();
        self.ask_to_wake();
        out.append(&mut self.out);
    }

    /// The state of the node now.
    #[must_use]
    pub fn status(&self) -> Status {
        let (phase, leader) = match &self.role {
            Role::Looking(_) => (Phase::Looking, None),
            Role::Following(following) => {
                let joined = following.stage == FollowerStage::Joined;
                let phase = if joined {
                    Phase::Following
                } else {
                    Phase::Joining
                };
                (phase, Some(following.leader))
            }
            Role::Leading(leading) => {
                let established = leading.stage == LeaderStage::Established;
                let phase = if established {
                    Phase::Leading
                } else {
                    Phase::Electing
                };
                (phase, Some(self.me))
            }
        };
        let (followers, synced_followers) = match &self.role {
            Role::Leading(leading) => (leading.followers.len(), leading.at_least(Progress::Active)),
            Role::Looking(_) | Role::Following(_) => (0, 0),
        };
        Status {
            phase,
            serving: self.serving,
            leader,
            accepted_epoch: self.accepted_epoch,
            current_epoch: self.current_epoch,
            committed: self.committed,
            delivered: self.delivered,
            last_logged: self.log.last(),
            followers,
            synced_followers,
            outstanding: if phase == Phase::Leading {
                self.log.count_after(self.committed.max(self.log.base()))
            } else {
                0
            },
        }
    }

    /// How many requests of this node's clients are under way.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.writes.len() + self.reads.len()
    }

    /// Everything that time alone brings about.
    fn tick(&mut self) {
        self.tick_links();
        match &self.role {
            Role::Looking(_) => self.tick_looking(),
            Role::Following(_) => self.tick_following(),
            Role::Leading(_) => self.tick_leading(),
        }
    }

    /// A node that stood still must not blame others for the silence.
    fn note_stall(&mut self) {
        let late = self.now.since(self.due);
        if late <= Nanos(3 * self.timing.heartbeat.0) {
            return;
        }
        self.trace(TraceEvent::Stalled { late });
        for peer in self.peers.values_mut() {
            if let Some(link) = &mut peer.link {
                link.forgive(late);
            }
        }
        for accepted in self.strangers.values_mut() {
            *accepted = accepted.after(late);
        }
        self.gate.forgive(late);
        match &mut self.role {
            Role::Looking(looking) => looking.start_at = looking.start_at.after(late),
            Role::Following(following) => following.progress = following.progress.after(late),
            Role::Leading(leading) => {
                leading.progress = leading.progress.after(late);
                for follower in leading.followers.values_mut() {
                    follower.progress = follower.progress.after(late);
                }
            }
        }
    }

    fn ask_to_wake(&mut self) {
        let role = match &self.role {
            Role::Looking(looking) => looking.deadline(),
            Role::Following(_) | Role::Leading(_) => Nanos::NEVER,
        };
        let links = self.link_deadline();
        // Roles other than looking have slow deadlines only; the pings wake them often enough.
        let idle = self.now.after(self.timing.heartbeat);
        let wake_at = role.min(links).min(idle).max(self.now);
        // What is fed in between a late wake-up and its tick is not a second stall.
        self.due = wake_at;
        if wake_at != self.wake_at {
            self.wake_at = wake_at;
            self.out.push(Output::WakeAt(wake_at));
        }
    }

    fn on_disk_done(&mut self, ticket: Ticket) {
        let completion = self.gate.done(ticket);
        if let Some((zxid, bytes)) = completion.restore {
            self.delivered = zxid;
            self.out.push(Output::Restore { zxid, bytes });
        }
        for continuation in completion.then {
            self.resume(continuation);
        }
        self.after_durable();
        self.deliver();
    }

    /// Does what was held until the disk was ready.
    fn resume(&mut self, continuation: Continuation) {
        if continuation.incarnation != self.incarnation {
            return;
        }
        match continuation.then {
            Then::Tell(body) => self.tell_leader(body),
            Then::NewLeaderDurable(zxid) => self.on_new_leader_durable(zxid),
            Then::EpochPromised => self.on_epoch_promised(),
            Then::HistoryDurable => self.on_history_durable(),
        }
    }

    /// Hands committed and durable transactions to the state machine.
    pub(super) fn deliver(&mut self) {
        let end = self.committed.min(self.gate.durable());
        while let Some(entry) = self.log.next_after(self.delivered)
            && entry.zxid <= end
        {
            let entry = entry.clone();
            self.delivered = entry.zxid;
            if entry.origin == self.me {
                self.writes.remove(&entry.request);
            }
            self.out.push(Output::Deliver(entry));
        }
        self.serve_when_ready();
    }

    /// Issues a disk batch.
    pub(super) fn disk(&mut self, ops: Vec<DiskOp>) {
        let output = self.gate.issue(self.now, ops, self.log.last());
        self.out.push(output);
    }

    /// Does `then` once all that was issued so far is durable and the role is still the same.
    pub(super) fn when_durable(&mut self, then: Then) {
        let continuation = Continuation {
            incarnation: self.incarnation,
            then,
        };
        if let Some(ready) = self.gate.hold(continuation) {
            self.resume(ready);
        }
    }

    pub(super) const fn meta(&self) -> DiskOp {
        DiskOp::SetMeta {
            accepted_epoch: self.accepted_epoch,
            current_epoch: self.current_epoch,
        }
    }

    /// Queues a message on the stream to `to`, addressed to its incarnation `incarnation`.
    pub(super) fn say(&mut self, to: Sid, incarnation: u64, body: Body) {
        let from = self.incarnation;
        let Some(link) = self.peers.get_mut(&to).and_then(Peer::greeted_link) else {
            return;
        };
        let pushed = link.stream.push(Message {
            from,
            to: incarnation,
            body,
        });
        link.overflowed |= pushed.is_err();
    }

    pub(super) fn trace(&mut self, event: TraceEvent) {
        self.out.push(Output::Trace(event));
    }

    pub(super) fn fatal(&mut self, text: String) {
        self.out.push(Output::Fatal(text));
    }

    pub(super) fn standing(&self) -> Standing {
        Standing {
            current_epoch: self.current_epoch,
            last_zxid: self.log.last(),
        }
    }

    /// The disk has not answered for long: this node could not keep up as a leader.
    pub(super) fn disk_is_stuck(&self) -> bool {
        self.gate
            .oldest()
            .is_some_and(|issued| self.now.since(issued) > DISK_PATIENCE)
    }

    /// Ends all requests of this node's clients whose fate nobody will report.
    pub(super) fn abandon_requests(&mut self) {
        let requests = std::mem::take(&mut self.writes)
            .into_iter()
            .chain(std::mem::take(&mut self.reads));
        for request in requests {
            self.out.push(Output::Rejected {
                request,
                reason: RejectReason::LeaderLost,
            });
        }
    }
}

fn checked_log(boot: Boot) -> Result<Log, BootError> {
    let log = Log::new(boot.base, boot.entries)?;
    let last = log.last();
    if boot.accepted_epoch < boot.current_epoch {
        return Err(BootError::AcceptedBehindCurrent {
            accepted: boot.accepted_epoch,
            current: boot.current_epoch,
        });
    }
    if boot.accepted_epoch < last.epoch() {
        return Err(BootError::AcceptedBehindLog {
            accepted: boot.accepted_epoch,
            last,
        });
    }
    if boot.snapshot < boot.base || boot.snapshot > last {
        return Err(BootError::SnapshotOutsideLog {
            snapshot: boot.snapshot,
            base: boot.base,
            last,
        });
    }
    Ok(log)
}
