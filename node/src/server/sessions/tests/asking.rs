//! Watches, identities, bounds, and znodes whose time has come.

use super::*;

/// A read of data or children that leaves a watch.
fn watch(xid: i32, operation: i32, path: &str) -> Vec<u8> {
    let mut out = Writer::new();
    out.i32(xid).i32(operation).text(path).bool(true);
    out.into_bytes()
}

const EVENT: i32 = -1;

#[test]
fn an_event_goes_out_before_any_answer_that_shows_its_change() {
    let mut node = Node::new(false);
    node.connect(A);
    node.connect(B);
    node.frame(A, &watch(1, 4, "/"));
    node.frame(B, &watch(1, 3, "/"));
    assert_eq!(node.replies(), [(1, 0), (1, 0)]);
    node.frame(A, &set_data(2, "/"));
    node.frame(A, &get_data(3, "/"));
    node.apply();
    let to: Vec<ConnId> = node.sent.iter().map(|(conn, _)| *conn).collect();
    assert_eq!(to, [A, B, A, A]);
    let zxid = node.state.applied().to_be_bytes();
    assert_eq!(
        node.sent[0].1[8..16],
        zxid,
        "the event names its transaction"
    );
    assert_eq!(node.replies(), [(EVENT, 0), (EVENT, 0), (2, 0), (3, 0)]);
    node.frame(A, &set_data(4, "/"));
    node.apply();
    assert_eq!(node.replies(), [(4, 0)], "the watches were for one change");
}

#[test]
fn the_watches_of_a_connection_end_with_it() {
    let mut node = Node::new(false);
    node.connect(A);
    node.connect(B);
    node.frame(A, &watch(1, 4, "/"));
    node.sessions.closed(A);
    assert!(node.sessions.watches().is_empty());
    node.replies();
    node.frame(B, &set_data(1, "/"));
    node.apply();
    assert_eq!(node.replies(), [(1, 0)]);
}

#[test]
fn watches_set_again_tell_what_was_missed_before_the_answer() {
    let mut node = Node::new(false);
    node.connect(A);
    node.frame(A, &set_data(1, "/"));
    node.apply();
    node.replies();
    node.frame(
        A,
        &hex("fffffff8 00000065 0000000000000000 00000001 00000001 2f 00000000 00000000"),
    );
    let (_, frames) = node.sent.pop().unwrap();
    let event = hex("0000001d ffffffff ffffffffffffffff 00000000 00000003 00000003 00000001 2f");
    let zxid = node.state.applied().to_be_bytes();
    let answer = [&hex("00000010 fffffff8")[..], &zxid, &[0; 4]].concat();
    assert_eq!(frames, [event, answer].concat());
}

#[test]
fn what_a_client_has_proved_goes_with_its_later_writes() {
    let mut node = Node::new(false);
    node.connect(A);
    node.frame(A, &set_data(1, "/"));
    node.frame(
        A,
        &hex("fffffffc 00000064 00000000 00000006 646967657374 00000003 753a70"),
    );
    node.frame(A, &set_data(2, "/"));
    let ids = |txn: &Txn| -> Vec<String> {
        let show = |Identity { scheme, id }: &Identity| format!("{scheme} {id}");
        txn.ids.iter().map(show).collect()
    };
    let ip = "ip 127.0.0.1";
    assert_eq!(ids(&node.proposed[0].1), [ip]);
    let digest = "digest u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=";
    assert_eq!(ids(&node.proposed[1].1), [ip, digest]);
    node.apply();
    node.apply();
    assert_eq!(node.replies(), [(1, 0), (-4, 0), (2, 0)]);
}

#[test]
fn who_proves_nothing_is_told_so_and_sent_away() {
    let mut node = Node::new(false);
    node.connect(A);
    node.frame(
        A,
        &hex("fffffffc 00000064 00000000 00000006 6e6f73756368 00000001 78"),
    );
    assert_eq!(
        node.sent.pop().unwrap().1,
        hex("00000010 fffffffc 0000000000000000 ffffff8d")
    );
    assert_eq!(node.finished, [A]);
}

#[test]
fn identities_that_no_transaction_could_carry_are_refused() {
    let mut node = Node::new(false);
    node.connect(A);
    let user = "u".repeat(5_000);
    for name in ["a", "b"] {
        let mut out = Writer::new();
        out.i32(-4).i32(100).i32(0).text("digest");
        out.buffer(format!("{name}{user}:p").as_bytes());
        node.frame(A, &out.into_bytes());
    }
    assert_eq!(
        node.replies(),
        [(-4, 0), (-4, ErrorCode::AuthFailed.code())]
    );
    assert_eq!(node.finished, [A]);
}

