//! The state as bytes, which peers send too, and the transactions of the log.

use chaos_node::client::{Request, parse};
use chaos_node::state::{CreateMode, Data, State, Txn, TxnOp};

use super::{Target, client};

pub(super) const STATE: Target = Target {
    name: "state",
    run: run_state,
    seeds: state_seeds,
    repair: super::as_it_is,
    // Znodes live in a tree of shared nodes; the state is read, written and read again.
    factor: 32,
    floor: 8 << 10,
};

pub(super) const TXN: Target = Target {
    name: "txn",
    run: run_txn,
    seeds: txn_seeds,
    repair: super::as_it_is,
    factor: 32,
    floor: 12 << 10,
};

fn run_state(input: &[u8]) -> bool {
    let Ok(state) = State::decode(input) else {
        return false;
    };
    let bytes = state.encode();
    let again = State::decode(&bytes).expect("what was written can be read");
    assert_eq!(again, state);
    assert_eq!(again.digest(), state.digest());
    assert_eq!(again.encode(), bytes);
    true
}

/// Every transaction that can be read can be applied.
fn run_txn(input: &[u8]) -> bool {
    let Ok(txn) = Txn::decode(input) else {
        return false;
    };
    assert_eq!(Txn::decode(&txn.encode()).as_ref(), Ok(&txn));
    thread_local! {
        static STATE: State = sample(20);
    }
    let mut state = STATE.with(State::clone);
    let mut changes = Vec::new();
    let outcome = state.apply(state.applied() + 1, &txn, &mut changes);
    drop(outcome);
    assert_eq!(State::decode(&state.encode()).as_ref(), Ok(&state));
    true
}

fn txns() -> Vec<Txn> {
    let txn = |op| Txn {
        time_ms: 5,
        session: 3,
        connection: 4,
        ids: Vec::new(),
        op,
    };
    let create = |path: &str, mode, sequential| TxnOp::Create {
        path: path.to_owned(),
        data: Data::from(&b"data"[..]),
        access: vec![chaos_node::state::Access::open()],
        mode,
        sequential,
    };
    let ops = [
        TxnOp::OpenSession { timeout_ms: 9 },
        create("/a", CreateMode::Persistent, false),
        create("/a/b", CreateMode::Ephemeral, false),
        create("/a/n-", CreateMode::Persistent, true),
        create("/c", CreateMode::Container, false),
        create("/c/t", CreateMode::Ttl { ttl_ms: 7 }, false),
        TxnOp::MoveSession,
        TxnOp::Touch {
            sessions: vec![3, 9],
        },
        TxnOp::Reap {
            path: "/c".to_owned(),
        },
        TxnOp::Delete {
            path: "/a/b".to_owned(),
            version: -1,
        },
        TxnOp::CloseSession,
    ];
    ops.map(txn).to_vec()
}

/// The state after the first so many.
fn sample(count: u64) -> State {
    let mut state = State::new();
    for (zxid, txn) in (1..=count).zip(txns()) {
        state.apply(zxid, &txn, &mut Vec::new());
    }
    state
}

fn txn_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = txns().iter().map(Txn::encode).collect();
    for request in client::requests() {
        if let Ok((_, Request::Write(write))) = parse(&request) {
            let mut txn = txns().remove(0);
            txn.op = write.op;
            seeds.push(txn.encode());
        }
    }
    seeds
}

fn state_seeds() -> Vec<Vec<u8>> {
    (0..=txns().len() as u64)
        .map(|count| sample(count).encode())
        .collect()
}
