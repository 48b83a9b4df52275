//! Closed-loop writers: each has a connection and a znode of its own, and one write in flight.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::{BenchError, Target};
use crate::clock::{Nanos, RunClock};
use crate::system::zookeeper::{SessionOptions, ZkClient};

/// One writer.
pub(super) struct Writer {
    client: ZkClient,
    key: String,
    value: Vec<u8>,
    target: String,
    addr: SocketAddr,
}

/// What writers did.
pub(super) struct Done {
    /// Of acknowledged writes, in nanoseconds.
    pub(super) latencies: Histogram<u64>,
    pub(super) elapsed: Nanos,
}

/// Connects `count` writers, spread evenly over the nodes, and makes their znodes.
pub(super) async fn connect(
    target: &Target,
    count: u32,
    value_bytes: usize,
) -> Result<Vec<Writer>, BenchError> {
    let mut writers = Vec::new();
    for (number, addr) in (0..count).zip(target.nodes.iter().cycle()) {
        let options = SessionOptions {
            timeout: SESSION_TIMEOUT,
            synced_reads: false,
        };
        let connected = ZkClient::connect(*addr, CONNECT_WITHIN, options).await;
        let failed = |source| BenchError::Connect {
            target: target.name.clone(),
            addr: *addr,
            source,
        };
        let mut client = connected.map_err(failed)?;
        let key = format!("bench-{number}");
        let value = vec![b'x'; value_bytes];
        client.make(&key, &value).await.map_err(failed)?;
        writers.push(Writer {
            client,
            key,
            value,
            target: target.name.clone(),
            addr: *addr,
        });
    }
    Ok(writers)
}

/// Lets all writers write for that long; those in flight at the end are waited for.
pub(super) async fn write_for(
    writers: &mut Vec<Writer>,
    length: Duration,
) -> Result<Done, BenchError> {
    let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    write(writers, move |elapsed, _| elapsed.0 < length).await
}

/// Lets all writers write until `goes_on` (told the time elapsed and the writes of that writer) says
/// no.
pub(super) async fn write(
    writers: &mut Vec<Writer>,
    goes_on: impl Fn(Nanos, u64) -> bool + Copy + Send + 'static,
) -> Result<Done, BenchError> {
    let clock = RunClock::start();
    let mut tasks = JoinSet::new();
    for writer in writers.drain(..) {
        tasks.spawn(writer.run(clock, goes_on));
    }
    let mut latencies = histogram();
    while let Some(joined) = tasks.join_next().await {
        let (writer, own) = joined.expect("a writer does not panic and is not aborted")?;
        latencies
            .add(own)
            .expect("all histograms have the same bounds");
        writers.push(writer);
    }
    Ok(Done {
        latencies,
        elapsed: clock.now(),
    })
}

impl Writer {
    async fn run(
        mut self,
        clock: RunClock,
        goes_on: impl Fn(Nanos, u64) -> bool + Send,
    ) -> Result<(Self, Histogram<u64>), BenchError> {
        let mut latencies = histogram();
        let mut begun = clock.now();
        let mut written = 0;
        while goes_on(begun, written) {
            if let Err(source) = self.client.put(&self.key, &self.value).await {
                let (target, addr) = (self.target, self.addr);
                return Err(BenchError::Write {
                    target,
                    addr,
                    source,
                });
            }
            let ended = clock.now();
            latencies.saturating_record(ended.since(begun).0);
            begun = ended;
            written += 1;
        }
        Ok((self, latencies))
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, LONGEST.0, 3).expect("constant and valid bounds")
}

/// The longest latency told apart.
const LONGEST: Nanos = Nanos::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
