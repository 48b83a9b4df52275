//! Connections of clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::buffer::FrameBuffer;
use super::peers::ACCEPT_PAUSE;
use crate::client::{MAX_REQUEST, is_word};
use crate::protocol::zxid::ConnId;

/// What happens on connections of clients.
#[derive(Debug)]
pub enum ClientEvent {
    /// One is open; nothing is read from it yet.
    Opened {
        /// Its number.
        conn: ConnId,
        /// The socket.
        stream: TcpStream,
        /// Where the client is.
        address: SocketAddr,
    },
    /// A frame arrived.
    Frame {
        /// On which connection.
        conn: ConnId,
        /// Its body.
        body: Vec<u8>,
    },
    /// The connection began with four letters instead of a frame.
    Word {
        /// Which connection.
        conn: ConnId,
        /// The letters.
        word: [u8; 4],
    },
    /// The answers that were held up by a full socket can go on.
    Written {
        /// On which connection.
        conn: ConnId,
    },
    /// One is gone, or sent what is not a frame.
    Closed {
        /// Which.
        conn: ConnId,
    },
}

/// Accepts connections for as long as somebody listens to `events`.
pub async fn accept_clients(
    listener: TcpListener,
    ids: Arc<AtomicU64>,
    events: Sender<ClientEvent>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Failing only costs latency.
                let _ = stream.set_nodelay(true);
                let conn = ConnId(ids.fetch_add(1, Ordering::Relaxed));
                let opened = ClientEvent::Opened {
                    conn,
                    stream,
                    address,
                };
                if events.send(opened).await.is_err() {
                    return;
                }
            }
            // Out of descriptors, most likely: trying at once would spin.
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Reads a word or frames until the connection ends, and reports that too. Each frame takes a permit;
/// the loop gives it back with the answer. That bounds what one client may have outstanding.
pub async fn read_client(
    stream: Arc<TcpStream>,
    conn: ConnId,
    permits: Arc<Semaphore>,
    events: Sender<ClientEvent>,
) {
    let mut buffer = FrameBuffer::default();
    let mut is_first = true;
    while let Ok(1..) = buffer.fill(&stream).await {
        if is_first && let Some(first) = buffer.first() {
            is_first = false;
            if is_word(first) {
                // The loop answers and ends the connection, and this task with it.
                let word = ClientEvent::Word { conn, word: first };
                let _ = events.send(word).await;
                return;
            }
        }
        if !take_frames(&mut buffer, conn, &permits, &events).await {
            break;
        }
    }
    let _ = events.send(ClientEvent::Closed { conn }).await;
}

/// Hands on what is whole. False for bytes that are not a frame.
async fn take_frames(
    buffer: &mut FrameBuffer,
    conn: ConnId,
    permits: &Semaphore,
    events: &Sender<ClientEvent>,
) -> bool {
    loop {
        let body = match buffer.next(MAX_REQUEST) {
            Ok(Some(body)) => body.to_vec(),
            Ok(None) => return true,
            Err(_) => return false,
        };
        let Ok(permit) = permits.acquire().await else {
            return false;
        };
        permit.forget();
        if events
            .send(ClientEvent::Frame { conn, body })
            .await
            .is_err()
        {
            return false;
        }
    }
}
