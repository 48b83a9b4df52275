//! What the link proxy costs: `chaos proxy` beside a direct connection and, where it is installed,
//! haproxy; everything interleaved, in one run. `cargo bench --bench proxy`
//!
//! Pipelined Redis is measured where `redis-server` and `redis-benchmark` are installed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails loudly"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

/// Round trips in a block, and blocks of each way.
const ROUNDS: usize = 2_000;
const BLOCKS: usize = 15;
/// Round trips of one way before the next has its turn.
const TURN: usize = 20;
const BULK_FOR: Duration = Duration::from_millis(1_500);
const BULKS: usize = 7;
const REDIS_RUNS: usize = 15;
const REDIS_REQUESTS: &str = "500000";
const CONNECTIONS: [usize; 5] = [1, 10, 100, 1_000, 2_000];
/// Until a server answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server or proxy that ends with its handle.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One way to a server.
struct Way {
    name: &'static str,
    to: SocketAddr,
    proxy: Option<Running>,
}

fn main() {
    raise_descriptors();
    let (echo, sink) = (serve(echo), serve(swallow));
    round_trips(&ways(echo));
    bulk(&ways(sink));
    redis();
    many(echo);
}

/// Thousands of connections need descriptors at both ends.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// All ways to `upstream`.
fn ways(upstream: SocketAddr) -> Vec<Way> {
    let direct = Way {
        name: "direct",
        to: upstream,
        proxy: None,
    };
    let mut ways = vec![direct, chaos(upstream)];
    ways.extend(haproxy(upstream));
    ways
}

fn chaos(upstream: SocketAddr) -> Way {
    let mut child = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["proxy", "--listen", "127.0.0.1:0", "--upstream"])
        .arg(upstream.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let to = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    Way {
        name: "chaos",
        to,
        proxy: Some(Running(child)),
    }
}

/// As it comes, with one thread: the proxy of chaos has one as well.
fn haproxy(upstream: SocketAddr) -> Option<Way> {
    let to = free_address();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        "global\n nbthread 1\n maxconn 5000\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
         listen bench\n bind {to}\n server upstream {upstream}"
    )
    .unwrap();
    let child = Command::new("haproxy")
        .args(["-q", "-db", "-f"])
        .arg(file.path())
        .spawn()
        .ok()?;
    let proxy = Some(Running(child));
    dial(to);
    Some(Way {
        name: "haproxy",
        to,
        proxy,
    })
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// A connection to a server that may not listen yet.
fn dial(to: SocketAddr) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(to) {
            Ok(stream) => {
                stream.set_nodelay(true).unwrap();
                return stream;
            }
            Err(error) => assert!(Instant::now() < deadline, "{to}: {error}"),
        }
        std::thread::yield_now();
    }
}

/// A server with a thread for each connection.
fn serve(answer: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn(move || answer(stream))
                .unwrap();
        }
    });
    address
}

fn echo(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut message = [0; 64];
    while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok() {}
}

/// Takes everything and answers with how much it was.
fn swallow(mut stream: TcpStream) {
    let (mut buffer, mut total) = (vec![0; 256 << 10], 0_u64);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => total += length as u64,
        }
    }
    let _ = stream.write_all(&total.to_be_bytes());
}

fn ping(stream: &mut TcpStream) -> Duration {
    let mut message = [7; 64];
    let start = Instant::now();
    stream.write_all(&message).unwrap();
    stream.read_exact(&mut message).unwrap();
    start.elapsed()
}

fn round_trips(ways: &[Way]) {
    let mut streams: Vec<_> = ways.iter().map(|way| dial(way.to)).collect();
    let mut blocks = BTreeMap::<_, Vec<_>>::new();
    for block in 0..=BLOCKS {
        let mut block_times = vec![Vec::with_capacity(ROUNDS); ways.len()];
        for turn in 0..ROUNDS / TURN {
            // What disturbs the machine for a while disturbs all; none is always the first.
            for at in (0..ways.len()).map(|at| (at + turn) % ways.len()) {
                block_times[at].extend((0..TURN).map(|_| ping(&mut streams[at])));
            }
        }
        for (way, mut times) in ways.iter().zip(block_times) {
            times.sort_unstable();
            // The first block warms up.
            if block > 0 {
                let found = [at(&times, 50), at(&times, 99)].map(micros);
                blocks.entry(way.name).or_default().push(found);
            }
        }
    }
    println!("round trip of 64 bytes: median (range) of {BLOCKS} blocks of {ROUNDS}, µs");
    for way in ways {
        let part = |part: usize| blocks[way.name].iter().map(|found| found[part]).collect();
        println!(
            "  {:8} p50 {}   p99 {}",
            way.name,
            spread(part(0)),
            spread(part(1))
        );
    }
}