#[test]
fn one_address_gets_no_more_connections_than_the_rules_say() {
    let mut node = Node::new(false);
    node.sessions.rules.max_connections = 1;
    node.open(A);
    let now = node.now;
    let mut open = |ip: [u8; 4]| node.sessions.opened(B, SocketAddr::from((ip, 9)), now);
    assert!(!open([127, 0, 0, 1]));
    assert!(open([127, 0, 0, 2]));
}

#[test]
fn the_leader_alone_deletes_znodes_whose_time_has_come() {
    let mut node = Node::new(false);
    node.connect(A);
    let mut create = Writer::new();
    create.i32(1).i32(21).text("/ttl").buffer(b"").count(1);
    create.i32(31).text("world").text("anyone").i32(5).i64(100);
    node.frame(A, &create.into_bytes());
    node.apply();
    assert_eq!(node.replies(), [(1, 0)]);
    node.now.wall_ms += 101;
    node.sessions.review(false, node.now, &node.state);
    node.take();
    assert!(node.proposed.is_empty());
    for _ in 0..2 {
        node.sessions.review(true, node.now, &node.state);
        node.take();
    }
    assert_eq!(node.proposed.len(), 1, "it looks about once a second");
    node.apply();
    assert!(node.state.node("/ttl").is_none());
}

#[test]
fn who_may_not_read_a_znode_does_not_hear_of_it() {
    let mut node = Node::new(false);
    node.connect(A);
    node.connect(B);
    node.frame(
        A,
        &hex("fffffffc 00000064 00000000 00000006 646967657374 00000003 753a70"),
    );
    for conn in [A, B] {
        node.frame(conn, &hex("00000001 0000006a 00000001 2f 00000001"));
    }
    let mut create = Writer::new();
    create.i32(2).i32(1).text("/mine").buffer(b"").count(1);
    create.i32(31).text("auth").text("").i32(0);
    node.frame(A, &create.into_bytes());
    let mut delete = Writer::new();
    delete.i32(3).i32(2).text("/mine").i32(-1);
    node.frame(A, &delete.into_bytes());
    node.sent.clear();
    node.apply();
    node.apply();
    let to: Vec<ConnId> = node.sent.iter().map(|(conn, _)| *conn).collect();
    assert_eq!(to, [A; 4]);
    assert_eq!(node.replies(), [(EVENT, 0), (2, 0), (EVENT, 0), (3, 0)]);
}

#[test]
fn answers_wait_until_the_client_has_taken_those_before() {
    let mut node = Node::new(false);
    node.connect(A);
    let mut create = Writer::new();
    create
        .i32(1)
        .i32(1)
        .text("/big")
        .buffer(&[7; 700_000])
        .count(1);
    create.i32(31).text("world").text("anyone").i32(0);
    node.frame(A, &create.into_bytes());
    node.apply();
    node.replies();
    node.sessions.flushed();
    for xid in 2..=5 {
        node.frame(A, &get_data(xid, "/big"));
    }
    node.frame(A, &set_data(6, "/"));
    node.apply();
    assert_eq!(node.replies(), [(2, 0), (3, 0)]);
    assert_eq!(node.sessions.flushed(), [A]);
    assert!(!node.sessions.hold_up(A), "it is held up already");
    node.sessions.written(A, node.now, &node.state);
    node.take();
    assert_eq!(node.replies(), [(4, 0), (5, 0)]);
    assert_eq!(node.sessions.flushed(), [A]);
    node.sessions.written(A, node.now, &node.state);
    node.take();
    assert_eq!(node.replies(), [(6, 0)]);
    assert!(node.sessions.hold_up(A), "its socket is full");
    node.frame(A, &get_data(7, "/"));
    assert_eq!(node.replies(), []);
    node.sessions.written(A, node.now, &node.state);
    node.take();
    assert_eq!(node.replies(), [(7, 0)]);
}

#[test]
fn a_multi_of_reads_cannot_ask_for_any_amount() {
    let mut node = Node::new(false);
    node.connect(A);
    let mut create = Writer::new();
    create
        .i32(1)
        .i32(1)
        .text("/big")
        .buffer(&[7; 900_000])
        .count(1);
    create.i32(31).text("world").text("anyone").i32(0);
    node.frame(A, &create.into_bytes());
    node.apply();
    node.replies();
    for (xid, count) in [(2, 9), (3, 10)] {
        let mut reads = Writer::new();
        reads.i32(xid).i32(22);
        for _ in 0..count {
            reads.i32(4).bool(false).i32(-1).text("/big").bool(false);
        }
        reads.i32(-1).bool(true).i32(-1);
        node.frame(A, &reads.into_bytes());
        node.sessions.flushed();
        node.sessions.written(A, node.now, &node.state);
        node.take();
    }
    assert_eq!(node.replies(), [(2, 0), (3, ErrorCode::Throttled.code())]);
}
