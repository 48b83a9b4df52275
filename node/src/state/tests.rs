//! What transactions do, case by case.

use super::ChangeKind::{ChildrenChanged, Created, DataChanged, Deleted};
use super::*;

const NONE: Vec<Change> = Vec::new();

/// A state with session 7 open on connection 1, and what was told of the last transaction.
struct Bench {
    state: State,
    ids: Vec<Identity>,
    time_ms: i64,
    changes: Vec<Change>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            state: State::new(),
            ids: Vec::new(),
            time_ms: 1_000,
            changes: NONE,
        };
        let open = TxnOp::OpenSession { timeout_ms: 4_000 };
        assert_eq!(bench.on(7, 1, open), Outcome::Opened);
        bench
    }

    fn on(&mut self, session: i64, connection: u64, op: TxnOp) -> Outcome {
        let txn = Txn {
            time_ms: self.time_ms,
            session,
            connection,
            ids: self.ids.clone(),
            op,
        };
        self.changes.clear();
        let zxid = self.state.applied() + 1;
        self.state.apply(zxid, &txn, &mut self.changes)
    }

    fn apply(&mut self, op: TxnOp) -> Outcome {
        self.on(7, 1, op)
    }

    fn stat(&self, path: &str) -> Stat {
        self.state.node(path).unwrap().stat
    }

    fn created(&mut self, op: TxnOp) -> String {
        match self.apply(op) {
            Outcome::Created { path, .. } => path,
            other => panic!("{other:?}"),
        }
    }

    fn told(&self) -> Vec<(ChangeKind, &str)> {
        let told = self.changes.iter();
        told.map(|change| (change.kind, change.path.as_str()))
            .collect()
    }
}

fn create_as(path: &str, mode: CreateMode, sequential: bool) -> TxnOp {
    TxnOp::Create {
        path: path.to_owned(),
        data: Data::from(b"x"),
        access: vec![Access::open()],
        mode,
        sequential,
    }
}

fn create(path: &str) -> TxnOp {
    create_as(path, CreateMode::Persistent, false)
}

fn create_for(path: &str, access: &[Access]) -> TxnOp {
    TxnOp::Create {
        path: path.to_owned(),
        data: Data::default(),
        access: access.to_vec(),
        mode: CreateMode::Persistent,
        sequential: false,
    }
}

fn set(path: &str, data: &[u8], version: i32) -> TxnOp {
    TxnOp::SetData {
        path: path.to_owned(),
        data: Data::from(data),
        version,
    }
}

fn delete(path: &str, version: i32) -> TxnOp {
    let path = path.to_owned();
    TxnOp::Delete { path, version }
}

fn check(path: &str, version: i32) -> TxnOp {
    let path = path.to_owned();
    TxnOp::Check { path, version }
}

fn set_access(path: &str, access: &[Access], version: i32) -> TxnOp {
    TxnOp::SetAccess {
        path: path.to_owned(),
        access: access.to_vec(),
        version,
    }
}

fn to_user(permissions: i32) -> Access {
    Access {
        permissions,
        scheme: "digest".to_owned(),
        id: "user:hash".to_owned(),
    }
}

fn user() -> Vec<Identity> {
    vec![Identity {
        scheme: "digest".to_owned(),
        id: "user:hash".to_owned(),
    }]
}

const fn refused(code: ErrorCode) -> Outcome {
    Outcome::Refused(code)
}

#[test]
fn a_new_tree_has_what_clients_expect() {
    let state = State::new();
    assert_eq!(state.node_count(), 4);
    let names: Vec<&str> = state.children("/zookeeper").collect();
    assert_eq!(names, ["config", "quota"]);
    let counts = |path| {
        let stat = state.node(path).unwrap().stat;
        (stat.num_children, stat.cversion)
    };
    assert_eq!(counts("/"), (1, -1));
    assert_eq!(counts("/zookeeper"), (2, -2));
    let write = state.check_access("/zookeeper/config", permission::WRITE, &[]);
    assert_eq!(write, Err(ErrorCode::NoAuth));
}

#[test]
fn a_created_node_counts_in_its_parent() {
    let mut bench = Bench::new();
    bench.apply(create("/a"));
    let Outcome::Created { path, stat } = bench.apply(create("/a/b")) else {
        panic!("not created");
    };
    assert_eq!(path, "/a/b");
    assert_eq!((stat.czxid, stat.mzxid, stat.pzxid), (3, 3, 3));
    assert_eq!(
        (stat.ctime, stat.mtime, stat.data_length),
        (1_000, 1_000, 1)
    );
    let parent = bench.stat("/a");
    assert_eq!((parent.cversion, parent.num_children), (1, 1));
    assert_eq!((parent.pzxid, parent.mzxid), (3, 2));
    assert!(bench.state.children("/a").eq(["b"]));
    bench.apply(delete("/a/b", -1));
    assert_eq!(
        (bench.stat("/a").cversion, bench.stat("/a").num_children),
        (2, 0)
    );
}

