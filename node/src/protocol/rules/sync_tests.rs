//! Rules for how a leader brings a follower up to date.

use super::*;
use crate::protocol::blob::Blob;

/// n2 leads with the log `1.1` … `1.5`, and n3 joins with a log whose epochs end like this.
fn joined(ends: Vec<Zxid>) -> Stage {
    let mut stage = Stage::new(disk(5));
    let epoch = stage.lead();
    stage.ping(3, PeerRole::Following(ME), Standing::default());
    stage.say(3, Body::FollowerInfo { accepted_epoch: 1 });
    assert_eq!(stage.said(3), [Body::NewEpoch { epoch }]);
    let standing = Standing::default();
    stage.say(
        3,
        Body::AckEpoch {
            promised: true,
            standing,
            epoch_ends: ends,
        },
    );
    stage
}

fn propose(stage: &mut Stage) {
    let payload = Payload::from([1u8]);
    stage.give(Input::Propose {
        request: 9,
        payload,
    });
}

const LAST: Zxid = Zxid::new(1, 5);

fn new_leader(mode: SyncMode) -> Body {
    Body::NewLeader {
        epoch: 2,
        zxid: LAST,
        mode,
    }
}

#[test]
fn a_follower_that_has_everything_is_sent_nothing_but_the_epoch() {
    let stage = joined(vec![LAST]);
    assert_eq!(stage.said(3), [new_leader(SyncMode::Diff)]);
}

#[test]
fn a_follower_that_is_behind_is_sent_what_it_lacks() {
    let stage = joined(vec![Zxid::new(1, 3)]);
    let entries = vec![entry(1, 4), entry(1, 5)];
    let history = Body::SyncEntries { entries };
    assert_eq!(stage.said(3), [history, new_leader(SyncMode::Diff)]);
}

#[test]
fn a_follower_with_transactions_of_its_own_is_cut_back_across_epochs() {
    let stage = joined(vec![Zxid::new(2, 7), Zxid::new(1, 9), Zxid::ZERO]);
    let cut = Body::Truncate { to: LAST };
    assert_eq!(stage.said(3), [cut, new_leader(SyncMode::Trunc)]);
}

#[test]
fn a_follower_further_behind_than_the_log_is_sent_a_snapshot_and_what_follows() {
    let mut stage = joined(vec![LAST]);
    stage.core.log.compact(Zxid::new(1, 4), 0, usize::MAX);
    stage.give(Input::Disconnected {
        conn: ConnId(3),
        reason: BreakReason::Eof,
    });
    stage.give(Input::Connected {
        conn: ConnId(4),
        dialed: None,
    });
    let hello = Frame::Hello(Hello {
        from: Sid(3),
        to: ME,
    });
    stage.frame(4, hello);
    let say = |stage: &mut Stage, seq: u64, body: Body| {
        let message = Message {
            from: 1,
            to: stage.core.incarnation,
            body,
        };
        let ack = StreamAck::default();
        stage.frame(4, Frame::Segment(Segment { seq, ack, message }));
    };
    say(&mut stage, 1, Body::FollowerInfo { accepted_epoch: 1 });
    let answer = Body::AckEpoch {
        promised: false,
        standing: Standing::default(),
        epoch_ends: vec![Zxid::ZERO],
    };
    say(&mut stage, 2, answer);
    assert!(stage.out.contains(&Output::SnapshotWanted));
    let (zxid, bytes) = (Zxid::new(1, 4), Blob::from(vec![8; 3]));
    let snapshot = Input::Snapshot {
        zxid,
        bytes: bytes.clone(),
    };
    stage.give(snapshot);
    let chunk = Body::SnapshotChunk {
        zxid,
        total: 3,
        offset: 0,
        bytes,
    };
    let entries = vec![entry(1, 5)];
    let rest = Body::SyncEntries { entries };
    assert_eq!(stage.said(4), [chunk, rest, new_leader(SyncMode::Snap)]);
}

#[test]
fn a_snapshot_counts_only_as_a_whole_and_is_in_force_before_it_is_acknowledged() {
    let mut stage = Stage::new(disk(2));
    stage.ping(3, PeerRole::Leading { epoch: 2 }, Standing::default());
    stage.say(3, Body::NewEpoch { epoch: 2 });
    stage.quick_disk = false;
    let zxid = Zxid::new(1, 9);
    for (offset, byte) in [(0, 1u8), (1, 2)] {
        let bytes = Blob::from(vec![byte]);
        let total = 2;
        stage.say(
            3,
            Body::SnapshotChunk {
                zxid,
                total,
                offset,
                bytes,
            },
        );
        assert!(stage.out.iter().all(|output| ticket_of(output).is_none()));
    }
    let (epoch, mode) = (2, SyncMode::Snap);
    stage.say(3, Body::NewLeader { epoch, zxid, mode });
    let ticket = stage.out.iter().find_map(ticket_of).unwrap();
    assert_eq!(stage.said(3), []);
    stage.give(Input::DiskDone { ticket });
    assert!(matches!(&stage.out[..], [Output::Restore { .. }, ..]));
    assert_eq!(stage.said(3), [Body::AckNewLeader { zxid }]);
}

#[test]
fn what_is_proposed_during_a_synchronisation_follows_the_history_on_the_same_stream() {
    let mut stage = joined(vec![LAST]);
    propose(&mut stage);
    let said = stage.said(3);
    assert!(
        matches!(&said[..], [Body::Proposal { entry, .. }] if entry.zxid == Zxid::new(2, 1)),
        "{said:?}"
    );
}

#[test]
fn a_follower_is_let_in_with_the_latest_commit_not_with_what_it_acknowledged() {
    let mut stage = joined(vec![LAST]);
    propose(&mut stage);
    let zxid = Zxid::new(2, 1);
    stage.say(1, Body::Ack { zxid });
    assert_eq!(stage.core.status().committed, zxid);
    stage.say(3, Body::AckNewLeader { zxid: LAST });
    assert_eq!(stage.said(3), [Body::UpToDate { commit: zxid }]);
}

#[test]
fn the_quorum_stays_the_same_whoever_is_evicted() {
    let mut stage = joined(vec![LAST]);
    stage.say(3, Body::AckNewLeader { zxid: LAST });
    let gone = |conn: u64| Input::Disconnected {
        conn: ConnId(conn),
        reason: BreakReason::Eof,
    };
    stage.give(gone(1));
    assert_eq!(stage.core.status().phase, Phase::Leading);
    stage.give(gone(3));
    assert_eq!(stage.core.status().phase, Phase::Looking);
}

#[test]
fn a_request_goes_to_the_leader_and_its_refusal_comes_back() {
    let mut stage = Stage::new(disk(1));
    stage.follow(2, Vec::new());
    propose(&mut stage);
    let payload = Payload::from([1u8]);
    let request = Body::Request {
        request: 9,
        payload,
    };
    assert_eq!(stage.said(3), [request]);
    stage.say(3, Body::RequestRefused { request: 9 });
    let refused = Output::Rejected {
        request: 9,
        reason: RejectReason::Busy,
    };
    assert!(stage.out.contains(&refused));
}
