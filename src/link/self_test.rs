//! How much the proxy itself adds to a round trip: the noise floor of every figure of a run.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::links::{Framing, Links, NOBODY, Path};
use super::rule::Endpoint;
use crate::clock::Nanos;

/// How many round trips are measured on each way.
const ROUNDS: usize = 200;
/// Round trips before those, so that caches and the scheduler have settled.
const WARM_UP: usize = 20;
/// Bytes of a message in each direction.
const MESSAGE: usize = 64;
/// The whole test takes some ten milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Medians over 200 round trips of 64 bytes over loopback, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelfTest {
    /// Without the proxy.
    pub direct: Nanos,
    /// Through one proxied connection without rules.
    pub proxied: Nanos,
}

impl SelfTest {
    /// What the proxy adds to a round trip.
    #[must_use]
    pub const fn added(&self) -> Nanos {
        self.proxied.since(self.direct)
    }
}

impl Links {
    /// Measures what the proxy adds to a round trip. Direct and proxied round trips alternate, so
    /// that both see the same load of the machine.
    ///
    /// # Errors
    /// If connections over loopback cannot be made or are too slow to measure.
    pub async fn self_test(&self) -> io::Result<SelfTest> {
        in_time(self.measure()).await
    }

    async fn measure(&self) -> io::Result<SelfTest> {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let upstream = server.local_addr()?;
        let path = Path {
            dialer: Endpoint::Clients,
            target: NOBODY,
            upstream,
            framing: Framing::Opaque,
        };
        let address = self.open(path).await?;
        self.set_running(NOBODY, true);
        let measured = async {
            let direct = pair(&server, upstream).await?;
            compare(direct, pair(&server, address).await?).await
        };
        let measured = measured.await;
        self.set_running(NOBODY, false);
        self.close(address);
        measured
    }
}

/// Both ends of a connection, the dialer's first.
pub type Ends = (TcpStream, TcpStream);

async fn pair(server: &TcpListener, address: SocketAddr) -> io::Result<Ends> {
    let dialer = dial(address).await?;
    Ok((dialer, server.accept().await?.0))
}

/// Measures round trips on two ways in turn, so that both see the same load of the machine.
///
/// # Errors
/// If a connection breaks.
pub async fn compare(direct: Ends, proxied: Ends) -> io::Result<SelfTest> {
    let mut ways = Vec::new();
    for (dialer, target) in [direct, proxied] {
        dialer.set_nodelay(true)?;
        target.set_nodelay(true)?;
        ways.push((dialer, target, Vec::with_capacity(ROUNDS)));
    }
    for round in 0..WARM_UP + ROUNDS {
        for (dialer, target, times) in &mut ways {
            let time = round_trip(dialer, target).await?;
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    let [direct, proxied] = [0, 1].map(|way: usize| median(&mut ways[way].2));
    Ok(SelfTest { direct, proxied })
}

/// The gate refuses until it has noticed that its upstream listens.
async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    loop {
        match TcpStream::connect(address).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            result => return result,
        }
    }
}

async fn round_trip(dialer: &mut TcpStream, target: &mut TcpStream) -> io::Result<Nanos> {
    let mut message = [7; MESSAGE];
    let start = Instant::now();
    dialer.write_all(&message).await?;
    target.read_exact(&mut message).await?;
    target.write_all(&message).await?;
    dialer.read_exact(&mut message).await?;
    Ok(start.elapsed().into())
}

fn median(times: &mut [Nanos]) -> Nanos {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(Nanos::ZERO)
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await.map_err(|_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            "the self-test of the links takes too long",
        )
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn a_proxied_round_trip_takes_time_and_the_path_is_gone_afterwards() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let links = Links::start(Seed(1)).unwrap();
            let measured = links.self_test().await.unwrap();
            assert!(measured.direct > Nanos::ZERO);
            assert!(measured.proxied > Nanos::ZERO);
            assert_eq!(measured.added(), measured.proxied.since(measured.direct));
            let counters = links.counters().await.unwrap();
            assert!(
                counters.is_empty(),
                "the self-test must not count as traffic"
            );
        });
    }
}
