//! Sockets: connections to peers and clients, cut into frames, with bounded buffers.
//!
//! Tasks read and hand events to the one loop; the loop writes. Nothing here knows what a frame says.

mod buffer;
mod clients;
mod connection;
mod listener;
mod peers;

pub use clients::{ClientEvent, accept_clients, read_client};
pub use connection::Connection;
pub use listener::listen;
pub use peers::{PeerEvent, accept_peers, dial, read_peer};