#[test]
fn refused_writes_change_nothing_but_the_applied_transaction() {
    let mut bench = Bench::new();
    bench.apply(create("/a"));
    bench.apply(create("/a/b"));
    bench.apply(create_as("/e", CreateMode::Ephemeral, false));
    let before = bench.state.snapshot();
    let digest = bench.state.digest();
    let ttl_ms = 0;
    for (op, code) in [
        (create("/a"), ErrorCode::NodeExists),
        (create("/"), ErrorCode::NodeExists),
        (create("/x/y"), ErrorCode::NoNode),
        (create("nopath"), ErrorCode::BadArguments),
        (create(""), ErrorCode::BadArguments),
        (create("/a/"), ErrorCode::BadArguments),
        (create("/a/\0"), ErrorCode::BadArguments),
        (create("/e/x"), ErrorCode::NoChildrenForEphemerals),
        (
            create_as("/t", CreateMode::Ttl { ttl_ms }, false),
            ErrorCode::BadArguments,
        ),
        (create_for("/c", &[]), ErrorCode::InvalidAcl),
        (set("/a", b"", 3), ErrorCode::BadVersion),
        (set("/x", b"", -1), ErrorCode::NoNode),
        (set("/a/", b"", -1), ErrorCode::BadArguments),
        (delete("/x", -1), ErrorCode::NoNode),
        (delete("/x/y", -1), ErrorCode::NoNode),
        (delete("/a", -1), ErrorCode::NotEmpty),
        (delete("/a/b", 1), ErrorCode::BadVersion),
        (delete("/zookeeper", -1), ErrorCode::BadArguments),
        (delete("/zookeeper/config", -1), ErrorCode::BadArguments),
        (delete("/", -1), ErrorCode::BadArguments),
        (delete("x", -1), ErrorCode::BadArguments),
        (set_access("/a", &[], -1), ErrorCode::InvalidAcl),
        (set_access("/x", &[Access::open()], -1), ErrorCode::NoNode),
        (
            set_access("/a", &[Access::open()], 1),
            ErrorCode::BadVersion,
        ),
        (check("/a", 1), ErrorCode::BadVersion),
        (check("/x", -1), ErrorCode::NoNode),
    ] {
        let outcome = bench.apply(op.clone());
        assert_eq!(outcome, refused(code), "{op:?}");
        assert_eq!(bench.changes, NONE);
    }
    assert_eq!(bench.state.digest(), digest);
    let after = State::decode(&bench.state.encode()).unwrap();
    let before = State::decode(&before.encode()).unwrap();
    assert!(after.applied() > before.applied());
    assert_eq!(
        after.snapshot().encode()[16..],
        before.snapshot().encode()[16..]
    );
}

#[test]
fn set_data_with_the_right_version_swaps_and_counts() {
    let mut bench = Bench::new();
    bench.apply(create("/a"));
    bench.time_ms = 2_000;
    let Outcome::DataSet(stat) = bench.apply(set("/a", b"yy", 0)) else {
        panic!("not set");
    };
    assert_eq!((stat.version, stat.data_length, stat.mzxid), (1, 2, 3));
    assert_eq!((stat.czxid, stat.ctime, stat.mtime), (2, 1_000, 2_000));
    assert_eq!(
        bench.apply(set("/a", b"zz", 0)),
        refused(ErrorCode::BadVersion)
    );
    assert_eq!(bench.state.node("/a").unwrap().data[..], b"yy"[..]);
}

#[test]
fn sequential_names_count_what_was_ever_created() {
    let mut bench = Bench::new();
    let sequential = |path: &str| create_as(path, CreateMode::Persistent, true);
    bench.apply(create("/a"));
    assert_eq!(bench.created(sequential("/a/n-")), "/a/n-0000000000");
    assert_eq!(bench.created(sequential("/a/")), "/a/0000000001");
    bench.apply(delete("/a/0000000001", -1));
    assert_eq!(bench.created(sequential("/a/n-")), "/a/n-0000000002");
    assert_eq!(bench.created(create("/a/plain")), "/a/plain");
    let ephemeral = create_as("/a/e", CreateMode::Ephemeral, true);
    assert_eq!(bench.created(ephemeral), "/a/e0000000004");
}

