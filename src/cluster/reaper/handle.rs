//! The harness's end of the reaper.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::time::timeout;

use super::{REAPER_COMMAND, Report, Spawn};
use crate::cluster::leftovers;
use crate::parcel;

/// How long a reaper may take to start, or to kill everybody and end (it needs milliseconds).
const PATIENCE: Duration = Duration::from_secs(10);

/// The reaper process. Dropping it kills everything that it spawned, and waits for that.
#[derive(Debug)]
pub struct Reaper {
    is_first: bool,
    socket: Option<Arc<Socket>>,
    child: Child,
    executable: PathBuf,
}

/// The connection with the reaper, shared by who asks and who listens.
#[derive(Debug)]
pub(in crate::cluster) struct Socket(parcel::Socket);

/// A report as it arrives.
#[derive(Debug)]
pub(in crate::cluster) struct Incoming {
    pub(in crate::cluster) report: Report,
    /// The pidfd of a spawned process.
    pub(in crate::cluster) pidfd: Option<OwnedFd>,
}

impl Reaper {
    /// Starts `executable __reaper` and waits until it is ready. All that it starts is marked as
    /// belonging to `run`. `executable` is this program
    /// (`std::env::current_exe`), whose `main` must call [`super::reaper_main`] for that argument.
    /// Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If it cannot be started or is not ready in time.
    pub async fn start(executable: &Path, run: &str) -> io::Result<Self> {
        let (ours, theirs) = parcel::pair()?;
        let (name, mark) = leftovers::mark(run);
        let child = Command::new(executable)
            .arg(REAPER_COMMAND)
            .env(name, mark)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        let socket = Socket(parcel::Socket::new(ours)?);
        let mut reaper = Self {
            is_first: false,
            socket: Some(Arc::new(socket)),
            child,
            executable: executable.to_owned(),
        };
        let first = timeout(PATIENCE, reaper.socket()?.receive())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the reaper does not answer"))??;
        match first.map(|incoming| incoming.report) {
            Some(Report::Ready { first }) => {
                reaper.is_first = first;
                Ok(reaper)
            }
            Some(other) => Err(io::Error::other(format!("the reaper said {other:?} first"))),
            None => Err(io::Error::other("the reaper ended at once")),
        }
    }

    /// Starts this program as a helper of the whole run, before there is anybody who listens to the
    /// reaper: `stdin` becomes its standard input, and what it complains of goes to `log`.
    ///
    /// # Errors
    /// If it cannot be started in time.
    pub async fn helper(&self, args: Vec<String>, stdin: &OwnedFd, log: &Path) -> io::Result<()> {
        let spawn = Spawn {
            tag: u64::MAX,
            program: self.executable.clone(),
            args,
            env: Vec::new(),
            dir: log
                .parent()
                .map_or_else(|| PathBuf::from("/"), Path::to_owned),
            stdout: log.to_owned(),
            stderr: log.to_owned(),
            has_stdin: true,
        };
        let socket = self.socket()?;
        socket.ask(&spawn, Some(stdin)).await?;
        loop {
            let answer = timeout(PATIENCE, socket.receive()).await;
            let answer = answer.map_err(|_| io::Error::other("the reaper does not answer"))??;
            match answer.map(|incoming| incoming.report) {
                Some(Report::Spawned { .. }) => return Ok(()),
                Some(Report::Refused { error, .. }) => return Err(io::Error::other(error)),
                // An earlier helper has done its work.
                Some(Report::Exited { .. } | Report::Ready { .. }) => {}
                None => return Err(io::Error::other("the reaper is gone")),
            }
        }
    }

    /// Whether it is the first process of a PID namespace, so that nobody outlives it.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.is_first
    }

    /// The process id of the reaper.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The program that it was started as.
    #[must_use]
    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// The connection.
    pub(in crate::cluster) fn socket(&self) -> io::Result<&Arc<Socket>> {
        self.socket
            .as_ref()
            .ok_or_else(|| io::Error::other("the reaper was dismissed"))
    }

    /// Closes the connection, whoever else refers to it, so that the reaper kills everybody and
    /// ends, and waits for that.
    ///
    /// # Errors
    /// If the reaper does not end in time.
    pub(in crate::cluster) fn dismiss(&mut self) -> io::Result<()> {
        let Some(socket) = self.socket.take() else {
            return Ok(());
        };
        socket.0.close();
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a process id out of range"))?;
        // We have not reaped it, so the number is its own.
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let mut fds = [rustix::event::PollFd::new(
            &pidfd,
            rustix::event::PollFlags::IN,
        )];
        let patience = rustix::time::Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
        if rustix::event::poll(&mut fds, Some(&patience))? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the reaper does not end",
            ));
        }
        self.child.wait().map(drop)
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // The reaper goes on by itself even if we cannot wait for it.
        let _ = self.dismiss();
    }
}

impl Socket {
    /// Asks for a process.
    pub(in crate::cluster) async fn ask(
        &self,
        spawn: &Spawn,
        stdin: Option<&OwnedFd>,
    ) -> io::Result<()> {
        self.0.send(&serde_json::to_vec(spawn)?, stdin).await
    }

    /// The next report; `None` when the reaper is gone.
    pub(in crate::cluster) async fn receive(&self) -> io::Result<Option<Incoming>> {
        let Some((bytes, pidfd)) = self.0.receive().await? else {
            return Ok(None);
        };
        let report = serde_json::from_slice(&bytes)?;
        Ok(Some(Incoming { report, pidfd }))
    }
}
