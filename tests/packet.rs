//! Real TCP through the packet switch. Where no namespaces can be made, each test says so and ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaos::clock::Nanos;
use chaos::dial::Sockets;
use chaos::id::NodeId;
use chaos::link::{DropLayer, Endpoint, LinkId, Rule, Spread};
use chaos::packet::{Counters, SWITCH_COMMAND, Switch, SwitchError, address, inside};
use chaos::parcel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const ONE: Endpoint = Endpoint::Node(NodeId(1));
const TWO: Endpoint = Endpoint::Node(NodeId(2));
const FORTH: LinkId = LinkId::new(ONE, TWO);
const BACK: LinkId = LinkId::new(TWO, ONE);
/// Whatever a test waits for comes within this time, or the test fails.
const DEADLINE: Duration = Duration::from_secs(30);
/// For what must not come.
const A_WHILE: Duration = Duration::from_millis(300);

/// Two nodes and a switch between them.
struct Stage {
    switch: Switch,
    child: Child,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_switch<F: Future>(test: impl FnOnce(Stage) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if let Some(stage) = Stage::new().await {
            timeout(DEADLINE, test(stage)).await.unwrap();
        }
    });
}

impl Stage {
    async fn new() -> Option<Self> {
        let (ours, theirs) = parcel::pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_chaos"))
            .args([SWITCH_COMMAND, "2", "7"])
            .stdin(Stdio::from(theirs))
            .spawn()
            .unwrap();
        match Switch::attach(ours).await {
            Ok(switch) => Some(Self { switch, child }),
            Err(SwitchError::Unavailable(why)) => {
                // Shown also where the test passes.
                let _ = writeln!(std::io::stderr(), "not tested: {why}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn set(&self, rules: &[(LinkId, Rule)]) {
        let mut table: BTreeMap<LinkId, Vec<Rule>> = BTreeMap::new();
        for (link, rule) in rules {
            table.entry(*link).or_default().push(*rule);
        }
        self.switch.set(table).await.unwrap();
    }

    async fn crossed(&self, link: LinkId) -> Counters {
        self.switch.counters().await.unwrap()[&link]
    }

    async fn listener(&self) -> (TcpListener, SocketAddr) {
        let socket = self.switch.socket(TWO).await.unwrap();
        socket.bind(SocketAddr::from((address(TWO), 0))).unwrap();
        let listener = socket.listen(16).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A connection from the first node to the second.
    async fn connection(&self) -> (TcpStream, TcpStream) {
        let (listener, to) = self.listener().await;
        let dialer = self.switch.socket(ONE).await.unwrap();
        let (dialer, accepted) = tokio::join!(dialer.connect(to), listener.accept());
        let (dialer, accepted) = (dialer.unwrap(), accepted.unwrap().0);
        dialer.set_nodelay(true).unwrap();
        accepted.set_nodelay(true).unwrap();
        (dialer, accepted)
    }
}

fn delay(by: u64) -> Rule {
    Rule::Delay {
        by: Nanos::from_millis(by),
        jitter: Nanos::ZERO,
        spread: Spread::Uniform,
    }
}

/// Sends so many bytes and sees them arrive as they were sent.
async fn carry(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) {
    let sent: Vec<u8> = (0..bytes)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    let mut got = vec![0; bytes];
    let (wrote, read) = tokio::join!(from.write_all(&sent), to.read_exact(&mut got));
    wrote.unwrap();
    read.unwrap();
    assert!(sent == got, "the bytes of a stream never change");
}

async fn round_trip(one: &mut TcpStream, other: &mut TcpStream) -> Duration {
    let start = Instant::now();
    carry(one, other, 64).await;
    carry(other, one, 64).await;
    start.elapsed()
}

#[test]
fn bytes_arrive_in_order_whatever_becomes_of_the_packets() {
    with_switch(async |stage| {
        let (mut one, mut other) = stage.connection().await;
        carry(&mut one, &mut other, 4_000_000).await;
        let clear = stage.crossed(FORTH).await;
        // Some of them joined, all of them counted.
        assert!(clear.packets >= 4_000_000 / 1448, "{clear:?}");
        let loss = Rule::Drop {
            loss: 0.02,
            layer: DropLayer::Packet,
        };
        stage
            .set(&[
                (FORTH, loss),
                (FORTH, Rule::Reorder { share: 0.02 }),
                (BACK, Rule::Duplicate { share: 0.5 }),
            ])
            .await;
        carry(&mut one, &mut other, 1_000_000).await;
        let (forth, back) = (stage.crossed(FORTH).await, stage.crossed(BACK).await);
        assert!(forth.lost > 0 && forth.reordered > 0, "{forth:?}");
        assert!(back.duplicated > 0, "{back:?}");
        assert_eq!((back.lost, back.reordered), (0, 0));
        assert_eq!(forth.duplicated, 0);
    });
}

#[test]
fn the_share_that_is_lost_is_the_one_that_was_asked_for() {
    with_switch(async |stage| {
        let (mut one, mut other) = stage.connection().await;
        let loss = Rule::Drop {
            loss: 0.1,
            layer: DropLayer::Packet,
        };
        // Acknowledgements: losing them hardly slows the data.
        stage.set(&[(BACK, loss)]).await;
        while stage.crossed(BACK).await.packets < 3_000 {
            carry(&mut one, &mut other, 1_000_000).await;
        }
        let back = stage.crossed(BACK).await;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let share = back.lost as f64 / back.packets as f64;
        assert!((0.08..0.12).contains(&share), "{share} of {}", back.packets);
    });
}

#[test]
fn a_delay_comes_on_top_of_each_way() {
    with_switch(async |stage| {
        let (mut one, mut other) = stage.connection().await;
        stage.set(&[(FORTH, delay(20)), (BACK, delay(30))]).await;
        for _ in 0..5 {
            let took = round_trip(&mut one, &mut other).await;
            assert!(took >= Duration::from_millis(50), "{took:?}");
        }
        let forth = stage.crossed(FORTH).await;
        assert!(forth.waited_for.0 >= forth.waited * 20_000_000, "{forth:?}");
    });
}

#[test]
fn a_cut_of_one_way_lets_nothing_through_and_dials_hang_until_it_heals() {
    with_switch(async |stage| {
        let (mut one, mut other) = stage.connection().await;
        let (listener, to) = stage.listener().await;
        stage.set(&[(BACK, Rule::Cut)]).await;
        // The data arrives, its acknowledgement does not.
        carry(&mut one, &mut other, 64).await;
        let mut byte = [0];
        other.write_all(&[9]).await.unwrap();
        let read = timeout(A_WHILE, one.read_exact(&mut byte)).await;
        assert!(read.is_err(), "nothing comes back");
        let dialer = stage.switch.socket(ONE).await.unwrap();
        let mut dialing = Box::pin(dialer.connect(to));
        assert!(timeout(A_WHILE, &mut dialing).await.is_err(), "a SYN hangs");
        stage.set(&[]).await;
        one.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, [9]);
        let (dialed, accepted) = tokio::join!(dialing, listener.accept());
        drop((dialed.unwrap(), accepted.unwrap()));
    });
}

#[test]
fn nobody_listening_is_a_refusal_and_the_harness_reaches_a_node_that_is_cut_off() {
    with_switch(async |stage| {
        let (listener, to) = stage.listener().await;
        let all = [ONE, Endpoint::Clients];
        let cut = all.map(|from| [LinkId::new(from, TWO), LinkId::new(TWO, from)]);
        let cut: Vec<_> = cut.concat().into_iter().map(|l| (l, Rule::Cut)).collect();
        stage.set(&cut).await;
        let from_inside = SocketAddr::from((inside(NodeId(2)), to.port()));
        let (socket, at) = stage.switch.socket_to(from_inside).await.unwrap();
        let (dialed, accepted) = tokio::join!(socket.connect(at), listener.accept());
        drop((dialed.unwrap(), accepted.unwrap()));
        drop(listener);
        stage.set(&[]).await;
        let (socket, at) = stage.switch.socket_to(to).await.unwrap();
        let refused = socket.connect(at).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_throttle_lets_no_more_through_than_its_rate() {
    with_switch(async |stage| {
        let (mut one, mut other) = stage.connection().await;
        stage
            .set(&[(FORTH, Rule::Throttle { rate: 1_000_000 })])
            .await;
        let start = Instant::now();
        carry(&mut one, &mut other, 1_000_000).await;
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(800), "{took:?}");
    });
}

#[test]
fn rules_that_only_a_stream_can_suffer_are_refused() {
    with_switch(async |stage| {
        let rules = BTreeMap::from([(FORTH, vec![Rule::Corrupt { share: 0.1 }])]);
        let refused = stage.switch.set(rules).await.unwrap_err();
        assert!(
            refused.to_string().contains("needs `network: proxy`"),
            "{refused}"
        );
    });
}
