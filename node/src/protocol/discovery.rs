//! Agreeing upon an epoch (Zab phase 1), from both sides.
//!
//! The leader-elect gathers a quorum, proposes an epoch above all that were promised, and goes on
//! when a quorum (itself included) has promised it durably. A promise binds: a follower never
//! again takes part in an older epoch. If any of them has a better history than the leader, the
//! leader gives up: this, not the election, makes the leader's history complete.

use crate::bug::Bug;

use super::gate::Then;
use super::io::TraceEvent;
use super::machine::Core;
use super::message::{Body, Message, PeerRole, Ping, Standing};
use super::role::{Follower, FollowerStage, Following, LeaderStage, Progress, Role};
use super::zxid::{Nanos, Sid, Zxid};

/// How long a leader waits for any step towards its establishment.
const LEADER_PATIENCE: Nanos = Nanos::from_millis(400);

/// How long a follower waits for any step of its leader while it joins. Longer than the leader's
/// own patience, and long enough for a snapshot to be read and written.
const FOLLOWER_PATIENCE: Nanos = Nanos::from_millis(10_000);

/// How long a follower waits for the first answer of its leader.
const DISCOVERY_PATIENCE: Nanos = Nanos::from_millis(1000);

impl Core {
    /// Becomes a follower of `leader`, whose incarnation is `tenure`.
    pub(super) fn follow(&mut self, leader: Sid, tenure: u64) {
        self.incarnation += 1;
        self.role = Role::Following(Following::new(leader, tenure, self.now));
        self.trace(TraceEvent::Following { leader });
        let accepted_epoch = self.accepted_epoch;
        self.tell_leader(Body::FollowerInfo { accepted_epoch });
        self.ping(leader, false);
    }

    pub(super) fn following_on_ping(&mut self, sid: Sid, ping: &Ping) {
        let Role::Following(following) = &self.role else {
            return;
        };
        let leads = matches!(ping.role, PeerRole::Leading { .. });
        if following.leader == sid && !(leads && ping.incarnation == following.tenure) {
            self.look("leader_left");
        }
    }

    pub(super) fn tick_following(&mut self) {
        let Role::Following(following) = &self.role else {
            return;
        };
        let patience = match following.stage {
            FollowerStage::Joined => return,
            FollowerStage::Discovery => DISCOVERY_PATIENCE,
            FollowerStage::Sync | FollowerStage::Persisting | FollowerStage::Acked => {
                FOLLOWER_PATIENCE
            }
        };
        let (waited, leader) = (self.now.since(following.progress), following.leader);
        // As long as the own disk is at work, the leader is not to blame.
        if waited > patience && self.gate.oldest().is_none() {
            self.cut_link(leader, "timeout");
        }
    }

    pub(super) fn tick_leading(&mut self) {
        let now = self.now;
        let Role::Leading(leading) = &self.role else {
            return;
        };
        // A large history takes a while to encode here and to write down there. How long is bounded by
        // the patience with each follower.
        let is_synchronising = leading.followers.values().any(|follower| {
            matches!(
                follower.stage,
                Progress::AwaitingSnapshot | Progress::Receiving
            )
        });
        if self.disk_is_stuck() {
            self.look("disk_stalled");
        } else if leading.stage != LeaderStage::Established
            && !is_synchronising
            && now.since(leading.progress) > LEADER_PATIENCE
        {
            self.look("no_quorum");
        } else {
            self.evict_laggards();
        }
    }

    pub(super) fn leading_on_ping(&mut self, sid: Sid, ping: &Ping) {
        let me = (self.standing(), self.me);
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if let PeerRole::Leading { epoch } = ping.role {
            let unestablished = leading.stage != LeaderStage::Established;
            let both_gather = epoch == 0 && leading.epoch == 0;
            if epoch > leading.epoch || both_gather && (ping.standing, sid) > me {
                self.look(if unestablished {
                    "outranked"
                } else {
                    "deposed"
                });
                return;
            }
        }
        let Some(follower) = leading.followers.get_mut(&sid) else {
            return;
        };
        if ping.incarnation > follower.incarnation {
            self.evict(sid, "left");
            return;
        }
        if ping.role == PeerRole::Following(self.me) && ping.accepted_epoch == leading.epoch {
            follower.echoed = follower.echoed.max(ping.echo);
            self.confirm_reads();
        }
    }

    /// Dispatches what came in order from a peer.
    pub(super) fn on_message(&mut self, from: Sid, message: Message) {
        let listens = self.bugs.has(Bug::MessageToFormerRole);
        if message.to != self.incarnation && !listens {
            return;
        }
        match &mut self.role {
            Role::Looking(_) => {}
            Role::Following(following) => {
                if following.leader == from && (following.tenure == message.from || listens) {
                    following.progress = self.now;
                    self.on_leader_message(message.body);
                }
            }
            Role::Leading(leading) => {
                if let Body::FollowerInfo { accepted_epoch } = message.body {
                    self.on_follower_info(from, message.from, accepted_epoch);
                } else if leading
                    .followers
                    .get(&from)
                    .is_some_and(|follower| follower.incarnation == message.from || listens)
                {
                    self.on_follower_message(from, message.body);
                }
            }
        }
    }

