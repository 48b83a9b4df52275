//! The writing side of a connection, and its end.
//!
//! Bytes are gathered and written at once without waiting; only what the socket does not take goes to
//! a task that waits for room. Dropping a connection closes it after what was written.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// An open connection, owned by the loop.
#[derive(Debug)]
pub struct Connection {
    stream: Arc<TcpStream>,
    reader: AbortHandle,
    gathered: Vec<u8>,
    waiting: Arc<AtomicUsize>,
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    queue: mpsc::UnboundedSender<Job>,
    task: AbortHandle,
}

#[derive(Debug)]
enum Job {
    Write(Vec<u8>),
    Signal(oneshot::Sender<()>),
    Finish,
}

impl Connection {
    /// Takes over a socket and starts the task that reads it.
    pub fn start<F>(stream: TcpStream, read: impl FnOnce(Arc<TcpStream>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stream = Arc::new(stream);
        let reader = tokio::spawn(read(Arc::clone(&stream))).abort_handle();
        Self {
            stream,
            reader,
            gathered: Vec::new(),
            waiting: Arc::default(),
            writer: None,
        }
    }

    /// Where to append what the next [`Connection::flush`] writes.
    pub const fn gathered(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Writes what was gathered. Gives how many bytes wait for room in the socket, so that the owner
    /// can bound them. Errors show on the reading side.
    pub fn flush(&mut self) -> usize {
        if self.gathered.is_empty() {
            return self.waiting.load(Ordering::Relaxed);
        }
        let mut written = 0;
        if self.waiting.load(Ordering::Relaxed) == 0 {
            while written < self.gathered.len() {
                match self.stream.try_write(&self.gathered[written..]) {
                    Ok(count) => written += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => written = self.gathered.len(),
                }
            }
        }
        let rest = self.gathered.split_off(written);
        self.gathered.clear();
        if rest.is_empty() {
            return 0;
        }
        let waiting = self.waiting.fetch_add(rest.len(), Ordering::Relaxed) + rest.len();
        self.give(Job::Write(rest));
        waiting
    }

    /// Ends when everything that was flushed until now is in the socket, or the connection is broken.
    pub fn written(&mut self) -> oneshot::Receiver<()> {
        let (sender, written) = oneshot::channel();
        self.give(Job::Signal(sender));
        written
    }

    /// Closes at once: what is not yet sent is lost, and the other side sees a reset.
    pub fn reset(self) {
        // If the option cannot be set the socket is gone already.
        let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
        if let Some(writer) = &self.writer {
            writer.task.abort();
        }
    }

    /// Closes after everything gathered was sent.
    pub fn finish(mut self) {
        self.flush();
        self.reader.abort();
        self.give(Job::Finish);
    }

    fn give(&mut self, job: Job) {
        let writer = self.writer.get_or_insert_with(|| {
            let (queue, jobs) = mpsc::unbounded_channel();
            let stream = Arc::clone(&self.stream);
            let task = tokio::spawn(write(stream, jobs, Arc::clone(&self.waiting))).abort_handle();
            Writer { queue, task }
        });
        // The task ends by itself only after an error, which the reading side reports.
        let _ = writer.queue.send(job);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn write(
    stream: Arc<TcpStream>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    waiting: Arc<AtomicUsize>,
) {
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Write(bytes) => {
                if write_all(&stream, &bytes).await.is_err() {
                    return;
                }
                waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
            }
            // Who waited may be gone.
            Job::Signal(sender) => _ = sender.send(()),
            Job::Finish => {
                let _ = timeout(FAREWELL, say_goodbye(&stream)).await;
                return;
            }
        }
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends the writing side and reads until the other side ends too. Closing a socket with unread bytes
/// would send a reset, which can overtake the last answer.
async fn say_goodbye(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(std::net::Shutdown::Write)?;
    let mut unread = [0; 1024];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut unread) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// How long the other side may take to close.
const FAREWELL: Duration = Duration::from_secs(1);
