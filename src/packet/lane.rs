//! One direction between two networks: what becomes of each packet, and those that wait.
//!
//! Pure: the time is passed in, and every fate follows from seed, link and the packet's index.

use std::collections::VecDeque;
use std::time::Duration;

use super::wire::Counters;
use crate::link::{Conditions, Draw, FateKey, LinkId};
use crate::seed::Seed;

/// A lane's rules and its queue.
#[derive(Debug)]
pub(super) struct Lane {
    key: FateKey,
    conditions: Conditions,
    /// In the order in which they are due.
    queue: VecDeque<Waiting>,
    queued: usize,
    /// A packet that the next one is to overtake.
    held: Option<(Duration, Waiting)>,
    /// When a throttled lane has sent all that it has accepted.
    free_at: Duration,
    jitters: u64,
    counters: Counters,
}

#[derive(Debug)]
struct Waiting {
    came: Duration,
    due: Duration,
    packet: Vec<u8>,
}

/// A packet that nothing overtakes goes on after this, as its sender may wait for it.
const HELD_FOR: Duration = Duration::from_millis(50);
/// A throttled lane has a queue for this long, as a router's
const QUEUE_FOR: Duration = Duration::from_millis(200);
/// but at least for so many bytes.
const QUEUE_AT_LEAST: u64 = 64 * 1024;
/// No lane keeps more bytes than this.
const QUEUE_AT_MOST: usize = 64 * 1024 * 1024;

impl Lane {
    pub(super) fn new(seed: Seed, link: LinkId) -> Self {
        Self {
            key: FateKey::new(seed, link),
            conditions: Conditions::default(),
            queue: VecDeque::new(),
            queued: 0,
            held: None,
            free_at: Duration::ZERO,
            jitters: 0,
            counters: Counters::default(),
        }
    }

    /// Replaces the rules. What waits keeps its time, but a wire that is cut loses it.
    pub(super) fn set(&mut self, conditions: Conditions) {
        if conditions.cut {
            self.counters.cut += self.queue.len() as u64 + u64::from(self.held.is_some());
            self.queue.clear();
            self.queued = 0;
            self.held = None;
        }
        if conditions.rate != self.conditions.rate {
            self.free_at = Duration::ZERO;
        }
        self.conditions = conditions;
    }

    /// Whether a packet passes at once, whatever its fate would be.
    pub(super) fn is_clear(&self) -> bool {
        self.queue.is_empty() && self.held.is_none() && self.conditions.is_clear()
    }

    /// Counts packets of so many bytes together that pass at once.
    pub(super) fn passes(&mut self, packets: usize, bytes: usize) {
        self.counters.packets += packets as u64;
        self.counters.bytes += bytes as u64;
    }

    /// Counts a packet that the machine has no room for.
    pub(super) fn overflow(&mut self, packets: u64) {
        self.counters.overflowed += packets;
    }

    pub(super) const fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes a packet that came at `now` and has so many bytes on the wire.
    pub(super) fn offer(&mut self, now: Duration, packet: &[u8], bytes: usize) {
        let index = self.counters.packets;
        self.passes(1, bytes);
        if self.conditions.cut {
            self.counters.cut += 1;
            return;
        }
        let strikes = |kind, share| share > 0.0 && self.key.draw(kind, index) < share;
        if strikes(Draw::Frame, self.conditions.packet_loss()) {
            self.counters.lost += 1;
            return;
        }
        let double = strikes(Draw::Double, self.conditions.frame_double);
        let late = strikes(Draw::Late, self.conditions.frame_late);
        if late && self.held.is_none() {
            let held = Waiting {
                came: now,
                due: now,
                packet: packet.to_vec(),
            };
            self.held = Some((now + HELD_FOR, held));
            return;
        }
        self.enqueue(now, now, packet.to_vec());
        if double {
            self.counters.duplicated += 1;
            self.enqueue(now, now, packet.to_vec());
        }
        if let Some((_, held)) = self.held.take() {
            self.counters.reordered += 1;
            self.enqueue(held.came, now, held.packet);
        }
    }

    fn enqueue(&mut self, came: Duration, now: Duration, packet: Vec<u8>) {
        let mut due = now;
        if let Some(rate) = self.conditions.rate {
            let waits = self.free_at.saturating_sub(now);
            let room = QUEUE_FOR.max(time_for(QUEUE_AT_LEAST, rate));
            if waits > room {
                self.counters.overflowed += 1;
                return;
            }
            self.free_at = self.free_at.max(now) + time_for(packet.len() as u64, rate);
            due = self.free_at;
        }
        if self.queued + packet.len() > QUEUE_AT_MOST {
            self.counters.overflowed += 1;
            return;
        }
        if self.conditions.holds_back() {
            due += self
                .conditions
                .lateness(self.key.draw(Draw::Jitter, self.jitters));
            self.jitters += 1;
        }
        // A wire does not reorder by itself: that is a fault of its own.
        let last = self.queue.back().map_or(Duration::ZERO, |last| last.due);
        self.queued += packet.len();
        self.queue.push_back(Waiting {
            came,
            due: due.max(last),
            packet,
        });
    }

