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
use crate::link::{
    Calibration, DropLayer, Endpoint, LinkId, Links, Rule, SelfTest, calibration, compare,
};
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
            Self::Proxy(links) => Crossed::of(&links.set_rules(rules).await?, |c| c.named()),
            Self::Packet(switch) => Crossed::of(&switch.set(rules).await?, |c| c.named()),
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

    /// Measures what it adds to a round trip between a client and a node, and what a delay and a
    /// loss do. No rules may be in force, and none are afterwards.
    ///
    /// # Errors
    /// If connections cannot be made or are too slow to measure.
    pub async fn self_test(&self) -> io::Result<SelfTest> {
        match self {
            Self::Proxy(links) => links.self_test().await,
            Self::Packet(switch) => timeout(PATIENCE, test_packets(switch)).await?,
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

/// Between the clients and the first node, against loopback. No rules may be in force, and none
/// are afterwards.
async fn test_packets(switch: &Switch) -> io::Result<SelfTest> {
    let tested = test_under_rules(switch).await;
    let passing = switch.set(BTreeMap::new()).await;
    passing.map_err(io::Error::other)?;
    tested
}

async fn test_under_rules(switch: &Switch) -> io::Result<SelfTest> {
    let made = |endpoint| async move { switch.socket(endpoint).await.map_err(io::Error::other) };
    let loopback = || TcpSocket::new_v4();
    let mut direct = meet(loopback()?, loopback()?, Ipv4Addr::LOCALHOST.into()).await?;
    let (dialer, target) = (made(Endpoint::Clients).await?, made(FIRST).await?);
    let mut switched = meet(dialer, target, address(FIRST).into()).await?;
    let (direct, proxied) = compare(&mut direct, &mut switched).await?;
    obey(switch, calibration::DELAY).await?;
    let delayed = calibration::delayed(&mut switched).await?;
    obey(switch, calibration::loss(DropLayer::Packet)).await?;
    let (sent, arrived) = datagrams(switch).await?;
    Ok(SelfTest {
        direct,
        proxied,
        calibration: Calibration::new(proxied, delayed, sent, arrived),
    })
}

/// A rule between the clients and the first node, and no others.
async fn obey(switch: &Switch, rule: Rule) -> io::Result<()> {
    let forth = LinkId::new(Endpoint::Clients, FIRST);
    let both = [forth, forth.reversed()].map(|link| (link, vec![rule]));
    let obeyed = switch.set(both.into()).await;
    obeyed.map(drop).map_err(io::Error::other)
}

/// Sends datagrams, few at a time so that no queue overflows. Returns how many, and how many
/// arrived.
async fn datagrams(switch: &Switch) -> io::Result<(u32, u32)> {
    let made = |endpoint| async move { switch.datagrams(endpoint).await.map_err(io::Error::other) };
    let (from, to) = (made(Endpoint::Clients).await?, made(FIRST).await?);
    from.connect(to.local_addr()?).await?;
    let (mut arrived, mut crossed) = (0, packets(switch).await?);
    for _ in 0..VOLLEYS {
        for _ in 0..VOLLEY {
            from.send(b"calibration").await?;
        }
        crossed += u64::from(VOLLEY);
        // The switch hands on a packet before it counts it for others to see.
        while packets(switch).await? < crossed {}
        while to.try_recv(&mut [0; 16]).is_ok() {
            arrived += 1;
        }
    }
    Ok((VOLLEYS * VOLLEY, arrived))
}

/// How many have come from the clients for the first node.
async fn packets(switch: &Switch) -> io::Result<u64> {
    let counters = switch.counters().await.map_err(io::Error::other)?;
    let forth = LinkId::new(Endpoint::Clients, FIRST);
    Ok(counters.get(&forth).map_or(0, |counters| counters.packets))
}

const FIRST: Endpoint = Endpoint::Node(NodeId(1));
const VOLLEY: u32 = 50;
const VOLLEYS: u32 = 40;

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

/// The self-test takes some three hundred milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
