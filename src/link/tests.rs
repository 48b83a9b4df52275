//! Tests of the proxy as a whole, with servers inside the test process.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::*;
use crate::clock::Nanos;
use crate::id::NodeId;
use crate::seed::Seed;

const N1: Endpoint = Endpoint::Node(NodeId(1));
const N2: Endpoint = Endpoint::Node(NodeId(2));
pub(super) const FORTH: LinkId = LinkId::new(N1, N2);
pub(super) const BACK: LinkId = LinkId::new(N2, N1);
pub(super) const SEED: Seed = Seed(77);

/// Whatever a test waits for comes within this time, or the test fails.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long a test watches that nothing comes. Too short can only let a bug pass, never fail.
const QUIET: Duration = Duration::from_millis(60);

pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { timeout(DEADLINE, test).await.expect("the test hangs") });
}

/// A path from n1 to a listening n2.
pub(super) struct Stage {
    pub(super) links: Links,
    pub(super) server: TcpListener,
    pub(super) address: SocketAddr,
}

impl Stage {
    pub(super) async fn new(framing: Framing) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let links = Links::start(SEED).unwrap();
        let upstream = server.local_addr().unwrap();
        let path = Path {
            dialer: N1,
            target: NodeId(2),
            upstream,
            framing,
        };
        let address = links.open(path).await.unwrap();
        links.set_running(NodeId(2), true);
        Self {
            links,
            server,
            address,
        }
    }

    /// A connection through the proxy: the dialer's end and the server's.
    pub(super) async fn connect(&self) -> (TcpStream, TcpStream) {
        let dialer = dial_until_open(self.address).await;
        let (target, _) = self.server.accept().await.unwrap();
        (dialer, target)
    }

    pub(super) async fn rules(&self, rules: &[(LinkId, Rule)]) {
        let mut table: BTreeMap<LinkId, Vec<Rule>> = BTreeMap::new();
        for (link, rule) in rules {
            table.entry(*link).or_default().push(*rule);
        }
        self.links.set_rules(table).await.unwrap();
    }
}

/// Dials until the gate has noticed that its upstream listens.
pub(super) async fn dial_until_open(address: SocketAddr) -> TcpStream {
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => return stream,
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
        }
        tokio::task::yield_now().await;
    }
}

/// Dials until the gate has noticed that its upstream is gone. A dial that came before may be let
/// in and reset.
async fn dial_until_refused(address: SocketAddr) {
    loop {
        match TcpStream::connect(address)
            .await
            .map_err(|error| error.kind())
        {
            Ok(_) | Err(ErrorKind::ConnectionReset) => tokio::task::yield_now().await,
            Err(kind) => {
                assert_eq!(kind, ErrorKind::ConnectionRefused);
                return;
            }
        }
    }
}

pub(super) async fn passes(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    let mut seen = vec![0; bytes.len()];
    to.read_exact(&mut seen).await.unwrap();
    assert!(seen == bytes, "other bytes than were sent");
}

pub(super) async fn is_quiet(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    timeout(QUIET, stream.read(&mut byte)).await.is_err()
}

pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap())
        .collect()
}

pub(super) fn frame(number: u32) -> Vec<u8> {
    let mut bytes = 4_u32.to_be_bytes().to_vec();
    bytes.extend(number.to_be_bytes());
    bytes
}

#[test]
fn without_rules_everything_passes_both_ways_however_much() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, target) = stage.connect().await;
        let bytes = pattern(3 << 20);
        let (mut target_read, mut target_write) = target.into_split();
        let echo = tokio::spawn(async move {
            tokio::io::copy(&mut target_read, &mut target_write)
                .await
                .unwrap();
        });
        let (mut read, mut write) = dialer.split();
        let sent = async {
            write.write_all(&bytes).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut seen = Vec::new();
        let (_, result) = tokio::join!(sent, read.read_to_end(&mut seen));
        result.unwrap();
        assert!(seen == bytes);
        echo.await.unwrap();
        let counters = stage.links.counters().await.unwrap();
        assert_eq!(counters[&FORTH].bytes, 3 << 20);
        assert_eq!(counters[&BACK].bytes, 3 << 20);
        assert_eq!(
            (counters[&FORTH].connections, counters[&BACK].connections),
            (1, 0)
        );
    });
}

#[test]
fn a_cut_holds_everything_and_delivers_it_after_the_heal() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        passes(&mut dialer, &mut target, b"before").await;
        stage.rules(&[(FORTH, Rule::Cut), (BACK, Rule::Cut)]).await;
        dialer.write_all(b"forth").await.unwrap();
        target.write_all(b"back").await.unwrap();
        assert!(is_quiet(&mut target).await);
        assert!(is_quiet(&mut dialer).await);
        stage.rules(&[]).await;
        let mut seen = [0; 5];
        target.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"forth");
        dialer.read_exact(&mut seen[..4]).await.unwrap();
        assert_eq!(&seen[..4], b"back");
    });
}

