//! What clients of a healthy cluster can rely on.

use crate::client::{Client, create_body};
use crate::ensemble::{Ensemble, eventually};

#[test]
fn a_sync_shows_on_any_node_what_was_written_on_another() {
    let (ensemble, leader) = Ensemble::start(&[]);
    let mut clients: Vec<Client> = (1..=3)
        .map(|id| Client::connect(ensemble.address(id)).unwrap())
        .collect();
    assert_eq!(clients[0].create("/a", b"").unwrap().error, 0);
    for round in 0..30_u8 {
        let writer = usize::from(round) % 3;
        assert_eq!(clients[writer].set("/a", &[round], -1).unwrap().error, 0);
        for client in &mut clients {
            assert_eq!(client.synced_data("/a").unwrap(), Some(vec![round]));
        }
    }
    assert_eq!(ensemble.monitor(leader, "zk_synced_followers"), "2");
}

#[test]
fn linear_reads_need_no_sync() {
    let (ensemble, _) = Ensemble::start(&["--reads=linear"]);
    let mut clients: Vec<Client> = (1..=3)
        .map(|id| Client::connect(ensemble.address(id)).unwrap())
        .collect();
    assert_eq!(clients[0].create("/a", b"").unwrap().error, 0);
    for round in 0..30_i32 {
        let writer = usize::try_from(round).unwrap() % 3;
        assert_eq!(clients[writer].set("/a", b"x", round).unwrap().error, 0);
        for client in &mut clients {
            let stat = client.call(3, b"\0\0\0\x02/a\0").unwrap();
            assert_eq!(stat.body[32..36], (round + 1).to_be_bytes());
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_and_never_go_back() {
    let (ensemble, leader) = Ensemble::start(&[]);
    let mut client = Client::connect(ensemble.address(leader % 3 + 1)).unwrap();
    assert_eq!(client.create("/a", b"").unwrap().error, 0);
    for _ in 0..50 {
        client
            .request(5, b"\0\0\0\x02/a\0\0\0\x01x\xff\xff\xff\xff")
            .unwrap();
        client.request(4, b"\0\0\0\x02/a\0").unwrap();
        client.request(11, b"").unwrap();
        client.request(9, b"\0\0\0\x02/a").unwrap();
    }
    let mut last = 0;
    for xid in 2..=201 {
        let answer = client.answer().unwrap();
        assert_eq!((answer.xid, answer.error), (xid, 0));
        assert!(answer.zxid >= last);
        last = answer.zxid;
    }
}

#[test]
fn what_is_not_built_is_refused_and_the_session_goes_on() {
    let (ensemble, leader) = Ensemble::start(&[]);
    let mut client = Client::connect(ensemble.address(leader)).unwrap();
    let unimplemented = -6;
    let watch = client.call(4, b"\0\0\0\x01/\x01").unwrap();
    assert_eq!(watch.error, unimplemented);
    for flags in 1..=6 {
        let answer = client.call(1, &create_body("/e", b"", flags)).unwrap();
        assert_eq!(answer.error, unimplemented, "flags {flags}");
    }
    assert_eq!(client.create("/e", b"").unwrap().error, 0);
}

#[test]
fn the_session_of_a_vanished_client_is_closed_and_that_of_a_quiet_one_is_not() {
    // The tick bounds timeouts from above, too: 6 s asked become 1.6 s.
    let (ensemble, leader) = Ensemble::start(&["--tick=80ms"]);
    let address = ensemble.address(leader % 3 + 1);
    let mut quiet = Client::connect(address).unwrap();
    let identity = quiet.identity();
    let vanishing = Client::connect(ensemble.address(leader)).unwrap();
    assert_eq!(ensemble.monitor(leader, "zk_global_sessions"), "2");
    drop(vanishing);
    eventually("one session to expire", || {
        // A slow disk can cost the leader its place and the client its connection, but not the
        // session.
        if quiet.call(11, b"").is_err()
            && let Ok(again) = Client::attach(address, 0, identity.0, &identity.1)
        {
            assert_eq!(again.identity(), identity, "it showed that it lives");
            quiet = again;
        }
        ensemble.monitor(leader, "zk_global_sessions") == "1"
    });
    assert_eq!(quiet.synced_data("/").unwrap(), Some(Vec::new()));
}
