//! What clients of a healthy cluster can rely on.

use crate::client::{Client, buffer, create_body, word};
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
    let (unimplemented, no_auth) = (-6, -102);
    assert_eq!(client.call(102, &[0; 4]).unwrap().error, unimplemented);
    let leave = b"\0\0\0\0\0\0\0\x013\xff\xff\xff\xff\0\0\0\0\0\0\0\0";
    assert_eq!(client.call(16, leave).unwrap().error, no_auth);
    assert_eq!(client.create("/e", b"").unwrap().error, 0);
}

#[test]
fn an_ephemeral_znode_ends_with_its_session_and_watchers_elsewhere_hear_of_it() {
    let (ensemble, leader) = Ensemble::start(&[]);
    let mut owner = Client::connect(ensemble.address(leader)).unwrap();
    let created = owner.call(1, &create_body("/e", b"", 1)).unwrap();
    assert_eq!(created.error, 0);
    let mut watcher = Client::connect(ensemble.address(leader % 3 + 1)).unwrap();
    assert_eq!(watcher.synced_data("/e").unwrap(), Some(Vec::new()));
    assert_eq!(watcher.call(3, b"\0\0\0\x02/e\x01").unwrap().error, 0);
    let closed = owner.call(-11, &[]).unwrap();
    let event = watcher.answer().unwrap();
    assert_eq!((event.xid, event.zxid), (-1, closed.zxid));
    let deleted = b"\0\0\0\x02\0\0\0\x03\0\0\0\x02/e";
    assert_eq!(event.body, deleted);
    assert_eq!(watcher.synced_data("/e").unwrap(), None);
}

#[test]
fn what_one_user_may_do_another_may_not_on_any_node() {
    let (ensemble, leader) = Ensemble::start(&[]);
    let auth = |client: &mut Client, text: &[u8]| {
        let mut body = vec![0; 4];
        body.extend_from_slice(&buffer(b"digest"));
        body.extend_from_slice(&buffer(text));
        client.call(100, &body).unwrap().error
    };
    let mut owner = Client::connect(ensemble.address(leader)).unwrap();
    assert_eq!(auth(&mut owner, b"u:p"), 0);
    let mut body = buffer(b"/mine");
    body.extend_from_slice(&buffer(b"secret"));
    body.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 31]);
    body.extend_from_slice(&buffer(b"auth"));
    body.extend_from_slice(&buffer(b""));
    body.extend_from_slice(&[0; 4]);
    assert_eq!(owner.call(1, &body).unwrap().error, 0);

    let mut other = Client::connect(ensemble.address(leader % 3 + 1)).unwrap();
    let (no_auth, get) = (-102, b"\0\0\0\x05/mine\0");
    assert_eq!(other.call(9, &buffer(b"/")).unwrap().error, 0);
    assert_eq!(other.call(4, get).unwrap().error, no_auth);
    assert_eq!(other.set("/mine", b"x", -1).unwrap().error, no_auth);
    assert_eq!(other.call(6, &buffer(b"/mine")).unwrap().error, no_auth);
    assert_eq!(auth(&mut other, b"u:wrong"), 0, "any password is somebody");
    assert_eq!(other.call(4, get).unwrap().error, no_auth);
    assert_eq!(auth(&mut other, b"u:p"), 0);
    assert_eq!(other.call(4, get).unwrap().error, 0);
    assert_eq!(other.set("/mine", b"x", -1).unwrap().error, 0);
}

#[test]
fn almost_a_mebibyte_is_kept_whole_on_all_nodes() {
    let (ensemble, leader) = Ensemble::start(&[]);
    let data: Vec<u8> = (0..=255_u8).cycle().take(1_047_000).collect();
    let mut client = Client::connect(ensemble.address(leader % 3 + 1)).unwrap();
    assert_eq!(client.create("/big", &data).unwrap().error, 0);
    for id in 1..=3 {
        let mut client = Client::connect(ensemble.address(id)).unwrap();
        assert_eq!(client.synced_data("/big").unwrap().as_ref(), Some(&data));
    }
}

#[test]
fn a_client_that_reads_slowly_gets_all_that_it_asked_for() {
    let (ensemble, leader) = Ensemble::start(&[]);
    let data = vec![7; 1_000_000];
    let mut client = Client::connect(ensemble.address(leader)).unwrap();
    assert_eq!(client.create("/big", &data).unwrap().error, 0);
    // Far more than the socket takes while nobody reads.
    for _ in 0..200 {
        client.request(4, b"\0\0\0\x04/big\0").unwrap();
    }
    let mut other = Client::connect(ensemble.address(leader)).unwrap();
    assert_eq!(other.set("/big", &data, -1).unwrap().error, 0);
    for _ in 0..200 {
        let answer = client.answer().unwrap();
        assert_eq!((answer.error, answer.body.len()), (0, 4 + 1_000_000 + 68));
    }
}

#[test]
fn the_words_tell_of_connections_sessions_and_watches() {
    let (ensemble, leader) = Ensemble::start(&[]);
    let address = ensemble.address(leader);
    let mut client = Client::connect(address).unwrap();
    let (session, _) = client.identity();
    assert_eq!(client.call(1, &create_body("/e", b"", 1)).unwrap().error, 0);
    assert_eq!(client.call(4, b"\0\0\0\x02/e\x01").unwrap().error, 0);
    let tells = |name: &str, expected: &str| {
        let text = word(address, name).unwrap();
        assert!(text.contains(expected), "{name}: {text}");
    };
    let session = format!("{session:#x}");
    tells("cons", &format!("recved=3,sent=3,sid={session},"));
    tells("stat", "Clients:\n /127.0.0.1:");
    tells(
        "dump",
        &format!("Sessions with Ephemerals (1):\n{session}:\n\t/e\n"),
    );
    tells("wchs", "1 connections watching 1 paths\nTotal watches:1\n");
    tells("wchc", &format!("{session}\n\t/e\n"));
    tells("wchp", &format!("/e\n\t{session}\n"));
    tells("conf", "\nserver.3=127.0.0.1:");
    tells("dirs", "datadir_size: ");
    tells("crst", "Connection stats reset.");
    tells("cons", &format!("recved=0,sent=0,sid={session},"));
    assert_eq!(ensemble.monitor(leader, "zk_watch_count"), "1");
    assert_eq!(ensemble.monitor(leader, "zk_ephemerals_count"), "1");
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
