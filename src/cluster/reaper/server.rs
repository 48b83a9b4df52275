//! The reaper process itself. Synchronous, single-threaded, no runtime.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::{set_child_subreaper, set_pdeathsig};
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, killpg, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpid, getppid, setpgid};
use rustix::process::{PidfdFlags, pidfd_open};

use super::{REAPER_COMMAND, Report, Spawn};
use crate::history::ExitStatus;
use crate::parcel;
use crate::space::{self, Spaces};

/// Runs as the reaper until the harness is gone and no descendant is left. Its end of the socket
/// pair is standard input. Must be called before any thread is started.
///
/// Where the kernel allows it, the reaper is the first process of a PID namespace: then it is the
/// kernel that kills all others when the reaper ends, however it ends.
#[must_use]
pub fn reaper_main(arguments: &[OsString]) -> ExitCode {
    let is_first = arguments.first().is_some_and(|word| word == FIRST);
    let served = if is_first {
        Server::new(true).and_then(Server::run)
    } else if space::leave(Spaces::PROCESSES).is_ok() {
        become_parent_of_first()
    } else {
        Server::new(false).and_then(Server::run)
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If even this cannot be written there is nobody left to tell.
            let _ = writeln!(io::stderr(), "chaos: the reaper failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The child of this process is the first of the new namespace, and does all the work.
fn become_parent_of_first() -> io::Result<()> {
    hide_from_the_terminal()?;
    let mut first = Command::new("/proc/self/exe");
    let mut first = first.args([REAPER_COMMAND, FIRST]).spawn()?;
    let status = first.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("its child ended with {status}")))
    }
}

/// Its signals mean the harness, which decides what they mean for us.
fn hide_from_the_terminal() -> io::Result<()> {
    // Blocked rather than ignored: a blocked signal is not inherited as "ignored" by nodes.
    SigSet::all().thread_block()?;
    // A group of its own, which the terminal does not signal, but no session of its own: Linux
    // shares processors between sessions first, and one that does little beside a busy one waits
    // up to seconds for its turn (docs/decisions/0013-no-session-of-its-own.md).
    Ok(setpgid(Pid::from_raw(0), Pid::from_raw(0))?)
}

/// The argument that makes a reaper the first process of its namespace.
const FIRST: &str = "first";

struct Server {
    socket: OwnedFd,
    /// Whether it is the first process of its namespace, which adopts and outlives all others.
    is_first: bool,
    signals: SignalFd,
    /// What was spawned and runs: process id and tag.
    nodes: BTreeMap<i32, u64>,
}

impl Server {
    fn new(is_first: bool) -> io::Result<Self> {
        let socket = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
        hide_from_the_terminal()?;
        if is_first {
            // The harness knows our parent only.
            set_pdeathsig(Signal::SIGKILL)?;
        } else {
            set_child_subreaper(true)?;
        }
        let mut child_signals = SigSet::empty();
        child_signals.add(Signal::SIGCHLD);
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&child_signals, flags)?;
        Ok(Self {
            socket,
            is_first,
            signals,
            nodes: BTreeMap::new(),
        })
    }

    /// Serves until the harness is gone, then kills. An error of the service kills as well: the
    /// harness sees the socket close.
    fn run(mut self) -> io::Result<()> {
        let served = self.serve();
        if self.is_first {
            kill_all_others()?;
        } else {
            kill_descendants()?;
        }
        served
    }

    fn serve(&mut self) -> io::Result<()> {
        let ready = Report::Ready {
            first: self.is_first,
        };
        if !self.report(&ready, None) {
            return Ok(());
        }
        let mut buffer = vec![0; parcel::LONGEST];
        loop {
            let (request, child) = self.wait()?;
            if child && !self.reap()? {
                return Ok(());
            }
            if !request {
                continue;
            }
            let Some((length, stdin)) = parcel::receive(&self.socket, &mut buffer)? else {
                return Ok(());
            };
            let spawn = serde_json::from_slice(&buffer[..length])?;
            if !self.answer(&spawn, stdin) {
                return Ok(());
            }
        }
    }

    /// Waits for a request (or end-of-file) and for a child's exit.
    fn wait(&self) -> io::Result<(bool, bool)> {
        let mut fds = [
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        loop {
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                result => {
                    result?;
                    return Ok((fds[0].any() == Some(true), fds[1].any() == Some(true)));
                }
            }
        }
    }

    /// Spawns what is asked; false if the harness is gone.
    fn answer(&mut self, spawn: &Spawn, stdin: Option<OwnedFd>) -> bool {
        let launched = launch(spawn, stdin).and_then(|pid| {
            self.nodes.insert(pid.as_raw(), spawn.tag);
            let raw = rustix::process::Pid::from_raw(pid.as_raw()).ok_or(Errno::ESRCH)?;
            // The child cannot be reaped before this, so the number is still its own.
            Ok(pidfd_open(raw, PidfdFlags::NONBLOCK)?)
        });
        match launched {
            Ok(pidfd) => self.report(&Report::Spawned { tag: spawn.tag }, Some(pidfd.as_fd())),
            Err(error) => self.report(
                &Report::Refused {
                    tag: spawn.tag,
                    error: error.to_string(),
                },
                None,
            ),
        }
    }

    /// Reaps all children that have ended; false if the harness is gone.
    fn reap(&mut self) -> io::Result<bool> {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        loop {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            let Some(pid) = (match waitid(Id::All, flags) {
                Ok(status) => status.pid(),
                Err(Errno::ECHILD) => None,
                Err(error) => return Err(error.into()),
            }) else {
                return Ok(true);
            };
            let tag = self.nodes.remove(&pid.as_raw());
            if tag.is_some() {
                // A node is its process group: helpers that it left behind go with it. While it
                // is not reaped, nobody else can have that group's number.
                let _ = killpg(pid, Signal::SIGKILL);
            }
            let status = match waitpid(pid, None)? {
                WaitStatus::Exited(_, code) => ExitStatus::Code(code),
                WaitStatus::Signaled(_, signal, _) => ExitStatus::Signal(signal as i32),
                _ => continue,
            };
            if let Some(tag) = tag
                && !self.report(&Report::Exited { tag, status }, None)
            {
                return Ok(false);
            }
        }
    }

    /// Sends a report; false if the harness is gone.
    fn report(&self, report: &Report, fd: Option<BorrowedFd<'_>>) -> bool {
        let Ok(bytes) = serde_json::to_vec(report) else {
            return false;
        };
        parcel::send(&self.socket, &bytes, fd).is_ok()
    }
}

