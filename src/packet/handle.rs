//! The harness's end of the switch.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::wire::{Command, Counters, Report, Transport};
use super::{address, is_inside};
use crate::dial::Sockets;
use crate::id::NodeId;
use crate::link::{DropLayer, Endpoint, LinkId, Rule};
use crate::parcel;
use crate::space::Where;

/// How long it may take to make the networks, or to obey.
const WITHIN: Duration = Duration::from_secs(10);

/// Why the switch does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// This machine cannot have one.
    #[error(
        "`network: packet` needs network namespaces, which cannot be had here ({0}): run as root, \
         allow user namespaces, or write `network: proxy`"
    )]
    Unavailable(String),
    /// It is gone, or does not answer.
    #[error("the packet switch does not answer: {0}")]
    Gone(io::Error),
    /// It tried.
    #[error("the packet switch: {0}")]
    Failed(String),
    /// A rule of streams, where there are only packets.
    #[error("{link} carries packets: {rule} needs `network: proxy`")]
    NotOfPackets {
        /// Which link.
        link: LinkId,
        /// What cannot be done.
        rule: &'static str,
    },
}

/// A switch that forwards. The networks vanish when it is dropped and nobody is in them any more.
#[derive(Debug)]
pub struct Switch {
    conversation: Mutex<parcel::Socket>,
    user: Option<PathBuf>,
    networks: BTreeMap<Endpoint, PathBuf>,
}

impl Switch {
    /// Takes up the conversation with a switch that is being started at the other end of the
    /// socket. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If there can be none here, or it does not come up in time.
    pub async fn attach(socket: OwnedFd) -> Result<Self, SwitchError> {
        let socket = parcel::Socket::new(socket).map_err(SwitchError::Gone)?;
        match receive(&socket).await?.0 {
            Report::Ready {
                pid,
                user,
                networks,
            } => {
                let path = |place: String| PathBuf::from(format!("/proc/{pid}/{place}"));
                let networks = networks.into_iter();
                Ok(Self {
                    conversation: Mutex::new(socket),
                    user: user.then(|| path("ns/user".to_owned())),
                    networks: networks
                        .map(|(end, fd)| (end, path(format!("fd/{fd}"))))
                        .collect(),
                })
            }
            report => Err(strange(report)),
        }
    }

    /// Where the process of a node must be started.
    #[must_use]
    pub fn place(&self, node: NodeId) -> Where {
        let network = self.networks.get(&Endpoint::Node(node));
        let spaces = self.user.iter().chain(network).cloned().collect();
        Where { spaces }
    }

    /// Where a helper of a node must be started that makes further namespaces.
    #[must_use]
    pub fn place_of_helpers(&self) -> Where {
        let spaces = self.user.iter().cloned().collect();
        Where { spaces }
    }

    /// These rules are in force from now on, and no others: for all packets that the switch has
    /// not forwarded yet. Returns what had crossed each link at that instant.
    ///
    /// # Errors
    /// If a rule is none of packets, or the switch does not confirm it.
    pub async fn set(
        &self,
        rules: BTreeMap<LinkId, Vec<Rule>>,
    ) -> Result<BTreeMap<LinkId, Counters>, SwitchError> {
        for (link, rule) in rules
            .iter()
            .flat_map(|(l, rules)| rules.iter().map(move |r| (l, r)))
        {
            if let Some(rule) = of_streams(rule) {
                return Err(SwitchError::NotOfPackets { link: *link, rule });
            }
        }
        let command = Command::Set(rules.into_iter().collect());
        self.counted(&command).await
    }

    /// What crossed each link so far.
    ///
    /// # Errors
    /// If the switch does not answer.
    pub async fn counters(&self) -> Result<BTreeMap<LinkId, Counters>, SwitchError> {
        self.counted(&Command::Count).await
    }