fn bulk(ways: &[Way]) {
    let mut rates = BTreeMap::<_, Vec<_>>::new();
    for _ in 0..BULKS {
        for way in ways {
            rates.entry(way.name).or_default().push(pour(dial(way.to)));
        }
    }
    println!("bulk through one connection: median (range) of {BULKS} times {BULK_FOR:?}, MB/s");
    compared(ways, &rates);
}

/// Megabytes (10^6 bytes) in a second.
fn pour(mut stream: TcpStream) -> f64 {
    let chunk = vec![7; 128 << 10];
    let start = Instant::now();
    while start.elapsed() < BULK_FOR {
        stream.write_all(&chunk).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut total = [0; 8];
    stream.read_exact(&mut total).unwrap();
    float(u64::from_be_bytes(total)) / start.elapsed().as_secs_f64() / 1e6
}

fn redis() {
    let server = free_address();
    let child = Command::new("redis-server")
        .args(["--save", "", "--bind", "127.0.0.1", "--port"])
        .arg(server.port().to_string())
        .stdout(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        println!("redis-server is not installed: pipelined Redis is not measured");
        return;
    };
    let _running = Running(child);
    dial(server);
    let ways = ways(server);
    let mut rates = BTreeMap::<_, Vec<_>>::new();
    for _ in 0..REDIS_RUNS {
        for way in &ways {
            rates
                .entry(way.name)
                .or_default()
                .push(redis_benchmark(way));
        }
    }
    println!("redis-benchmark -t get -c 64 -P 16: median (range) of {REDIS_RUNS}, k/s");
    compared(&ways, &rates);
}

/// Thousands of requests in a second.
fn redis_benchmark(way: &Way) -> f64 {
    let output = Command::new("redis-benchmark")
        .args(["-t", "get", "-c", "64", "-P", "16", "--csv"])
        .args(["-n", REDIS_REQUESTS, "-h", "127.0.0.1", "-p"])
        .arg(way.to.port().to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("\"GET\""))
        .unwrap();
    let rate = line.split(',').nth(1).unwrap().trim_matches('"');
    rate.parse::<f64>().unwrap() / 1e3
}

/// What it costs to hold many connections.
fn many(echo: SocketAddr) {
    println!("many connections, each asks in turn: to connect, round trip p50 and p99, memory");
    for way in ways(echo) {
        let mut streams = Vec::new();
        for count in CONNECTIONS {
            let (start, before) = (Instant::now(), streams.len());
            while streams.len() < count {
                let mut stream = dial(way.to);
                ping(&mut stream);
                streams.push(stream);
            }
            let each = start.elapsed() / u32::try_from(count - before).unwrap();
            let rounds = (ROUNDS / count).max(1);
            let mut times = Vec::new();
            for _ in 0..rounds {
                times.extend(streams.iter_mut().map(ping));
            }
            times.sort_unstable();
            let memory = way.proxy.as_ref().map_or(0, |proxy| resident(proxy.0.id()));
            println!(
                "  {:8} {count:5}: {:4.0} µs, {:3.0} and {:3.0} µs, {memory} KiB",
                way.name,
                micros(each),
                micros(at(&times, 50)),
                micros(at(&times, 99)),
            );
        }
    }
}

/// The resident memory of a process in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn compared(ways: &[Way], rates: &BTreeMap<&str, Vec<f64>>) {
    let middle = |name: &str| {
        let mut rates = rates[name].clone();
        rates.sort_unstable_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    for way in ways {
        println!(
            "  {:8} {}   {:.2} of direct",
            way.name,
            spread(rates[way.name].clone()),
            middle(way.name) / middle("direct")
        );
    }
    if let Some(theirs) = rates.get("haproxy") {
        // Of runs beside each other: what disturbs the machine disturbs both.
        let ratios = rates["chaos"].iter().zip(theirs);
        let ratios = ratios.map(|(ours, theirs)| ours / theirs).collect();
        println!("  chaos is {} of haproxy, pair by pair", spread(ratios));
    }
}

/// The median, and the range.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_unstable_by(f64::total_cmp);
    let [least, .., most] = values[..] else {
        return format!("{values:?}");
    };
    let middle = values[values.len() / 2];
    let digits = if middle < 10.0 { 2 } else { 1 };
    format!("{middle:.digits$} ({least:.digits$} to {most:.digits$})")
}

fn at(times: &[Duration], share: usize) -> Duration {
    times[(times.len() * share / 100).min(times.len() - 1)]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn float(count: u64) -> f64 {
    count as f64
}
