//! A timer that fires within tens of microseconds (timerfd); the runtime's own has a grain of 1 ms,
//! which would stand in every latency.

use std::io;
use std::rc::Rc;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::alarm::{Alarm, Bell};
use crate::clock::{Nanos, RunClock};
use crate::ready::readable;

/// One timer on the run's clock.
#[derive(Debug)]
pub struct Timer {
    fd: AsyncFd<std::os::fd::OwnedFd>,
    clock: RunClock,
}

impl Timer {
    /// A timer for use on the current runtime.
    ///
    /// # Errors
    /// If there are no more file descriptors.
    pub fn new(clock: RunClock) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self {
            fd: readable(fd)?,
            clock,
        })
    }

    /// Waits until the run's clock shows `due`; returns at once if it is past.
    pub async fn until(&mut self, due: Nanos) {
        if self.clock.now() >= due {
            return;
        }
        let at = self.clock.origin() + due.0;
        let spec = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: i64::try_from(at / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(at % 1_000_000_000).unwrap_or(0),
            },
        };
        if timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &spec).is_err() {
            return;
        }
        while let Ok(mut ready) = self.fd.readable().await {
            let mut expirations = [0; 8];
            match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut expirations)?)) {
                Ok(_) => return,
                Err(_would_block) => {}
            }
        }
    }
}

/// A place at the alarm that all of the load share: many who wait cost the kernel one timer.
#[derive(Debug)]
pub(super) struct Pacer {
    bell: Bell,
    clock: RunClock,
}

impl Pacer {
    pub(super) fn new(clock: RunClock, alarm: &Rc<Alarm>) -> Self {
        Self {
            bell: Bell::new(Rc::clone(alarm)),
            clock,
        }
    }

    /// Waits until the run's clock shows `due`. May be dropped at any time.
    pub(super) async fn until(&mut self, due: Nanos) {
        let left = due.since(self.clock.now());
        if left > Nanos::ZERO {
            self.bell.until(Instant::now() + left.into()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_timer_never_fires_early_and_can_be_used_again() {
        let clock = RunClock::start();
        let mut timer = Timer::new(clock).unwrap();
        for millis in [2, 1, 5] {
            let due = clock.now() + Nanos::from_millis(millis);
            timer.until(due).await;
            assert!(clock.now() >= due);
        }
    }
}
