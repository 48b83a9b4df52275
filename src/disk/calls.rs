//! How a call meets the rules: it goes through, waits, fails, or finds the power gone.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fuser::Errno;

use super::below::errno;
use super::rules::{Failure, Op};
use super::state::{State, Waiting};
use super::wire::{Lost, Report};

/// An answer that can be an error.
pub(super) trait Refuse: Send + 'static {
    /// Gives the error.
    fn refuse(self, errno: Errno);
}

/// A write that may reach the disk in parts only: the file, the offset, the bytes.
type Parts = (Arc<File>, u64, Vec<u8>);

/// A call: what kind, on which file or which name in a folder.
pub(super) struct Call<'a> {
    op: Op,
    number: u64,
    name: Option<&'a OsStr>,
    grows: bool,
    parts: Option<Parts>,
}

impl<'a> Call<'a> {
    /// On a file or folder.
    pub(super) const fn on(op: Op, number: u64) -> Self {
        Self {
            op,
            number,
            name: None,
            grows: false,
            parts: None,
        }
    }

    /// On a name in this folder.
    pub(super) const fn named(mut self, name: &'a OsStr) -> Self {
        self.name = Some(name);
        self
    }

    /// It needs space, if `grows`.
    pub(super) const fn growing(mut self, grows: bool) -> Self {
        self.grows = grows;
        self
    }

    /// It writes these bytes.
    pub(super) fn writing(mut self, parts: Option<Parts>) -> Self {
        self.parts = parts;
        self
    }
}

/// The disk: its state, and who is told.
pub(super) struct Disk {
    state: Mutex<State>,
    /// There are rules, or the power is gone: calls must look.
    watched: AtomicBool,
    released: Condvar,
    /// The root's path, for the paths of files.
    root: String,
    report: Box<dyn Fn(&Report) + Send + Sync>,
}

/// What a call is to do.
#[derive(Clone, Copy)]
enum Course {
    Go,
    Wait(Duration),
    Refuse(Errno),
    /// The power failed; the call itself is still done.
    Last,
    /// The power failed.
    Never,
}

impl Disk {
    pub(super) fn new(
        state: State,
        root: String,
        report: Box<dyn Fn(&Report) + Send + Sync>,
    ) -> Self {
        Self {
            state: Mutex::new(state),
            watched: AtomicBool::new(false),
            released: Condvar::new(),
            root,
            report,
        }
    }

    /// A panic elsewhere cannot leave the state half changed for long: the next reopen mends it.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no call needs to look at rules.
    pub(super) fn is_free(&self) -> bool {
        !self.watched.load(Ordering::Acquire)
    }

    /// A call of a kind that no rule can mean: goes on unless the power is gone.
    pub(super) fn admit<R: Refuse>(&self, reply: R) -> Option<R> {
        if self.is_free() {
            return Some(reply);
        }
        let mut state = self.state();
        if state.refusing {
            reply.refuse(Errno::EIO);
        } else if state.dark {
            state.waiting.push(refused(reply));
        } else {
            return Some(reply);
        }
        None
    }

    /// A call that meets the rules.
    pub(super) fn call<R: Refuse>(
        self: &Arc<Self>,
        call: Call<'_>,
        reply: R,
        work: impl FnOnce(&Self, R) + Send + 'static,
    ) {
        if self.is_free() {
            return work(self, reply);
        }
        let course = self.course(call);
        self.follow(course, reply, work);
    }

    fn course(&self, call: Call<'_>) -> Course {
        let mut state = self.state();
        if state.refusing {
            return Course::Refuse(Errno::EIO);
        }
        if state.dark {
            return Course::Never;
        }
        let mut path = state.path(&self.root, call.number);
        if let Some(name) = call.name {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(&name.to_string_lossy());
        }
        let verdict = state.rules.meet(call.op, &path, call.grows);
        if let Some((rule, after, torn)) = verdict.power_fails {
            state.dark = true;
            if let (Some(torn), Some((file, at, bytes))) = (&torn, call.parts) {
                state.unsynced.tear(&file, at, &bytes, torn);
            }
            (self.report)(&Report::PowerFailed(rule));
            return if after && torn.is_none() {
                Course::Last
            } else {
                Course::Never
            };
        }
        if let Some(failure) = verdict.fails {
            return Course::Refuse(errno_of(failure));
        }
        if verdict.stall.0 > 0 {
            return Course::Wait(verdict.stall.into());
        }
        Course::Go
    }

    fn follow<R: Refuse>(
        self: &Arc<Self>,
        course: Course,
        reply: R,
        work: impl FnOnce(&Self, R) + Send + 'static,
    ) {
        match course {
            Course::Go | Course::Last => work(self, reply),
            Course::Refuse(errno) => reply.refuse(errno),
            Course::Never => self.state().waiting.push(refused(reply)),
            Course::Wait(stall) => {
                let disk = Arc::clone(self);
                // Not on a thread that serves: other calls go on meanwhile.
                std::thread::spawn(move || match disk.wait(stall) {
                    Ok(()) => work(&disk, reply),
                    Err(error) => reply.refuse(errno(&error)),
                });
            }
        }
    }

    /// Waits; fails if whoever waits is about to die, or the power failed meanwhile.
    fn wait(&self, stall: Duration) -> io::Result<()> {
        let until = Instant::now() + stall;
        let mut state = self.state();
        loop {
            if state.refusing || state.dark {
                return Err(rustix::io::Errno::IO.into());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let woken = self.released.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Other rules are in force.
    pub(super) fn set(&self, rules: std::collections::BTreeMap<u64, super::Rule>) {
        let mut state = self.state();
        state.rules.set(rules);
        self.look(&state);
    }

    /// Whoever uses it is about to die: it answers nothing any more, and what waits fails.
    pub(super) fn release(&self) {
        let mut state = self.state();
        state.refusing = true;
        self.look(&state);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.released.notify_all();
        for answer in waiting {
            answer();
        }
    }

    /// Nobody uses it any more: it will serve whoever comes next.
    pub(super) fn reopen(&self, lose: bool) -> io::Result<Lost> {
        self.release();
        let mut state = self.state();
        state.dark = false;
        state.refusing = false;
        let lost = if lose {
            state.unsynced.lose()
        } else {
            Ok(Lost::default())
        };
        self.look(&state);
        lost
    }

    /// Whether calls must look at all.
    fn look(&self, state: &State) {
        let watched = state.dark || state.refusing || !state.rules.is_empty();
        self.watched.store(watched, Ordering::Release);
    }
}

fn refused<R: Refuse>(reply: R) -> Waiting {
    Box::new(move || reply.refuse(Errno::EIO))
}

const fn errno_of(failure: Failure) -> Errno {
    match failure {
        Failure::Eio => Errno::EIO,
        Failure::Enospc => Errno::ENOSPC,
        Failure::Edquot => Errno::EDQUOT,
        Failure::Erofs => Errno::EROFS,
    }
}
