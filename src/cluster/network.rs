//! The network between nodes and clients: proxied streams, or packets between namespaces.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::answer::ClusterError;
use super::crossed::Crossed;
use crate::id::NodeId;
use crate::link::{Endpoint, LinkId, Links, Rule, SelfTest, compare};
use crate::packet::{Switch, address};
use crate::space::Where;

/// What carries the cluster's data, and can be told to do so badly.
#[derive(Debug, Clone)]
pub enum Network {
    /// A proxy for each connection.
    Proxy(Arc<Links>),
    /// A switch between the nodes' own networks.
    Packet(Arc<Switch>),
}

impl Network {
    /// These rules are in force from now on, and no others. Returns what had crossed each link at
    /// that instant.
    ///
    /// # Errors
    /// If one cannot be obeyed here, or nobody confirms it.
    pub async fn set_rules(
        &self,
        rules: BTreeMap<LinkId, Vec<Rule>>,
    ) -> Result<Crossed, ClusterError> {
        Ok(match self {
            Self::Proxy(links) => {
                let crossed = links.set_rules(rules).await?;
                Crossed::of(
                    crossed
                        .iter()
                        .map(|(link, counters)| (*link, counters.named())),
                )
            }
            Self::Packet(switch) => {
                let crossed = switch.set(rules).await?;
                Crossed::of(
                    crossed
                        .iter()
                        .map(|(link, counters)| (*link, counters.named())),
                )
            }
        })
    }

    /// Resets connections at both ends; returns how many.
    ///
    /// # Errors
    /// If that cannot be done here.
    pub async fn reset(&self, links: &[LinkId]) -> Result<usize, ClusterError> {
        match self {
            Self::Proxy(proxy) => Ok(proxy.reset(links).await?),
            Self::Packet(_) => Err(ClusterError::NoStreams("reset")),
        }
    }

    /// Leaves connections half open; returns how many.
    ///
    /// # Errors
    /// If that cannot be done here.
    pub async fn half_open(&self, links: &[LinkId]) -> Result<usize, ClusterError> {
        match self {
            Self::Proxy(proxy) => Ok(proxy.half_open(links).await?),
            Self::Packet(_) => Err(ClusterError::NoStreams("half_open")),
        }
    }

    /// Measures what it adds to a round trip between a client and a node.
    ///
    /// # Errors
    /// If connections cannot be made or are too slow to measure.
    pub async fn self_test(&self) -> io::Result<SelfTest> {
        match self {
            Self::Proxy(links) => links.self_test().await,
            Self::Packet(switch) => timeout(PATIENCE, compare_packets(switch)).await?,
        }
    }

    /// The process of a node was started or is gone. Packets find that out by themselves.
    pub(super) fn set_running(&self, node: NodeId, running: bool) {
        match self {
            Self::Proxy(links) => links.set_running(node, running),
            Self::Packet(_) => {}
        }
    }

    /// Where the process of a node must be started.
    pub(super) fn place(&self, node: NodeId) -> Where {
        match self {
            Self::Proxy(_) => Where::default(),
            Self::Packet(switch) => switch.place(node),
        }
    }

    /// Where a helper of a node must be started that makes further namespaces.
    pub(super) fn place_of_helpers(&self) -> Where {
        match self {
            Self::Proxy(_) => Where::default(),
            Self::Packet(switch) => switch.place_of_helpers(),
        }
    }

    /// Whether its nodes have networks of their own, which nobody else can reach.
    pub(super) const fn is_apart(&self) -> bool {
        matches!(self, Self::Packet(_))
    }
}

/// Between the clients and the first node, against loopback.
async fn compare_packets(switch: &Switch) -> io::Result<SelfTest> {
    const FIRST: Endpoint = Endpoint::Node(NodeId(1));
    let made = |endpoint| async move { switch.socket(endpoint).await.map_err(io::Error::other) };
    let loopback = || TcpSocket::new_v4();
    let direct = meet(loopback()?, loopback()?, Ipv4Addr::LOCALHOST.into()).await?;
    let (dialer, target) = (made(Endpoint::Clients).await?, made(FIRST).await?);
    let switched = meet(dialer, target, address(FIRST).into()).await?;
    compare(direct, switched).await
}

/// Connects two sockets at this address of the second.
async fn meet(
    dialer: TcpSocket,
    target: TcpSocket,
    at: IpAddr,
) -> io::Result<(tokio::net::TcpStream, tokio::net::TcpStream)> {
    target.bind(SocketAddr::new(at, 0))?;
    let listener = target.listen(1)?;
    let dialed = dialer.connect(listener.local_addr()?);
    let (dialer, accepted) = tokio::try_join!(dialed, listener.accept())?;
    Ok((dialer, accepted.0))
}

/// The self-test takes some ten milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