    /// The next packet that is due at `now`.
    pub(super) fn due(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.held.as_ref().is_some_and(|(until, _)| *until <= now)
            && let Some((_, held)) = self.held.take()
        {
            self.enqueue(held.came, now, held.packet);
        }
        if self.queue.front()?.due > now {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.queued -= next.packet.len();
        let waited = now.saturating_sub(next.came);
        if next.due > next.came {
            self.counters.waited += 1;
            self.counters.waited_for = self.counters.waited_for + waited.into();
        }
        Some(next.packet)
    }

    /// When [`Lane::due`] has something next.
    pub(super) fn next(&self) -> Option<Duration> {
        let queued = self.queue.front().map(|next| next.due);
        let held = self.held.as_ref().map(|(until, _)| *until);
        queued.into_iter().chain(held).min()
    }
}

/// How long so many bytes take at this rate, which is above 0.
fn time_for(bytes: u64, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;
    use crate::id::NodeId;
    use crate::link::{DropLayer, Endpoint, Rule, Spread};

    const MS: Duration = Duration::from_millis(1);

    fn lane(rules: &[Rule]) -> Lane {
        let ends = [1, 2].map(|node| Endpoint::Node(NodeId(node)));
        let mut lane = Lane::new(Seed(7), LinkId::new(ends[0], ends[1]));
        lane.set(Conditions::of(rules));
        lane
    }

    fn delay(by: u64, jitter: u64) -> Rule {
        Rule::Delay {
            by: Nanos::from_millis(by),
            jitter: Nanos::from_millis(jitter),
            spread: Spread::Uniform,
        }
    }

    fn offer(lane: &mut Lane, now: Duration, number: u8) {
        lane.offer(now, &[number; 100], 100);
    }

    fn passed(lane: &mut Lane, now: Duration) -> Vec<u8> {
        std::iter::from_fn(|| lane.due(now)).map(|p| p[0]).collect()
    }

    #[test]
    fn a_loss_takes_its_share_and_the_same_packets_each_time() {
        let rule = Rule::Drop {
            loss: 0.3,
            layer: DropLayer::Packet,
        };
        let run = || {
            let mut lane = lane(&[rule]);
            (0..10_000_u32)
                .map(|number| {
                    offer(&mut lane, MS * number, 1);
                    lane.due(MS * number).is_some()
                })
                .collect::<Vec<_>>()
        };
        let first = run();
        assert_eq!(first, run());
        let lost = first.iter().filter(|passes| !**passes).count();
        assert!((2_800..3_200).contains(&lost), "{lost} of 10000");
    }

    #[test]
    fn a_delay_holds_each_packet_for_its_time_and_jitter_reorders_nothing() {
        let mut lane = lane(&[delay(10, 8)]);
        for number in 0..50 {
            offer(&mut lane, MS * u32::from(number), number);
        }
        assert!(passed(&mut lane, MS).is_empty());
        let all = passed(&mut lane, MS * 200);
        assert_eq!(all, (0..50).collect::<Vec<_>>());
        assert_eq!(lane.counters().waited, 50);
        assert!(lane.next().is_none());
    }

    #[test]
    fn a_cut_loses_what_comes_and_what_is_on_its_way() {
        let mut lane = lane(&[delay(10, 0)]);
        offer(&mut lane, MS, 1);
        lane.set(Conditions::of(&[Rule::Cut]));
        offer(&mut lane, MS * 2, 2);
        lane.set(Conditions::default());
        assert!(lane.is_clear());
        offer(&mut lane, MS * 3, 3);
        assert_eq!(passed(&mut lane, MS * 100), [3]);
        assert_eq!(lane.counters().cut, 2);
    }

    #[test]
    fn a_throttle_lets_its_rate_through_and_loses_what_its_queue_cannot_take() {
        let mut lane = lane(&[Rule::Throttle { rate: 100_000 }]);
        // One packet of 100 bytes per millisecond fits; ten times as many are sent.
        let mut through = 0;
        for number in 0..20_000_u32 {
            let now = MS / 10 * number;
            offer(&mut lane, now, 1);
            through += passed(&mut lane, now).len();
        }
        assert!((1_990..=2_000).contains(&through), "{through} in 2 s");
        let counters = lane.counters();
        let waiting = counters.packets - counters.overflowed - through as u64;
        // 64 KiB, since that is more than 200 ms.
        assert!((650..=660).contains(&waiting), "{waiting} wait");
    }

    #[test]
    fn the_next_packet_overtakes_one_that_is_reordered_or_time_does() {
        let mut lane = lane(&[Rule::Reorder { share: 1.0 }]);
        offer(&mut lane, MS, 1);
        assert!(passed(&mut lane, MS * 2).is_empty());
        offer(&mut lane, MS * 3, 2);
        assert_eq!(passed(&mut lane, MS * 3), [2, 1]);
        offer(&mut lane, MS * 4, 3);
        assert_eq!(lane.next(), Some(MS * 54));
        assert_eq!(passed(&mut lane, MS * 54), [3]);
        assert_eq!(lane.counters().reordered, 1);
    }

    #[test]
    fn a_duplicate_comes_right_behind() {
        let mut lane = lane(&[Rule::Duplicate { share: 1.0 }]);
        offer(&mut lane, MS, 1);
        offer(&mut lane, MS, 2);
        assert_eq!(passed(&mut lane, MS), [1, 1, 2, 2]);
        assert_eq!(lane.counters().duplicated, 2);
    }
}
