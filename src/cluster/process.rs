//! One process of a node, touched through its pidfd only.
//!
//! A pidfd names one process for ever: a signal can never hit a stranger that got the same number.
//! A signal *landed* when the kernel shows its consequence, not when the call returned.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep};

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
        #[expect(
            deprecated,
            reason = "its successor is unsafe; an OwnedFd keeps every promise"
        )]
        let fd = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
        Ok(Self { pid, fd })
    }

    /// Its process id, for people and for `/proc`.
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process has ended (and was reaped), or the kernel refuses.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(self.fd.get_ref(), signal)?)
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
                !states.is_empty() && states.iter().all(|state| *state == b'T')
            } else {
                states.iter().all(|state| *state != b'T')
            };
            if reached {
                return Ok(true);
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
            if !states.is_empty() && states.iter().all(|state| *state == b'T') {
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

    /// The state letters of all threads, as the kernel shows them.
    fn thread_states(&self) -> io::Result<Vec<u8>> {
        let mut states = Vec::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // A thread that ended meanwhile has no state.
            if let Ok(stat) = fs::read(entry?.path().join("stat")) {
                states.extend(state_letter(&stat));
            }
        }
        Ok(states)
    }
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
