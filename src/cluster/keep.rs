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
    achieved: BTreeMap<NodeId, Achieved>,
}

/// How long processes that stutter were really stopped, and how long they ran between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Achieved {
    pub(super) stopped: Duration,
    pub(super) ran: Duration,
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
        if let Some(stutter) = self
            .nodes
            .get_mut(&node)
            .and_then(|kept| kept.stutter.take())
        {
            let achieved = self.achieved.entry(node).or_default();
            achieved.add(stutter.finish());
        }
    }

    /// How the stutters of a node went that are over, told once.
    pub(super) fn achieved(&mut self, node: NodeId) -> Option<Achieved> {
        self.achieved.remove(&node)
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
        let pid = process.map(|process| process.pid());
        if let Some(kept) = self.nodes.get(&node) {
            let is_another = Some(kept.pid) != pid;
            let asked = kept.stutter.as_ref().map(|stutter| stutter.asked);
            if is_another || asked != wanted.stutter {
                self.let_go(node);
            }
            if is_another {
                self.nodes.remove(&node);
            }
        }
        let Some(process) = process else {
            return Ok(());
        };
        if wanted == Wanted::default() && !self.nodes.contains_key(&node) {
            return Ok(());
        }
        let kept = self.nodes.entry(node).or_insert_with(|| Kept {
            pid: process.pid(),
            stutter: None,
            limit: None,
        });
        kept.limit(wanted.limit)?;
        if let Some(asked) = wanted.stutter
            && kept.stutter.is_none()
        {
            let (stutter, seen) = Stutter::start(process, asked)?;
            kept.stutter = Some(stutter);
            seen.await
                .map_err(|_| io::Error::other("the process is gone"))??;
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
    thread: Option<JoinHandle<Achieved>>,
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
            .spawn(move || {
                let mut achieved = Achieved::default();
                beat(&process, asked, &until, seen, &mut achieved);
                achieved
            })?;
        let stutter = Self {
            asked,
            end,
            thread: Some(thread),
        };
        Ok((stutter, answer))
    }
}

impl Stutter {
    /// Lets the process go on, and tells how it went.
    fn finish(mut self) -> Achieved {
        self.end()
    }

    fn end(&mut self) -> Achieved {
        *self.end.lock() = true;
        self.end.changed.notify_all();
        // A thread that panicked has nothing more to let go, and nothing to tell.
        let ended = self.thread.take().map(JoinHandle::join);
        ended.and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Stutter {
    fn drop(&mut self) {
        self.end();
    }
}

impl Achieved {
    const fn add(&mut self, other: Self) {
        self.stopped = self.stopped.saturating_add(other.stopped);
        self.ran = self.ran.saturating_add(other.ran);
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
    achieved: &mut Achieved,
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
        let stood = Instant::now();
        let is_over = end.is_asked_by(start + stopped);
        // A process that is gone needs no signal.
        let gone = process.signal(Signal::CONT).is_err();
        let goes_on = Instant::now();
        achieved.stopped += goes_on - stood;
        start = (start + period).max(goes_on);
        if is_over || gone {
            return;
        }
        let is_over = end.is_asked_by(start);
        achieved.ran += goes_on.elapsed();
        if is_over {
            return;
        }
    }
    let _ = process.signal(Signal::CONT);
}
