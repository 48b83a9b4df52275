//! Makes inputs and runs a target on them.

use std::fmt;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::memory::peak_of;
use crate::mutate::mutate;
use crate::rng::Rng;
use crate::targets::Target;

/// What a run of one target came to.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Which target.
    pub target: &'static str,
    /// How many executions.
    pub executions: u64,
    /// How many inputs were accepted.
    pub accepted: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The most bytes that one execution had allocated at once.
    pub peak: usize,
    /// The most bytes that one execution had allocated at once per byte of input, beyond the floor.
    pub ratio: f64,
    /// Some of the mutations that were accepted.
    pub found: Vec<Vec<u8>>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        write!(
            f,
            "{:<10} {:>11} executions {:>7.1} s {:>9.0} exec/s {:>5.1} % accepted, peak {:>7} B, {:>5.1} B per byte",
            self.target,
            self.executions,
            seconds,
            self.executions as f64 / seconds,
            100.0 * self.accepted as f64 / self.executions as f64,
            self.peak,
            self.ratio,
        )
    }
}

/// An input on which a target failed, and where it is kept.
#[derive(Debug)]
pub struct Failure {
    /// Which target.
    pub target: &'static str,
    /// The file with the input.
    pub path: PathBuf,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fails on {}", self.target, self.path.display())
    }
}

/// Runs a target so many times. The pool of inputs is the corpus, what the target makes itself, and
/// mutations that were accepted.
///
/// # Errors
/// With the first input on which it fails, which is added to the corpus.
pub fn run(target: &Target, executions: u64, seed: u64, corpus: &Path) -> Result<Summary, Failure> {
    let mut rng = Rng(seed);
    let mut pool = (target.seeds)();
    pool.extend(load(target, corpus).into_iter().map(|(_, input)| input));
    let fixed = pool.len();
    let mut summary = Summary {
        target: target.name,
        executions,
        accepted: 0,
        elapsed: Duration::ZERO,
        peak: 0,
        ratio: 0.0,
        found: Vec::new(),
    };
    let start = Instant::now();
    let mut input = Vec::new();
    for _ in 0..executions {
        let among = if rng.one_in(2) { fixed } else { pool.len() };
        input.clone_from(&pool[rng.below(among)]);
        let other = rng.below(pool.len());
        mutate(&mut input, &pool[other], &mut rng);
        // Without right checksums nothing behind them would ever be read.
        if rng.below(4) > 0 {
            (target.repair)(&mut input, rng.next());
        }
        let result = catch_unwind(AssertUnwindSafe(|| execute(target, &input)));
        let Ok((is_accepted, peak)) = result else {
            let path = keep(target, corpus, "failure", &input).unwrap_or_default();
            return Err(Failure {
                target: target.name,
                path,
            });
        };
        summary.peak = summary.peak.max(peak);
        let beyond = peak.saturating_sub(target.floor) as f64;
        summary.ratio = summary.ratio.max(beyond / input.len().max(1) as f64);
        if is_accepted {
            summary.accepted += 1;
            if pool.len() < fixed + POOL {
                pool.push(input.clone());
            } else if rng.one_in(64) {
                let at = fixed + rng.below(POOL);
                pool[at].clone_from(&input);
            }
        }
    }
    summary.elapsed = start.elapsed();
    summary.found = pool.split_off(fixed);
    Ok(summary)
}

/// Runs a target on one input and holds it to its bound. Tells whether it was accepted, and the peak.
///
/// # Panics
/// If the target fails or allocates too much.
pub fn execute(target: &Target, input: &[u8]) -> (bool, usize) {
    let (is_accepted, peak) = peak_of(|| (target.run)(input));
    let bound = target.floor + target.factor * input.len();
    assert!(
        peak <= bound,
        "{} bytes for an input of {}, more than {bound}",
        peak,
        input.len()
    );
    (is_accepted, peak)
}

/// The corpus of a target.
pub fn load(target: &Target, corpus: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(files) = fs::read_dir(corpus.join(target.name)) else {
        return Vec::new();
    };
    let mut inputs: Vec<_> = files
        .filter_map(|file| {
            let path = file.ok()?.path();
            let input = fs::read(&path).ok()?;
            Some((path, input))
        })
        .collect();
    inputs.sort();
    inputs
}

/// Adds to the corpus of a target.
///
/// # Errors
/// If the file cannot be written.
pub fn keep(target: &Target, corpus: &Path, kind: &str, input: &[u8]) -> io::Result<PathBuf> {
    let dir = corpus.join(target.name);
    fs::create_dir_all(&dir)?;
    let path = dir.join(format!("{kind}-{:08x}", crc32c::crc32c(input)));
    fs::write(&path, input)?;
    Ok(path)
}

/// Mutations that are kept because they were accepted.
const POOL: usize = 256;
