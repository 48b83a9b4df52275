//! Finding a leader: candidates, grants, and following whoever leads already.
//!
//! A candidate needs grants of a quorum. A node grants only if it has no leader itself (so one
//! that was cut off or stood still cannot disturb the others: the *pre-vote*), only to a candidate
//! whose history is at least as good as its own, and to one candidate at a time. The nodes know
//! each other's histories from the pings: the best one asks at once, the others a step later each.
//!
//! Nothing here is needed for safety. Discovery checks again.

use std::collections::BTreeSet;

use crate::bug::Bug;

use super::io::{Output, TraceEvent};
use super::machine::Core;
use super::message::{Frame, PeerRole, Ping, Standing, Vote, VoteRequest};
use super::peer::Peer;
use super::role::{Campaign, Grant, Leading, Looking, Role};
use super::zxid::{Nanos, Sid};

/// How much later each next-best candidate asks: a few round trips on a loopback.
const RANK_STEP: Nanos = Nanos::from_millis(5);

/// Jitter of all but the best candidate.
const RANK_JITTER: Nanos = Nanos::from_millis(3);

/// How often a candidate asks again who has not answered: frames may be lost.
const ASK_AGAIN: Nanos = Nanos::from_millis(10);

/// How long a campaign lasts.
const CAMPAIGN: (Nanos, Nanos) = (Nanos::from_millis(50), Nanos::from_millis(100));

/// The longest pause between two campaigns.
const LONGEST_PAUSE: Nanos = Nanos::from_millis(250);

/// How long a granted candidate is waited for.
const GRANT_PATIENCE: Nanos = Nanos::from_millis(60);

/// A vote request that came before this node lost its own leader is still good for that long.
const ASKED_MEMORY: Nanos = Nanos::from_millis(100);

impl Looking {
    /// When something is due.
    pub(super) fn deadline(&self) -> Nanos {
        match &self.campaign {
            Some(campaign) => campaign.ask_again.min(campaign.give_up),
            None => self.start_at,
        }
    }
}

impl Core {
    /// Gives up the role and looks for a leader.
    pub(super) fn look(&mut self, reason: &'static str) {
        let lost = match &self.role {
            Role::Looking(_) => None,
            Role::Following(following) => Some(following.leader),
            Role::Leading(leading) => {
                let epoch = leading.epoch;
                self.trace(TraceEvent::StepDown { epoch, reason });
                None
            }
        };
        if self.bugs.has(Bug::LogThreadSurvivesShutdown) {
            let known = self.gate.durable().max(self.log.base());
            self.log.truncate(known);
        }
        let led = matches!(self.role, Role::Leading(_));
        self.incarnation += 1;
        self.attempts += u32::from(!self.serving);
        if std::mem::take(&mut self.serving) {
            self.out.push(Output::NotServing);
        }
        self.abandon_requests();
        self.trace(TraceEvent::Looking { reason });
        // A leader that failed lets the others try first.
        let pause = if led || self.attempts > 0 {
            self.pause()
        } else {
            Nanos::ZERO
        };
        let start_at = self.now.after(pause).after(self.rank_delay());
        self.role = Role::Looking(Looking {
            start_at,
            lost,
            campaign: None,
            grant: None,
        });
        self.ping_all(true);
        self.answer_those_who_asked();
        self.follow_known_leader(lost);
        self.tick_looking();
    }

    pub(super) fn tick_looking(&mut self) {
        let now = self.now;
        let Role::Looking(looking) = &mut self.role else {
            return;
        };
        if looking.grant.is_some_and(|grant| grant.until <= now) {
            looking.grant = None;
        }
        match &mut looking.campaign {
            None if looking.start_at <= now => self.campaign(),
            None => {}
            Some(campaign) if campaign.give_up <= now => {
                looking.campaign = None;
                self.attempts += 1;
                let pause = self.pause();
                self.postpone(pause);
            }
            Some(campaign) if campaign.ask_again <= now => {
                campaign.ask_again = now.after(ASK_AGAIN);
                self.ask_for_votes();
            }
            Some(_) => {}
        }
    }

