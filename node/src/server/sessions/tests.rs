//! Sessions on one node, with commits and reads played by the test.

mod asking;

use super::*;
use crate::client::{expired_response, hex};
use crate::jute::Writer;
use crate::protocol::zxid::Sid;
use crate::state::{Identity, Secret};

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);

/// The sessions of one node with a log that applies what is proposed when the test says so.
struct Node {
    sessions: Sessions,
    state: State,
    now: Moment,
    proposed: Vec<(u64, Txn)>,
    asked: Vec<u64>,
    sent: Vec<(ConnId, Vec<u8>)>,
    finished: Vec<ConnId>,
}

impl Node {
    fn new(linear_reads: bool) -> Self {
        let rules = Rules {
            me: Sid(1),
            secret: Secret::new("test"),
            session_timeout_ms: (4_000, 40_000),
            linear_reads,
            boot: 9,
            max_connections: 0,
            super_digest: None,
            members: "version=0".to_owned(),
        };
        let now = Moment {
            monotonic_ns: 1,
            wall_ms: 1_000,
        };
        Self {
            sessions: Sessions::new(rules, now),
            state: State::new(),
            now,
            proposed: Vec::new(),
            asked: Vec::new(),
            sent: Vec::new(),
            finished: Vec::new(),
        }
    }

    fn frame(&mut self, conn: ConnId, body: &[u8]) {
        self.sessions.frame(conn, body, self.now, &self.state);
        self.take();
    }

    fn take(&mut self) {
        for effect in self.sessions.take_effects() {
            match effect {
                Effect::Propose { request, txn } => self.proposed.push((request, txn)),
                Effect::ReadIndex { request } => self.asked.push(request),
                Effect::Send { conn, frames } => self.sent.push((conn, frames)),
                Effect::Tell { conn, frame } => self.sent.push((conn, frame)),
                Effect::Finish { conn } => self.finished.push(conn),
            }
        }
    }

    fn open(&mut self, conn: ConnId) {
        let address = SocketAddr::from(([127, 0, 0, 1], 1_000));
        assert!(self.sessions.opened(conn, address, self.now));
    }

    /// Applies the oldest proposal.
    fn apply(&mut self) {
        let (request, txn) = self.proposed.remove(0);
        let zxid = self.state.applied() + 1;
        let mut changes = Vec::new();
        let outcome = self.state.apply(zxid, &txn, &mut changes);
        self.sessions.changed(zxid, &changes);
        self.sessions
            .applied(&txn, Some(request), &outcome, self.now, &self.state);
        self.sessions.advance_held(self.now, &self.state);
        self.take();
    }

    /// Opens a connection with a new session and gives its connect response.
    fn connect(&mut self, conn: ConnId) -> Vec<u8> {
        self.open(conn);
        self.frame(conn, &connect_request(0, 0, &[0; 16]));
        self.apply();
        let at = self.sent.iter().position(|(to, _)| *to == conn).unwrap();
        self.sent.remove(at).1
    }

    fn replies(&mut self) -> Vec<(i32, i32)> {
        let header = |frame: &[u8]| {
            let number = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
            (number(4), number(16))
        };
        let sent = std::mem::take(&mut self.sent);
        sent.iter().map(|(_, frame)| header(frame)).collect()
    }
}

fn connect_request(last_zxid: u64, session: i64, password: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.i32(0).u64(last_zxid).i32(6_000).i64(session);
    out.buffer(password).bool(false);
    out.into_bytes()
}

fn set_data(xid: i32, path: &str) -> Vec<u8> {
    let mut out = Writer::new();
    out.i32(xid).i32(5).text(path).buffer(b"v").i32(-1);
    out.into_bytes()
}

fn get_data(xid: i32, path: &str) -> Vec<u8> {
    let mut out = Writer::new();
    out.i32(xid).i32(4).text(path).bool(false);
    out.into_bytes()
}

fn sync(xid: i32) -> Vec<u8> {
    let mut out = Writer::new();
    out.i32(xid).i32(9).text("/");
    out.into_bytes()
}

/// Session and password of a connect response.
fn identity(response: &[u8]) -> (i64, Vec<u8>) {
    let session = i64::from_be_bytes(response[12..20].try_into().unwrap());
    (session, response[24..40].to_vec())
}

