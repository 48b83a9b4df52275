//! How much the network itself adds to a round trip: the noise floor of every figure of a run;
//! and whether rules do what they say.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::calibration::{self, Calibration};
use super::links::{Framing, Links, NOBODY, Path};
use super::rule::{DropLayer, Endpoint, LinkId, Rule};
use crate::clock::Nanos;

/// How many round trips are measured on each way.
const ROUNDS: usize = 200;
/// Round trips before those, so that caches and the scheduler have settled.
const WARM_UP: usize = 20;
/// Bytes of a message in each direction.
const MESSAGE: usize = 64;
/// The whole test takes some three hundred milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Medians over 200 round trips of 64 bytes over loopback, one at a time, and what rules did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelfTest {
    /// Without the proxy.
    pub direct: Nanos,
    /// Through one proxied connection without rules.
    pub proxied: Nanos,
    /// What a delay and a loss did.
    pub calibration: Calibration,
}

impl SelfTest {
    /// What the proxy adds to a round trip.
    #[must_use]
    pub const fn added(&self) -> Nanos {
        self.proxied.since(self.direct)
    }
}

impl Links {
    /// Measures what the proxy adds to a round trip, and what a delay and a loss do to a link that
    /// carries nothing else. Direct and proxied round trips alternate, so that both see the same
    /// load of the machine. No rules may be in force, and none are afterwards.
    ///
    /// # Errors
    /// If connections over loopback cannot be made or are too slow to measure.
    pub async fn self_test(&self) -> io::Result<SelfTest> {
        in_time(self.measure()).await
    }

    async fn measure(&self) -> io::Result<SelfTest> {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        self.set_running(NOBODY, true);
        let measured = self.measure_with(&server).await;
        self.set_running(NOBODY, false);
        let passing = self.set_rules(BTreeMap::new()).await;
        passing.map_err(io::Error::other)?;
        measured
    }

    async fn measure_with(&self, server: &TcpListener) -> io::Result<SelfTest> {
        let opaque = self.open_to(server, Framing::Opaque).await?;
        let measured = async {
            let mut direct = pair(server, server.local_addr()?).await?;
            let mut proxied = pair(server, opaque).await?;
            let passing = compare(&mut direct, &mut proxied).await?;
            self.obey(calibration::DELAY).await?;
            let delayed = calibration::delayed(&mut proxied).await?;
            io::Result::Ok((passing, delayed))
        };
        let measured = measured.await;
        self.close(opaque);
        let ((direct, proxied), delayed) = measured?;

        let framed = self.open_to(server, Framing::LengthPrefixed).await?;
        let counted = async {
            self.obey(calibration::loss(DropLayer::Frame)).await?;
            calibration::frames(pair(server, framed).await?).await
        };
        let counted = counted.await;
        self.close(framed);
        let (sent, arrived) = counted?;
        Ok(SelfTest {
            direct,
            proxied,
            calibration: Calibration::new(proxied, delayed, sent, arrived),
        })
    }

    async fn open_to(&self, server: &TcpListener, framing: Framing) -> io::Result<SocketAddr> {
        self.open(Path {
            dialer: Endpoint::Clients,
            target: NOBODY,
            upstream: server.local_addr()?,
            framing,
        })
        .await
    }

    /// A rule for both directions of the self-test's link, and no others.
    async fn obey(&self, rule: Rule) -> io::Result<()> {
        let forth = LinkId::new(Endpoint::Clients, Endpoint::Node(NOBODY));
        let both = [forth, forth.reversed()].map(|link| (link, vec![rule]));
        let obeyed = self.set_rules(both.into()).await;
        obeyed.map(drop).map_err(io::Error::other)
    }
}

/// Both ends of a connection, the dialer's first.
pub type Ends = (TcpStream, TcpStream);

async fn pair(server: &TcpListener, address: SocketAddr) -> io::Result<Ends> {
    let dialer = dial(address).await?;
    Ok((dialer, server.accept().await?.0))
}

/// Measures round trips on two ways in turn, so that both see the same load of the machine.
/// Returns the median of each.
///
/// # Errors
/// If a connection breaks.
pub async fn compare(direct: &mut Ends, proxied: &mut Ends) -> io::Result<(Nanos, Nanos)> {
    let mut ways = [direct, proxied].map(|ends| (ends, Vec::with_capacity(ROUNDS)));
    for ((dialer, target), _) in &ways {
        dialer.set_nodelay(true)?;
        target.set_nodelay(true)?;
    }
    for round in 0..WARM_UP + ROUNDS {
        for ((dialer, target), times) in &mut ways {
            let time = round_trip(dialer, target).await?;
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    let [direct, proxied] = ways.map(|(_, mut times)| median(&mut times));
    Ok((direct, proxied))
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

pub(super) async fn round_trip(
    dialer: &mut TcpStream,
    target: &mut TcpStream,
) -> io::Result<Nanos> {
    let mut message = [7; MESSAGE];
    let start = Instant::now();
    dialer.write_all(&message).await?;
    target.read_exact(&mut message).await?;
    target.write_all(&message).await?;
    dialer.read_exact(&mut message).await?;
    Ok(start.elapsed().into())
}

pub(super) fn median(times: &mut [Nanos]) -> Nanos {
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
            let Calibration { delay, loss, .. } = measured.calibration;
            // A rule holds back for as long as it says; how much longer is the machine's.
            assert!(delay >= Nanos::from_millis(4), "{delay}");
            assert!((0.17..0.23).contains(&loss), "{loss}");
            let counters = links.counters().await.unwrap();
            assert!(
                counters.is_empty(),
                "the self-test must not count as traffic"
            );
        });
    }
}
