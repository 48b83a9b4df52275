//! The corpus, replayed; and a short run of each target.

use std::path::{Path, PathBuf};

use chaos_fuzz::{Counting, driver, targets};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// One test: the allocator counts for all threads together.
#[test]
fn every_target_stands_its_corpus_and_a_short_run() {
    for target in &targets::ALL {
        for (path, input) in driver::load(target, &corpus()) {
            println!("{}", path.display());
            driver::execute(target, &input);
        }
        for seed in (target.seeds)() {
            let (is_accepted, _) = driver::execute(target, &seed);
            assert!(
                is_accepted || target.name == "client",
                "a seed of {}",
                target.name
            );
        }
        let summary = driver::run(target, 2_000, 1, &corpus());
        let summary = summary.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(summary.accepted > 0, "{summary}");
        assert!(summary.accepted < summary.executions, "{summary}");
    }
    a_target_that_takes_too_much_is_noticed();
}

fn a_target_that_takes_too_much_is_noticed() {
    fn greedy(input: &[u8]) -> bool {
        std::hint::black_box(vec![1_u8; 100 * input.len()]).len() > 1
    }
    let mut target = targets::ALL[0];
    target.run = greedy;
    target.floor = 1 << 20;
    target.factor = 1;
    let result = std::panic::catch_unwind(|| driver::execute(&target, &[0; 20_000]));
    assert!(result.is_err());
}
