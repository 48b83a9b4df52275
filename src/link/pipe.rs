//! One direction of one connection: reads from the sender, obeys the rules of the link, writes to
//! the receiver.
//!
//! Invariants, unless a rule says otherwise: bytes leave in the order in which they came, and none
//! is lost or changed. Nothing is read or written while the link is cut; at most `HELD_MAX` bytes
//! are held, and a frame or two.
//! How a sender ends (FIN or RST) travels behind its data and obeys the same rules.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, Sleep, sleep};

use super::board::{Board, LinkState, SegmentFate};
use super::conditions::{Conditions, hold_for, retransmission_timeout};
use super::frame::Framer;
use super::rule::LinkId;
use super::throttle::Turn;
use crate::alarm::Bell;

/// The most that is held of a delayed stream: 100 ms at 80 MB/s.
const HELD_MAX: usize = 8 << 20;
/// The most that is held where nothing is delayed: what the receiver did not take at once.
const BACKLOG_MAX: usize = 64 << 10;
/// The payload of a TCP segment on Ethernet.
const SEGMENT: usize = 1448;
/// A loss is repaired by a fast retransmit when this many segments wait behind it (RFC 5681).
const DUPLICATES: usize = 3;

/// How long a frame waits to be overtaken.
const LATE_MAX: Duration = Duration::from_millis(50);

/// One direction of one connection.
pub(super) struct Pipe<'a> {
    source: ReadHalf<'a>,
    sink: WriteHalf<'a>,
    link: Rc<LinkState>,
    conditions: Conditions,
    /// Round trip of the connection and its variation, as far as rules make them.
    round_trip: (Duration, Duration),
    framer: Option<Framer>,
    staging: Vec<u8>,
    held: VecDeque<Held>,
    held_bytes: usize,
    turn: Option<Turn>,
    bell: Bell,
    late_timer: Option<Pin<Box<Sleep>>>,
    ending: Option<Ending>,
    fin_sent: bool,
    source_broken: bool,
    sink_broken: bool,
}

/// What became of a pipe when it was polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// It waits for data, room, time or other rules.
    Waiting,
    /// The receiver's end is gone: it answered with RST. Told once.
    SinkBroken,
    /// The sender's FIN was passed on.
    Finished,
    /// The sender's RST must be passed on now.
    Reset,
}

/// A piece of the stream that waits.
struct Held {
    data: Vec<u8>,
    written: usize,
    /// Not before.
    due: Option<Instant>,
    arrived: Instant,
    lateness: Duration,
    /// How often it was lost, while it may still be repaired by a fast retransmit.
    losses: u32,
}

/// How the sender ended.
#[derive(Debug, Clone, Copy)]
struct Ending {
    reset: bool,
    due: Option<Instant>,
}

impl<'a> Pipe<'a> {
    /// A pipe for data of one link; `framed` if the stream consists of frames.
    pub(super) fn new(
        source: ReadHalf<'a>,
        sink: WriteHalf<'a>,
        board: &Board,
        link: LinkId,
        framed: bool,
    ) -> Self {
        Self {
            source,
            sink,
            link: board.link(link),
            conditions: Conditions::default(),
            round_trip: (Duration::ZERO, Duration::ZERO),
            framer: framed.then(Framer::default),
            staging: Vec::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            turn: None,
            bell: Bell::new(Rc::clone(&board.alarm)),
            late_timer: None,
            ending: None,
            fin_sent: false,
            source_broken: false,
            sink_broken: false,
        }
    }

    /// Obeys other rules from now on. Data that is already delayed keeps its time, as data in
    /// flight would.
    pub(super) fn obey(&mut self, conditions: Conditions, reverse: Conditions) {
        if self.conditions.rate != conditions.rate {
            self.turn = None;
        }
        self.conditions = conditions;
        self.round_trip = (
            conditions.delay + reverse.delay,
            conditions.jitter.sum() + reverse.jitter.sum(),
        );
    }

    /// The other pipe of the connection learned that this one's sender is gone. Returns whether
    /// that is news.
    pub(super) fn break_source(&mut self) -> bool {
        !std::mem::replace(&mut self.source_broken, true)
    }