#[test]
fn a_cut_in_one_direction_leaves_the_other_alone() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        stage.rules(&[(FORTH, Rule::Cut)]).await;
        dialer.write_all(b"x").await.unwrap();
        passes(&mut target, &mut dialer, b"answers still come").await;
        assert!(is_quiet(&mut target).await);
    });
}

#[test]
fn a_death_behind_a_cut_is_learned_only_after_the_heal() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, target) = stage.connect().await;
        stage.rules(&[(FORTH, Rule::Cut), (BACK, Rule::Cut)]).await;
        drop(target);
        stage.links.set_running(NodeId(2), false);
        assert!(is_quiet(&mut dialer).await);
        stage.rules(&[]).await;
        assert_eq!(dialer.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn dials_hang_on_a_cut_link_and_come_through_after_the_heal() {
    run(async {
        for cut in [FORTH, BACK] {
            let stage = Stage::new(Framing::Opaque).await;
            drop(stage.connect().await);
            stage.rules(&[(cut, Rule::Cut)]).await;
            let mut dials: Vec<_> = (0..3)
                .map(|_| Box::pin(TcpStream::connect(stage.address)))
                .collect();
            for dial in &mut dials {
                assert!(
                    timeout(QUIET, dial).await.is_err(),
                    "a dial over a cut link ended"
                );
            }
            assert!(timeout(QUIET, stage.server.accept()).await.is_err());
            stage.rules(&[]).await;
            // The kernel repeats the SYN after one second.
            for dial in dials {
                let mut dialer = dial.await.unwrap();
                let (mut target, _) = stage.server.accept().await.unwrap();
                passes(&mut dialer, &mut target, b"late").await;
            }
        }
    });
}

#[test]
fn a_dead_node_behind_a_cut_makes_dials_hang_and_behind_a_heal_refuses_them() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        drop(stage.connect().await);
        stage.rules(&[(BACK, Rule::Cut)]).await;
        let Stage {
            links,
            server,
            address,
        } = stage;
        drop(server);
        links.set_running(NodeId(2), false);
        assert!(timeout(QUIET, TcpStream::connect(address)).await.is_err());
        links.set_rules(BTreeMap::new()).await.unwrap();
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_gate_opens_and_closes_with_its_upstream_on_one_port() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        drop(stage.connect().await);
        let Stage {
            links,
            server,
            address,
        } = stage;
        let upstream = server.local_addr().unwrap();
        for _ in 0..3 {
            links.set_running(NodeId(2), false);
            dial_until_refused(address).await;
            links.set_running(NodeId(2), true);
            drop(dial_until_open(address).await);
        }
        drop(server);
        dial_until_refused(address).await;
        let _server = TcpListener::bind(upstream).await.unwrap();
        drop(dial_until_open(address).await);
    });
}

#[test]
fn a_target_that_was_never_started_refuses() {
    run(async {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let links = Links::start(SEED).unwrap();
        let upstream = server.local_addr().unwrap();
        let path = Path {
            dialer: N1,
            target: NodeId(2),
            upstream,
            framing: Framing::Opaque,
        };
        let address = links.open(path).await.unwrap();
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_half_closed_connection_still_answers() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        dialer.write_all(b"question").await.unwrap();
        dialer.shutdown().await.unwrap();
        let mut seen = Vec::new();
        target.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"question");
        target.write_all(b"answer").await.unwrap();
        drop(target);
        seen.clear();
        dialer.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"answer");
    });
}

#[test]
fn a_reset_arrives_as_a_reset() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        for dialer_resets in [true, false] {
            let (dialer, target) = stage.connect().await;
            let (resets, mut sees) = if dialer_resets {
                (dialer, target)
            } else {
                (target, dialer)
            };
            resets.set_zero_linger().unwrap();
            drop(resets);
            let error = sees.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn a_reset_waits_for_the_heal_like_data() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (dialer, mut target) = stage.connect().await;
        stage.rules(&[(FORTH, Rule::Cut)]).await;
        dialer.set_zero_linger().unwrap();
        drop(dialer);
        // This data meets a dead end, whose answer travels on the link that is cut.
        target.write_all(b"into the void").await.unwrap();
        target.write_all(b"again").await.unwrap();
        assert!(is_quiet(&mut target).await);
        stage.rules(&[]).await;
        let error = target.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn writing_to_a_closed_end_is_answered_by_a_reset() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, target) = stage.connect().await;
        drop(target);
        assert_eq!(dialer.read(&mut [0; 8]).await.unwrap(), 0);
        while dialer.write_all(b"anybody there?").await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn exactly_the_fated_frames_vanish_whoever_dials() {
    run(async {
        let stage = Stage::new(Framing::LengthPrefixed).await;
        let half = Rule::Drop {
            loss: 0.5,
            layer: DropLayer::Frame,
        };
        stage.rules(&[(FORTH, half)]).await;
        let mut index = 0;
        for _ in 0..2 {
            let (mut dialer, mut target) = stage.connect().await;
            let mut expected = Vec::new();
            for _ in 0..100 {
                let bytes = frame(u32::try_from(index).unwrap());
                // In pieces: the parser must not depend on how a stream is cut up.
                dialer.write_all(&bytes[..3]).await.unwrap();
                dialer.write_all(&bytes[3..]).await.unwrap();
                if !frame_is_lost(SEED, FORTH, index, 0.5) {
                    expected.extend(bytes);
                }
                index += 1;
            }
            dialer.shutdown().await.unwrap();
            let mut seen = Vec::new();
            target.read_to_end(&mut seen).await.unwrap();
            assert!(seen == expected);
            passes(&mut target, &mut dialer, &frame(9)).await;
        }
        let counters = stage.links.counters().await.unwrap()[&FORTH];
        assert_eq!(counters.frames, 200);
        let lost = (0..200)
            .filter(|index| frame_is_lost(SEED, FORTH, *index, 0.5))
            .count();
        assert_eq!(counters.frames_dropped, lost as u64);
        assert!((60..140).contains(&lost));
    });
}

