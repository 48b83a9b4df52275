//! How the harness dials: from where it is, or from another network.
//!
//! The kernel binds a socket to the network of whoever makes it, not of whoever uses it. So
//! somebody over there makes sockets and hands them over, and the harness connects them itself.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::{TcpSocket, TcpStream};

/// Somebody who makes sockets in other networks.
#[async_trait]
pub trait Sockets: Debug + Send + Sync {
    /// A socket from which `addr` can be reached, and the address to which it is to be connected.
    ///
    /// # Errors
    /// If none can be had.
    async fn socket_to(&self, addr: SocketAddr) -> io::Result<(TcpSocket, SocketAddr)>;
}

/// Dials from the harness's own network, or from others.
#[derive(Debug, Clone, Default)]
pub struct Dialer(Option<Arc<dyn Sockets>>);

impl Dialer {
    /// A dialer that has its sockets made elsewhere.
    #[must_use]
    pub fn elsewhere(sockets: Arc<dyn Sockets>) -> Self {
        Self(Some(sockets))
    }

    /// Connects to `addr`.
    ///
    /// # Errors
    /// As of [`TcpStream::connect`].
    pub async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        match &self.0 {
            None => TcpStream::connect(addr).await,
            Some(sockets) => {
                let (socket, addr) = sockets.socket_to(addr).await?;
                socket.connect(addr).await
            }
        }
    }
}
