//! Exact times for many who wait: the runtime's own timers round up to milliseconds, which delayed
//! data and every latency would show.
//!
//! One timer of the kernel for all of a thread; it is set to the earliest of their times.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::ready::readable;

/// The kernel's timer.
#[derive(Debug)]
pub struct Timer(AsyncFd<OwnedFd>);

/// Wakes who waits for a time, each at its own.
#[derive(Debug)]
pub struct Alarm {
    timer: Timer,
    waiting: RefCell<BTreeMap<(Instant, u64), Waker>>,
    next: Cell<u64>,
    /// For when the timer is set.
    set_for: Cell<Option<Instant>>,
}

/// A place at the alarm for one who waits for one time after the other.
#[derive(Debug)]
pub struct Bell {
    alarm: Rc<Alarm>,
    entry: Option<(Instant, u64)>,
}

impl Timer {
    /// Call it inside of the runtime that is to wait for it.
    ///
    /// # Errors
    /// If there are no more file descriptors.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        readable(timer).map(Self)
    }
}

impl Alarm {
    /// An alarm that rings once [`Alarm::ring`] runs.
    #[must_use]
    pub fn new(timer: Timer) -> Rc<Self> {
        Rc::new(Self {
            timer,
            waiting: RefCell::default(),
            next: Cell::new(0),
            set_for: Cell::new(None),
        })
    }

    /// Wakes everybody in time, for ever.
    pub async fn ring(self: Rc<Self>) {
        // An error here would be one of the runtime, which is gone then.
        while let Ok(mut guard) = self.timer.0.readable().await {
            let mut expirations = [0; 8];
            // What is read is only how often it rang; not yet is no error.
            let _ = rustix::io::read(self.timer.0.get_ref(), &mut expirations);
            guard.clear_ready();
            drop(guard);
            self.set_for.set(None);
            self.wake_due(Instant::now());
            self.set();
        }
    }

    fn wake_due(&self, now: Instant) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(first) = waiting.first_entry()
            && first.key().0 <= now
        {
            first.remove().wake();
        }
    }

    /// Sets the timer to the earliest time, unless it is set to that or an earlier one.
    fn set(&self) {
        let first = self.waiting.borrow().keys().next().map(|(due, _)| *due);
        let Some(due) = first else {
            return;
        };
        if self.set_for.get().is_some_and(|set_for| set_for <= due) {
            return;
        }
        // Nothing at all would switch it off.
        let left = due.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_nanos(1));
        let time = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        // It cannot fail for a timer and a time that are valid.
        let _ = timerfd_settime(self.timer.0.get_ref(), TimerfdTimerFlags::empty(), &time);
        self.set_for.set(Some(due));
    }
}

impl Bell {
    /// A place at this alarm.
    #[must_use]
    pub const fn new(alarm: Rc<Alarm>) -> Self {
        Self { alarm, entry: None }
    }

    /// Whether `due` is reached; otherwise wakes the task then, and not for what was asked before.
    pub fn poll(&mut self, cx: &Context<'_>, due: Instant) -> Poll<()> {
        if due <= Instant::now() {
            self.cancel();
            return Poll::Ready(());
        }
        let key = match self.entry {
            Some(key) if key.0 == due => key,
            _ => {
                self.cancel();
                let next = self.alarm.next.get();
                self.alarm.next.set(next + 1);
                *self.entry.insert((due, next))
            }
        };
        let waker = cx.waker();
        let mut waiting = self.alarm.waiting.borrow_mut();
        let kept = waiting.entry(key).or_insert_with(|| waker.clone());
        kept.clone_from(waker);
        drop(waiting);
        self.alarm.set();
        Poll::Pending
    }

    /// Waits until `due`. May be dropped at any time.
    pub async fn until(&mut self, due: Instant) {
        std::future::poll_fn(|cx| self.poll(cx, due)).await;
    }

    fn cancel(&mut self) {
        if let Some(key) = self.entry.take() {
            self.alarm.waiting.borrow_mut().remove(&key);
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn run(test: impl AsyncFnOnce(Rc<Alarm>)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let alarm = Alarm::new(Timer::new().unwrap());
            tokio::task::spawn_local(Rc::clone(&alarm).ring());
            test(alarm).await;
        });
    }

    async fn until(alarm: &Rc<Alarm>, due: Instant) {
        Bell::new(Rc::clone(alarm)).until(due).await;
        assert!(Instant::now() >= due);
    }

    #[test]
    fn everybody_is_woken_at_the_own_time_in_whatever_order_they_ask() {
        run(async |alarm| {
            let now = Instant::now();
            let at = |ms: u64| now + Duration::from_millis(ms);
            let order = RefCell::new(Vec::new());
            let wait = async |ms| {
                until(&alarm, at(ms)).await;
                order.borrow_mut().push(ms);
            };
            tokio::join!(wait(9), wait(3), wait(6), wait(0), wait(3));
            assert_eq!(order.into_inner(), [0, 3, 3, 6, 9]);
            assert!(alarm.waiting.borrow().is_empty());
        });
    }

    #[test]
    fn another_time_replaces_the_one_before_and_who_leaves_waits_no_more() {
        run(async |alarm| {
            let now = Instant::now();
            let mut bell = Bell::new(Rc::clone(&alarm));
            let far = now + Duration::from_secs(3_600);
            let near = now + Duration::from_millis(2);
            poll_fn(|cx| {
                assert!(bell.poll(cx, far).is_pending());
                assert!(bell.poll(cx, far).is_pending());
                assert_eq!(alarm.waiting.borrow().len(), 1);
                Poll::Ready(())
            })
            .await;
            poll_fn(|cx| bell.poll(cx, near)).await;
            assert!(alarm.waiting.borrow().is_empty());
            poll_fn(|cx| {
                assert!(bell.poll(cx, far).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(bell);
            assert!(alarm.waiting.borrow().is_empty());
        });
    }
}
