//! How long reading and checking histories takes, part by part.
//!
//! `cargo bench --bench check`; a filter such as `-- check/one_key` runs a part only. Sizes differ
//! by ten, so that growth shows in one run.

use std::hint::black_box;

use chaos::check::linearizable::{Budget, check};
use chaos::history::{History, decode};
use chaos::model::Register;
use chaos::verdict::Verdict;
use clap::Parser as _;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[path = "../examples/history/simulation.rs"]
mod simulation;

use simulation::{Options, write_history};

/// What the checker is measured with: a name, the options of the generator, the verdict.
const KINDS: [(&str, &str, Verdict); 7] = [
    ("one_key", "--clients 100", Verdict::Pass),
    ("thousand_keys", "--clients 100 --keys 1000", Verdict::Pass),
    ("cas_seen", "--clients 100 --cas 30", Verdict::Pass),
    ("stale_late", "--clients 100 --stale 95", Verdict::Fail),
    (
        "cas_hidden",
        "--clients 10 --keys 10 --cas 30 --hidden",
        Verdict::Pass,
    ),
    (
        "repeated",
        "--clients 10 --keys 100 --values 5",
        Verdict::Pass,
    ),
    (
        "unknown",
        "--clients 20 --keys 10 --info-per-mille 10",
        Verdict::Pass,
    ),
];

fn lines(options: &str, operations: u64) -> Vec<u8> {
    let size = operations.to_string();
    let words = ["history", "--operations", &size];
    let options = Options::parse_from(words.into_iter().chain(options.split(' ')));
    let mut bytes = Vec::new();
    write_history(options, &mut bytes).expect("a history can be written into memory");
    bytes
}

fn history(options: &str, operations: u64) -> History {
    let bytes = lines(options, operations);
    let (_, history) = decode(&bytes, "generated").expect("what was written can be read");
    history
}

/// Reading lines, and the check of each kind, from ten thousand operations on.
fn histories(criterion: &mut Criterion) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut group = criterion.benchmark_group("read");
    for operations in [10_000, 100_000] {
        let bytes = lines("--clients 100", operations);
        group.throughput(Throughput::Elements(operations));
        group.bench_with_input(BenchmarkId::new("jsonl", operations), &bytes, |b, bytes| {
            b.iter(|| black_box(decode(black_box(bytes), "generated")));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("check");
    group.sample_size(10);
    for (name, options, verdict) in KINDS {
        for operations in [10_000, 100_000, 1_000_000] {
            let history = history(options, operations);
            let budget = Budget::without_clock(threads);
            let judge = |history: &History| check(history, &Register::default(), &budget);
            assert_eq!(judge(&history).verdict, verdict, "{name} {operations}");
            group.throughput(Throughput::Elements(operations));
            group.bench_with_input(
                BenchmarkId::new(name, operations),
                &history,
                |b, history| {
                    b.iter(|| black_box(judge(black_box(history))));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, histories);
criterion_main!(benches);
