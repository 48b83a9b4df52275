//! One process of a node, and those that it has started, touched through pidfds only.
//!
//! A pidfd names one process for ever: a signal can never hit a stranger that got the same number.
//! A signal *landed* when the kernel shows its consequence, not when the call returned.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep};

use crate::ready::readable;

/// How long SIGSTOP, SIGCONT or SIGKILL may take to show (5 ms were seen; a loaded machine is
/// slower).
pub(super) const LANDS_WITHIN: Duration = Duration::from_secs(5);
/// Looks at the process that only yield in between, before sleeping.
const QUICK_LOOKS: u32 = 200;
/// Pause between further looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A process that the reaper spawned for us.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    fd: AsyncFd<OwnedFd>,
}

impl Process {
    /// From what the reaper sent. Call it inside a tokio runtime.
    pub(super) fn new(pidfd: OwnedFd) -> io::Result<Self> {
        let pid = number_of(&pidfd)?;
        let fd = readable(pidfd)?;
        Ok(Self { pid, fd })
    }

    /// Its process id, for people and for `/proc`.
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; one that stops, lets go or kills concerns the processes below this one too,
    /// for a node is all of them.
    ///
    /// # Errors
    /// If the process has ended (and was reaped), or the kernel refuses.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let of_all = [Signal::STOP, Signal::CONT, Signal::KILL].contains(&signal);
        // Of whom has no parent any more nobody knows whose child it was.
        let below = (of_all && signal == Signal::KILL).then(|| self.below());
        pidfd_send_signal(self.fd.get_ref(), signal)?;
        let below = below.unwrap_or_else(|| if of_all { self.below() } else { Vec::new() });
        for child in below {
            // One that has ended meanwhile needs none.
            let _ = pidfd_send_signal(child, signal);
        }
        Ok(())
    }

    /// The processes that this one has started, and those that they have.
    fn below(&self) -> Vec<OwnedFd> {
        let opened = self
            .family()
            .into_iter()
            .skip(1)
            .filter_map(|(pid, parent)| {
                let raw = Pid::from_raw(pid.cast_signed())?;
                let child = pidfd_open(raw, PidfdFlags::empty()).ok()?;
                // Only if it has not ended in between, and a stranger got its number.
                (parent_of(pid) == Some(parent)).then_some(child)
            });
        opened.collect()
    }

    /// This process and all below it, each with its parent.
    fn family(&self) -> Vec<(u32, u32)> {
        let mut family = vec![(self.pid, 0)];
        let mut next = 0;
        while let Some((parent, _)) = family.get(next).copied() {
            next += 1;
            for task in tasks(parent).unwrap_or_default() {
                // A kernel without such lists shows no children: then only the first is meant.
                let children = fs::read_to_string(task.join("children")).unwrap_or_default();
                let numbers = children.split_ascii_whitespace();
                family.extend(numbers.filter_map(|pid| Some((pid.parse().ok()?, parent))));
            }
        }
        family
    }

    /// Resolves when the process has ended.
    pub(super) async fn ended(&self) -> io::Result<()> {
        self.fd
            .readable()
            .await
            .map(|mut ready| ready.retain_ready())
    }

    /// Resolves when every thread is stopped (`stopped`) or none is (`!stopped`). False if that
    /// did not show within [`LANDS_WITHIN`].
    pub(super) async fn is_seen(&self, stopped: bool) -> io::Result<bool> {
        let deadline = Instant::now() + LANDS_WITHIN;
        for look in 0_u32.. {
            let states = self.thread_states()?;
            let reached = if stopped {
                are_stopped(&states)
            } else {
                states.iter().all(|state| *state != b'T')
            };
            if reached {
                return Ok(true);
            }
            if stopped {
                // It may have forked just before it stopped.
                let below = self.below().into_iter();
                below.for_each(|child| _ = pidfd_send_signal(child, Signal::STOP));
            }
            if Instant::now() > deadline {
                break;
            }
            if look < QUICK_LOOKS {
                tokio::task::yield_now().await;
            } else {
                sleep(LOOK_EVERY).await;
            }
        }
        Ok(false)
    }

    /// Waits until every thread is stopped. Blocks the thread that asks, for at most
    /// [`LANDS_WITHIN`].
    pub(super) fn shows_stop(&self) -> io::Result<()> {
        let deadline = std::time::Instant::now() + LANDS_WITHIN;
        loop {
            let states = self.thread_states()?;
            if are_stopped(&states) {
                return Ok(());
            }
            if std::time::Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "its threads do not show the stop in time",
                ));
            }
            std::thread::yield_now();
        }
    }

    /// The state letters of all threads of all its processes, as the kernel shows them.
    fn thread_states(&self) -> io::Result<Vec<u8>> {
        let mut states = Vec::new();
        for task in tasks(self.pid)? {
            // A thread that ended meanwhile has no state.
            states.extend(
                fs::read(task.join("stat"))
                    .ok()
                    .and_then(|stat| state_letter(&stat)),
            );
        }
        for (child, _) in self.family().into_iter().skip(1) {
            for task in tasks(child).unwrap_or_default() {
                let stat = fs::read(task.join("stat")).ok();
                let letter = stat.and_then(|stat| state_letter(&stat));
                // One that has ended and was not reaped neither runs nor stops.
                states.extend(letter.filter(|letter| *letter != b'Z'));
            }
        }
        Ok(states)
    }
}

/// Whether threads in these states do nothing once they were sent a SIGSTOP. One in state D waits in
/// the kernel, for instance for its disk, and stops before it does anything else.
fn are_stopped(states: &[u8]) -> bool {
    !states.is_empty() && states.iter().all(|state| matches!(state, b'T' | b'D'))
}

/// The folders of all threads of a process.
fn tasks(pid: u32) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

/// The process id behind a pidfd, as it is here: whoever spawned it may live in a namespace with
/// other numbers. 0, which is nobody's, if it has ended and was reaped meanwhile.
fn number_of(pidfd: &OwnedFd) -> io::Result<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let field = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    Ok(field.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}

/// The third field of a stat line; the second, the name, may itself hold brackets and spaces.
fn state_letter(stat: &[u8]) -> Option<u8> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(name_end + 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_found_behind_any_name() {
        assert_eq!(state_letter(b"12 (sleep) T 1 12 12"), Some(b'T'));
        assert_eq!(state_letter(b"12 (odd ) S name) R 1 12"), Some(b'R'));
        assert_eq!(state_letter(b"12 (torn"), None);
    }
}
