//! What the packet layer costs: round trips and bulk through the switch against loopback, in one
//! run. `cargo bench --bench packet`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails loudly"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaos::clock::Nanos;
use chaos::id::NodeId;
use chaos::link::{DropLayer, Endpoint, LinkId, Rule, Spread};
use chaos::packet::{SWITCH_COMMAND, Switch, address};
use chaos::parcel;

const ONE: Endpoint = Endpoint::Node(NodeId(1));
const TWO: Endpoint = Endpoint::Node(NodeId(2));
const ROUNDS: usize = 5_000;
const BULK_FOR: Duration = Duration::from_secs(2);

/// Ends the switch with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(compare());
}

async fn compare() {
    let (ours, theirs) = parcel::pair().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args([SWITCH_COMMAND, "2", "1"])
        .stdin(Stdio::from(theirs))
        .spawn();
    let _running = Running(child.unwrap());
    let switch = Switch::attach(ours).await.unwrap();

    let direct = round_trips(&mut loopback(), ROUNDS);
    let switched = round_trips(&mut connected(&switch).await, ROUNDS);
    let added = |share: usize| at(&switched, share).saturating_sub(at(&direct, share));
    println!("round trip of 64 bytes, n = {ROUNDS}");
    println!(
        "  loopback  p50 {:?}  p99 {:?}",
        at(&direct, 50),
        at(&direct, 99)
    );
    println!(
        "  switch    p50 {:?}  p99 {:?}",
        at(&switched, 50),
        at(&switched, 99)
    );
    println!("  added     p50 {:?}  p99 {:?}", added(50), added(99));

    let direct = bulk(loopback());
    let switched = bulk(connected(&switch).await);
    println!("bulk: loopback {direct:.0} MB/s, switch {switched:.0} MB/s");

    let delay = Rule::Delay {
        by: Nanos::from_millis(10),
        jitter: Nanos::ZERO,
        spread: Spread::Uniform,
    };
    let links = [LinkId::new(ONE, TWO), LinkId::new(TWO, ONE)];
    let rules: BTreeMap<_, _> = links.map(|link| (link, vec![delay])).into();
    switch.set(rules).await.unwrap();
    let delayed = round_trips(&mut connected(&switch).await, 200);
    println!(
        "10 ms each way, n = 200: p50 {:?}  p99 {:?}",
        at(&delayed, 50),
        at(&delayed, 99)
    );
    let rule = Rule::Drop {
        loss: 1e-9,
        layer: DropLayer::Packet,
    };
    let rules: BTreeMap<_, _> = links.map(|link| (link, vec![rule])).into();
    switch.set(rules).await.unwrap();
    let ruled = bulk(connected(&switch).await);
    println!("bulk where packets can be lost: {ruled:.0} MB/s");
    for (link, crossed) in switch.counters().await.unwrap() {
        if links.contains(&link) {
            println!("{link}: {crossed:?}");
        }
    }
}

/// Two ends of one connection: the second answers.
type Ends = (TcpStream, TcpStream);

fn loopback() -> Ends {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dialer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (dialer, listener.accept().unwrap().0)
}

async fn connected(switch: &Switch) -> Ends {
    let socket = switch.socket(TWO).await.unwrap();
    socket.bind(SocketAddr::from((address(TWO), 0))).unwrap();
    let listener = socket.listen(1).unwrap();
    let to = listener.local_addr().unwrap();
    let dialer = switch.socket(ONE).await.unwrap();
    let (dialer, accepted) = tokio::join!(dialer.connect(to), listener.accept());
    let blocking = |stream: tokio::net::TcpStream| {
        let stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream
    };
    (blocking(dialer.unwrap()), blocking(accepted.unwrap().0))
}

/// The times of round trips, in rising order.
fn round_trips((one, other): &mut Ends, rounds: usize) -> Vec<Duration> {
    one.set_nodelay(true).unwrap();
    other.set_nodelay(true).unwrap();
    let mut times = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut message = [0; 64];
            for _ in 0..rounds + rounds / 10 {
                other.read_exact(&mut message).unwrap();
                other.write_all(&message).unwrap();
            }
        });
        let mut message = [7; 64];
        let mut times = Vec::with_capacity(rounds);
        for round in 0..rounds + rounds / 10 {
            let start = Instant::now();
            one.write_all(&message).unwrap();
            one.read_exact(&mut message).unwrap();
            if round >= rounds / 10 {
                times.push(start.elapsed());
            }
        }
        times
    });
    times.sort_unstable();
    times
}

fn at(times: &[Duration], share: usize) -> Duration {
    times[(times.len() * share / 100).min(times.len() - 1)]
}

/// Megabytes (10^6 bytes) in a second.
fn bulk((mut one, mut other): Ends) -> f64 {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let chunk = vec![7; 128 * 1024];
            let start = Instant::now();
            while start.elapsed() < BULK_FOR && one.write_all(&chunk).is_ok() {}
        });
        let (start, mut total) = (Instant::now(), 0_usize);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match other.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => total += length,
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let bytes = total as f64;
        bytes / start.elapsed().as_secs_f64() / 1e6
    })
}