#[test]
fn a_session_that_is_not_open_changes_nothing() {
    let mut bench = Bench::new();
    let expired = refused(ErrorCode::SessionExpired);
    assert_eq!(bench.on(8, 1, create("/a")), expired);
    assert_eq!(bench.on(8, 1, TxnOp::MoveSession), expired);
    assert_eq!(bench.apply(TxnOp::CloseSession), Outcome::Closed);
    assert_eq!(bench.apply(create("/a")), expired);
    assert_eq!(bench.apply(TxnOp::Multi { ops: Vec::new() }), expired);
    assert_eq!(bench.apply(TxnOp::CloseSession), expired);
    assert_eq!(bench.state.connection_of(7), None);
}

#[test]
fn a_session_that_moved_refuses_its_old_connection() {
    let mut bench = Bench::new();
    let moved = bench.on(7, 2, TxnOp::MoveSession);
    assert_eq!(moved, Outcome::Moved { timeout_ms: 4_000 });
    assert_eq!(bench.state.connection_of(7), Some(2));
    let late = refused(ErrorCode::SessionMoved);
    assert_eq!(bench.on(7, 1, create("/a")), late);
    assert_eq!(bench.on(7, 1, TxnOp::Multi { ops: Vec::new() }), late);
    assert_eq!(bench.on(7, 1, TxnOp::CloseSession), late);
    assert_eq!(
        bench.on(7, 2, TxnOp::Multi { ops: Vec::new() }),
        Outcome::Multi(Vec::new())
    );
    // The cluster itself needs no connection to end a session that has expired.
    assert_eq!(bench.on(7, 0, TxnOp::CloseSession), Outcome::Closed);
}

#[test]
fn an_id_that_stands_for_a_container_or_a_ttl_opens_no_session() {
    let mut bench = Bench::new();
    for id in [
        0,
        i64::MIN,
        -1,
        i64::from_be_bytes([0xff, 0, 0, 0, 0, 0, 0, 1]),
    ] {
        let open = TxnOp::OpenSession { timeout_ms: 1 };
        assert_eq!(bench.on(id, 1, open), refused(ErrorCode::BadArguments));
    }
    assert_eq!(bench.state.session_count(), 1);
}

#[test]
fn the_ephemerals_of_a_session_end_with_it_in_one_transaction() {
    let mut bench = Bench::new();
    bench.on(8, 1, TxnOp::OpenSession { timeout_ms: 1 });
    bench.apply(create("/a"));
    for path in ["/a/y", "/a/x", "/e"] {
        bench.apply(create_as(path, CreateMode::Ephemeral, false));
    }
    bench.on(8, 1, create_as("/other", CreateMode::Ephemeral, false));
    assert_eq!(bench.stat("/e").ephemeral_owner, 7);
    assert!(bench.state.ephemerals(7).eq(["/a/x", "/a/y", "/e"]));
    assert_eq!(bench.state.ephemerals_count(), 4);
    assert_eq!(bench.apply(TxnOp::CloseSession), Outcome::Closed);
    assert_eq!(
        bench.told(),
        [
            (Deleted, "/a/x"),
            (ChildrenChanged, "/a"),
            (Deleted, "/a/y"),
            (ChildrenChanged, "/a"),
            (Deleted, "/e"),
            (ChildrenChanged, "/")
        ]
    );
    assert!(bench.state.ephemeral_paths().eq([(8, "/other")]));
    assert_eq!(bench.stat("/a").pzxid, bench.state.applied());
    assert_eq!(
        (bench.stat("/a").cversion, bench.stat("/a").num_children),
        (4, 0)
    );
}

#[test]
fn writes_tell_watches_of_the_node_before_its_parent() {
    let mut bench = Bench::new();
    bench.apply(create("/a"));
    assert_eq!(bench.told(), [(Created, "/a"), (ChildrenChanged, "/")]);
    bench.apply(set("/a", b"", -1));
    assert_eq!(bench.told(), [(DataChanged, "/a")]);
    bench.apply(set_access("/a", &[Access::open()], 0));
    assert_eq!(bench.told(), []);
    bench.apply(delete("/a", -1));
    assert_eq!(bench.told(), [(Deleted, "/a"), (ChildrenChanged, "/")]);
}

