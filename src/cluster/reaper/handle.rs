//! The harness's end of the reaper.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown,
    socketpair,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::{MESSAGE_MAX, REAPER_COMMAND, Report, Spawn};

/// How long a reaper may take to start, or to kill everybody and end (it needs milliseconds).
const PATIENCE: Duration = Duration::from_secs(10);

/// The reaper process. Dropping it kills everything that it spawned, and waits for that.
#[derive(Debug)]
pub struct Reaper {
    socket: Option<Arc<Socket>>,
    child: Child,
    executable: PathBuf,
}

/// The connection with the reaper, shared by who asks and who listens.
#[derive(Debug)]
pub(in crate::cluster) struct Socket(AsyncFd<OwnedFd>);

/// A report as it arrives.
#[derive(Debug)]
pub(in crate::cluster) struct Incoming {
    pub(in crate::cluster) report: Report,
    /// The pidfd of a spawned process.
    pub(in crate::cluster) pidfd: Option<OwnedFd>,
}

impl Reaper {
    /// Starts `executable __reaper` and waits until it is ready. `executable` is this program
    /// (`std::env::current_exe`), whose `main` must call [`super::reaper_main`] for that argument.
    /// Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If it cannot be started or is not ready in time.
    pub async fn start(executable: &Path) -> io::Result<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let child = Command::new(executable)
            .arg(REAPER_COMMAND)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; an OwnedFd keeps every promise"
        )]
        let socket = Socket(AsyncFd::new(ours)?);
        let reaper = Self {
            socket: Some(Arc::new(socket)),
            child,
            executable: executable.to_owned(),
        };
        let first = timeout(PATIENCE, reaper.socket()?.receive())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the reaper does not answer"))??;
        match first.map(|incoming| incoming.report) {
            Some(Report::Ready) => Ok(reaper),
            Some(other) => Err(io::Error::other(format!("the reaper said {other:?} first"))),
            None => Err(io::Error::other("the reaper ended at once")),
        }
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
        // It fails only where the reaper has closed its end already.
        let _ = shutdown(socket.0.get_ref(), Shutdown::Both);
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
        let bytes = serde_json::to_vec(spawn)?;
        if bytes.len() > MESSAGE_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "arguments and environment of {} bytes are too long",
                    bytes.len()
                ),
            ));
        }
        let sent = self
            .0
            .async_io(Interest::WRITABLE, |fd| {
                send_now(fd, &bytes, stdin.map(AsFd::as_fd))
            })
            .await?;
        debug_assert_eq!(sent, bytes.len(), "a packet is sent whole");
        Ok(())
    }

    /// The next report; `None` when the reaper is gone.
    pub(in crate::cluster) async fn receive(&self) -> io::Result<Option<Incoming>> {
        self.0.async_io(Interest::READABLE, receive_now).await
    }
}

fn send_now(to: &OwnedFd, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd]);
    if let Some(fds) = &fds
        && !control.push(SendAncillaryMessage::ScmRights(fds))
    {
        return Err(io::Error::other("a descriptor does not fit"));
    }
    let slices = [IoSlice::new(bytes)];
    Ok(sendmsg(to, &slices, &mut control, SendFlags::NOSIGNAL)?)
}

fn receive_now(fd: &OwnedFd) -> io::Result<Option<Incoming>> {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let received = match recvmsg(fd, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
        Ok(received) => received,
        Err(rustix::io::Errno::CONNRESET) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let pidfd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    if received.bytes == 0 {
        return Ok(None);
    }
    let report = serde_json::from_slice(&bytes[..received.bytes])?;
    Ok(Some(Incoming { report, pidfd }))
}
