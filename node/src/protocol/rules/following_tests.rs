//! Rules for a node that looks for a leader or follows one.

use super::*;

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
