//! What must be done to a process again and again, or once more after each start, while a fault
//! lasts: the stutter and the limit of descriptors.
//!
//! *Stutter*: a thread of its own stops the process and lets it go on, so that no runtime that is
//! busy makes it late. It lets go before it ends, whoever ends it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, prlimit};
use tokio::sync::oneshot;

use super::process::Process;
use crate::clock::Nanos;
use crate::id::NodeId;

/// What is kept up on one process.
#[derive(Debug, Default)]
pub(super) struct Keep {
    nodes: BTreeMap<NodeId, Kept>,
}

#[derive(Debug)]
struct Kept {
    pid: u32,
    stutter: Option<Stutter>,
    /// The soft limit that is set, and the one from before.
    limit: Option<(u64, Option<u64>)>,
}

/// How a process shall be hampered.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Wanted {
    /// The share of the time in which it runs, and the period.
    pub(super) stutter: Option<(f64, Nanos)>,
    /// The soft limit of descriptors.
    pub(super) limit: Option<u64>,
}

impl Keep {
    /// Lets a process run freely, before something else stops or ends it.
    pub(super) fn let_go(&mut self, node: NodeId) {
        if let Some(kept) = self.nodes.get_mut(&node) {
            kept.stutter = None;
        }
    }

    /// Hampers the process of `node` as wanted, and no more. Returns when that has landed: the
    /// process was seen stopped once, the limit was read back.
    ///
    /// # Errors
    /// If the process is gone, or does not show it.
    pub(super) async fn follow(
        &mut self,
        node: NodeId,
        process: Option<&Arc<Process>>,
        wanted: Wanted,
    ) -> io::Result<()> {
        let Some(process) = process else {
            self.nodes.remove(&node);
            return Ok(());
        };
        let pid = process.pid();
        if self.nodes.get(&node).is_some_and(|kept| kept.pid != pid) {
            self.nodes.remove(&node);
        }
        if wanted == Wanted::default() && !self.nodes.contains_key(&node) {
            return Ok(());
        }
        let kept = self.nodes.entry(node).or_insert_with(|| Kept {
            pid,
            stutter: None,
            limit: None,
        });
        kept.limit(wanted.limit)?;
        if kept.stutter.as_ref().map(|stutter| stutter.asked) != wanted.stutter {
            kept.stutter = None;
            if let Some(asked) = wanted.stutter {
                let (stutter, seen) = Stutter::start(process, asked)?;
                kept.stutter = Some(stutter);
                seen.await
                    .map_err(|_| io::Error::other("the process is gone"))??;
            }
        }
        Ok(())
    }
}

impl Kept {
    fn limit(&mut self, wanted: Option<u64>) -> io::Result<()> {
        if self.limit.map(|(soft, _)| soft) == wanted {
            return Ok(());
        }
        // The number is the process's own as long as the reaper has not reaped it. Were it reaped
        // in this very moment, the kernel would still not give the number anew before all others.
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let before = limits(pid)?;
        let original = self.limit.map_or(before.current, |(_, original)| original);
        let soft = wanted.map_or(original, Some);
        let asked = rustix::process::Rlimit {
            current: soft,
            maximum: before.maximum,
        };
        prlimit(pid, Resource::Nofile, asked)?;
        let now = limits(pid)?;
        if now.current != soft {
            return Err(io::Error::other("the limit of descriptors did not change"));
        }
        self.limit = wanted.map(|soft| (soft, original));
        Ok(())
    }
}

/// The limits of another process. Linux tells them only when they are set, or as a text.
fn limits(pid: Option<Pid>) -> io::Result<rustix::process::Rlimit> {
    let pid = pid.ok_or_else(|| io::Error::other("a process id out of range"))?;
    let text = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero()))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut fields = line.unwrap_or_default().split_ascii_whitespace();
    let mut next = || -> io::Result<Option<u64>> {
        match fields.next() {
            Some("unlimited") => Ok(None),
            Some(number) => number.parse().map(Some).map_err(io::Error::other),
            None => Err(io::Error::other("the limits of a process make no sense")),
        }
    };
    Ok(rustix::process::Rlimit {
        current: next()?,
        maximum: next()?,
    })
}

/// A thread that stops a process and lets it go on. Dropping it lets the process go on.
#[derive(Debug)]
struct Stutter {
    asked: (f64, Nanos),
    end: Arc<End>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct End {
    is_asked: Mutex<bool>,
    changed: Condvar,
}

impl Stutter {
    /// What it returns beside resolves when the process was seen stopped for the first time.
    fn start(
        process: &Arc<Process>,
        asked: (f64, Nanos),
    ) -> io::Result<(Self, oneshot::Receiver<io::Result<()>>)> {
        let (seen, answer) = oneshot::channel();
        let end = Arc::new(End::default());
        let (process, until) = (Arc::clone(process), Arc::clone(&end));
        let thread = std::thread::Builder::new()
            .name("stutter".to_owned())
            .spawn(move || beat(&process, asked, &until, seen))?;
        let stutter = Self {
            asked,
            end,
            thread: Some(thread),
        };
        Ok((stutter, answer))
    }
}

impl Drop for Stutter {
    fn drop(&mut self) {
        *self.end.lock() = true;
        self.end.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to let go.
            let _ = thread.join();
        }
    }
}

impl End {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `due`; true if the end was asked for.
    fn is_asked_by(&self, due: Instant) -> bool {
        let mut asked = self.lock();
        while !*asked {
            let Some(rest) = due.checked_duration_since(Instant::now()) else {
                return false;
            };
            let waited = self.changed.wait_timeout(asked, rest);
            asked = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// Stops at the beginning of each period. Beats keep to their times: a late one is not made up
/// for, the next one comes when it is due.
fn beat(
    process: &Process,
    (share, period): (f64, Nanos),
    end: &End,
    seen: oneshot::Sender<io::Result<()>>,
) {
    let period = Duration::from(period);
    let stopped = period.mul_f64(1.0 - share);
    let mut start = Instant::now();
    let mut first = Some(seen);
    loop {
        let stop = process.signal(Signal::STOP);
        if let Some(seen) = first.take() {
            let shown = stop.and_then(|()| process.shows_stop());
            let failed = shown.is_err();
            // Nobody waits any more where the fault was given up.
            let _ = seen.send(shown);
            if failed {
                break;
            }
        } else if stop.is_err() {
            break;
        }
        let is_over = end.is_asked_by(start + stopped);
        // A process that is gone needs no signal.
        let gone = process.signal(Signal::CONT).is_err();
        start = (start + period).max(Instant::now());
        if is_over || gone || end.is_asked_by(start) {
            return;
        }
    }
    let _ = process.signal(Signal::CONT);
}