    pub(super) fn looking_on_ping(&mut self, sid: Sid, ping: &Ping, came_alive: bool) {
        if matches!(ping.role, PeerRole::Leading { .. }) {
            self.follow(sid, ping.incarnation);
            return;
        }
        let soon = self.now.after(self.rank_delay());
        let Role::Looking(looking) = &mut self.role else {
            return;
        };
        if came_alive && looking.campaign.is_none() && looking.grant.is_none() {
            // Perhaps this one makes the quorum.
            looking.start_at = looking.start_at.min(soon);
            self.tick_looking();
        }
    }

    pub(super) fn looking_lost_peer(&mut self, sid: Sid) {
        let Role::Looking(looking) = &mut self.role else {
            return;
        };
        if looking.grant.is_some_and(|grant| grant.to == sid) {
            looking.grant = None;
            looking.start_at = looking.start_at.min(self.now);
            self.tick_looking();
        }
    }

    pub(super) fn on_vote_request(&mut self, from: Sid, request: VoteRequest) {
        self.round = self.round.max(request.round);
        if matches!(&self.role, Role::Following(following) if following.leader == from) {
            self.look("deposed");
        }
        let leaves = self.bugs.has(Bug::NoPreVote) && request.standing >= self.standing();
        if leaves && matches!(self.role, Role::Following(_)) {
            self.look("disturbed");
        }
        let granted = self.grants(from, request);
        if !granted && !matches!(self.role, Role::Looking(_)) {
            self.asked.insert(from, (request, self.now));
        }
        self.send(
            from,
            Frame::Vote(Vote {
                round: request.round,
                granted,
            }),
        );
        if granted {
            self.wait_for(from, request.round);
        } else if matches!(self.role, Role::Leading(_)) {
            self.ping(from, true);
        }
    }

    pub(super) fn on_vote(&mut self, from: Sid, vote: Vote) {
        let quorum = self.quorum;
        let Role::Looking(Looking {
            campaign: Some(campaign),
            ..
        }) = &mut self.role
        else {
            return;
        };
        if campaign.round != vote.round {
            return;
        }
        campaign.answered.insert(from);
        if vote.granted {
            campaign.grants.insert(from);
        }
        if campaign.grants.len() >= quorum {
            let round = campaign.round;
            self.lead(round);
        }
    }

    /// Whether this node would have that candidate as its leader.
    fn grants(&self, from: Sid, request: VoteRequest) -> bool {
        let Role::Looking(looking) = &self.role else {
            return false;
        };
        let mine = self.standing();
        let standing = if self.bugs.has(Bug::VoteIgnoresLog) {
            mine
        } else {
            request.standing
        };
        let candidate = Contender {
            standing,
            sid: from,
        };
        let yields = looking.campaign.is_none()
            || candidate
                > Contender {
                    standing: mine,
                    sid: self.me,
                };
        let free = looking.grant.is_none_or(|grant| {
            grant.to == from && grant.round <= request.round || grant.until <= self.now
        });
        standing >= mine && yields && free
    }

    fn wait_for(&mut self, candidate: Sid, round: u64) {
        let until = self.now.after(GRANT_PATIENCE);
        let again = until.after(self.rng.between(Nanos::ZERO, CAMPAIGN.0));
        if let Role::Looking(looking) = &mut self.role {
            looking.campaign = None;
            looking.grant = Some(Grant {
                to: candidate,
                round,
                until,
            });
            looking.start_at = looking.start_at.max(again);
        }
    }

    /// Those who asked while this node still had a leader get a second answer now.
    fn answer_those_who_asked(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        let fresh = asked
            .into_iter()
            .filter(|(_, (_, at))| self.now.since(*at) <= ASKED_MEMORY)
            .map(|(sid, (request, _))| {
                (
                    Contender {
                        standing: request.standing,
                        sid,
                    },
                    request,
                )
            })
            .max_by_key(|(contender, _)| *contender);
        if let Some((contender, request)) = fresh
            && self.grants(contender.sid, request)
        {
            let vote = Vote {
                round: request.round,
                granted: true,
            };
            self.send(contender.sid, Frame::Vote(vote));
            self.wait_for(contender.sid, request.round);
        }
    }

