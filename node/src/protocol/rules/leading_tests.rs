//! Rules for a node that leads, and for what it starts from.

use super::*;

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
fn a_follower_is_forgotten_with_its_link_even_if_that_never_came_alive() {
    let mut stage = Stage::new(disk(2));
    stage.lead();
    // No ping of n3 has echoed one of ours, but its stream is in order.
    stage.say(3, Body::FollowerInfo { accepted_epoch: 1 });
    assert_eq!(stage.core.status().followers, 2);
    stage.give(Input::Disconnected {
        conn: ConnId(3),
        reason: BreakReason::Eof,
    });
    assert_eq!(stage.core.status().followers, 1);
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

/// Lets time pass in which n1 is alive and says nothing else.
fn wait(stage: &mut Stage, millis: u64) {
    for _ in 0..millis / 20 {
        stage.now = stage.now.after(Nanos::from_millis(20));
        let leader = PeerRole::Following(ME);
        stage.ping(1, leader, Standing::default());
        stage.give(Input::Tick);
    }
}

#[test]
fn a_leader_elect_waits_long_for_a_follower_that_takes_in_its_history() {
    let base = Zxid::new(1, 3);
    let mut stage = Stage::new(Boot {
        snapshot: base,
        base,
        entries: vec![entry(1, 4), entry(1, 5)],
        ..disk(0)
    });
    stage.elect();
    let (standing, epoch_ends) = (Standing::default(), Vec::new());
    let promised = true;
    stage.say(
        1,
        Body::AckEpoch {
            promised,
            standing,
            epoch_ends,
        },
    );
    assert!(stage.out.contains(&Output::SnapshotWanted));
    // To encode a large state takes a while.
    wait(&mut stage, 2_000);
    let bytes = Blob::from(b"state");
    stage.give(Input::Snapshot { zxid: base, bytes });
    let last = stage.core.log.last();
    assert!(matches!(
        stage.said(1)[..],
        [Body::SnapshotChunk { .. }, Body::SyncEntries { .. }, Body::NewLeader { zxid, .. }] if zxid == last
    ));
    // To write it down, too.
    wait(&mut stage, 2_000);
    assert_eq!(stage.core.status().phase, Phase::Electing);
    stage.say(1, Body::AckNewLeader { zxid: last });
    assert_eq!(stage.core.status().phase, Phase::Leading);
}

#[test]
fn a_leader_elect_does_not_wait_long_for_a_promise() {
    let mut stage = Stage::new(disk(5));
    stage.elect();
    wait(&mut stage, 380);
    assert_eq!(stage.core.status().phase, Phase::Electing);
    wait(&mut stage, 60);
    assert_eq!(stage.core.status().phase, Phase::Looking);
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