#[test]
fn a_new_session_is_open_when_its_transaction_is_applied() {
    let mut node = Node::new(false);
    node.open(A);
    node.frame(A, &connect_request(0, 0, &[0; 16]));
    assert!(node.sent.is_empty(), "nothing is promised before");
    node.apply();
    let (_, response) = node.sent.pop().unwrap();
    assert_eq!(response.len(), 41);
    assert_eq!(response[8..12], 6_000_i32.to_be_bytes());
    assert_eq!(
        identity(&response).0 >> 56,
        1,
        "the node is in the top byte"
    );
}

#[test]
fn timeouts_are_kept_between_2_and_20_ticks() {
    let rules = Node::new(false).sessions.rules;
    let granted = [1_000, 6_000, 100_000_000].map(|asked| rules.session_timeout(asked));
    assert_eq!(granted, [4_000, 6_000, 40_000]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut node = Node::new(false);
    node.connect(A);
    node.frame(A, &set_data(1, "/"));
    node.frame(A, &get_data(2, "/"));
    node.frame(A, &set_data(3, "/"));
    node.frame(A, &get_data(4, "/none"));
    assert!(
        node.sent.is_empty(),
        "the read waits for the write before it"
    );
    node.apply();
    assert_eq!(node.replies(), [(1, 0), (2, 0)]);
    node.apply();
    assert_eq!(node.replies(), [(3, 0), (4, ErrorCode::NoNode.code())]);
}

#[test]
fn a_sync_and_a_linear_read_wait_for_what_the_quorum_names() {
    let mut node = Node::new(true);
    node.connect(A);
    node.frame(A, &sync(1));
    node.frame(A, &get_data(2, "/"));
    let wanted = Zxid(node.state.applied() + 1);
    for request in std::mem::take(&mut node.asked) {
        node.sessions
            .read_ready(request, wanted, node.now, &node.state);
    }
    node.take();
    assert!(node.sent.is_empty(), "it is not applied yet");
    node.connect(B);
    assert_eq!(node.replies(), [(1, 0), (2, 0)]);
}

#[test]
fn a_session_continues_on_another_connection_and_the_old_one_ends() {
    let mut node = Node::new(false);
    let (session, password) = identity(&node.connect(A));
    node.open(B);
    node.frame(B, &connect_request(1, session, &password));
    assert_eq!(node.finished, [], "it is not decided yet");
    node.apply();
    assert_eq!(node.finished, [A]);
    let (conn, response) = node.sent.pop().unwrap();
    assert_eq!((conn, identity(&response)), (B, (session, password)));
}

#[test]
fn a_write_that_comes_after_its_session_has_moved_is_not_done() {
    let mut node = Node::new(false);
    let (session, password) = identity(&node.connect(A));
    node.open(B);
    node.frame(B, &connect_request(1, session, &password));
    node.frame(A, &set_data(1, "/"));
    let version = node.state.node("/").unwrap().stat.version;
    node.apply();
    node.apply();
    assert_eq!(node.state.node("/").unwrap().stat.version, version);
    assert!(node.sent.iter().all(|(conn, _)| *conn == B));
}

#[test]
fn a_session_that_moved_to_another_node_has_no_connection_here() {
    let mut node = Node::new(false);
    let (session, _) = identity(&node.connect(A));
    let txn = Txn {
        time_ms: 2,
        session,
        connection: 77,
        ids: Vec::new(),
        op: TxnOp::MoveSession,
    };
    let zxid = node.state.applied() + 1;
    let outcome = node.state.apply(zxid, &txn, &mut Vec::new());
    node.sessions
        .applied(&txn, None, &outcome, node.now, &node.state);
    node.take();
    assert_eq!(node.finished, [A]);
}

#[test]
fn a_wrong_password_or_a_closed_session_is_told_as_expired() {
    let mut node = Node::new(false);
    let (session, password) = identity(&node.connect(A));
    node.open(B);
    node.frame(B, &connect_request(0, session, &[1; 16]));
    assert_eq!(node.sent.pop(), Some((B, expired_response(true))));
    assert_eq!(node.finished, [B]);
    node.frame(A, b"\0\0\0\x01\xff\xff\xff\xf5");
    node.apply();
    assert_eq!(node.replies(), [(1, 0)]);
    assert_eq!(node.finished, [B, A]);
    node.open(B);
    node.frame(B, &connect_request(0, session, &password));
    node.apply();
    assert_eq!(node.sent.pop(), Some((B, expired_response(true))));
}

#[test]
fn a_client_that_has_seen_more_than_this_node_is_sent_away() {
    let mut node = Node::new(false);
    node.open(A);
    node.frame(A, &connect_request(1, 0, &[0; 16]));
    assert_eq!((node.sent.len(), &node.finished[..]), (0, &[A][..]));
}

#[test]
fn a_write_whose_outcome_is_unknown_is_never_answered() {
    let mut node = Node::new(false);
    node.connect(A);
    node.connect(B);
    node.frame(A, &set_data(1, "/"));
    let (request, txn) = node.proposed.remove(0);
    node.sessions.rejected(request);
    node.take();
    assert_eq!(node.finished, [A]);
    // The write may still be applied later, by a new leader.
    let outcome = node.state.apply(9, &txn, &mut Vec::new());
    node.sessions
        .applied(&txn, Some(request), &outcome, node.now, &node.state);
    node.sessions.not_serving();
    node.take();
    assert_eq!((node.sent.len(), &node.finished[..]), (0, &[A, B][..]));
}

#[test]
fn the_leader_closes_a_session_that_nobody_hears() {
    let mut node = Node::new(false);
    let (session, _) = identity(&node.connect(A));
    node.now.monotonic_ns += 6_001 * 1_000_000;
    node.sessions.review(false, node.now, &node.state);
    node.take();
    assert!(node.proposed.is_empty(), "only the leader closes sessions");
    node.sessions.review(true, node.now, &node.state);
    node.take();
    let (_, txn) = &node.proposed[0];
    assert_eq!((txn.session, &txn.op), (session, &TxnOp::CloseSession));
    node.apply();
    assert_eq!(node.finished, [A]);
}

#[test]
fn a_follower_tells_of_the_sessions_that_it_hears() {
    let mut node = Node::new(false);
    let (session, _) = identity(&node.connect(A));
    node.now.monotonic_ns += 2_001 * 1_000_000;
    node.frame(A, b"\xff\xff\xff\xfe\0\0\0\x0b");
    node.sessions.review(false, node.now, &node.state);
    node.take();
    let (_, txn) = &node.proposed[0];
    let sessions = vec![session];
    assert_eq!(txn.op, TxnOp::Touch { sessions });
}

#[test]
fn an_unknown_operation_is_refused_and_ends_the_connection() {
    let mut node = Node::new(false);
    node.connect(A);
    node.frame(A, b"\0\0\0\x14\0\0\0\x4d");
    assert_eq!(node.replies(), [(20, ErrorCode::Unimplemented.code())]);
    assert_eq!(node.finished, [A]);
}

#[test]
fn a_connection_that_has_said_nothing_outlives_the_leader() {
    let mut node = Node::new(false);
    node.connect(A);
    node.open(B);
    node.sessions.not_serving();
    node.take();
    assert_eq!(node.finished, [A]);
}

#[test]
fn a_session_that_closes_while_it_is_continued_is_told_as_expired() {
    let mut node = Node::new(false);
    let (session, password) = identity(&node.connect(A));
    node.frame(A, b"\0\0\0\x01\xff\xff\xff\xf5");
    node.open(B);
    node.frame(B, &connect_request(0, session, &password));
    node.apply();
    assert_eq!(node.replies(), [(1, 0)]);
    node.apply();
    assert_eq!(node.sent, [(B, expired_response(true))]);
    assert_eq!(node.finished, [A, B]);
}

#[test]
fn a_write_behind_a_sync_is_proposed_when_the_sync_is_answered() {
    let mut node = Node::new(true);
    node.connect(A);
    node.frame(A, &set_data(1, "/"));
    node.frame(A, &sync(2));
    node.frame(A, &set_data(3, "/"));
    node.frame(A, &get_data(4, "/"));
    node.frame(A, &set_data(5, "/"));
    assert_eq!(node.proposed.len(), 1, "the second could be seen too early");
    let asked = std::mem::take(&mut node.asked);
    node.sessions
        .read_ready(asked[0], Zxid(2), node.now, &node.state);
    node.take();
    assert!(node.sent.is_empty());
    node.apply();
    assert_eq!(node.replies(), [(1, 0), (2, 0)]);
    assert_eq!(node.proposed.len(), 1, "the third waits behind the read");
    node.apply();
    assert_eq!(node.replies(), [(3, 0)]);
    assert!(node.proposed.is_empty());
    node.sessions
        .read_ready(asked[1], Zxid(2), node.now, &node.state);
    node.take();
    assert_eq!(node.replies(), [(4, 0)]);
    node.apply();
    assert_eq!(node.replies(), [(5, 0)]);
}
