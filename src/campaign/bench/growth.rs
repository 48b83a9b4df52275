//! Whether a write costs the same after many writes: one long run, looked at in steps.

use super::ensemble::{Ensemble, Usage};
use super::load;
use super::{BenchError, Target};
use crate::clock::Nanos;

/// One step of a long run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// Writes since the start, at the end of the step.
    pub writes: u64,
    /// Writes per second within the step.
    pub rate: f64,
    /// Median latency within the step.
    pub p50: Nanos,
    /// 99th percentile of the latency within the step.
    pub p99: Nanos,
    /// Greatest latency within the step.
    pub max: Nanos,
    /// Processor time of all nodes per write of the step.
    pub cpu_per_write: Nanos,
    /// Resident bytes of the greatest node at the end of the step.
    pub memory: u64,
    /// Bytes on the disk of the greatest node at the end of the step.
    pub disk: u64,
}

/// Writes `total` values and tells of each step: 10 k, 100 k, then every million.
///
/// # Errors
/// If the ensemble does not answer or refuses a write.
pub async fn grow(
    ensemble: &Ensemble,
    clients: u32,
    value_bytes: usize,
    total: u64,
    mut tell: impl FnMut(&Growth),
) -> Result<(), BenchError> {
    let target: Target = ensemble.target("bundled");
    let mut writers = load::connect(&target, clients, value_bytes).await?;
    let mut before = ensemble.usage();
    let mut written = 0;
    for end in ends(total) {
        let each = (end - written).div_ceil(u64::from(clients));
        let done = load::write(&mut writers, move |_, count| count < each).await?;
        let after = ensemble.usage();
        let count = done.latencies.len();
        written += count;
        tell(&step(written, &done, before, after));
        before = after;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for display only")]
fn step(writes: u64, done: &load::Done, before: Usage, after: Usage) -> Growth {
    let count = done.latencies.len().max(1);
    let cpu = after.cpu.saturating_sub(before.cpu).as_nanos() / u128::from(count);
    Growth {
        writes,
        rate: count as f64 / done.elapsed.as_secs_f64(),
        p50: Nanos(done.latencies.value_at_quantile(0.5)),
        p99: Nanos(done.latencies.value_at_quantile(0.99)),
        max: Nanos(done.latencies.max()),
        cpu_per_write: Nanos(u64::try_from(cpu).unwrap_or(u64::MAX)),
        memory: after.memory,
        disk: after.disk,
    }
}

/// Where the steps end.
fn ends(total: u64) -> Vec<u64> {
    let small = [10_000, 100_000].into_iter();
    let mut ends: Vec<u64> = small
        .chain((1..=total / 1_000_000).map(|million| million * 1_000_000))
        .filter(|end| *end < total)
        .collect();
    ends.push(total);
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_at_round_numbers_and_at_the_total() {
        assert_eq!(ends(500), [500]);
        assert_eq!(ends(100_000), [10_000, 100_000]);
        assert_eq!(
            ends(2_500_000),
            [10_000, 100_000, 1_000_000, 2_000_000, 2_500_000]
        );
    }
}
