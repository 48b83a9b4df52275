//! What the state machine costs at several sizes: time per transaction, memory per znode, and what a
//! snapshot takes. Run with `cargo run --release -p chaos-node --example state_cost`.
//!
//! Clock: monotonic, around each loop (the slowest transaction: around each one). Znodes lie 1000 to
//! a directory and hold 100 bytes; transactions hit them in a fixed pseudo-random order.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a measurement may fail loudly")]

use std::time::{Duration, Instant};

use chaos_node::state::{Access, CreateMode, State, Txn, TxnOp};

const DATA: usize = 100;
const OPS: u64 = 100_000;

fn main() {
    println!(
        "znodes     per op: create  setData  getData | while a snapshot is held: setData (slowest)"
    );
    for znodes in [10_000, 100_000, 1_000_000] {
        measure(znodes);
    }
}

fn measure(znodes: u64) {
    let before = resident_bytes();
    let mut bench = Bench::new(znodes);
    let create = timed(|| (0..znodes).for_each(|number| bench.create(number)));
    let memory = resident_bytes() - before;
    let set = timed(|| (0..OPS).for_each(|round| bench.set(round)));
    let get = timed(|| (0..OPS).for_each(|round| bench.get(round)));
    let start = Instant::now();
    let snapshot = bench.state.snapshot();
    let taken = start.elapsed();
    let mut slowest = Duration::ZERO;
    let held = timed(|| {
        for round in 0..OPS {
            let start = Instant::now();
            bench.set(round);
            slowest = slowest.max(start.elapsed());
        }
    });
    let start = Instant::now();
    let bytes = std::thread::spawn(move || snapshot.encode())
        .join()
        .unwrap();
    let encoded = start.elapsed();
    let start = Instant::now();
    let restored = State::decode(&bytes).unwrap();
    let decoded = start.elapsed();
    assert_eq!(restored.node_count(), bench.state.node_count());
    let start = Instant::now();
    drop(restored);
    let dropped = start.elapsed();
    let per = |time: Duration, ops: u64| time / u32::try_from(ops).unwrap();
    println!(
        "{znodes:>8} {:>16.2?} {:>8.2?} {:>8.2?} | {:>8.2?} ({slowest:.2?})",
        per(create, znodes),
        per(set, OPS),
        per(get, OPS),
        per(held, OPS),
    );
    println!(
        "         {} bytes of memory per znode; snapshot of {} bytes: taken in {taken:.2?}, encoded \
         in {encoded:.2?}, decoded in {decoded:.2?}, dropped in {dropped:.2?}",
        memory / znodes,
        bytes.len(),
    );
}

struct Bench {
    state: State,
    znodes: u64,
    paths: Vec<String>,
}

impl Bench {
    fn new(znodes: u64) -> Self {
        let paths = (0..znodes).map(|number| format!("/dir-{}/node-{number}", number / 1000));
        let mut bench = Self {
            state: State::new(),
            znodes,
            paths: paths.collect(),
        };
        bench.apply(TxnOp::OpenSession { timeout_ms: 1 });
        for number in 0..=znodes / 1000 {
            bench.apply(new_znode(&format!("/dir-{number}")));
        }
        bench
    }

    fn apply(&mut self, op: TxnOp) {
        let txn = Txn {
            time_ms: 1,
            session: 1,
            connection: 0,
            ids: Vec::new(),
            op,
        };
        let zxid = self.state.applied() + 1;
        self.state.apply(zxid, &txn, &mut Vec::new());
    }

    fn create(&mut self, number: u64) {
        self.apply(new_znode(self.path(number)));
    }

    fn set(&mut self, round: u64) {
        self.apply(TxnOp::SetData {
            path: self.path(scatter(round) % self.znodes).to_owned(),
            data: vec![7; DATA].into(),
            version: -1,
        });
    }

    fn get(&self, round: u64) {
        let node = self.state.node(self.path(scatter(round) % self.znodes));
        assert_eq!(node.unwrap().data.len(), DATA);
    }

    fn path(&self, number: u64) -> &str {
        &self.paths[usize::try_from(number).unwrap()]
    }
}

fn new_znode(path: &str) -> TxnOp {
    TxnOp::Create {
        path: path.to_owned(),
        data: vec![7; DATA].into(),
        access: vec![Access::open()],
        mode: CreateMode::Persistent,
        sequential: false,
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// A fixed order that jumps about: the finaliser of SplitMix64.
const fn scatter(round: u64) -> u64 {
    let mut z = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib * 1024
}