/// Starts one process in a process group of its own.
fn launch(spawn: &Spawn, stdin: Option<OwnedFd>) -> io::Result<Pid> {
    let stdin = match (stdin, spawn.has_stdin) {
        (Some(fd), true) => Stdio::from(fd),
        (None, false) => Stdio::null(),
        _ => return Err(Errno::EBADMSG.into()),
    };
    let mut command = Command::new(&spawn.program);
    command
        .args(&spawn.args)
        .envs(
            spawn
                .env
                .iter()
                .map(|(name, value)| (OsStr::new(name), OsStr::new(value))),
        )
        .current_dir(&spawn.dir)
        .stdin(stdin)
        .stdout(append_to(&spawn.stdout)?)
        .stderr(append_to(&spawn.stderr)?)
        .process_group(0);
    let reaper = getpid();
    #[expect(
        unsafe_code,
        reason = "only code between fork and exec can bind a child's life to ours"
    )]
    // SAFETY: the closure runs in the child between fork and exec. It makes system calls only
    // (prctl, getppid, sigaction, sigprocmask, close_range), which are async-signal-safe, and
    // allocates nothing; the parent has a single thread, so no lock can be held.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGKILL)?;
            if getppid() != reaper {
                return Err(Errno::ESRCH.into());
            }
            for known in Signal::iterator() {
                if !matches!(known, Signal::SIGKILL | Signal::SIGSTOP) {
                    signal(known, SigHandler::SigDfl)?;
                }
            }
            SigSet::empty().thread_set_mask()?;
            // Files that whoever started the harness left open must not reach the nodes.
            let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
            Errno::result(libc::close_range(3, libc::c_uint::MAX, flags))?;
            Ok(())
        });
    }
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(Pid::from_raw(pid))
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

/// Kills and reaps until there is nobody else in the namespace of which we are the first process.
fn kill_all_others() -> io::Result<()> {
    loop {
        match kill(Pid::from_raw(-1), Signal::SIGKILL) {
            // Nobody is left to be killed, but maybe to be reaped.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
        match waitpid(None, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Kills and reaps until there is no child. Descendants whose parent dies become our children,
/// because we are their subreaper; whoever has no child has no descendant.
fn kill_descendants() -> io::Result<()> {
    loop {
        for child in children()? {
            // A child that has ended already waits to be reaped, so its number is still its own.
            let _ = kill(child, Signal::SIGKILL);
        }
        match waitpid(None, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Our children, zombies included.
fn children() -> io::Result<Vec<Pid>> {
    let own = getpid();
    match std::fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        Ok(list) => Ok(list
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok().map(Pid::from_raw))
            .collect()),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(error) if error.kind() == io::ErrorKind::NotFound => children_by_search(own),
        Err(error) => Err(error),
    }
}

fn children_by_search(parent: Pid) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process that ended meanwhile is nobody's child any more.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        if fields.split(' ').nth(1) == Some(&parent.to_string()) {
            found.push(Pid::from_raw(pid));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_find_children_see_a_child() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        assert!(children_by_search(getpid()).unwrap().contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children_by_search(getpid()).unwrap().contains(&pid));
    }
}
