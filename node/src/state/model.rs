//! Random transactions, judged by a model that is written differently: plain lists, everything counted
//! afresh, and a multi tried on a copy of the whole.

use proptest::prelude::*;

use super::ChangeKind::{ChildrenChanged, Created, DataChanged, Deleted};
use super::*;

/// A znode as the model sees it.
#[derive(Debug, Clone)]
struct Record {
    path: String,
    data: Data,
    access: Vec<Access>,
    mode: CreateMode,
    owner: i64,
    czxid: u64,
    mzxid: u64,
    pzxid: u64,
    ctime: i64,
    mtime: i64,
    sets: i32,
    access_sets: i32,
    creates: i32,
    deletes: i32,
}

#[derive(Debug, Clone, Default)]
struct Model {
    records: Vec<Record>,
    /// Id, timeout, connection.
    sessions: Vec<(i64, i32, u64)>,
    changes: Vec<(ChangeKind, String)>,
}

type Answer = Result<Outcome, ErrorCode>;

fn parts(path: &str) -> (String, String) {
    let at = path.rfind('/').unwrap();
    (path[..at.max(1)].to_owned(), path[at + 1..].to_owned())
}

const fn wrong(wanted: i32, version: i32) -> bool {
    wanted != -1 && wanted != version
}

fn may(record: &Record, bit: i32, user: bool) -> bool {
    record.access.iter().any(|entry| {
        entry.permissions & bit == bit
            && (entry.scheme == "world" || (entry.scheme == "digest" && user))
    })
}

impl Model {
    fn at(&self, path: &str) -> Option<usize> {
        self.records.iter().position(|record| record.path == path)
    }

    fn children(&self, path: &str) -> Vec<String> {
        let below = self.records.iter().filter(|record| record.path != "/");
        let pairs = below.map(|record| parts(&record.path));
        let mut names: Vec<String> = pairs
            .filter(|(parent, _)| parent == path)
            .map(|(_, name)| name)
            .collect();
        names.sort();
        names
    }

    fn stat(&self, record: &Record) -> Stat {
        let children = i32::try_from(self.children(&record.path).len()).unwrap();
        let start = match record.path.as_str() {
            "/" => 1,
            "/zookeeper" => 2,
            _ => 0,
        };
        assert_eq!(children, start + record.creates - record.deletes);
        Stat {
            czxid: record.czxid,
            mzxid: record.mzxid,
            ctime: record.ctime,
            mtime: record.mtime,
            version: record.sets,
            cversion: record.creates + record.deletes - start,
            aversion: record.access_sets,
            ephemeral_owner: record.owner,
            data_length: i32::try_from(record.data.len()).unwrap(),
            num_children: children,
            pzxid: record.pzxid,
        }
    }

    fn tell(&mut self, kind: ChangeKind, path: &str) {
        self.changes.push((kind, path.to_owned()));
    }

    fn remove(&mut self, zxid: u64, at: usize) {
        let gone = self.records.remove(at);
        let (parent, _) = parts(&gone.path);
        let above = self.at(&parent).unwrap();
        self.records[above].deletes += 1;
        self.records[above].pzxid = zxid;
        self.tell(Deleted, &gone.path);
        self.tell(ChildrenChanged, &parent);
    }

    fn stored_access(given: &[Access], user: bool) -> Result<Vec<Access>, ErrorCode> {
        let mut list = Vec::new();
        for entry in given {
            let mut entry = entry.clone();
            if entry.scheme == "auth" {
                if !user {
                    return Err(ErrorCode::InvalidAcl);
                }
                entry.scheme = "digest".to_owned();
                entry.id = "u:1".to_owned();
            }
            list.push(entry);
        }
        if list.is_empty() || list.iter().any(|entry| entry.scheme == "bad") {
            return Err(ErrorCode::InvalidAcl);
        }
        Ok(list)
    }