    fn on_follower_info(&mut self, from: Sid, incarnation: u64, accepted_epoch: u32) {
        self.epoch_floor = self.epoch_floor.max(accepted_epoch);
        let (now, heeds_promises) = (self.now, !self.bugs.has(Bug::WrongEpochAccepted));
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let follower = Follower {
            incarnation,
            accepted_epoch,
            stage: Progress::Announced,
            told: false,
            epoch_ends: Vec::new(),
            acked: Zxid::ZERO,
            progress: now,
            echoed: 0,
        };
        leading.followers.insert(from, follower);
        if leading.stage == LeaderStage::Gathering {
            leading.progress = now;
            self.choose_epoch();
        } else if accepted_epoch > leading.epoch && heeds_promises {
            // It can never join this epoch: only a greater one takes it in.
            self.look("higher_epoch");
        } else {
            self.tell_epoch();
        }
    }

    /// Proposes an epoch once a quorum is gathered.
    pub(super) fn choose_epoch(&mut self) {
        let quorum = self.quorum;
        let heeds_promises = !self.bugs.has(Bug::WrongEpochAccepted);
        let floor = self
            .accepted_epoch
            .max(if heeds_promises { self.epoch_floor } else { 0 });
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if leading.stage != LeaderStage::Gathering || leading.followers.len() + 1 < quorum {
            return;
        }
        let highest = leading
            .followers
            .values()
            .map(|follower| follower.accepted_epoch)
            .filter(|_| heeds_promises)
            .max();
        let Some(epoch) = floor.max(highest.unwrap_or(0)).checked_add(1) else {
            self.fatal("the last possible epoch is used up".to_owned());
            return;
        };
        leading.epoch = epoch;
        leading.stage = LeaderStage::Promising;
        self.accepted_epoch = epoch;
        self.disk(vec![self.meta()]);
        self.when_durable(Then::EpochPromised);
    }

    /// The leader's own promise is durable: now it may ask for others'.
    pub(super) fn on_epoch_promised(&mut self) {
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        leading.promised = true;
        self.tell_epoch();
        self.ping_all(false);
        self.begin_sync_when_promised();
    }

    fn tell_epoch(&mut self) {
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        if !leading.promised {
            return;
        }
        let epoch = leading.epoch;
        let told: Vec<(Sid, u64)> = leading
            .followers
            .iter_mut()
            .filter_map(|(&sid, follower)| {
                let told = std::mem::replace(&mut follower.told, true);
                (!told).then_some((sid, follower.incarnation))
            })
            .collect();
        for (sid, incarnation) in told {
            self.say(sid, incarnation, Body::NewEpoch { epoch });
        }
    }

    /// Follower: the leader asks for a promise.
    pub(super) fn on_new_epoch(&mut self, epoch: u32) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        if following.stage != FollowerStage::Discovery {
            return;
        }
        if epoch < self.accepted_epoch && !self.bugs.has(Bug::WrongEpochAccepted) {
            self.look("stale_leader");
            return;
        }
        following.stage = FollowerStage::Sync;
        let new = epoch > self.accepted_epoch;
        let again = self.bugs.has(Bug::WrongEpochAccepted)
            || self.bugs.has(Bug::SecondPromise) && epoch == self.accepted_epoch;
        let promised = new || again;
        if new {
            self.accepted_epoch = epoch;
            self.disk(vec![self.meta()]);
        }
        let (standing, epoch_ends) = (self.standing(), self.log.epoch_ends());
        // All of the log that is reported must be durable, even if the promise is an old one.
        self.when_durable(Then::Tell(Body::AckEpoch {
            promised,
            standing,
            epoch_ends,
        }));
    }

    /// Leader: an answer to the epoch.
    pub(super) fn on_ack_epoch(&mut self, from: Sid, answer: EpochAnswer) {
        let (now, mine) = (self.now, self.standing());
        let compares = !self.bugs.has(Bug::VoteIgnoresLog);
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let Some(follower) = leading.followers.get_mut(&from) else {
            return;
        };
        if follower.stage != Progress::Announced || !follower.told {
            return;
        }
        follower.progress = now;
        follower.epoch_ends = answer.epoch_ends;
        follower.stage = if answer.promised {
            Progress::Promised
        } else {
            Progress::Answered
        };
        if leading.stage == LeaderStage::Promising {
            leading.progress = now;
            if answer.standing > mine && compares {
                self.look("better_history");
                return;
            }
            self.begin_sync_when_promised();
        } else {
            self.sync_follower(from);
        }
    }

    /// Goes on to synchronisation once a quorum has promised.
    fn begin_sync_when_promised(&mut self) {
        let quorum = self.quorum;
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let promises = leading.at_least(Progress::Promised) + usize::from(leading.promised);
        if leading.stage != LeaderStage::Promising || !leading.promised || promises < quorum {
            return;
        }
        leading.stage = LeaderStage::Syncing;
        let epoch = leading.epoch;
        let answered: Vec<Sid> = leading
            .followers
            .iter()
            .filter(|(_, follower)| follower.stage >= Progress::Answered)
            .map(|(&sid, _)| sid)
            .collect();
        self.trace(TraceEvent::EpochAgreed { epoch });
        self.current_epoch = epoch;
        self.disk(vec![self.meta()]);
        self.when_durable(Then::HistoryDurable);
        for sid in answered {
            self.sync_follower(sid);
        }
    }
}

/// What a follower says to an epoch.
#[derive(Debug)]
pub(super) struct EpochAnswer {
    pub(super) promised: bool,
    pub(super) standing: Standing,
    pub(super) epoch_ends: Vec<Zxid>,
}
