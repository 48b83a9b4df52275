//! The reliable stream inside a connection whose frames may be lost.
//!
//! The sender numbers its messages from 1 and keeps each until it is acknowledged; the receiver
//! hands them on in order and once. A connection never reorders frames, so a message is known to
//! be lost as soon as something sent after it is acknowledged; if nothing comes, it is sent again
//! after the *retransmission timeout*, derived from the round trip as in RFC 6298, section 2.
//! Acknowledgements ride on messages of the other direction, or travel alone after a short delay.

use std::collections::{BTreeMap, VecDeque};

use super::message::{Body, Message, Segment, StreamAck};
use super::zxid::Nanos;

/// How many messages may be under way. More than the 64 that one acknowledgement can describe
/// beyond its own number, because losses are rare.
const WINDOW: usize = 512;

/// How many bytes of payload may be under way: bounds what a stalled socket piles up.
const WINDOW_BYTES: usize = 4 << 20;

/// How many bytes may wait behind the window before the connection is given up: a snapshot plus
/// what is proposed meanwhile. The pieces of a snapshot share its memory.
const QUEUE_BYTES: usize = 3 << 29;

/// The shortest retransmission timeout; below it, scheduling delays look like losses.
const RTO_FLOOR: Nanos = Nanos::from_millis(20);

/// The longest one: a live link is declared dead soon after it anyway.
const RTO_CAP: Nanos = Nanos::from_millis(400);

/// How long an acknowledgement may wait for a message to ride on.
const ACK_DELAY: Nanos = Nanos::from_millis(4);

/// How many messages may be unacknowledged before one is sent at once.
const ACK_EVERY: u32 = 16;

/// More waits to be sent than any working receiver would leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overflow;

/// A message under way.
#[derive(Debug)]
struct Flight {
    seq: u64,
    message: Message,
    /// When it was sent last.
    sent: Nanos,
    /// The number of that transmission among all of this stream.
    transmission: u64,
    attempts: u32,
    arrived: bool,
}

/// Both directions of one connection's stream, as seen from one end.
#[derive(Debug)]
pub(super) struct Stream {
    queue: VecDeque<Message>,
    queue_bytes: usize,
    flight: VecDeque<Flight>,
    flight_bytes: usize,
    next_seq: u64,
    transmissions: u64,
    smoothed_rtt: Option<Nanos>,
    rtt_variation: Nanos,
    received: StreamAck,
    early: BTreeMap<u64, Message>,
    unacknowledged: u32,
    ack_due: Nanos,
}