#[test]
fn a_delay_holds_back_keeps_the_order_and_does_not_limit_the_bandwidth() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        let by = Duration::from_millis(50);
        let delay = Rule::Delay {
            by: by.into(),
            jitter: Nanos::from_millis(20),
            spread: Spread::Uniform,
        };
        stage.rules(&[(FORTH, delay)]).await;
        let bytes = pattern(2 << 20);
        let start = Instant::now();
        let writing = async { dialer.write_all(&bytes).await.unwrap() };
        let mut seen = vec![0; bytes.len()];
        let (_, result) = tokio::join!(writing, target.read_exact(&mut seen));
        result.unwrap();
        assert!(
            start.elapsed() >= Duration::from_millis(30),
            "earlier than delay - jitter"
        );
        assert!(seen == bytes);
        let start = Instant::now();
        passes(&mut dialer, &mut target, b"again").await;
        assert!(start.elapsed() >= Duration::from_millis(30));
    });
}

#[test]
fn delayed_data_that_is_then_cut_waits_for_the_heal() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        let delay = Rule::Delay {
            by: Nanos::from_millis(20),
            jitter: Nanos::ZERO,
            spread: Spread::Uniform,
        };
        stage.rules(&[(FORTH, delay)]).await;
        dialer.write_all(b"held").await.unwrap();
        dialer.shutdown().await.unwrap();
        stage.rules(&[(FORTH, delay), (FORTH, Rule::Cut)]).await;
        assert!(is_quiet(&mut target).await);
        stage.rules(&[]).await;
        let mut seen = Vec::new();
        target.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"held");
    });
}

#[test]
fn a_stalled_link_is_slow_and_loses_nothing() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        let stall = Rule::Drop {
            loss: 0.3,
            layer: DropLayer::Stall,
        };
        stage.rules(&[(FORTH, stall)]).await;
        passes(&mut dialer, &mut target, &pattern(100_000)).await;
        let counters = stage.links.counters().await.unwrap()[&FORTH];
        assert!(counters.segments_stalled > 5, "{counters:?}");
        assert_eq!(counters.bytes, 100_000);
        let all = Rule::Drop {
            loss: 1.0,
            layer: DropLayer::Stall,
        };
        stage.rules(&[(FORTH, all)]).await;
        dialer.write_all(b"x").await.unwrap();
        assert!(is_quiet(&mut target).await);
        stage.rules(&[]).await;
        assert_eq!(target.read(&mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn rules_that_cannot_be_obeyed_are_refused_and_change_nothing() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        let frames = Rule::Drop {
            loss: 1.0,
            layer: DropLayer::Frame,
        };
        let refused = stage
            .links
            .set_rules(BTreeMap::from([(BACK, vec![Rule::Cut, frames])]))
            .await;
        assert_eq!(refused, Err(RuleError::NotFramed(BACK)));
        let wild = Rule::Drop {
            loss: 1.5,
            layer: DropLayer::Stall,
        };
        let refused = stage
            .links
            .set_rules(BTreeMap::from([(FORTH, vec![wild])]))
            .await;
        assert_eq!(
            refused,
            Err(RuleError::NotAProbability {
                link: FORTH,
                loss: 1.5
            })
        );
        passes(&mut target, &mut dialer, b"still here").await;
    });
}

#[test]
fn memory_is_bounded_when_the_receiver_does_not_read() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, _target) = stage.connect().await;
        let chunk = vec![1; 1 << 20];
        let mut written = 0_usize;
        while timeout(QUIET * 5, dialer.write_all(&chunk)).await.is_ok() {
            written += chunk.len();
            assert!(written < 64 << 20, "the proxy swallows without end");
        }
    });
}

#[test]
fn closing_the_links_closes_everything() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, _target) = stage.connect().await;
        let Stage { links, address, .. } = stage;
        drop(links);
        assert_eq!(dialer.read(&mut [0; 8]).await.unwrap_or(0), 0);
        assert!(TcpStream::connect(address).await.is_err());
    });
}
