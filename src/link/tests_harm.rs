//! Tests of rules that change, repeat or slow down what passes, through the proxy as a whole.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::tests::{BACK, FORTH, SEED, Stage, frame, is_quiet, passes, pattern, run};
use super::*;

/// What arrives when `sent` goes through a fresh stage under `rule`, and what was counted.
async fn through(framing: Framing, rule: Rule, sent: &[u8]) -> (Vec<u8>, Counters) {
    let stage = Stage::new(framing).await;
    let (mut dialer, mut target) = stage.connect().await;
    stage.rules(&[(FORTH, rule)]).await;
    let writing = async {
        dialer.write_all(sent).await.unwrap();
        dialer.shutdown().await.unwrap();
    };
    let mut seen = Vec::new();
    let ((), read) = tokio::join!(writing, target.read_to_end(&mut seen));
    read.unwrap();
    passes(&mut target, &mut dialer, &frame(7)).await;
    let counters = stage.links.counters().await.unwrap();
    (seen, counters[&FORTH])
}

fn frames(count: u32) -> Vec<u8> {
    (0..count).flat_map(frame).collect()
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    assert_eq!(bytes.len() % 8, 0, "frames are torn");
    bytes
        .chunks(8)
        .map(|frame| {
            assert_eq!(frame[..4], [0, 0, 0, 4]);
            u32::from_be_bytes(frame[4..].try_into().unwrap())
        })
        .collect()
}

fn flipped(one: &[u8], other: &[u8]) -> u32 {
    assert_eq!(one.len(), other.len());
    one.iter()
        .zip(other)
        .map(|(a, b)| (a ^ b).count_ones())
        .sum()
}

#[test]
fn a_throttled_link_is_slow_loses_nothing_and_is_fast_again_after_the_heal() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        stage
            .rules(&[(FORTH, Rule::Throttle { rate: 500_000 })])
            .await;
        let start = Instant::now();
        let bytes = pattern(100_000);
        let writing = async { dialer.write_all(&bytes).await.unwrap() };
        let mut seen = vec![0; bytes.len()];
        let ((), read) = tokio::join!(writing, target.read_exact(&mut seen));
        read.unwrap();
        assert!(seen == bytes);
        let took = start.elapsed().as_millis();
        assert!(took >= 180, "100 kB at 500 kB/s took {took} ms");
        let counters = stage.links.counters().await.unwrap()[&FORTH];
        assert!(counters.bytes_throttled > 50_000, "{counters:?}");
        // At this rate the second half would take an hour: the test would hang.
        stage.rules(&[(FORTH, Rule::Throttle { rate: 10 })]).await;
        dialer.write_all(&bytes[..50_000]).await.unwrap();
        stage.rules(&[]).await;
        target.read_exact(&mut seen[..50_000]).await.unwrap();
        assert!(seen[..50_000] == bytes[..50_000]);
    });
}

#[test]
fn connections_of_a_throttled_link_share_its_rate() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        let (mut other, mut there) = stage.connect().await;
        stage
            .rules(&[(FORTH, Rule::Throttle { rate: 500_000 })])
            .await;
        let bytes = pattern(50_000);
        let start = Instant::now();
        tokio::join!(
            passes(&mut dialer, &mut target, &bytes),
            passes(&mut other, &mut there, &bytes)
        );
        let took = start.elapsed().as_millis();
        assert!(took >= 180, "2 × 50 kB at 500 kB/s took {took} ms");
    });
}

#[test]
fn the_other_direction_of_a_throttled_link_is_not_throttled() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        stage.rules(&[(FORTH, Rule::Throttle { rate: 10 })]).await;
        passes(&mut target, &mut dialer, &pattern(100_000)).await;
        let counters = stage.links.counters().await.unwrap()[&BACK];
        assert_eq!(counters.bytes_throttled, 0);
    });
}

#[test]
fn a_corrupt_opaque_link_flips_one_bit_of_a_segment() {
    run(async {
        let sent = pattern(1_000);
        let all = Rule::Corrupt { share: 1.0 };
        let (seen, counters) = through(Framing::Opaque, all, &sent).await;
        assert_eq!(
            u64::from(flipped(&seen, &sent)),
            counters.segments_corrupted
        );
        assert!(counters.segments_corrupted >= 1);
        assert_eq!(counters.segments, counters.segments_corrupted);
        assert_eq!(counters.segments_deleted, 0);
    });
}

