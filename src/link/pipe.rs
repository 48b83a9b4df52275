//! One direction of one connection: reads from the sender, obeys the rules of the link, writes to
//! the receiver.
//!
//! Invariants: bytes leave in the order in which they came, and none is lost but whole dropped
//! frames; nothing is read or written while the link is cut; at most [`HELD_MAX`] bytes are held.
//! How a sender ends (FIN or RST) travels behind its data and obeys the same rules.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::board::LinkState;
use super::conditions::{Conditions, hold_for, retransmission_timeout};
use super::frame::Framer;

/// The most that is held of a delayed stream: 100 ms at 80 MB/s.
const HELD_MAX: usize = 8 << 20;
/// The most that is held where nothing is delayed: what the receiver did not take at once.
const BACKLOG_MAX: usize = 64 << 10;
/// The payload of a TCP segment on Ethernet.
const SEGMENT: usize = 1448;
/// A loss is repaired by a fast retransmit when this many segments wait behind it (RFC 5681).
const DUPLICATES: usize = 3;

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
    timer: Option<Pin<Box<Sleep>>>,
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
        link: Rc<LinkState>,
        framed: bool,
    ) -> Self {
        Self {
            source,
            sink,
            link,
            conditions: Conditions::default(),
            round_trip: (Duration::ZERO, Duration::ZERO),
            framer: framed.then(Framer::default),
            staging: Vec::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            timer: None,
            ending: None,
            fin_sent: false,
            source_broken: false,
            sink_broken: false,
        }
    }

    /// Obeys other rules from now on. Data that is already delayed keeps its time, as data in
    /// flight would.
    pub(super) fn obey(&mut self, conditions: Conditions, reverse: Conditions) {
        self.conditions = conditions;
        self.round_trip = (
            conditions.delay + reverse.delay,
            conditions.jitter + reverse.jitter,
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
            if self.ending.is_some() || self.held_bytes >= self.room() {
                return Flow::Waiting;
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

    fn room(&self) -> usize {
        if self.conditions.holds_back() {
            HELD_MAX
        } else {
            BACKLOG_MAX
        }
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
        let Some(framer) = &mut self.framer else {
            return self.forward(cx, bytes);
        };
        let mut staging = std::mem::take(&mut self.staging);
        staging.clear();
        let loss = self.conditions.frame_loss;
        framer.sift(bytes, &mut staging, || self.link.frame_passes(loss));
        let result = self.forward(cx, &staging);
        self.staging = staging;
        result
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
        while self.held.is_empty() && !bytes.is_empty() {
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
            let Some(front) = self.held.front_mut() else {
                return Ok(());
            };
            match Pin::new(&mut self.sink).poll_write(cx, &front.data[front.written..]) {
                Poll::Pending => return Ok(()),
                Poll::Ready(written) => {
                    let written = written?;
                    front.written += written;
                    self.held_bytes -= written;
                    if front.written == front.data.len() {
                        self.held.pop_front();
                    }
                }
            }
        }
        Ok(())
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

    /// Whether `due` is reached; otherwise arms the timer.
    fn poll_due(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<()> {
        let Some(due) = due.filter(|due| *due > Instant::now()) else {
            return Poll::Ready(());
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }

    /// The sender has ended; a torn frame header goes out before.
    fn end(&mut self, reset: bool) {
        let torn = self
            .framer
            .as_ref()
            .map(|framer| framer.unfinished().to_vec());
        let due = self
            .conditions
            .holds_back()
            .then(|| Instant::now() + self.lateness());
        if let Some(torn) = torn.filter(|torn| !torn.is_empty()) {
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
