//! One test per rule of the protocol, on one node whose peers are played by the test.
//!
//! What must be durable before what:
//! * a promise before its acknowledgement: `an_epoch_is_acknowledged_only_when_it_is_durable`
//! * a leader's own promise before it asks for others': `a_leader_promises_its_epoch_durably_before_it_asks_others`
//! * history, then epoch, then acknowledgement: `a_history_is_written_before_its_epoch_and_both_before_the_acknowledgement`
//! * a received snapshot, whole: `a_snapshot_counts_only_as_a_whole_and_is_in_force_before_it_is_acknowledged`
//! * a leader's own epoch before it is established: `a_leader_is_established_only_when_its_own_epoch_is_durable`
//! * a proposal before its acknowledgement: `a_proposal_is_acknowledged_when_durable_and_delivered_when_committed`
//! * a leader's own log before it counts itself: `a_leader_counts_itself_only_when_its_own_log_is_durable`
//! * what a disk may hold at the start: `a_disk_that_breaks_the_rules_is_refused`
//! * and what a crash may leave: `a_log_ahead_of_its_epoch_is_what_a_crash_during_the_synchronisation_leaves`
//!
//! Election:
//! * only to a history at least as good: `a_looking_node_grants_only_to_a_history_at_least_as_good`
//! * one candidate at a time: `one_candidate_at_a_time_is_granted`
//! * nobody who has a leader grants: `a_node_with_a_leader_grants_nobody_until_it_loses_it`
//!
//! Discovery:
//! * the new epoch is the greatest: `the_new_epoch_is_above_every_promise`
//! * a promise is given once, never for an older epoch: `an_epoch_promised_before_is_no_second_promise_and_an_older_one_is_refused`
//! * and counts once: `a_promise_to_somebody_else_does_not_make_an_epoch`
//! * who does not promise soon is not waited for: `a_leader_elect_does_not_wait_long_for_a_promise`
//! * the leader has the best history: `a_leader_gives_up_if_a_follower_has_a_better_history`
//! * a greater promise can be joined: `a_follower_that_promised_more_makes_the_leader_begin_anew`
//!
//! Synchronisation:
//! * nothing missing: `a_follower_that_has_everything_is_sent_nothing_but_the_epoch`
//! * a difference: `a_follower_that_is_behind_is_sent_what_it_lacks`
//! * a cut, also across epochs: `a_follower_with_transactions_of_its_own_is_cut_back_across_epochs`
//! * a snapshot: `a_follower_further_behind_than_the_log_is_sent_a_snapshot_and_what_follows`
//! * a long history gets the time that it takes: `a_leader_elect_waits_long_for_a_follower_that_takes_in_its_history`
//! * what is committed is never cut: `a_cut_log_loses_nothing_committed`
//! * no holes: `a_hole_in_the_history_is_fatal`
//! * forwarding from the point of the difference: `what_is_proposed_during_a_synchronisation_follows_the_history_on_the_same_stream`
//! * no acknowledgement overtakes that of the history: `a_proposal_during_the_synchronisation_is_acknowledged_only_behind_the_history`
//! * commits before a follower is let in: `a_commit_before_a_follower_is_let_in_is_neither_lost_nor_early`
//! * it is let in with the latest commit: `a_follower_is_let_in_with_the_latest_commit_not_with_what_it_acknowledged`
//! * and serves from there: `clients_are_served_only_when_all_is_delivered_that_was_committed`
//!
//! Broadcast:
//! * a quorum commits: `a_leader_commits_with_a_quorum_and_not_before`
//! * requests travel to the leader: `a_request_goes_to_the_leader_and_its_refusal_comes_back`
//! * a counter never runs over: `a_full_counter_forces_a_new_epoch`
//! * nothing is too large for a frame: `a_payload_that_fits_no_frame_is_refused`
//! * a read asks a quorum after it began: `a_read_waits_for_a_ping_answered_after_it_was_asked`
//!
//! Membership and roles:
//! * suspicion comes before the search: `a_suspicion_is_told_before_looking`
//! * a leader needs a quorum: `a_leader_without_a_quorum_gives_up_and_leaves_its_writes_unknown`
//! * whose size never changes: `the_quorum_stays_the_same_whoever_is_evicted`
//! * a follower goes with its link: `a_follower_is_forgotten_with_its_link_even_if_that_never_came_alive`
//! * former roles hear nothing: `what_was_said_to_a_former_role_is_dropped`
//! * and say nothing: `a_completion_of_a_former_role_says_nothing`