#[test]
fn a_corrupt_framed_link_flips_one_bit_in_the_bodies_of_the_fated_frames() {
    run(async {
        let sent = frames(400);
        let half = Rule::Corrupt { share: 0.5 };
        let (seen, counters) = through(Framing::LengthPrefixed, half, &sent).await;
        let harmed: Vec<u32> = numbers(&seen)
            .iter()
            .zip(0..)
            .map(|(seen, sent): (&u32, u32)| (seen ^ sent).count_ones())
            .collect();
        assert!(harmed.iter().all(|bits| *bits <= 1));
        let count = u64::from(harmed.iter().sum::<u32>());
        assert_eq!(count, counters.segments_corrupted);
        assert!((140..260).contains(&count), "{count}");
        // Fates follow from the seed: the same frames, the same bits.
        let (again, _) = through(Framing::LengthPrefixed, half, &sent).await;
        assert!(again == seen);
    });
}

#[test]
fn the_corrupt_layer_deletes_bytes_and_says_how_many_segments() {
    run(async {
        let sent = pattern(100_000);
        let half = Rule::Drop {
            loss: 0.5,
            layer: DropLayer::Corrupt,
        };
        let (seen, counters) = through(Framing::Opaque, half, &sent).await;
        let gone = (sent.len() - seen.len()) as u64;
        assert!(counters.segments_deleted > 5, "{counters:?}");
        assert!(
            counters.segments > counters.segments_deleted,
            "{counters:?}"
        );
        assert!(gone <= counters.segments_deleted * 1448);
        assert!(
            gone > (counters.segments_deleted - 1) * 700,
            "{counters:?} {gone}"
        );
    });
}

#[test]
fn a_share_of_the_frames_comes_twice() {
    run(async {
        let half = Rule::Duplicate { share: 0.5 };
        let (seen, counters) = through(Framing::LengthPrefixed, half, &frames(400)).await;
        let seen = numbers(&seen);
        let mut unique = seen.clone();
        unique.dedup();
        assert_eq!(unique, (0..400).collect::<Vec<_>>());
        let doubled = (seen.len() - 400) as u64;
        assert_eq!(doubled, counters.frames_duplicated);
        assert!((140..260).contains(&doubled), "{doubled}");
    });
}

#[test]
fn a_share_of_the_frames_is_overtaken_and_none_is_lost() {
    run(async {
        let some = Rule::Reorder { share: 0.3 };
        let (seen, counters) = through(Framing::LengthPrefixed, some, &frames(400)).await;
        let seen = numbers(&seen);
        let swaps = seen.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert_eq!(swaps as u64, counters.frames_reordered);
        assert!(swaps > 50, "{swaps}");
        let mut sorted = seen;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..400).collect::<Vec<_>>());
    });
}

#[test]
fn a_late_frame_that_nobody_overtakes_arrives_all_the_same() {
    run(async {
        let stage = Stage::new(Framing::LengthPrefixed).await;
        let (mut dialer, mut target) = stage.connect().await;
        stage.rules(&[(FORTH, Rule::Reorder { share: 1.0 })]).await;
        passes(&mut dialer, &mut target, &frame(1)).await;
        let counters = stage.links.counters().await.unwrap()[&FORTH];
        assert_eq!(counters.frames_reordered, 0);
        // Held over a cut, it comes after the heal.
        dialer.write_all(&frame(2)).await.unwrap();
        stage
            .rules(&[(FORTH, Rule::Reorder { share: 1.0 }), (FORTH, Rule::Cut)])
            .await;
        assert!(is_quiet(&mut target).await);
        stage.rules(&[]).await;
        let mut seen = [0; 8];
        target.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen[..], frame(2));
    });
}

#[test]
fn what_needs_frames_is_refused_where_there_are_none() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        for (rule, what) in [
            (Rule::Duplicate { share: 0.1 }, "duplicated"),
            (Rule::Reorder { share: 0.1 }, "reordered"),
        ] {
            let rules = [(BACK, vec![rule])].into();
            let refused = stage.links.set_rules(rules).await;
            assert_eq!(refused, Err(RuleError::NoFrames { link: BACK, what }));
        }
        for (rule, error) in [
            (Rule::Throttle { rate: 0 }, RuleError::NoRate(FORTH)),
            (
                Rule::Corrupt { share: 1.1 },
                RuleError::NotAProbability {
                    link: FORTH,
                    loss: 1.1,
                },
            ),
        ] {
            let refused = stage.links.set_rules([(FORTH, vec![rule])].into()).await;
            assert_eq!(refused, Err(error));
        }
    });
}