    fn create(&mut self, zxid: u64, txn: &Txn, op: &TxnOp) -> Answer {
        let TxnOp::Create {
            path,
            data,
            access,
            mode,
            sequential,
        } = op
        else {
            panic!("not a create");
        };
        let user = !txn.ids.is_empty();
        let owner = match mode {
            CreateMode::Ttl { ttl_ms } if *ttl_ms <= 0 => return Err(ErrorCode::BadArguments),
            CreateMode::Ttl { ttl_ms } => !0xff_ffff_ffff_ffff | *ttl_ms,
            CreateMode::Container => i64::MIN,
            CreateMode::Ephemeral => txn.session,
            CreateMode::Persistent => 0,
        };
        let access = Self::stored_access(access, user)?;
        let (parent, _) = parts(path);
        let above = self.at(&parent).ok_or(ErrorCode::NoNode)?;
        if !may(&self.records[above], 4, user) {
            return Err(ErrorCode::NoAuth);
        }
        let mut path = path.clone();
        if *sequential {
            let number = self.records[above].creates.to_string();
            path += &"0".repeat(10 - number.len());
            path += &number;
        }
        if self.at(&path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if self.records[above].mode == CreateMode::Ephemeral {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let record = Record {
            path: path.clone(),
            data: data.clone(),
            access,
            mode: *mode,
            owner,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: txn.time_ms,
            mtime: txn.time_ms,
            sets: 0,
            access_sets: 0,
            creates: 0,
            deletes: 0,
        };
        let stat = Stat {
            num_children: 0,
            cversion: 0,
            ..self.stat(&record)
        };
        self.records[above].creates += 1;
        self.records[above].pzxid = zxid;
        self.records.push(record);
        self.tell(Created, &path);
        self.tell(ChildrenChanged, &parent);
        Ok(Outcome::Created { path, stat })
    }

    fn delete(&mut self, zxid: u64, user: bool, path: &str, version: i32) -> Answer {
        if path == "/" || path.starts_with("/zookeeper") {
            return Err(ErrorCode::BadArguments);
        }
        let above = self.at(&parts(path).0).ok_or(ErrorCode::NoNode)?;
        if !may(&self.records[above], 8, user) {
            return Err(ErrorCode::NoAuth);
        }
        let at = self.at(path).ok_or(ErrorCode::NoNode)?;
        if wrong(version, self.records[at].sets) {
            return Err(ErrorCode::BadVersion);
        }
        if !self.children(path).is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        self.remove(zxid, at);
        Ok(Outcome::Deleted)
    }

    fn write(&mut self, zxid: u64, txn: &Txn, op: &TxnOp) -> Answer {
        let user = !txn.ids.is_empty();
        let found = |path: &str| self.at(path).ok_or(ErrorCode::NoNode);
        match op {
            TxnOp::Create { .. } => self.create(zxid, txn, op),
            TxnOp::Delete { path, version } => self.delete(zxid, user, path, *version),
            TxnOp::SetData {
                path,
                data,
                version,
            } => {
                let at = found(path)?;
                let record = &mut self.records[at];
                if !may(record, 2, user) {
                    return Err(ErrorCode::NoAuth);
                }
                if wrong(*version, record.sets) {
                    return Err(ErrorCode::BadVersion);
                }
                record.data.clone_from(data);
                record.sets += 1;
                record.mzxid = zxid;
                record.mtime = txn.time_ms;
                let stat = self.stat(&self.records[at]);
                self.tell(DataChanged, path);
                Ok(Outcome::DataSet(stat))
            }
            TxnOp::SetAccess {
                path,
                access,
                version,
            } => {
                let access = Self::stored_access(access, user)?;
                let at = found(path)?;
                let record = &mut self.records[at];
                if !may(record, 16, user) {
                    return Err(ErrorCode::NoAuth);
                }
                if wrong(*version, record.access_sets) {
                    return Err(ErrorCode::BadVersion);
                }
                record.access = access;
                record.access_sets += 1;
                Ok(Outcome::AccessSet(self.stat(&self.records[at])))
            }
            TxnOp::Check { path, version } => {
                let record = &self.records[found(path)?];
                if !may(record, 1, user) {
                    return Err(ErrorCode::NoAuth);
                }
                if wrong(*version, record.sets) {
                    return Err(ErrorCode::BadVersion);
                }
                Ok(Outcome::Checked)
            }
            _ => Err(ErrorCode::Unimplemented),
        }
    }

    fn multi(&mut self, zxid: u64, txn: &Txn, ops: &[TxnOp]) -> Outcome {
        let mut attempt = self.clone();
        let mut outcomes = Vec::new();
        for (at, op) in ops.iter().enumerate() {
            let answer = match op {
                TxnOp::SetAccess { .. } => Err(ErrorCode::Unimplemented),
                _ => attempt.write(zxid, txn, op),
            };
            match answer {
                Ok(outcome) => outcomes.push(outcome),
                Err(code) => {
                    let code_of = |other: usize| match other.cmp(&at) {
                        std::cmp::Ordering::Less => 0,
                        std::cmp::Ordering::Equal => code.code(),
                        std::cmp::Ordering::Greater => -2,
                    };
                    return Outcome::MultiRefused((0..ops.len()).map(code_of).collect());
                }
            }
        }
        *self = attempt;
        Outcome::Multi(outcomes)
    }

    fn apply(&mut self, zxid: u64, txn: &Txn) -> Outcome {
        self.changes.clear();
        let known = self.sessions.iter().position(|(id, ..)| *id == txn.session);
        match (&txn.op, known) {
            (TxnOp::OpenSession { timeout_ms }, _) => {
                self.sessions.retain(|(id, ..)| *id != txn.session);
                self.sessions
                    .push((txn.session, *timeout_ms, txn.connection));
                return Outcome::Opened;
            }
            (TxnOp::MoveSession, Some(at)) => {
                self.sessions[at].2 = txn.connection;
                let timeout_ms = self.sessions[at].1;
                return Outcome::Moved { timeout_ms };
            }
            (TxnOp::Reap { path }, _) => {
                if let Some(at) = self.at(path)
                    && self.is_due(&self.records[at], txn.time_ms)
                {
                    self.remove(zxid, at);
                }
                return Outcome::Reaped;
            }
            (_, None) => return Outcome::Refused(ErrorCode::SessionExpired),
            (_, Some(at)) => {
                if ![0, self.sessions[at].2].contains(&txn.connection) {
                    return Outcome::Refused(ErrorCode::SessionMoved);
                }
            }
        }
        match &txn.op {
            TxnOp::CloseSession => {
                let mut owned: Vec<String> = self.ephemerals(txn.session);
                owned.sort();
                for path in owned {
                    self.remove(zxid, self.at(&path).unwrap());
                }
                self.sessions.retain(|(id, ..)| *id != txn.session);
                Outcome::Closed
            }
            TxnOp::Multi { ops } => self.multi(zxid, txn, ops),
            op => self.write(zxid, txn, op).unwrap_or_else(Outcome::Refused),
        }
    }

    fn ephemerals(&self, session: i64) -> Vec<String> {
        let owned = self
            .records
            .iter()
            .filter(|record| record.mode == CreateMode::Ephemeral && record.owner == session);
        owned.map(|record| record.path.clone()).collect()
    }

    fn is_due(&self, record: &Record, now_ms: i64) -> bool {
        self.children(&record.path).is_empty()
            && match record.mode {
                CreateMode::Container => record.creates > 0,
                CreateMode::Ttl { ttl_ms } => now_ms - record.mtime > ttl_ms,
                CreateMode::Persistent | CreateMode::Ephemeral => false,
            }
    }
}

/// The model of a new tree.
fn new_model() -> Model {
    let mut model = Model::default();
    for path in ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"] {
        let permissions = if path.ends_with('g') { 1 } else { 31 };
        model.records.push(Record {
            path: path.to_owned(),
            data: Data::from(b""),
            access: vec![Access {
                permissions,
                ..Access::open()
            }],
            mode: CreateMode::Persistent,
            owner: 0,
            czxid: 0,
            mzxid: 0,
            pzxid: 0,
            ctime: 0,
            mtime: 0,
            sets: 0,
            access_sets: 0,
            creates: 0,
            deletes: 0,
        });
    }
    model
}

fn assert_equal(state: &State, model: &Model, now_ms: i64) {
    assert_eq!(state.node_count(), model.records.len());
    for record in &model.records {
        let node = state.node(&record.path).unwrap();
        assert_eq!(node.stat, model.stat(record), "{}", record.path);
        assert_eq!(node.data, record.data);
        assert_eq!(node.access[..], record.access[..]);
        let children = model.children(&record.path);
        assert!(state.children(&record.path).eq(children));
    }
    let size = model
        .records
        .iter()
        .map(|record| record.path.len() + record.data.len());
    assert_eq!(state.data_size(), size.sum::<usize>() as u64);
    let mut sessions = model.sessions.clone();
    sessions.sort_unstable();
    let found = state
        .sessions()
        .map(|(id, timeout_ms)| (id, timeout_ms, state.connection_of(id).unwrap()));
    assert!(found.eq(sessions));
    for session in 1..4 {
        let mut owned = model.ephemerals(session);
        owned.sort();
        assert!(state.ephemerals(session).eq(owned));
    }
    let due = model
        .records
        .iter()
        .filter(|record| model.is_due(record, now_ms));
    let mut due: Vec<&str> = due.map(|record| record.path.as_str()).collect();
    let mut found = state.due_for_reaping(now_ms, usize::MAX);
    due.sort_unstable();
    found.sort();
    assert_eq!(found, due);
}

fn paths() -> impl Strategy<Value = String> {
    let names = prop_oneof![
        3 => Just("a"),
        2 => Just("b"),
        1 => Just("a-"),
        1 => Just("a0000000001")
    ];
    let path = proptest::collection::vec(names, 1..4);
    prop_oneof![
        30 => path.prop_map(|names| format!("/{}", names.join("/"))),
        1 => Just("/".to_owned()),
        1 => Just("/zookeeper/config".to_owned()),
    ]
}

fn accesses() -> impl Strategy<Value = Vec<Access>> {
    let entry = |permissions: i32, scheme: &str, id: &str| Access {
        permissions,
        scheme: scheme.to_owned(),
        id: id.to_owned(),
    };
    prop_oneof![
        12 => Just(vec![Access::open()]),
        2 => (0..32_i32).prop_map(move |bits| vec![
            entry(bits, "world", "anyone"),
            entry(31, "digest", "u:1")
        ]),
        1 => Just(vec![entry(31, "auth", "")]),
        1 => Just(vec![entry(31, "bad", "")]),
        1 => Just(Vec::new()),
    ]
}

fn modes() -> impl Strategy<Value = CreateMode> {
    prop_oneof![
        4 => Just(CreateMode::Persistent),
        2 => Just(CreateMode::Ephemeral),
        1 => Just(CreateMode::Container),
        1 => (0..40_i64).prop_map(|ttl_ms| CreateMode::Ttl { ttl_ms }),
    ]
}

fn writes() -> impl Strategy<Value = TxnOp> {
    let version = || prop_oneof![3 => Just(-1), 2 => 0..3_i32];
    let data = || {
        let bytes = proptest::collection::vec(any::<u8>(), 0..4);
        proptest::option::of(bytes).prop_map(|bytes| bytes.map_or_else(Data::default, Data::from))
    };
    prop_oneof![
        10 => (paths(), data(), accesses(), modes(), prop::bool::weighted(0.2)).prop_map(
            |(path, data, access, mode, sequential)| TxnOp::Create {
                path, data, access, mode, sequential
            }
        ),
        5 => (paths(), version()).prop_map(|(path, version)| TxnOp::Delete { path, version }),
        4 => (paths(), data(), version()).prop_map(|(path, data, version)| TxnOp::SetData {
            path, data, version
        }),
        3 => (paths(), accesses(), version()).prop_map(|(path, access, version)| {
            TxnOp::SetAccess { path, access, version }
        }),
        1 => (paths(), version()).prop_map(|(path, version)| TxnOp::Check { path, version }),
    ]
}

fn txns() -> impl Strategy<Value = Vec<Txn>> {
    let multi = proptest::collection::vec(writes(), 0..5);
    let op = prop_oneof![
        16 => writes(),
        4 => multi.prop_map(|ops| TxnOp::Multi { ops }),
        2 => (1..9_i32).prop_map(|timeout_ms| TxnOp::OpenSession { timeout_ms }),
        1 => Just(TxnOp::MoveSession),
        1 => Just(TxnOp::CloseSession),
        2 => paths().prop_map(|path| TxnOp::Reap { path }),
    ];
    let connection = prop_oneof![6 => Just(0_u64), 1 => 1..3_u64];
    let txn = (
        op,
        1..4_i64,
        connection,
        prop::bool::weighted(0.7),
        0..20_i64,
    );
    let txns = proptest::collection::vec(txn, 0..80);
    txns.prop_map(|steps| {
        let mut time_ms = 0;
        let open = Txn {
            time_ms,
            session: 1,
            connection: 0,
            ids: Vec::new(),
            op: TxnOp::OpenSession { timeout_ms: 5 },
        };
        let rest = steps
            .into_iter()
            .map(|(op, session, connection, user, later)| {
                time_ms += later;
                let identity = Identity {
                    scheme: "digest".to_owned(),
                    id: "u:1".to_owned(),
                };
                let ids = if user { vec![identity] } else { Vec::new() };
                Txn {
                    time_ms,
                    session,
                    connection,
                    ids,
                    op,
                }
            });
        std::iter::once(open).chain(rest).collect()
    })
}

proptest! {
    #[test]
    fn the_state_does_what_the_model_does(txns in txns()) {
        let (mut state, mut model, mut replica) = (State::new(), new_model(), State::new());
        assert_equal(&state, &model, 0);
        for (zxid, txn) in (1..).zip(&txns) {
            let (digest, before) = (state.digest(), state.snapshot());
            let mut changes = Vec::new();
            let outcome = state.apply(zxid, txn, &mut changes);
            prop_assert_eq!(&outcome, &model.apply(zxid, txn), "{:?}", txn);
            let told: Vec<_> = changes.into_iter().map(|change| (change.kind, change.path)).collect();
            prop_assert_eq!(&told, &model.changes);
            if matches!(outcome, Outcome::Refused(_) | Outcome::MultiRefused(_)) {
                prop_assert_eq!(state.digest(), digest);
                prop_assert_eq!(&state.encode()[16..], &before.encode()[16..]);
            }
            replica.apply(zxid, &Txn::decode(&txn.encode()).unwrap(), &mut Vec::new());
        }
        assert_equal(&state, &model, txns.last().unwrap().time_ms);
        prop_assert_eq!(&replica, &state);
        prop_assert_eq!(State::decode(&state.encode()).unwrap(), state);
    }
}