mod durability_tests;
mod following_tests;
mod leading_tests;
mod sync_tests;

use crate::bug::Bugs;
use crate::protocol::Core;
use crate::protocol::blob::Blob;
use crate::protocol::io::{
    Boot, BootError, BreakReason, CoreConfig, DiskOp, Input, Output, Phase, RejectReason, Timing,
    TraceEvent,
};
use crate::protocol::message::{
    Body, Entry, Frame, Hello, MAX_PAYLOAD, Message, Payload, PeerRole, Ping, Segment, Standing,
    StreamAck, SyncMode, Vote, VoteRequest,
};
use crate::protocol::zxid::{COUNTER_LIMIT, ConnId, Nanos, Sid, Ticket, Zxid};

/// The node under test is `n2` of three; `n1` and `n3` are the test's.
struct Stage {
    core: Core,
    now: Nanos,
    seqs: [u64; 4],
    out: Vec<Output>,
    /// Disk batches are done at once.
    quick_disk: bool,
}

const ME: Sid = Sid(2);

fn config(me: Sid, voters: u8) -> CoreConfig {
    CoreConfig {
        me,
        voters: (1..=voters).map(Sid).collect(),
        seed: 1,
        timing: Timing::default(),
        keep_entries: 5000,
        bugs: Bugs::NONE,
    }
}

fn entry(epoch: u32, counter: u32) -> Entry {
    let zxid = Zxid::new(epoch, counter);
    Entry {
        zxid,
        origin: Sid(3),
        request: zxid.0,
        payload: Payload::from([7u8]),
    }
}

/// A disk with transactions `1.1` to `1.count`.
fn disk(count: u32) -> Boot {
    Boot {
        accepted_epoch: 1,
        current_epoch: 1,
        entries: (1..=count).map(|counter| entry(1, counter)).collect(),
        ..Boot::default()
    }
}

fn standing(epoch: u32, last: Zxid) -> Standing {
    Standing {
        current_epoch: epoch,
        last_zxid: last,
    }
}

impl Stage {
    fn new(boot: Boot) -> Self {
        let now = Nanos::from_millis(1000);
        let core = Core::new(config(ME, 3), boot, now).unwrap();
        let mut stage = Self {
            core,
            now,
            seqs: [1; 4],
            out: Vec::new(),
            quick_disk: true,
        };
        stage.give(Input::Tick);
        // n2 dials n1, n3 dials n2.
        stage.give(Input::Connected {
            conn: ConnId(1),
            dialed: Some(Sid(1)),
        });
        stage.give(Input::Connected {
            conn: ConnId(3),
            dialed: None,
        });
        stage.frame(
            1,
            Frame::Welcome(Hello {
                from: Sid(1),
                to: ME,
            }),
        );
        stage.frame(
            3,
            Frame::Hello(Hello {
                from: Sid(3),
                to: ME,
            }),
        );
        stage
    }

    /// Gives an input and keeps the outputs of it alone.
    fn give(&mut self, input: Input) {
        self.now = self.now.after(Nanos::from_micros(10));
        self.out.clear();
        self.core.step(self.now, input, &mut self.out);
        while self.quick_disk
            && let Some(ticket) = self.out.iter().rev().find_map(ticket_of)
            && self.core.gate.oldest().is_some()
        {
            self.core
                .step(self.now, Input::DiskDone { ticket }, &mut self.out);
        }
    }

    fn frame(&mut self, peer: u8, frame: Frame) {
        self.give(Input::Frame {
            conn: ConnId(u64::from(peer)),
            frame,
        });
    }

    /// A ping of `peer` that echoes what this node sent, so that the link is alive.
    fn ping(&mut self, peer: u8, role: PeerRole, standing: Standing) {
        let (sent_at, echo) = (self.now.0, self.core.last_ping_time.max(1));
        self.frame(
            peer,
            Frame::Ping(Ping {
                incarnation: 1,
                role,
                sent_at,
                echo,
                held: 0,
                reply: false,
                accepted_epoch: standing.current_epoch,
                standing,
            }),
        );
    }