#[test]
fn rules_do_not_disturb_the_fates_of_dropped_frames() {
    run(async {
        let stage = Stage::new(Framing::LengthPrefixed).await;
        let (mut dialer, mut target) = stage.connect().await;
        let half = Rule::Drop {
            loss: 0.5,
            layer: DropLayer::Frame,
        };
        let twice = Rule::Duplicate { share: 1.0 };
        stage.rules(&[(FORTH, half), (FORTH, twice)]).await;
        dialer.write_all(&frames(100)).await.unwrap();
        dialer.shutdown().await.unwrap();
        let mut seen = Vec::new();
        target.read_to_end(&mut seen).await.unwrap();
        let expected: Vec<u32> = (0..100)
            .filter(|index| !frame_is_lost(SEED, FORTH, u64::from(*index), 0.5))
            .flat_map(|index| [index, index])
            .collect();
        assert_eq!(numbers(&seen), expected);
    });
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    let read = stream.read(&mut [0; 8]).await;
    read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn a_reset_reaches_both_ends_of_each_connection_at_once_even_over_a_cut() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (mut dialer, mut target) = stage.connect().await;
        let (mut other, mut there) = stage.connect().await;
        stage.rules(&[(FORTH, Rule::Cut), (BACK, Rule::Cut)]).await;
        assert_eq!(stage.links.reset(&[BACK]).await, Ok(2));
        for end in [&mut dialer, &mut target, &mut other, &mut there] {
            assert!(is_reset(end).await);
        }
        stage.rules(&[]).await;
        let (mut dialer, mut target) = stage.connect().await;
        passes(&mut dialer, &mut target, b"a new one is as good as ever").await;
        let elsewhere = LinkId::new(Endpoint::Clients, FORTH.to);
        assert_eq!(stage.links.reset(&[elsewhere]).await, Ok(0));
        passes(&mut target, &mut dialer, b"still here").await;
    });
}

#[test]
fn the_dialer_of_a_half_open_connection_hears_nothing() {
    run(async {
        let stage = Stage::new(Framing::LengthPrefixed).await;
        let (mut dialer, mut target) = stage.connect().await;
        assert_eq!(stage.links.half_open(&[FORTH]).await, Ok(1));
        assert!(is_reset(&mut target).await);
        // More than any buffer holds: it vanishes.
        dialer.write_all(&pattern(16 << 20)).await.unwrap();
        assert!(is_quiet(&mut dialer).await);
        assert_eq!(stage.links.half_open(&[FORTH]).await, Ok(0));
        // Rules still land, and a reset still ends it.
        stage.rules(&[(FORTH, Rule::Cut)]).await;
        stage.rules(&[]).await;
        assert_eq!(stage.links.reset(&[FORTH]).await, Ok(1));
        assert!(is_reset(&mut dialer).await);
    });
}

#[test]
fn a_dialer_that_leaves_a_half_open_connection_ends_it() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        let (dialer, _target) = stage.connect().await;
        assert_eq!(stage.links.half_open(&[FORTH]).await, Ok(1));
        drop(dialer);
        while stage.links.reset(&[FORTH]).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_connection_is_struck_even_before_its_upstream_has_answered() {
    run(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = socket.listen(0).unwrap();
        let upstream = server.local_addr().unwrap();
        // The queue holds one: whoever dials next gets no answer.
        let _plug = TcpStream::connect(upstream).await.unwrap();
        let links = Links::start(SEED).unwrap();
        let path = Path {
            dialer: FORTH.from,
            target: crate::id::NodeId(2),
            upstream,
            framing: Framing::Opaque,
        };
        let address = links.open(path).await.unwrap();
        links.set_running(crate::id::NodeId(2), true);
        let mut dialer = tests::dial_until_open(address).await;
        // The rules land although the dial hangs.
        links
            .set_rules([(FORTH, vec![Rule::Corrupt { share: 0.5 }])].into())
            .await
            .unwrap();
        while links.reset(&[FORTH]).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(is_reset(&mut dialer).await);
        assert_eq!(links.counters().await.unwrap().len(), 0);
    });
}

#[test]
fn an_upstream_that_has_accepted_a_dial_that_is_struck_sees_a_reset() {
    run(async {
        let stage = Stage::new(Framing::Opaque).await;
        // The kernel lets the dial in at once; the proxy hears of it a little later. Struck in
        // between or behind, the upstream sees the same.
        for _ in 0..200 {
            let (_dialer, mut target) = stage.connect().await;
            assert_eq!(stage.links.half_open(&[FORTH]).await, Ok(1));
            assert!(is_reset(&mut target).await);
        }
    });
}