    /// Moves as much as possible.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Flow {
        loop {
            if self.conditions.cut || self.sink_broken {
                return Flow::Waiting;
            }
            if self.poll_deliver(cx).is_err() {
                return self.lose_sink();
            }
            if self.held.is_empty()
                && let Some(flow) = self.conclude(cx)
            {
                return flow;
            }
            if self.ending.is_some() || self.is_full() {
                return Flow::Waiting;
            }
            if self.poll_late(cx).is_err() {
                return self.lose_sink();
            }
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.source).poll_read(cx, &mut buffer) {
                Poll::Pending => return Flow::Waiting,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    if self.admit(cx, buffer.filled()).is_err() {
                        return self.lose_sink();
                    }
                }
                Poll::Ready(Ok(())) => self.end(self.source_broken),
                Poll::Ready(Err(_)) => self.end(true),
            }
        }
    }

    /// Whether no more may be held. Every piece counts with its own bookkeeping, or a stream of
    /// single bytes would take a hundred times the memory.
    fn is_full(&self) -> bool {
        let most = if self.conditions.holds_back() {
            self.conditions.rate.map_or(HELD_MAX, |rate| {
                // What a throttled link has in flight; more would only make its sender blind.
                let in_flight = u128::from(rate) * self.round_trip.0.as_millis() / 1_000;
                usize::try_from(in_flight)
                    .unwrap_or(HELD_MAX)
                    .clamp(BACKLOG_MAX, HELD_MAX)
            })
        } else {
            BACKLOG_MAX
        };
        self.held_bytes + self.held.len() * size_of::<Held>() >= most
    }

    /// The receiver's host answered with RST: nothing can be delivered any more.
    fn lose_sink(&mut self) -> Flow {
        self.sink_broken = true;
        self.held.clear();
        self.held_bytes = 0;
        Flow::SinkBroken
    }

    /// Takes in what was read.
    fn admit(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        self.link
            .count(|counters| counters.bytes += bytes.len() as u64);
        let rules = self.conditions;
        let framed = self.framer.is_some();
        if !framed && rules.segment_delete <= 0.0 && rules.flip <= 0.0 {
            return self.forward(cx, bytes);
        }
        let mut staging = std::mem::take(&mut self.staging);
        staging.clear();
        match &mut self.framer {
            Some(framer) => {
                let judge = |length| self.link.frame_fate(&rules, length);
                let sifted = framer.sift(bytes, &mut staging, judge);
                self.link.count(|counters| {
                    counters.frames_duplicated += sifted.doubled;
                    counters.frames_reordered += sifted.overtaken;
                });
                if !framer.has_late() {
                    self.late_timer = None;
                } else if self.late_timer.is_none() {
                    self.late_timer = Some(Box::pin(sleep(LATE_MAX)));
                }
            }
            None => staging.extend_from_slice(bytes),
        }
        let flip = if framed { 0.0 } else { rules.flip };
        if rules.segment_delete > 0.0 || flip > 0.0 {
            let segments = harm(&mut staging, |length| {
                self.link.segment_fate(rules.segment_delete, flip, length)
            });
            // Where segments may be lost as well they are counted by that.
            if rules.segment_loss <= 0.0 {
                self.link.count(|counters| counters.segments += segments);
            }
        }
        let result = self.forward(cx, &staging);
        self.staging = staging;
        result
    }

    /// Lets go of a frame that has waited for long enough to be overtaken.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let is_due = self
            .late_timer
            .as_mut()
            .is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        let Some(framer) = self.framer.as_mut().filter(|_| is_due) else {
            return Ok(());
        };
        self.late_timer = None;
        let mut bytes = Vec::new();
        framer.let_go(&mut bytes);
        self.forward(cx, &bytes)
    }

    /// Writes at once what need not wait and holds the rest.
    fn forward(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) -> io::Result<()> {
        if self.conditions.holds_back() {
            let piece = if self.conditions.segment_loss > 0.0 {
                SEGMENT
            } else {
                bytes.len()
            };
            for segment in bytes.chunks(piece.max(1)) {
                self.delay(segment);
            }
            return Ok(());
        }
        while self.held.is_empty() && self.conditions.rate.is_none() && !bytes.is_empty() {
            match Pin::new(&mut self.sink).poll_write(cx, bytes) {
                Poll::Ready(written) => bytes = &bytes[written?..],
                Poll::Pending => break,
            }
        }
        if !bytes.is_empty() {
            self.hold(bytes, None, Duration::ZERO, 0);
        }
        Ok(())
    }

    fn delay(&mut self, segment: &[u8]) {
        let losses = self.link.segment_losses(self.conditions.segment_loss);
        let lateness = self.lateness();
        let (round_trip, variation) = self.round_trip;
        let timeout = retransmission_timeout(round_trip, variation);
        let wait = lateness + hold_for(losses, timeout, round_trip, false);
        self.hold(segment, Some(Instant::now() + wait), lateness, losses);
    }

    fn lateness(&self) -> Duration {
        if self.conditions.jitter.is_zero() {
            self.conditions.delay
        } else {
            self.conditions.lateness(self.link.jitter())
        }
    }

    fn hold(&mut self, bytes: &[u8], due: Option<Instant>, lateness: Duration, losses: u32) {
        self.held_bytes += bytes.len();
        self.held.push_back(Held {
            data: bytes.to_vec(),
            written: 0,
            due,
            arrived: Instant::now(),
            lateness,
            losses,
        });
    }

    /// Writes what is held and due.
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(due) = self.held.front().map(|front| front.due) {
            if self.poll_due(cx, due).is_pending() && !self.repair_front(cx) {
                return Ok(());
            }
            let Poll::Ready(most) = self.poll_turn(cx) else {
                return Ok(());
            };
            let Some(front) = self.held.front_mut() else {
                return Ok(());
            };
            let left = &front.data[front.written..];
            match Pin::new(&mut self.sink).poll_write(cx, &left[..most.min(left.len())]) {
                Poll::Pending => return Ok(()),
                Poll::Ready(written) => {
                    let written = written?;
                    self.turn = self.turn.take().and_then(|turn| turn.after(written));
                    front.written += written;
                    self.held_bytes -= written;
                    if front.written == front.data.len()
                        && let Some(delivered) = self.held.pop_front()
                    {
                        self.delivered(&delivered);
                    }
                }
            }
        }
        Ok(())
    }

    /// Counts a piece that rules made wait.
    fn delivered(&self, piece: &Held) {
        if piece.due.is_some() {
            let waited = Instant::now().saturating_duration_since(piece.arrived);
            self.link.count(|counters| {
                counters.waited += 1;
                counters.waited_for = counters.waited_for + waited.into();
            });
        }
    }

    /// How many bytes may be written now: all, unless the link is throttled.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Some(rate) = self.conditions.rate else {
            return Poll::Ready(usize::MAX);
        };
        let turn = match self.turn {
            Some(turn) => turn,
            None => {
                let front = self.held.front();
                let left = front.map_or(0, |front| front.data.len() - front.written);
                let now = Instant::now();
                let turn = self.link.turns.take(now, rate, left);
                if turn.due > now {
                    self.link
                        .count(|counters| counters.bytes_throttled += turn.bytes as u64);
                }
                *self.turn.insert(turn)
            }
        };
        self.poll_due(cx, Some(turn.due)).map(|()| turn.bytes)
    }

    /// A fast retransmit of the first held segment, if enough wait behind it. Returns whether it is
    /// due by now.
    fn repair_front(&mut self, cx: &mut Context<'_>) -> bool {
        if self.held.len() <= DUPLICATES {
            return false;
        }
        let (round_trip, variation) = self.round_trip;
        let Some(front) = self.held.front_mut().filter(|front| front.losses > 0) else {
            return false;
        };
        let timeout = retransmission_timeout(round_trip, variation);
        let wait = front.lateness + hold_for(front.losses, timeout, round_trip, true);
        let due = Some(front.arrived + wait);
        front.losses = 0;
        front.due = due;
        self.poll_due(cx, due).is_ready()
    }

    /// Whether `due` is reached; otherwise it is waited for.
    fn poll_due(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<()> {
        due.map_or(Poll::Ready(()), |due| self.bell.poll(cx, due))
    }

    /// The sender has ended; what is kept of frames goes out before.
    fn end(&mut self, reset: bool) {
        let mut torn = Vec::new();
        if let Some(framer) = &mut self.framer {
            framer.finish(&mut torn);
        }
        self.late_timer = None;
        let due = self
            .conditions
            .holds_back()
            .then(|| Instant::now() + self.lateness());
        if !torn.is_empty() {
            self.hold(&torn, due, Duration::ZERO, 0);
        }
        self.ending = Some(Ending { reset, due });
    }

    /// Passes on how the sender ended, once all its data has been delivered.
    fn conclude(&mut self, cx: &mut Context<'_>) -> Option<Flow> {
        let ending = self.ending?;
        if self.poll_due(cx, ending.due).is_pending() {
            return Some(Flow::Waiting);
        }
        if ending.reset || (self.fin_sent && self.source_broken) {
            return Some(Flow::Reset);
        }
        if !self.fin_sent {
            // The receiver may be gone already: its RST shows on the other pipe.
            let _ = Pin::new(&mut self.sink).poll_shutdown(cx);
            self.fin_sent = true;
        }
        Some(if self.source_broken {
            Flow::Reset
        } else {
            Flow::Finished
        })
    }
}

/// Does to each segment what its fate says. Returns how many there were.
fn harm(bytes: &mut Vec<u8>, mut fate: impl FnMut(usize) -> SegmentFate) -> u64 {
    let (mut read, mut write, mut segments) = (0, 0, 0);
    while read < bytes.len() {
        let length = SEGMENT.min(bytes.len() - read);
        let fate = fate(length);
        if fate != SegmentFate::Deleted {
            bytes.copy_within(read..read + length, write);
            if let SegmentFate::Flipped(bit) = fate {
                bytes[write + bit / 8] ^= 1 << (bit % 8);
            }
            write += length;
        }
        read += length;
        segments += 1;
    }
    bytes.truncate(write);
    segments
}
