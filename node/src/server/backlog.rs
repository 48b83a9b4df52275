//! What the protocol asks of the state machine, done in its order but a slice at a time: a node that
//! comes back may have a hundred thousand transactions to apply, and its peers wait for signs of life.
//!
//! Nothing here is answered to a peer, so what the protocol asks of the network and the disk need not
//! wait for it.

use std::collections::VecDeque;

use super::error::ServerError;
use super::event_loop::Server;
use crate::clock;
use crate::protocol::io::Output;

/// Outputs that concern the state machine and are not done yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: VecDeque<Output>,
    /// Whether the service of clients was opened and not ended since.
    is_open: bool,
}

impl Backlog {
    /// Takes an output that concerns the state machine. Gives others back.
    pub(super) fn take(&mut self, output: Output) -> Option<Output> {
        if concerns_state(&output) {
            self.waiting.push_back(output);
            return None;
        }
        Some(output)
    }

    /// When a slice ends that begins at this instant; both in monotonic nanoseconds.
    pub(super) const fn slice_from(now: u64) -> u64 {
        now + SLICE_NS
    }

    pub(super) const fn open(&mut self) {
        self.is_open = true;
    }

    /// Ends the service of clients at once, also one that was not opened yet.
    pub(super) fn close(&mut self) {
        self.is_open = false;
        self.waiting
            .retain(|output| !matches!(output, Output::Serving { .. }));
    }

    /// Whether the state machine is as far as the service of clients needs it.
    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next to be done in a slice in which so many were done and that ends at this instant.
    fn next(&mut self, done: usize, until: u64) -> Option<Output> {
        let is_over = done > 0
            && done.is_multiple_of(CLOCK_EVERY)
            && self.waiting.len() < MOST
            && clock::monotonic_ns() >= until;
        if is_over {
            return None;
        }
        self.waiting.pop_front()
    }
}

impl Server {
    /// Whether something waits for the state machine that could be done.
    pub(super) fn is_behind(&self) -> bool {
        !self.backlog.is_empty() && !self.snapshots.is_restoring()
    }

    /// Does what waits, until this instant. Tells whether there was time for all.
    pub(super) fn work_off(&mut self, until: u64) -> Result<bool, ServerError> {
        let mut done = 0;
        while !self.snapshots.is_restoring()
            && let Some(output) = self.backlog.next(done, until)
        {
            self.execute(output)?;
            done += 1;
        }
        Ok(!self.is_behind())
    }
}

/// Whether an output reads or changes the state machine, or needs it to be there. To end the service
/// of clients does not.
const fn concerns_state(output: &Output) -> bool {
    match output {
        Output::Deliver(_)
        | Output::Restore { .. }
        | Output::SnapshotWanted
        | Output::ReadReady { .. }
        | Output::Serving { .. } => true,
        Output::NotServing
        | Output::Dial { .. }
        | Output::Send { .. }
        | Output::Close { .. }
        | Output::Disk { .. }
        | Output::Rejected { .. }
        | Output::Trace(_)
        | Output::WakeAt(_)
        | Output::Fatal(_) => false,
    }
}

/// How long one slice lasts: far less than the pause between two pings.
const SLICE_NS: u64 = 5_000_000;
/// How many are done between two looks at the clock.
const CLOCK_EVERY: usize = 32;
/// Past this many the loop does nothing else: who produces them must wait.
const MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::zxid::{Nanos, Sid, Zxid};

    const SERVING: Output = Output::Serving {
        leader: Sid(1),
        epoch: 1,
    };

    fn read_ready(request: u64) -> Output {
        let zxid = Zxid::ZERO;
        Output::ReadReady { request, zxid }
    }

    #[test]
    fn what_does_not_concern_the_state_does_not_wait() {
        let mut backlog = Backlog::default();
        let wake = Output::WakeAt(Nanos(1));
        assert_eq!(backlog.take(wake.clone()), Some(wake));
        assert_eq!(backlog.take(Output::NotServing), Some(Output::NotServing));
        assert_eq!(backlog.take(read_ready(1)), None);
        assert_eq!(backlog.take(Output::SnapshotWanted), None);
        assert_eq!(backlog.next(0, 0), Some(read_ready(1)));
        assert_eq!(backlog.next(1, 0), Some(Output::SnapshotWanted));
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_slice_ends_in_time() {
        let mut backlog = Backlog::default();
        for request in 0..3 {
            backlog.take(read_ready(request));
        }
        let past = 0;
        assert!(
            backlog.next(CLOCK_EVERY - 1, past).is_some(),
            "not looked yet"
        );
        assert!(backlog.next(CLOCK_EVERY, past).is_none());
        assert!(backlog.next(CLOCK_EVERY, u64::MAX).is_some());
        assert!(
            backlog.next(0, past).is_some(),
            "every slice does something"
        );
    }

    #[test]
    fn an_end_of_the_service_voids_an_opening_that_waits() {
        let mut backlog = Backlog::default();
        for output in [read_ready(1), SERVING, read_ready(2)] {
            backlog.take(output);
        }
        backlog.close();
        assert_eq!(backlog.next(0, u64::MAX), Some(read_ready(1)));
        assert_eq!(backlog.next(1, u64::MAX), Some(read_ready(2)));
    }
}
