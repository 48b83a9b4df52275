//! The bench of write throughput: the same closed-loop clients against several ensembles in turn.
//!
//! A *target* is an ensemble under load, the bundled one or any that speaks the ZooKeeper client
//! protocol. In each *round* every target is measured at every number of clients, one target right
//! after the other, so that what else the machine does hits all of them alike: a ratio of two
//! targets is taken within one round. Clients write the value of a znode of their own, one operation
//! in flight each, spread evenly over the nodes. A latency runs from the request's send to its answer.

mod ensemble;
mod growth;
mod load;
mod table;

use std::net::SocketAddr;
use std::time::Duration;

pub use ensemble::{Ensemble, Usage};
pub use growth::{Growth, grow};
pub use table::{Comparison, Row, comparisons, rows};

use crate::clock::Nanos;
use crate::system::ConnectError;

/// An ensemble under load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name in the table.
    pub name: String,
    /// Where its nodes serve clients.
    pub nodes: Vec<SocketAddr>,
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Against what.
    pub targets: Vec<Target>,
    /// With how many clients at a time.
    pub clients: Vec<u32>,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Load on each target before anything is measured.
    pub warmup: Duration,
    /// How long each measurement takes, beside the second of load in front of it.
    pub length: Duration,
    /// How often all is repeated.
    pub rounds: u32,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Against which target.
    pub target: String,
    /// With how many clients.
    pub clients: u32,
    /// In which round, from 1.
    pub round: u32,
    /// Writes acknowledged.
    pub writes: u64,
    /// Within this time.
    pub elapsed: Nanos,
    /// Median latency.
    pub p50: Nanos,
    /// 99th percentile of the latency.
    pub p99: Nanos,
    /// Greatest latency.
    pub max: Nanos,
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The bundled ensemble could not be started.
    #[error("cannot {what}")]
    Setup {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The ensemble has no leader.
    #[error("the bundled ensemble was not ready within {0:?}")]
    NotReady(Duration),
    /// A client could not connect.
    #[error("no session at {addr} of {target}")]
    Connect {
        /// Of which target.
        target: String,
        /// At which node.
        addr: SocketAddr,
        /// Why it failed.
        source: ConnectError,
    },
    /// A write failed: figures of a system that does not serve mean nothing.
    #[error("a write at {addr} of {target} failed")]
    Write {
        /// Of which target.
        target: String,
        /// At which node.
        addr: SocketAddr,
        /// Why it failed.
        source: ConnectError,
    },
}

/// Measures everything; each sample is told as soon as it is there.
///
/// # Errors
/// If a target does not answer or refuses a write.
pub async fn run(bench: &Bench, mut tell: impl FnMut(&Sample)) -> Result<Vec<Sample>, BenchError> {
    let most = bench.clients.iter().copied().max().unwrap_or(1);
    if !bench.warmup.is_zero() {
        for target in &bench.targets {
            let mut clients = load::connect(target, most, bench.value_bytes).await?;
            load::write_for(&mut clients, bench.warmup).await?;
        }
    }
    let mut samples = Vec::new();
    for round in 1..=bench.rounds {
        for &count in &bench.clients {
            for target in &bench.targets {
                let mut clients = load::connect(target, count, bench.value_bytes).await?;
                load::write_for(&mut clients, LEAD_IN).await?;
                let done = load::write_for(&mut clients, bench.length).await?;
                let sample = Sample {
                    target: target.name.clone(),
                    clients: count,
                    round,
                    writes: done.latencies.len(),
                    elapsed: done.elapsed,
                    p50: Nanos(done.latencies.value_at_quantile(0.5)),
                    p99: Nanos(done.latencies.value_at_quantile(0.99)),
                    max: Nanos(done.latencies.max()),
                };
                tell(&sample);
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

/// Load before each measurement, so that connections and caches are warm.
const LEAD_IN: Duration = Duration::from_secs(1);