#[test]
fn a_multi_sees_its_own_changes_and_is_one_transaction() {
    let mut bench = Bench::new();
    let ops = vec![
        create("/a"),
        check("/a", 0),
        set("/a", b"yy", 0),
        create("/a/b"),
        delete("/a/b", 0),
        check("/a", 1),
    ];
    let Outcome::Multi(outcomes) = bench.apply(TxnOp::Multi { ops }) else {
        panic!("refused");
    };
    assert_eq!(outcomes.len(), 6);
    assert_eq!(
        (&outcomes[1], &outcomes[4]),
        (&Outcome::Checked, &Outcome::Deleted)
    );
    let stat = bench.stat("/a");
    assert_eq!((stat.czxid, stat.mzxid, stat.pzxid), (2, 2, 2));
    assert_eq!((stat.version, stat.cversion), (1, 2));
    assert_eq!(bench.changes.len(), 2 + 1 + 2 + 2);
}

#[test]
fn a_multi_that_fails_tells_which_and_undoes_the_rest() {
    let mut bench = Bench::new();
    bench.apply(create("/a"));
    let (digest, bytes) = (bench.state.digest(), bench.state.encode());
    let ops = vec![
        set("/a", b"yy", 0),
        create_as("/a/e", CreateMode::Ephemeral, true),
        delete("/a/none", -1),
        set("/a", b"z", 1),
    ];
    let codes = vec![0, 0, ErrorCode::NoNode.code(), -2];
    assert_eq!(
        bench.apply(TxnOp::Multi { ops }),
        Outcome::MultiRefused(codes)
    );
    assert_eq!(bench.changes, NONE);
    assert_eq!(bench.state.digest(), digest);
    assert_eq!(bench.state.encode()[16..], bytes[16..]);
    assert_eq!(bench.state.ephemerals_count(), 0);
}

#[test]
fn a_multi_does_not_set_access_lists_or_sessions() {
    let mut bench = Bench::new();
    for op in [
        set_access("/", &[Access::open()], -1),
        TxnOp::CloseSession,
        TxnOp::Multi { ops: Vec::new() },
    ] {
        let codes = vec![ErrorCode::Unimplemented.code()];
        let outcome = bench.apply(TxnOp::Multi { ops: vec![op] });
        assert_eq!(outcome, Outcome::MultiRefused(codes));
    }
}

#[test]
fn each_write_needs_its_permission_at_its_place() {
    let all_but = |permission: i32| permission::ALL & !permission;
    for (permission, op) in [
        (permission::CREATE, create("/a/new")),
        (permission::DELETE, delete("/a/b", -1)),
        (permission::WRITE, set("/a", b"", -1)),
        (permission::ADMIN, set_access("/a", &[Access::open()], -1)),
        (permission::READ, check("/a", -1)),
    ] {
        let mut bench = Bench::new();
        bench.apply(create("/a"));
        bench.apply(create("/a/b"));
        bench.apply(set_access("/a", &[to_user(all_but(permission))], -1));
        bench.ids = user();
        let outcome = bench.apply(op.clone());
        assert_eq!(outcome, refused(ErrorCode::NoAuth), "{op:?}");
        bench.ids[0].scheme = "super".to_owned();
        bench.apply(set_access("/a", &[to_user(permission)], -1));
        bench.ids = user();
        let outcome = bench.apply(op.clone());
        assert!(!matches!(outcome, Outcome::Refused(_)), "{op:?}");
    }
}

#[test]
fn access_lists_are_resolved_and_versioned() {
    let mut bench = Bench::new();
    let auth = Access {
        permissions: 31,
        scheme: "auth".to_owned(),
        id: String::new(),
    };
    let nobody = bench.apply(create_for("/a", std::slice::from_ref(&auth)));
    assert_eq!(nobody, refused(ErrorCode::InvalidAcl));
    bench.ids = user();
    bench.apply(create_for("/a", &[auth]));
    assert_eq!(bench.state.node("/a").unwrap().access[..], [to_user(31)]);
    let read = |bench: &Bench, ids: &[Identity]| bench.state.check_access("/a", 1, ids);
    assert_eq!(read(&bench, &user()), Ok(()));
    assert_eq!(read(&bench, &[]), Err(ErrorCode::NoAuth));
    let Outcome::AccessSet(stat) = bench.apply(set_access("/a", &[Access::open()], 0)) else {
        panic!("refused");
    };
    assert_eq!((stat.aversion, stat.version, stat.mzxid), (1, 0, 3));
    assert_eq!(read(&bench, &[]), Ok(()));
    // The version of the data is another one.
    bench.apply(set("/a", b"", -1));
    bench.apply(set("/a", b"", -1));
    let with =
        |bench: &mut Bench, version| bench.apply(set_access("/a", &[Access::open()], version));
    assert_eq!(with(&mut bench, 2), refused(ErrorCode::BadVersion));
    assert!(matches!(with(&mut bench, 1), Outcome::AccessSet(_)));
    let missing = bench.state.check_access("/none", 1, &[]);
    assert_eq!(missing, Err(ErrorCode::NoNode));
}

