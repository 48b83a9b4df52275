//! Cuts what a socket gives into frames: `[u32 length][body]`, big endian.

use std::io;

use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes received and not yet taken as a frame.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
    taken: usize,
}

impl FrameBuffer {
    /// Waits until the socket has something and takes it. 0 is the end.
    pub(super) async fn fill(&mut self, stream: &TcpStream) -> io::Result<usize> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.reserve(CHUNK);
        let room = self.bytes.capacity() - self.bytes.len();
        loop {
            stream.readable().await?;
            match stream.try_read_buf(&mut self.bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) if 0 < count && count < room => {
                    // The socket was empty then: saying so saves the system call that would tell.
                    // What came since is announced later, because the runtime asks the kernel on
                    // this very thread only.
                    let emptied = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _ = stream.try_io(Interest::READABLE, emptied);
                    return Ok(count);
                }
                result => return result,
            }
        }
    }

    /// The first four bytes, without taking them.
    pub(super) fn first(&self) -> Option<[u8; 4]> {
        self.bytes[self.taken..].first_chunk().copied()
    }

    /// The body of the next whole frame; `None` if it is not whole yet.
    pub(super) fn next(&mut self, most: usize) -> Result<Option<&[u8]>, OutOfBounds> {
        let Some(prefix) = self.first() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
        if length > most {
            return Err(OutOfBounds);
        }
        let start = self.taken + prefix.len();
        let body = self.bytes.get(start..start + length);
        if body.is_some() {
            self.taken = start + length;
        }
        Ok(body)
    }
}

/// A frame claims to be longer than is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfBounds;

/// How much room is made for one read: some hundred small frames.
const CHUNK: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_wherever_the_bytes_were_split() {
        let stream = b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c";
        for split in 0..stream.len() {
            let mut buffer = FrameBuffer::default();
            let mut frames = Vec::new();
            for part in [&stream[..split], &stream[split..]] {
                buffer.bytes.extend_from_slice(part);
                while let Some(frame) = buffer.next(2).unwrap() {
                    frames.push(frame.to_vec());
                }
            }
            assert_eq!(frames, [b"ab".to_vec(), Vec::new(), b"c".to_vec()]);
        }
    }

    #[test]
    fn a_frame_past_the_bound_is_refused_before_it_is_read() {
        let mut buffer = FrameBuffer::default();
        buffer.bytes.extend_from_slice(b"\0\0\0\x03");
        assert_eq!(buffer.next(2), Err(OutOfBounds));
        assert_eq!(buffer.next(3), Ok(None));
    }
}