impl Stream {
    pub(super) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            queue_bytes: 0,
            flight: VecDeque::new(),
            flight_bytes: 0,
            next_seq: 1,
            transmissions: 0,
            smoothed_rtt: None,
            rtt_variation: Nanos::ZERO,
            received: StreamAck {
                through: 0,
                beyond: 0,
            },
            early: BTreeMap::new(),
            unacknowledged: 0,
            ack_due: Nanos::NEVER,
        }
    }

    /// Queues a message. [`Stream::transmit`] gives the frames.
    pub(super) fn push(&mut self, message: Message) -> Result<(), Overflow> {
        self.queue_bytes += weight(&message);
        self.queue.push_back(message);
        if self.queue_bytes > QUEUE_BYTES {
            Err(Overflow)
        } else {
            Ok(())
        }
    }

    /// Takes a segment and gives the messages that are in order now.
    pub(super) fn receive(&mut self, now: Nanos, segment: Segment) -> Vec<Message> {
        self.on_ack(segment.ack);
        let Segment { seq, message, .. } = segment;
        let expected = self.received.through + 1;
        let in_window = seq < expected.saturating_add(WINDOW as u64);
        let in_order = seq == expected && self.early.is_empty();
        self.unacknowledged += 1;
        let at_once = !in_order || self.unacknowledged >= ACK_EVERY;
        self.ack_due = self
            .ack_due
            .min(if at_once { now } else { now.after(ACK_DELAY) });
        if seq < expected || !in_window {
            return Vec::new();
        }
        self.early.insert(seq, message);
        let mut ready = Vec::new();
        while let Some(next) = self.early.remove(&(self.received.through + 1)) {
            self.received.through += 1;
            ready.push(next);
        }
        let first = self.received.through + 2;
        self.received.beyond = self
            .early
            .range(first..first + 64)
            .fold(0, |bits, (seq, _)| bits | 1 << (seq - first));
        ready
    }

    /// Takes note of what has arrived at the other end. Tells whether that is more than before.
    pub(super) fn on_ack(&mut self, ack: StreamAck) -> bool {
        let mut newest = 0;
        let mut progress = false;
        while self
            .flight
            .front()
            .is_some_and(|flight| flight.seq <= ack.through)
        {
            let Some(flight) = self.flight.pop_front() else {
                break;
            };
            newest = newest.max(flight.transmission);
            self.flight_bytes -= weight(&flight.message);
            progress = true;
        }
        let first = ack.through.saturating_add(2);
        for flight in &mut self.flight {
            let bit = flight.seq.checked_sub(first).filter(|&bit| bit < 64);
            if bit.is_some_and(|bit| ack.beyond >> bit & 1 == 1) && !flight.arrived {
                flight.arrived = true;
                newest = newest.max(flight.transmission);
                progress = true;
            }
        }
        for flight in &mut self.flight {
            if !flight.arrived && flight.transmission < newest {
                // Something sent later has arrived and nothing overtakes: this one is lost.
                flight.sent = Nanos::ZERO;
                flight.attempts = 0;
            }
        }
        progress
    }

    /// Takes a measured round trip.
    pub(super) fn observe_rtt(&mut self, sample: Nanos) {
        match self.smoothed_rtt {
            None => {
                self.smoothed_rtt = Some(sample);
                self.rtt_variation = Nanos(sample.0 / 2);
            }
            Some(smoothed) => {
                let deviation = smoothed.0.abs_diff(sample.0);
                self.rtt_variation = Nanos((3 * self.rtt_variation.0 + deviation) / 4);
                self.smoothed_rtt = Some(Nanos((7 * smoothed.0 + sample.0) / 8));
            }
        }
    }

    /// The segments to send now: lost ones again, then new ones as the window allows.
    pub(super) fn transmit(&mut self, now: Nanos, mut send: impl FnMut(Segment)) {
        let rto = self.rto();
        let mut sent_any = false;
        // Beyond what one acknowledgement describes, silence says nothing about arrival.
        for flight in self.flight.iter_mut().take(65) {
            if !flight.arrived && flight.expires(rto) <= now {
                self.transmissions += 1;
                flight.transmission = self.transmissions;
                flight.sent = now;
                flight.attempts += 1;
                sent_any = true;
                let (seq, message) = (flight.seq, flight.message.clone());
                send(Segment {
                    seq,
                    ack: self.received,
                    message,
                });
            }
        }
        while self.flight.len() < WINDOW && self.flight_bytes < WINDOW_BYTES {
            let Some(message) = self.queue.pop_front() else {
                break;
            };
            self.queue_bytes -= weight(&message);
            self.flight_bytes += weight(&message);
            self.transmissions += 1;
            let (seq, transmission) = (self.next_seq, self.transmissions);
            self.next_seq += 1;
            sent_any = true;
            send(Segment {
                seq,
                ack: self.received,
                message: message.clone(),
            });
            let flight = Flight {
                seq,
                message,
                sent: now,
                transmission,
                attempts: 0,
                arrived: false,
            };
            self.flight.push_back(flight);
        }
        if sent_any {
            self.acknowledged();
        }
    }

    /// The acknowledgement to send alone, if one is due and nothing carried it.
    pub(super) fn take_ack(&mut self, now: Nanos) -> Option<StreamAck> {
        (self.ack_due <= now).then(|| {
            self.acknowledged();
            self.received
        })
    }

    /// When [`Stream::transmit`] and [`Stream::take_ack`] have something to do next.
    pub(super) fn deadline(&self) -> Nanos {
        let rto = self.rto();
        let resend = self
            .flight
            .iter()
            .take(65)
            .filter(|flight| !flight.arrived)
            .map(|flight| flight.expires(rto))
            .min();
        resend.unwrap_or(Nanos::NEVER).min(self.ack_due)
    }

    /// Whether everything pushed has arrived.
    #[cfg(test)]
    fn is_idle(&self) -> bool {
        self.flight.is_empty() && self.queue.is_empty()
    }

    fn acknowledged(&mut self) {
        self.unacknowledged = 0;
        self.ack_due = Nanos::NEVER;
    }

    fn rto(&self) -> Nanos {
        let measured = self.smoothed_rtt.map_or(Nanos::ZERO, |rtt| {
            Nanos(rtt.0 + 4 * self.rtt_variation.0 + ACK_DELAY.0)
        });
        measured.clamp(RTO_FLOOR, RTO_CAP)
    }
}