#[test]
fn a_container_is_due_when_it_has_lost_its_last_child() {
    let mut bench = Bench::new();
    let reap = |path: &str| TxnOp::Reap {
        path: path.to_owned(),
    };
    bench.apply(create_as("/c", CreateMode::Container, false));
    assert_eq!(bench.state.due_for_reaping(5_000, 9), Vec::<String>::new());
    bench.apply(create("/c/x"));
    assert_eq!(bench.state.due_for_reaping(5_000, 9), Vec::<String>::new());
    bench.apply(delete("/c/x", -1));
    assert_eq!(bench.state.due_for_reaping(5_000, 9), ["/c"]);
    // Something may have come between the look and the transaction.
    bench.apply(create("/c/x"));
    assert_eq!(bench.on(0, 0, reap("/c")), Outcome::Reaped);
    assert_eq!(bench.changes, NONE);
    bench.apply(delete("/c/x", -1));
    assert_eq!(bench.on(0, 0, reap("/c")), Outcome::Reaped);
    assert_eq!(bench.changes.len(), 2);
    assert_eq!(bench.state.node("/c"), None);
    assert_eq!(bench.on(0, 0, reap("/none")), Outcome::Reaped);
    assert_eq!(bench.on(0, 0, reap("/zookeeper/quota")), Outcome::Reaped);
    assert_eq!(bench.state.node_count(), 4);
}

#[test]
fn a_ttl_counts_from_the_last_data_and_only_without_children() {
    let mut bench = Bench::new();
    let ttl_ms = 500;
    let due = |bench: &Bench, now_ms| bench.state.due_for_reaping(now_ms, 9);
    bench.apply(create_as("/t", CreateMode::Ttl { ttl_ms }, false));
    bench.apply(create_as("/u", CreateMode::Ttl { ttl_ms: 400 }, false));
    assert!(due(&bench, 1_400).is_empty());
    assert_eq!(due(&bench, 1_501), ["/u", "/t"]);
    assert_eq!(bench.state.due_for_reaping(1_501, 1), ["/u"]);
    bench.time_ms = 1_200;
    bench.apply(set("/t", b"", -1));
    assert_eq!(due(&bench, 1_700), ["/u"]);
    bench.apply(create("/t/x"));
    assert_eq!(due(&bench, 9_999), ["/u"]);
    bench.apply(delete("/t/x", -1));
    let path = "/t".to_owned();
    bench.time_ms = 1_700;
    bench.on(0, 0, TxnOp::Reap { path: path.clone() });
    assert!(bench.state.node("/t").is_some(), "not yet");
    bench.time_ms = 1_701;
    bench.on(0, 0, TxnOp::Reap { path });
    assert!(bench.state.node("/t").is_none());
}

#[test]
fn all_children_are_those_at_any_depth() {
    let mut bench = Bench::new();
    for path in ["/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a-", "/a/d", "/ab"] {
        bench.apply(create(path));
    }
    assert_eq!(bench.state.all_children_number("/a"), Some(4));
    assert_eq!(bench.state.all_children_number("/a/d"), Some(0));
    assert_eq!(bench.state.all_children_number("/"), Some(10));
    assert_eq!(bench.state.all_children_number("/none"), None);
    assert_eq!(bench.state.all_children_number(""), None);
    assert!(bench.state.children("/a").eq(["b", "d"]));
    assert!(bench.state.children("/").eq(["a", "a-", "ab", "zookeeper"]));
}

#[test]
fn the_digest_covers_access_lists_owners_and_connections() {
    let digest = |ops: &[(i64, u64, TxnOp)]| {
        let mut bench = Bench::new();
        for (session, connection, op) in ops {
            bench.on(*session, *connection, op.clone());
        }
        bench.state.digest()
    };
    let plain = digest(&[(7, 1, create_for("/a", &[Access::open()]))]);
    let ephemeral = digest(&[(7, 1, create_as("/a", CreateMode::Ephemeral, false))]);
    let limited = digest(&[(7, 1, create_for("/a", &[to_user(31)]))]);
    let connection = digest(&[
        (7, 0, create_for("/a", &[Access::open()])),
        (7, 2, TxnOp::MoveSession),
    ]);
    let all = [plain, ephemeral, limited, connection];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(one));
    }
}
