//! What was acknowledged survives, wherever the client looks for it.

use crate::client::{Client, set_body};
use crate::ensemble::{Ensemble, eventually};

/// Applied transaction and digest, once they are the same on all nodes.
fn assert_converges(ensemble: &Ensemble) {
    eventually("equal states", || {
        let states: Vec<(String, String)> = (1..=3)
            .map(|id| {
                let applied = ensemble.monitor(id, "chaos_applied_zxid");
                (applied, ensemble.monitor(id, "chaos_state_digest"))
            })
            .collect();
        states.iter().all(|state| *state == states[0])
    });
}

#[test]
fn writes_survive_a_killed_leader_and_it_catches_up() {
    let (mut ensemble, leader) = Ensemble::start(&[]);
    let mut client = Client::connect(ensemble.address(leader)).unwrap();
    assert_eq!(client.create("/a", b"0").unwrap().error, 0);
    for value in 1..=50_u8 {
        assert_eq!(client.set("/a", &[value], -1).unwrap().error, 0);
    }
    ensemble.kill(leader);
    assert!(
        client.set("/a", b"lost", -1).is_err(),
        "never a wrong answer"
    );
    let next = ensemble.wait_for_leader_but(leader);
    let mut client = Client::connect(ensemble.address(next)).unwrap();
    assert_eq!(client.synced_data("/a").unwrap(), Some(vec![50]));
    assert_eq!(client.set("/a", &[51], 50).unwrap().error, 0);

    ensemble.spawn(leader);
    let synced = ensemble.wait(leader, "synced");
    assert!(
        !synced.contains(r#""mode":"SNAP""#),
        "it lacked little: {synced}"
    );
    let mut client = Client::connect(ensemble.address(leader)).unwrap();
    assert_eq!(client.synced_data("/a").unwrap(), Some(vec![51]));
    assert_converges(&ensemble);
}

#[test]
fn writes_survive_the_death_of_all_nodes() {
    let (mut ensemble, leader) = Ensemble::start(&["--snapshot-every=7"]);
    let mut client = Client::connect(ensemble.address(leader % 3 + 1)).unwrap();
    for round in 0..3_u8 {
        let path = format!("/{round}");
        assert_eq!(client.create(&path, &[round]).unwrap().error, 0);
        for version in 0..10 {
            assert_eq!(client.set(&path, &[round], version).unwrap().error, 0);
        }
        for id in 1..=3 {
            ensemble.kill(id);
        }
        for id in 1..=3 {
            ensemble.spawn(id);
        }
        let leader = ensemble.wait_for_all();
        client = Client::connect(ensemble.address(leader)).unwrap();
        for round in 0..=round {
            let path = format!("/{round}");
            assert_eq!(client.synced_data(&path).unwrap(), Some(vec![round]));
        }
    }
    assert_converges(&ensemble);
}

#[test]
fn a_node_that_lacks_too_much_gets_a_snapshot() {
    let (mut ensemble, leader) = Ensemble::start(&["--snapshot-every=500"]);
    let absent = leader % 3 + 1;
    ensemble.kill(absent);
    let mut client = Client::connect(ensemble.address(leader)).unwrap();
    assert_eq!(client.create("/a", b"").unwrap().error, 0);
    // More than is kept in memory for followers that lag.
    let data = [7; 20];
    for _ in 0..70 {
        for _ in 0..100 {
            client.request(5, &set_body("/a", &data, -1)).unwrap();
        }
        for _ in 0..100 {
            assert_eq!(client.answer().unwrap().error, 0);
        }
    }
    ensemble.spawn(absent);
    let synced = ensemble.wait(absent, "synced");
    assert!(synced.contains(r#""mode":"SNAP""#), "{synced}");
    assert_converges(&ensemble);
    // What it was given is on its disk.
    ensemble.kill(absent);
    ensemble.spawn(absent);
    ensemble.wait(absent, "synced");
    let mut client = Client::connect(ensemble.address(absent)).unwrap();
    assert_eq!(client.synced_data("/a").unwrap(), Some(data.to_vec()));
    assert_converges(&ensemble);
}

#[test]
fn a_lone_node_ends_its_clients_and_serves_again_with_a_quorum() {
    let (mut ensemble, leader) = Ensemble::start(&[]);
    let others: Vec<u8> = (1..=3).filter(|id| *id != leader).collect();
    let mut client = Client::connect(ensemble.address(leader)).unwrap();
    assert_eq!(client.create("/a", b"1").unwrap().error, 0);
    for id in &others {
        ensemble.kill(*id);
    }
    assert!(client.is_ended(), "it cannot serve without a quorum");
    ensemble.wait(leader, "looking");
    ensemble.spawn(others[0]);
    let next = ensemble.wait_for_leader_but(0);
    let mut client = Client::connect(ensemble.address(next)).unwrap();
    assert_eq!(client.synced_data("/a").unwrap(), Some(b"1".to_vec()));
}