impl Flight {
    /// When it counts as lost. Doubles with each attempt, so that a round trip longer than the
    /// timeout cannot flood the link with copies.
    fn expires(&self, rto: Nanos) -> Nanos {
        if self.sent == Nanos::ZERO {
            return Nanos::ZERO;
        }
        let factor = 1 << self.attempts.saturating_sub(1).min(4);
        self.sent
            .after(Nanos(rto.0.saturating_mul(factor)).min(RTO_CAP))
    }
}

/// Roughly how many bytes a message occupies.
fn weight(message: &Message) -> usize {
    let content = match &message.body {
        Body::SnapshotChunk { bytes, .. } => bytes.len(),
        Body::SyncEntries { entries } => entries.iter().map(|entry| entry.payload.len() + 32).sum(),
        Body::Proposal { entry, .. } => entry.payload.len(),
        Body::Request { payload, .. } => payload.len(),
        Body::FollowerInfo { .. }
        | Body::NewEpoch { .. }
        | Body::AckEpoch { .. }
        | Body::Truncate { .. }
        | Body::NewLeader { .. }
        | Body::AckNewLeader { .. }
        | Body::UpToDate { .. }
        | Body::Ack { .. }
        | Body::Commit { .. }
        | Body::RequestRefused { .. }
        | Body::ReadIndex { .. }
        | Body::ReadIndexReply { .. } => 0,
    };
    content + 64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn message(request: u64) -> Message {
        Message {
            from: 1,
            to: 2,
            body: Body::ReadIndex { request },
        }
    }

    fn number(message: &Message) -> u64 {
        match message.body {
            Body::ReadIndex { request } => request,
            _ => unreachable!("only these are sent"),
        }
    }

    fn segments(stream: &mut Stream, now: Nanos) -> Vec<Segment> {
        let mut sent = Vec::new();
        stream.transmit(now, |segment| sent.push(segment));
        sent
    }

    #[test]
    fn a_gap_is_filled_as_soon_as_something_later_is_acknowledged() {
        let (mut a, mut b) = (Stream::new(), Stream::new());
        let start = Nanos::from_millis(1);
        for request in 1..=3 {
            a.push(message(request)).unwrap();
        }
        let mut sent = segments(&mut a, start);
        sent.remove(0);
        for segment in sent {
            assert!(
                b.receive(start, segment).is_empty(),
                "nothing before the first"
            );
        }
        let ack = b.take_ack(start).expect("a gap is told at once");
        assert!(a.on_ack(ack));
        let again = segments(&mut a, start);
        assert_eq!(
            again.iter().map(|segment| segment.seq).collect::<Vec<_>>(),
            [1]
        );
        let ready = b.receive(start, again[0].clone());
        assert_eq!(ready.iter().map(number).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn a_message_without_answer_is_repeated_after_the_timeout() {
        let mut a = Stream::new();
        a.push(message(1)).unwrap();
        let start = Nanos::from_millis(5);
        assert_eq!(segments(&mut a, start).len(), 1);
        assert_eq!(a.deadline(), start.after(RTO_FLOOR));
        assert!(segments(&mut a, start.after(Nanos(RTO_FLOOR.0 - 1))).is_empty());
        assert_eq!(segments(&mut a, start.after(RTO_FLOOR)).len(), 1);
    }

    #[test]
    fn the_window_bounds_what_is_under_way() {
        let mut a = Stream::new();
        for request in 0..2000 {
            a.push(message(request)).unwrap();
        }
        assert_eq!(segments(&mut a, Nanos(1)).len(), WINDOW);
        assert!(segments(&mut a, Nanos(2)).is_empty());
        a.on_ack(StreamAck {
            through: 10,
            beyond: 0,
        });
        assert_eq!(segments(&mut a, Nanos(3)).len(), 10);
    }

    proptest! {
        #[test]
        fn everything_arrives_once_and_in_order_whatever_is_lost(
            losses in proptest::collection::vec(any::<bool>(), 0..400), count in 1u64..200,
        ) {
            let (mut a, mut b) = (Stream::new(), Stream::new());
            for request in 0..count {
                a.push(message(request)).unwrap();
            }
            let mut losses = losses.into_iter();
            let mut lost = || losses.next().unwrap_or(false);
            let mut arrived = Vec::new();
            for millis in 1..20_000 {
                let now = Nanos::from_millis(millis);
                for segment in segments(&mut a, now) {
                    if !lost() {
                        arrived.extend(b.receive(now, segment).iter().map(number));
                    }
                }
                if let Some(ack) = b.take_ack(now) && !lost() {
                    a.on_ack(ack);
                }
                if a.is_idle() {
                    break;
                }
            }
            proptest::prop_assert!(a.is_idle());
            proptest::prop_assert_eq!(arrived, (0..count).collect::<Vec<_>>());
        }
    }
}