    async fn counted(&self, command: &Command) -> Result<BTreeMap<LinkId, Counters>, SwitchError> {
        match self.ask(command).await?.0 {
            Report::Counted(counted) => Ok(counted.into_iter().collect()),
            report => Err(strange(report)),
        }
    }

    /// A TCP socket in the network of an endpoint, which may be connected or bound from here.
    ///
    /// # Errors
    /// If the switch has none.
    pub async fn socket(&self, of: Endpoint) -> Result<TcpSocket, SwitchError> {
        let socket = self.made(of, Transport::Stream).await?;
        Ok(TcpSocket::from_std_stream(socket.into()))
    }

    /// A UDP socket in the network of an endpoint, bound to a free port of its address.
    ///
    /// # Errors
    /// If the switch has none, or no port is free.
    pub async fn datagrams(&self, of: Endpoint) -> Result<UdpSocket, SwitchError> {
        let socket = self.made(of, Transport::Datagram).await?;
        let bound = rustix::net::bind(&socket, &SocketAddr::new(address(of).into(), 0));
        bound.map_err(|error| SwitchError::Gone(error.into()))?;
        UdpSocket::from_std(socket.into()).map_err(SwitchError::Gone)
    }

    async fn made(&self, of: Endpoint, transport: Transport) -> Result<OwnedFd, SwitchError> {
        match self.ask(&Command::Socket(of, transport)).await? {
            (Report::Socket, Some(socket)) => Ok(socket),
            (report, _) => Err(strange(report)),
        }
    }

    async fn ask(&self, command: &Command) -> Result<(Report, Option<OwnedFd>), SwitchError> {
        let bytes = serde_json::to_vec(command).map_err(|e| SwitchError::Gone(e.into()))?;
        let conversation = self.conversation.lock().await;
        let sent = conversation.send(&bytes, None).await;
        sent.map_err(SwitchError::Gone)?;
        receive(&conversation).await
    }
}

#[async_trait]
impl Sockets for Switch {
    /// Clients reach nodes over their wires, the harness itself from inside.
    async fn socket_to(&self, addr: SocketAddr) -> io::Result<(TcpSocket, SocketAddr)> {
        let inside = match addr.ip() {
            IpAddr::V4(ip) => is_inside(ip),
            IpAddr::V6(_) => None,
        };
        let (from, ip) = match inside {
            Some(node) => (Endpoint::Node(node), address(Endpoint::Node(node)).into()),
            None => (Endpoint::Clients, addr.ip()),
        };
        let socket = self.socket(from).await.map_err(io::Error::other)?;
        Ok((socket, SocketAddr::new(ip, addr.port())))
    }
}

/// What a rule is called that only a proxy can follow.
const fn of_streams(rule: &Rule) -> Option<&'static str> {
    match rule {
        Rule::Corrupt { .. } => Some("`corrupt`"),
        Rule::Drop {
            layer: DropLayer::Stall,
            ..
        } => Some("`layer: stall`"),
        Rule::Drop {
            layer: DropLayer::Corrupt,
            ..
        } => Some("`layer: corrupt`"),
        _ => None,
    }
}

async fn receive(socket: &parcel::Socket) -> Result<(Report, Option<OwnedFd>), SwitchError> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "not in time");
    let received = timeout(WITHIN, socket.receive()).await;
    let received = received.map_err(|_| SwitchError::Gone(late()))?;
    let received = received.map_err(SwitchError::Gone)?;
    let ended = || SwitchError::Gone(io::Error::other("its process has ended"));
    let (bytes, file) = received.ok_or_else(ended)?;
    let report = serde_json::from_slice(&bytes).map_err(|e| SwitchError::Gone(e.into()))?;
    Ok((report, file))
}

fn strange(report: Report) -> SwitchError {
    match report {
        Report::Unavailable(why) => SwitchError::Unavailable(why),
        Report::Failed(why) => SwitchError::Failed(why),
        report => SwitchError::Failed(format!("it says {report:?}")),
    }
}
