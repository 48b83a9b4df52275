//! Rules for what must be on the disk of a leader, and for the time between a history and its use.

use super::*;

/// n2 is elected by n1, with its disk answering only when told to. Gives the last outputs.
fn elected() -> Stage {
    let mut stage = Stage::new(disk(5));
    stage.quick_disk = false;
    stage.ping(1, PeerRole::Looking, Standing::default());
    stage.give(Input::Tick);
    let round = stage.core.round;
    let granted = true;
    stage.frame(1, Frame::Vote(Vote { round, granted }));
    stage.say(1, Body::FollowerInfo { accepted_epoch: 1 });
    stage
}

fn promise(stage: &Stage) -> Body {
    Body::AckEpoch {
        promised: true,
        standing: Standing::default(),
        epoch_ends: vec![stage.core.log.last()],
    }
}

fn done(stage: &mut Stage, ticket: u64) {
    let ticket = Ticket(ticket);
    stage.give(Input::DiskDone { ticket });
}

#[test]
fn a_leader_promises_its_epoch_durably_before_it_asks_others() {
    let mut stage = elected();
    assert_eq!(stage.said(1), []);
    done(&mut stage, 1);
    assert_eq!(stage.said(1), [Body::NewEpoch { epoch: 2 }]);
}

#[test]
fn a_leader_is_established_only_when_its_own_epoch_is_durable() {
    let mut stage = elected();
    done(&mut stage, 1);
    let answer = promise(&stage);
    stage.say(1, answer);
    let zxid = Zxid::new(1, 5);
    stage.say(1, Body::AckNewLeader { zxid });
    assert_eq!(stage.core.status().phase, Phase::Electing);
    done(&mut stage, 2);
    assert_eq!(stage.core.status().phase, Phase::Leading);
}

#[test]
fn a_leader_counts_itself_only_when_its_own_log_is_durable() {
    let mut stage = Stage::new(disk(5));
    let epoch = stage.lead();
    stage.quick_disk = false;
    let payload = Payload::from([1u8]);
    stage.give(Input::Propose {
        request: 9,
        payload,
    });
    let ticket = stage.out.iter().find_map(ticket_of).unwrap();
    let zxid = Zxid::new(epoch, 1);
    stage.say(1, Body::Ack { zxid });
    assert!(stage.core.status().committed < zxid);
    stage.give(Input::DiskDone { ticket });
    assert_eq!(stage.core.status().committed, zxid);
}

#[test]
fn a_proposal_during_the_synchronisation_is_acknowledged_only_behind_the_history() {
    let mut stage = Stage::new(disk(1));
    stage.ping(3, PeerRole::Leading { epoch: 2 }, Standing::default());
    stage.say(3, Body::NewEpoch { epoch: 2 });
    stage.quick_disk = false;
    let (zxid, mode) = (Zxid::new(1, 1), SyncMode::Diff);
    let epoch = 2;
    stage.say(3, Body::NewLeader { epoch, zxid, mode });
    let history = stage.out.iter().find_map(ticket_of).unwrap();
    let proposed = entry(2, 1);
    let commit = Zxid::ZERO;
    stage.say(
        3,
        Body::Proposal {
            entry: proposed.clone(),
            commit,
        },
    );
    let proposal = stage.out.iter().find_map(ticket_of).unwrap();
    assert_eq!(stage.said(3), []);
    stage.give(Input::DiskDone { ticket: history });
    assert_eq!(stage.said(3), [Body::AckNewLeader { zxid }]);
    stage.give(Input::DiskDone { ticket: proposal });
    let zxid = proposed.zxid;
    assert_eq!(stage.said(3), [Body::Ack { zxid }]);
}

#[test]
fn a_commit_before_a_follower_is_let_in_is_neither_lost_nor_early() {
    let mut stage = Stage::new(disk(1));
    stage.ping(3, PeerRole::Leading { epoch: 2 }, Standing::default());
    stage.say(3, Body::NewEpoch { epoch: 2 });
    let (zxid, mode) = (Zxid::new(1, 1), SyncMode::Diff);
    let epoch = 2;
    stage.say(3, Body::NewLeader { epoch, zxid, mode });
    let proposed = entry(2, 1);
    let commit = Zxid::ZERO;
    stage.say(
        3,
        Body::Proposal {
            entry: proposed.clone(),
            commit,
        },
    );
    let zxid = proposed.zxid;
    stage.say(3, Body::Commit { zxid });
    assert_eq!(stage.core.status().delivered, Zxid::ZERO);
    stage.say(3, Body::UpToDate { commit: zxid });
    assert!(stage.out.contains(&Output::Deliver(proposed)));
    assert!(stage.core.status().serving);
}

#[test]
fn clients_are_served_only_when_all_is_delivered_that_was_committed() {
    let mut stage = Stage::new(disk(1));
    stage.ping(3, PeerRole::Leading { epoch: 2 }, Standing::default());
    stage.say(3, Body::NewEpoch { epoch: 2 });
    let (zxid, mode) = (Zxid::new(1, 1), SyncMode::Diff);
    let epoch = 2;
    stage.say(3, Body::NewLeader { epoch, zxid, mode });
    stage.quick_disk = false;
    let (entry, commit) = (entry(2, 1), zxid);
    stage.say(3, Body::Proposal { entry, commit });
    let ticket = stage.out.iter().find_map(ticket_of).unwrap();
    let commit = Zxid::new(2, 1);
    stage.say(3, Body::UpToDate { commit });
    assert!(!stage.core.status().serving, "its last one is not durable");
    stage.give(Input::DiskDone { ticket });
    assert!(stage.core.status().serving);
}

#[test]
fn a_log_ahead_of_its_epoch_is_what_a_crash_during_the_synchronisation_leaves() {
    let boot = Boot {
        accepted_epoch: 3,
        current_epoch: 1,
        entries: vec![entry(1, 1), entry(2, 1)],
        ..Boot::default()
    };
    let core = Core::new(config(ME, 3), boot, Nanos::ZERO).unwrap();
    assert_eq!(core.status().last_logged, Zxid::new(2, 1));
}
