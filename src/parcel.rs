//! Messages between processes of the harness: over a SEQPACKET pair each arrives whole, and one
//! open file may come along.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown,
    socketpair,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The longest message, in bytes; below the kernel's default socket buffer.
pub const LONGEST: usize = 128 * 1024;

/// A pair of connected sockets, which children do not inherit.
///
/// # Errors
/// If the kernel has none left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(socketpair(family, kind, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message.
///
/// # Errors
/// If it is too long, or the other side is gone.
pub fn send(to: impl AsFd, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<()> {
    if bytes.len() > LONGEST {
        let message = format!("a message of {} bytes is too long", bytes.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = file.map(|file| [file]);
    if let Some(files) = &files
        && !control.push(SendAncillaryMessage::ScmRights(files))
    {
        return Err(io::Error::other("a descriptor does not fit"));
    }
    let slices = [IoSlice::new(bytes)];
    let sent = sendmsg(to, &slices, &mut control, SendFlags::NOSIGNAL)?;
    debug_assert_eq!(sent, bytes.len(), "a message is sent whole");
    Ok(())
}

/// Receives one message into a buffer of [`LONGEST`] bytes: its length, and the file that came
/// along. `None` when the other side is gone.
///
/// # Errors
/// If the socket fails.
pub fn receive(from: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<(usize, Option<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = match recvmsg(from, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
        Ok(received) => received,
        Err(rustix::io::Errno::CONNRESET) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    Ok((received.bytes > 0).then_some((received.bytes, file)))
}

/// One end of a pair inside a tokio runtime, shared by who asks and who listens.
#[derive(Debug)]
pub struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    /// Takes over one end. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&end, true)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; an OwnedFd keeps every promise"
        )]
        let end = AsyncFd::new(end)?;
        Ok(Self(end))
    }

    /// As [`send`].
    ///
    /// # Errors
    /// As [`send`].
    pub async fn send(&self, bytes: &[u8], file: Option<&OwnedFd>) -> io::Result<()> {
        let send = |end: &OwnedFd| send(end, bytes, file.map(AsFd::as_fd));
        self.0.async_io(Interest::WRITABLE, send).await
    }

    /// As [`receive`].
    ///
    /// # Errors
    /// As [`receive`].
    pub async fn receive(&self) -> io::Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
        let receive = |end: &OwnedFd| {
            let mut buffer = vec![0; LONGEST];
            let received = receive(end, &mut buffer)?;
            Ok(received.map(|(length, file)| {
                buffer.truncate(length);
                (buffer, file)
            }))
        };
        self.0.async_io(Interest::READABLE, receive).await
    }

    /// Closes the connection, whoever else refers to this end.
    pub fn close(&self) {
        // It fails only where the other side has closed already.
        let _ = shutdown(self.0.get_ref(), Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_whole_with_their_file_and_an_end_is_seen() {
        let (one, other) = pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        send(&one, b"with a file", Some(null.as_fd())).unwrap();
        send(&one, b"without", None).unwrap();
        assert!(send(&one, &vec![0; LONGEST + 1], None).is_err());
        drop(one);
        let mut buffer = vec![0; LONGEST];
        let (length, file) = receive(&other, &mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..length], b"with a file");
        assert!(file.is_some());
        let (length, file) = receive(&other, &mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..length], b"without");
        assert!(file.is_none());
        assert!(receive(&other, &mut buffer).unwrap().is_none());
    }
}
