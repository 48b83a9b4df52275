//! One test per rule of the protocol, on one node whose peers are played by the test.

use super::Core;
use super::io::{
    Boot, BootError, BreakReason, CoreConfig, DiskOp, Input, Output, Phase, RejectReason, Timing,
    TraceEvent,
};
use super::message::{
    Body, Entry, Frame, Hello, MAX_PAYLOAD, Message, Payload, PeerRole, Ping, Segment, Standing,
    StreamAck, SyncMode, Vote, VoteRequest,
};
use super::zxid::{COUNTER_LIMIT, ConnId, Nanos, Sid, Ticket, Zxid};

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

    /// Becomes the established leader with n1 as its follower.
    fn lead(&mut self) -> u32 {
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
fn a_looking_node_grants_only_to_a_history_at_least_as_good() {
    for (candidate, granted) in [
        (standing(1, Zxid::new(1, 4)), false),
        (standing(0, Zxid::new(1, 9)), false),
        (standing(1, Zxid::new(1, 5)), true),
        (standing(2, Zxid::new(1, 1)), true),
    ] {
        let mut stage = Stage::new(disk(5));
        stage.ping(3, PeerRole::Looking, candidate);
        assert_eq!(stage.vote(3, 1, candidate), Some(granted), "{candidate:?}");
    }
}

#[test]
fn one_candidate_at_a_time_is_granted() {
    let mut stage = Stage::new(disk(5));
    let better = standing(1, Zxid::new(1, 9));
    stage.ping(1, PeerRole::Looking, better);
    stage.ping(3, PeerRole::Looking, better);
    assert_eq!(stage.vote(1, 1, better), Some(true));
    assert_eq!(stage.vote(3, 1, better), Some(false));
    assert_eq!(
        stage.vote(1, 2, better),
        Some(true),
        "the same one may ask again"
    );
}

#[test]
fn a_node_with_a_leader_grants_nobody_until_it_loses_it() {
    let mut stage = Stage::new(disk(5));
    stage.follow(2, Vec::new());
    let best = standing(9, Zxid::new(9, 9));
    stage.ping(1, PeerRole::Looking, best);
    assert_eq!(stage.vote(1, 7, best), Some(false), "the leader lives");
    stage.give(Input::Disconnected {
        conn: ConnId(3),
        reason: BreakReason::Eof,
    });
    let granted = Frame::Vote(Vote {
        round: 7,
        granted: true,
    });
    assert!(
        stage.out.contains(&Output::Send {
            conn: ConnId(1),
            frame: granted
        }),
        "who asked before gets a second answer: {:?}",
        stage.out
    );
    assert!(stage.out.contains(&Output::NotServing));
}

#[test]
fn a_suspicion_is_told_before_looking() {
    let mut stage = Stage::new(disk(5));
    stage.follow(2, Vec::new());
    stage.give(Input::Disconnected {
        conn: ConnId(3),
        reason: BreakReason::Eof,
    });
    let position = |wanted: fn(&TraceEvent) -> bool| {
        stage
            .out
            .iter()
            .position(|o| matches!(o, Output::Trace(event) if wanted(event)))
    };
    let suspect = position(|event| {
        matches!(
            event,
            TraceEvent::Suspect {
                of: Sid(3),
                channel: "eof",
                ..
            }
        )
    });
    let looking = position(|event| {
        matches!(
            event,
            TraceEvent::Looking {
                reason: "leader_lost"
            }
        )
    });
    assert!(suspect.is_some() && suspect < looking);
}

#[test]
fn an_epoch_is_acknowledged_only_when_it_is_durable() {
    let mut stage = Stage::new(disk(5));
    stage.quick_disk = false;
    stage.ping(3, PeerRole::Leading { epoch: 4 }, Standing::default());
    assert_eq!(stage.said(3), [Body::FollowerInfo { accepted_epoch: 1 }]);
    stage.say(3, Body::NewEpoch { epoch: 4 });
    let ticket = stage.out.iter().find_map(ticket_of).unwrap();
    assert_eq!(stage.said(3), []);
    stage.give(Input::DiskDone { ticket });
    let last = Zxid::new(1, 5);
    let expected = Body::AckEpoch {
        promised: true,
        standing: standing(1, last),
        epoch_ends: vec![last, Zxid::ZERO],
    };
    assert_eq!(stage.said(3), [expected]);
}

#[test]
fn an_epoch_promised_before_is_no_second_promise_and_an_older_one_is_refused() {
    let mut stage = Stage::new(disk(5));
    stage.ping(3, PeerRole::Leading { epoch: 1 }, Standing::default());
    stage.say(3, Body::NewEpoch { epoch: 1 });
    assert!(matches!(
        stage.said(3)[..],
        [Body::AckEpoch {
            promised: false,
            ..
        }]
    ));

    let mut stage = Stage::new(Boot {
        accepted_epoch: 5,
        ..disk(5)
    });
    stage.ping(3, PeerRole::Leading { epoch: 4 }, Standing::default());
    stage.say(3, Body::NewEpoch { epoch: 4 });
    assert_eq!(stage.said(3), []);
    assert!(stage.traced(|event| matches!(
        event,
        TraceEvent::Looking {
            reason: "stale_leader"
        }
    )));
}

#[test]
fn a_history_is_written_before_its_epoch_and_both_before_the_acknowledgement() {
    let mut stage = Stage::new(disk(2));
    stage.quick_disk = false;
    stage.ping(3, PeerRole::Leading { epoch: 2 }, Standing::default());
    stage.say(3, Body::NewEpoch { epoch: 2 });
    let mut batches = stage.out.clone();
    stage.say(
        3,
        Body::SyncEntries {
            entries: vec![entry(1, 3)],
        },
    );
    batches.append(&mut stage.out);
    let last = Zxid::new(1, 3);
    stage.say(
        3,
        Body::NewLeader {
            epoch: 2,
            zxid: last,
            mode: SyncMode::Diff,
        },
    );
    batches.append(&mut stage.out);
    let ops: Vec<&DiskOp> = batches
        .iter()
        .filter_map(|output| match output {
            Output::Disk { ops, .. } => Some(ops),
            _ => None,
        })
        .flatten()
        .collect();
    let promise = DiskOp::SetMeta {
        accepted_epoch: 2,
        current_epoch: 1,
    };
    let history = DiskOp::Append(vec![entry(1, 3)]);
    let epoch = DiskOp::SetMeta {
        accepted_epoch: 2,
        current_epoch: 2,
    };
    assert_eq!(ops, [&promise, &history, &epoch]);
    for ticket in 1..=2 {
        stage.give(Input::DiskDone {
            ticket: Ticket(ticket),
        });
        assert!(!stage.said(3).contains(&Body::AckNewLeader { zxid: last }));
    }
    stage.give(Input::DiskDone { ticket: Ticket(3) });
    assert_eq!(stage.said(3), [Body::AckNewLeader { zxid: last }]);
}

#[test]
fn a_proposal_is_acknowledged_when_durable_and_delivered_when_committed() {
    let mut stage = Stage::new(disk(1));
    stage.follow(2, Vec::new());
    stage.quick_disk = false;
    let (first, second) = (entry(2, 1), entry(2, 2));
    let commit = Zxid::new(1, 1);
    stage.say(
        3,
        Body::Proposal {
            entry: first.clone(),
            commit,
        },
    );
    assert_eq!(stage.said(3), []);
    let ticket = stage.out.iter().find_map(ticket_of).unwrap();
    stage.say(
        3,
        Body::Proposal {
            entry: second,
            commit: first.zxid,
        },
    );
    assert!(
        !stage.out.contains(&Output::Deliver(first.clone())),
        "committed, not durable here"
    );
    stage.give(Input::DiskDone { ticket });
    assert_eq!(stage.said(3), [Body::Ack { zxid: first.zxid }]);
    assert!(stage.out.contains(&Output::Deliver(first)));
}

#[test]
fn a_cut_log_loses_nothing_committed() {
    let mut stage = Stage::new(disk(5));
    stage.follow(2, vec![entry(2, 1)]);
    stage.give(Input::Disconnected {
        conn: ConnId(3),
        reason: BreakReason::Eof,
    });
    stage.ping(1, PeerRole::Leading { epoch: 3 }, Standing::default());
    stage.say(1, Body::NewEpoch { epoch: 3 });
    stage.say(
        1,
        Body::Truncate {
            to: Zxid::new(1, 4),
        },
    );
    assert!(stage.is_fatal());
}

#[test]
fn a_hole_in_the_history_is_fatal() {
    let mut stage = Stage::new(disk(5));
    stage.follow(2, Vec::new());
    stage.say(
        3,
        Body::Proposal {
            entry: entry(2, 2),
            commit: Zxid::ZERO,
        },
    );
    assert!(stage.is_fatal());
}

#[test]
fn what_was_said_to_a_former_role_is_dropped() {
    let mut stage = Stage::new(disk(5));
    stage.follow(2, Vec::new());
    let message = Message {
        from: 1,
        to: stage.core.incarnation - 1,
        body: Body::Proposal {
            entry: entry(2, 1),
            commit: Zxid::ZERO,
        },
    };
    let seq = stage.seqs[3];
    stage.frame(
        3,
        Frame::Segment(Segment {
            seq,
            ack: StreamAck::default(),
            message,
        }),
    );
    assert_eq!(stage.core.log.last(), Zxid::new(1, 5));
}

#[test]
fn a_completion_of_a_former_role_says_nothing() {
    let mut stage = Stage::new(disk(5));
    stage.quick_disk = false;
    stage.ping(3, PeerRole::Leading { epoch: 4 }, Standing::default());
    stage.say(3, Body::NewEpoch { epoch: 4 });
    let ticket = stage.out.iter().find_map(ticket_of).unwrap();
    stage.ping(3, PeerRole::Looking, Standing::default());
    assert_eq!(stage.core.status().phase, Phase::Looking);
    stage.give(Input::DiskDone { ticket });
    assert_eq!(stage.said(3), []);
    assert_eq!(
        stage.core.status().accepted_epoch,
        4,
        "the promise itself holds"
    );
}

#[test]
fn a_leader_gives_up_if_a_follower_has_a_better_history() {
    let mut stage = Stage::new(disk(5));
    stage.ping(1, PeerRole::Looking, Standing::default());
    stage.give(Input::Tick);
    let round = stage.core.round;
    stage.frame(
        1,
        Frame::Vote(Vote {
            round,
            granted: true,
        }),
    );
    assert!(stage.traced(|event| matches!(event, TraceEvent::Elected { .. })));
    stage.say(1, Body::FollowerInfo { accepted_epoch: 1 });
    let better = Zxid::new(1, 6);
    let (standing, epoch_ends) = (standing(1, better), vec![better]);
    stage.say(
        1,
        Body::AckEpoch {
            promised: true,
            standing,
            epoch_ends,
        },
    );
    assert!(stage.traced(|e| matches!(
        e,
        TraceEvent::StepDown {
            reason: "better_history",
            ..
        }
    )));
}

#[test]
fn a_promise_to_somebody_else_does_not_make_an_epoch() {
    let mut stage = Stage::new(disk(5));
    stage.ping(1, PeerRole::Looking, Standing::default());
    stage.give(Input::Tick);
    let round = stage.core.round;
    stage.frame(
        1,
        Frame::Vote(Vote {
            round,
            granted: true,
        }),
    );
    stage.say(1, Body::FollowerInfo { accepted_epoch: 1 });
    let (standing, epoch_ends) = (Standing::default(), vec![Zxid::ZERO]);
    stage.say(
        1,
        Body::AckEpoch {
            promised: false,
            standing,
            epoch_ends,
        },
    );
    assert!(!stage.traced(|event| matches!(event, TraceEvent::EpochAgreed { .. })));
    assert_eq!(stage.said(1), []);
}

#[test]
fn the_new_epoch_is_above_every_promise() {
    let mut stage = Stage::new(disk(5));
    stage.ping(1, PeerRole::Looking, Standing::default());
    stage.give(Input::Tick);
    let round = stage.core.round;
    stage.frame(
        1,
        Frame::Vote(Vote {
            round,
            granted: true,
        }),
    );
    stage.say(1, Body::FollowerInfo { accepted_epoch: 40 });
    assert_eq!(stage.said(1), [Body::NewEpoch { epoch: 41 }]);
}

#[test]
fn a_follower_that_promised_more_makes_the_leader_begin_anew() {
    let mut stage = Stage::new(disk(5));
    let epoch = stage.lead();
    stage.ping(3, PeerRole::Looking, Standing::default());
    stage.say(
        3,
        Body::FollowerInfo {
            accepted_epoch: epoch + 3,
        },
    );
    assert!(stage.traced(|e| matches!(
        e,
        TraceEvent::StepDown {
            reason: "higher_epoch",
            ..
        }
    )));
}

#[test]
fn a_leader_commits_with_a_quorum_and_not_before() {
    let mut stage = Stage::new(disk(5));
    let epoch = stage.lead();
    stage.give(Input::Propose {
        request: 9,
        payload: Payload::from([1u8]),
    });
    let zxid = Zxid::new(epoch, 1);
    assert!(matches!(stage.said(1)[..], [Body::Proposal { .. }]));
    assert!(stage.core.status().committed < zxid);
    stage.say(1, Body::Ack { zxid });
    assert_eq!(stage.core.status().committed, zxid);
    assert_eq!(stage.said(1), [Body::Commit { zxid }]);
    assert!(
        stage
            .out
            .iter()
            .any(|o| matches!(o, Output::Deliver(e) if e.request == 9))
    );
}

#[test]
fn a_leader_without_a_quorum_gives_up_and_leaves_its_writes_unknown() {
    let mut stage = Stage::new(disk(5));
    stage.lead();
    stage.give(Input::Propose {
        request: 9,
        payload: Payload::from([1u8]),
    });
    stage.give(Input::Disconnected {
        conn: ConnId(1),
        reason: BreakReason::Eof,
    });
    assert!(stage.traced(|e| matches!(
        e,
        TraceEvent::StepDown {
            reason: "quorum_lost",
            ..
        }
    )));
    let rejected = Output::Rejected {
        request: 9,
        reason: RejectReason::LeaderLost,
    };
    assert!(stage.out.contains(&rejected));
    stage.give(Input::Propose {
        request: 10,
        payload: Payload::from([1u8]),
    });
    let refused = Output::Rejected {
        request: 10,
        reason: RejectReason::NotServing,
    };
    assert!(stage.out.contains(&refused), "certainly not proposed");
}

#[test]
fn a_read_waits_for_a_ping_answered_after_it_was_asked() {
    let mut stage = Stage::new(disk(5));
    let epoch = stage.lead();
    let following = |echo| Ping {
        incarnation: 1,
        role: PeerRole::Following(ME),
        sent_at: 5_000_000_000,
        echo,
        held: 0,
        reply: false,
        accepted_epoch: epoch,
        standing: Standing::default(),
    };
    let before = stage.core.last_ping_time;
    stage.give(Input::ReadIndex { request: 4 });
    let ready = Output::ReadReady {
        request: 4,
        zxid: Zxid::new(1, 5),
    };
    assert!(!stage.out.contains(&ready));
    stage.frame(1, Frame::Ping(following(before)));
    assert!(
        !stage.out.contains(&ready),
        "that ping was sent before the read"
    );
    let asked = stage.core.last_ping_time;
    stage.frame(
        1,
        Frame::Ping(Ping {
            accepted_epoch: epoch + 1,
            ..following(asked)
        }),
    );
    assert!(
        !stage.out.contains(&ready),
        "it has promised itself to another"
    );
    stage.frame(1, Frame::Ping(following(asked)));
    assert!(stage.out.contains(&ready));
}

#[test]
fn a_full_counter_forces_a_new_epoch() {
    let now = Nanos::from_millis(1000);
    let mut core = Core::new(config(Sid(1), 1), Boot::default(), now).unwrap();
    let mut out = Vec::new();
    core.step(now, Input::Tick, &mut out);
    for ticket in 1..=2 {
        core.step(
            now,
            Input::DiskDone {
                ticket: Ticket(ticket),
            },
            &mut out,
        );
    }
    assert!(
        core.status().serving,
        "alone it is a quorum: {:?}",
        core.status()
    );
    core.log.reset(Zxid::new(1, COUNTER_LIMIT - 1));
    out.clear();
    core.step(
        now,
        Input::Propose {
            request: 1,
            payload: Payload::from([]),
        },
        &mut out,
    );
    assert_eq!(core.log.last(), Zxid::new(1, COUNTER_LIMIT));
    core.step(
        now,
        Input::Propose {
            request: 2,
            payload: Payload::from([]),
        },
        &mut out,
    );
    let step_down = TraceEvent::StepDown {
        epoch: 1,
        reason: "counter_limit",
    };
    assert!(out.contains(&Output::Trace(step_down)));
    assert_eq!(core.log.last(), Zxid::new(1, COUNTER_LIMIT));
}

#[test]
fn a_payload_that_fits_no_frame_is_refused() {
    let mut stage = Stage::new(disk(5));
    stage.lead();
    let payload = Payload::from(vec![0; MAX_PAYLOAD + 1]);
    stage.give(Input::Propose {
        request: 1,
        payload,
    });
    let refused = Output::Rejected {
        request: 1,
        reason: RejectReason::TooLarge,
    };
    assert!(stage.out.contains(&refused));
}

#[test]
fn a_disk_that_breaks_the_rules_is_refused() {
    let start = |boot| {
        Core::new(config(ME, 3), boot, Nanos::ZERO)
            .map(|_| ())
            .unwrap_err()
    };
    let accepted = Boot {
        accepted_epoch: 1,
        current_epoch: 2,
        ..Boot::default()
    };
    assert_eq!(
        start(accepted),
        BootError::AcceptedBehindCurrent {
            accepted: 1,
            current: 2
        }
    );
    let promised = Boot {
        accepted_epoch: 0,
        current_epoch: 0,
        ..disk(3)
    };
    assert!(matches!(
        start(promised),
        BootError::AcceptedBehindLog { accepted: 0, .. }
    ));
    let hole = Boot {
        entries: vec![entry(1, 2)],
        ..disk(0)
    };
    assert!(matches!(start(hole), BootError::Gap { .. }));
    let outside = Boot {
        snapshot: Zxid::new(1, 9),
        ..disk(3)
    };
    assert!(matches!(
        start(outside),
        BootError::SnapshotOutsideLog { .. }
    ));
    let stranger = Core::new(config(Sid(9), 3), Boot::default(), Nanos::ZERO).map(|_| ());
    assert_eq!(stranger.unwrap_err(), BootError::NotAVoter(Sid(9)));
}