    /// Joins a leader that is known from the pings, other than the one just lost.
    fn follow_known_leader(&mut self, lost: Option<Sid>) {
        let leading = |peer: &Peer| {
            let ping = peer.gossip().filter(|_| Some(peer.sid) != lost)?;
            match ping.role {
                PeerRole::Leading { epoch } => Some((epoch, peer.sid, ping.incarnation)),
                PeerRole::Looking | PeerRole::Following(_) => None,
            }
        };
        if let Some((_, sid, tenure)) = self.peers.values().filter_map(leading).max() {
            self.follow(sid, tenure);
        }
    }

    fn campaign(&mut self) {
        let outnumbered = self.electors() < self.quorum && !self.bugs.has(Bug::NoPreVote);
        if outnumbered || self.disk_is_stuck() {
            self.postpone(Nanos(2 * self.timing.heartbeat.0));
            return;
        }
        let Role::Looking(looking) = &mut self.role else {
            return;
        };
        if let Some(grant) = looking.grant {
            looking.start_at = grant.until.max(self.now.after(ASK_AGAIN));
            return;
        }
        self.round += 1;
        let round = self.round;
        let lasts = self.rng.between(CAMPAIGN.0, CAMPAIGN.1);
        looking.campaign = Some(Campaign {
            round,
            grants: BTreeSet::from([self.me]),
            answered: BTreeSet::new(),
            ask_again: self.now.after(ASK_AGAIN),
            give_up: self.now.after(lasts),
        });
        self.trace(TraceEvent::Candidate { round });
        if self.quorum == 1 {
            self.lead(round);
        } else {
            self.ask_for_votes();
        }
    }

    /// How many nodes, this one included, might grant: those that look, and at first also those
    /// that still name the leader which this node has just lost.
    fn electors(&self) -> usize {
        let Role::Looking(looking) = &self.role else {
            return 0;
        };
        let at_first = self.attempts == 0;
        let may_grant = |peer: &&Peer| match peer.gossip().map(|ping| ping.role) {
            Some(PeerRole::Looking) => true,
            Some(PeerRole::Following(leader)) => {
                leader == self.me || at_first && looking.lost == Some(leader)
            }
            Some(PeerRole::Leading { .. }) | None => false,
        };
        1 + self.peers.values().filter(may_grant).count()
    }

    fn ask_for_votes(&mut self) {
        let Role::Looking(Looking {
            campaign: Some(campaign),
            ..
        }) = &self.role
        else {
            return;
        };
        let request = VoteRequest {
            round: campaign.round,
            standing: self.standing(),
        };
        // Who refused may lose its leader meanwhile and answers again then, but that answer may
        // be lost: only those who granted are not asked again.
        let asked: Vec<Sid> = self
            .peers
            .keys()
            .filter(|sid| !campaign.grants.contains(sid))
            .copied()
            .collect();
        for sid in asked {
            self.send(sid, Frame::VoteRequest(request));
        }
    }

    fn lead(&mut self, round: u64) {
        self.incarnation += 1;
        self.role = Role::Leading(Leading::new(self.now));
        self.trace(TraceEvent::Elected { round });
        self.ping_all(true);
        self.choose_epoch();
    }

    /// Lets better candidates go first.
    fn rank_delay(&mut self) -> Nanos {
        let mine = (self.standing(), self.me);
        let better = self
            .peers
            .values()
            .filter_map(Peer::rank)
            .filter(|&rank| rank > mine)
            .count();
        if better == 0 || self.bugs.has(Bug::VoteIgnoresLog) {
            return Nanos::ZERO;
        }
        let jitter = self.rng.between(Nanos::ZERO, RANK_JITTER);
        Nanos(RANK_STEP.0 * better as u64 + jitter.0)
    }

    fn pause(&mut self) -> Nanos {
        let low = Nanos(RANK_STEP.0 << self.attempts.min(5));
        self.rng.between(low, Nanos(2 * low.0)).min(LONGEST_PAUSE)
    }

    fn postpone(&mut self, pause: Nanos) {
        let start_at = self.now.after(pause);
        if let Role::Looking(looking) = &mut self.role {
            looking.start_at = start_at;
        }
    }

    /// Sends a frame that need not arrive.
    fn send(&mut self, to: Sid, frame: Frame) {
        if let Some(link) = self.peers.get(&to).and_then(Peer::alive) {
            self.out.push(Output::Send {
                conn: link.conn,
                frame,
            });
        }
    }
}

/// Histories in the order of preference; the sid breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Contender {
    standing: Standing,
    sid: Sid,
}
