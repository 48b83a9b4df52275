//! Connections between nodes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::buffer::FrameBuffer;
use crate::protocol::io::BreakReason;
use crate::protocol::message::Frame;
use crate::protocol::wire;
use crate::protocol::zxid::{ConnId, Sid};

/// What happens on connections between nodes.
#[derive(Debug)]
pub enum PeerEvent {
    /// One is open; nothing is read from it yet.
    Opened {
        /// Its number.
        conn: ConnId,
        /// The peer, if this node dialled.
        dialed: Option<Sid>,
        /// The socket.
        stream: TcpStream,
    },
    /// A frame arrived.
    Frame {
        /// On which connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// One is gone.
    Closed {
        /// Which.
        conn: ConnId,
        /// How.
        reason: BreakReason,
    },
    /// A dial failed.
    DialFailed {
        /// Who was dialled.
        peer: Sid,
        /// Why.
        reason: BreakReason,
    },
}

/// Accepts connections for as long as somebody listens to `events`.
pub async fn accept_peers(listener: TcpListener, ids: Arc<AtomicU64>, events: Sender<PeerEvent>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let conn = ConnId(ids.fetch_add(1, Ordering::Relaxed));
                let opened = opened(conn, None, stream);
                if events.send(opened).await.is_err() {
                    return;
                }
            }
            // Out of descriptors, most likely: trying at once would spin.
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Dials a peer and reports how that went.
pub async fn dial(peer: Sid, address: SocketAddr, ids: Arc<AtomicU64>, events: Sender<PeerEvent>) {
    let event = match timeout(DIAL_PATIENCE, TcpStream::connect(address)).await {
        // A dial to a free port of the ephemeral range can meet itself.
        Ok(Ok(stream)) if stream.local_addr().is_ok_and(|own| own == address) => {
            let reason = BreakReason::Refused;
            PeerEvent::DialFailed { peer, reason }
        }
        Ok(Ok(stream)) => {
            let conn = ConnId(ids.fetch_add(1, Ordering::Relaxed));
            opened(conn, Some(peer), stream)
        }
        Ok(Err(error)) => {
            let reason = if error.kind() == io::ErrorKind::ConnectionRefused {
                BreakReason::Refused
            } else {
                BreakReason::Reset
            };
            PeerEvent::DialFailed { peer, reason }
        }
        Err(_) => {
            let reason = BreakReason::Timeout;
            PeerEvent::DialFailed { peer, reason }
        }
    };
    // If nobody listens the node is ending.
    let _ = events.send(event).await;
}

/// Reads frames until the connection ends, and reports that too.
pub async fn read_peer(stream: Arc<TcpStream>, conn: ConnId, events: Sender<PeerEvent>) {
    let mut buffer = FrameBuffer::default();
    let reason = loop {
        match buffer.fill(&stream).await {
            Ok(0) => break BreakReason::Eof,
            Ok(_) => {}
            Err(_) => break BreakReason::Reset,
        }
        if !take_frames(&mut buffer, conn, &events).await {
            break BreakReason::Reset;
        }
    };
    let _ = events.send(PeerEvent::Closed { conn, reason }).await;
}

/// Hands on what is whole. False for bytes that are not ours.
async fn take_frames(buffer: &mut FrameBuffer, conn: ConnId, events: &Sender<PeerEvent>) -> bool {
    loop {
        let frame = match buffer.next(wire::MAX_BODY) {
            Ok(Some(body)) => wire::decode(body),
            Ok(None) => return true,
            Err(_) => return false,
        };
        let Ok(frame) = frame else {
            return false;
        };
        if events.send(PeerEvent::Frame { conn, frame }).await.is_err() {
            return false;
        }
    }
}

fn opened(conn: ConnId, dialed: Option<Sid>, stream: TcpStream) -> PeerEvent {
    // Without it small frames would wait for acknowledgements; failing only costs latency.
    let _ = stream.set_nodelay(true);
    PeerEvent::Opened {
        conn,
        dialed,
        stream,
    }
}

/// A peer on a healthy network answers in far less.
const DIAL_PATIENCE: Duration = Duration::from_millis(250);
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