    fn say(&mut self, peer: u8, body: Body) {
        let seq = self.seqs[usize::from(peer)];
        self.seqs[usize::from(peer)] += 1;
        let message = Message {
            from: 1,
            to: self.core.incarnation,
            body,
        };
        self.frame(
            peer,
            Frame::Segment(Segment {
                seq,
                ack: StreamAck::default(),
                message,
            }),
        );
    }

    /// What this node has said in order to `peer` with the last input.
    fn said(&self, peer: u8) -> Vec<Body> {
        let to_peer = |output: &Output| match output {
            Output::Send {
                conn,
                frame: Frame::Segment(segment),
            } if conn.0 == u64::from(peer) => Some(segment.message.body.clone()),
            _ => None,
        };
        self.out.iter().filter_map(to_peer).collect()
    }

    fn vote(&mut self, peer: u8, round: u64, standing: Standing) -> Option<bool> {
        self.frame(peer, Frame::VoteRequest(VoteRequest { round, standing }));
        self.out.iter().find_map(|output| match output {
            Output::Send {
                frame: Frame::Vote(vote),
                ..
            } => Some(vote.granted),
            _ => None,
        })
    }

    fn traced(&self, wanted: impl Fn(&TraceEvent) -> bool) -> bool {
        self.out
            .iter()
            .any(|output| matches!(output, Output::Trace(event) if wanted(event)))
    }

    fn is_fatal(&self) -> bool {
        self.out
            .iter()
            .any(|output| matches!(output, Output::Fatal(_)))
    }

    /// Becomes a follower of n3 in `epoch`, with `extra` behind its own log.
    fn follow(&mut self, epoch: u32, extra: Vec<Entry>) {
        self.ping(3, PeerRole::Leading { epoch }, standing(epoch, Zxid::ZERO));
        self.say(3, Body::NewEpoch { epoch });
        let last = extra
            .last()
            .map_or_else(|| self.core.log.last(), |entry| entry.zxid);
        if !extra.is_empty() {
            self.say(3, Body::SyncEntries { entries: extra });
        }
        self.say(
            3,
            Body::NewLeader {
                epoch,
                zxid: last,
                mode: SyncMode::Diff,
            },
        );
        self.say(3, Body::UpToDate { commit: last });
        assert_eq!(self.core.status().phase, Phase::Following);
        assert!(self.core.status().serving);
    }

    /// Becomes the leader-elect, with n1 asked for its promise.
    fn elect(&mut self) {
        self.ping(1, PeerRole::Looking, Standing::default());
        self.give(Input::Tick);
        let round = self.core.round;
        self.frame(
            1,
            Frame::Vote(Vote {
                round,
                granted: true,
            }),
        );
        self.say(1, Body::FollowerInfo { accepted_epoch: 1 });
        assert_eq!(self.core.status().phase, Phase::Electing);
    }

    /// Becomes the established leader with n1 as its follower.
    fn lead(&mut self) -> u32 {
        self.elect();
        let epoch = self.core.status().accepted_epoch;
        let last = self.core.log.last();
        let (standing, epoch_ends) = (Standing::default(), vec![last]);
        self.say(
            1,
            Body::AckEpoch {
                promised: true,
                standing,
                epoch_ends,
            },
        );
        self.say(1, Body::AckNewLeader { zxid: last });
        assert_eq!(self.core.status().phase, Phase::Leading);
        epoch
    }
}

fn ticket_of(output: &Output) -> Option<Ticket> {
    match output {
        Output::Disk { ticket, .. } => Some(*ticket),
        _ => None,
    }
}

#[test]
fn every_rule_has_its_test_and_every_test_its_rule() {
    let here = include_str!("mod.rs");
    let rules = here.lines().filter_map(|line| line.strip_prefix("//! * "));
    let mut named: Vec<&str> = rules.filter_map(|rule| rule.split('`').nth(1)).collect();
    let files = [
        include_str!("durability_tests.rs"),
        include_str!("following_tests.rs"),
        include_str!("leading_tests.rs"),
        include_str!("sync_tests.rs"),
    ];
    let tests = |text: &'static str| text.split("#[test]\nfn ").skip(1);
    let mut written: Vec<&str> = files
        .into_iter()
        .flat_map(tests)
        .filter_map(|test| test.split('(').next())
        .collect();
    named.sort_unstable();
    written.sort_unstable();
    assert_eq!(named, written);
}
