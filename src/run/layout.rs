//! Where everything of a cluster lives: ports, folders, and the links over which nodes meet.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path as FilePath, PathBuf};

use super::setup::SetupError;
use crate::cluster::{CLOCK_FILE, CLOCK_VARIABLE, Network, NodeSpec, Ports};
use crate::id::NodeId;
use crate::link::{Endpoint, Framing, Links, Path};
use crate::packet::{address, inside};
use crate::plan::Plan;
use crate::results::RunFolder;
use crate::system::{Layout, System};

/// Where everything of a cluster lives.
pub(super) struct Layouts {
    pub(super) nodes: BTreeMap<NodeId, Layout>,
    pub(super) linked: BTreeMap<NodeId, SocketAddr>,
    /// Where the harness itself reaches each node, past the links.
    pub(super) direct: BTreeMap<NodeId, SocketAddr>,
    /// Holds the ports as long as the run lasts.
    pub(super) ports: Ports,
}

impl Layouts {
    /// Each node's own folder.
    pub(super) fn folders(&self) -> BTreeMap<NodeId, PathBuf> {
        let folder = |(node, layout): (&NodeId, &Layout)| (*node, layout.dir.clone());
        self.nodes.iter().map(folder).collect()
    }
}

/// Gives every node its place in the network.
pub(super) async fn lay_out(
    plan: &Plan,
    folder: &RunFolder,
    network: &Network,
    system: &dyn System,
    entropy: u64,
) -> Result<Layouts, SetupError> {
    match network {
        Network::Proxy(links) => between_proxies(plan, folder, links, system, entropy).await,
        Network::Packet(_) => apart(plan, folder, entropy),
    }
}

/// Each node has a network of its own, so its ports are those that it always has.
fn apart(plan: &Plan, folder: &RunFolder, entropy: u64) -> Result<Layouts, SetupError> {
    let count = plan.cluster.nodes;
    let at = |node, port| SocketAddr::from((address(Endpoint::Node(node)), port));
    let mut layouts = Layouts {
        nodes: BTreeMap::new(),
        linked: BTreeMap::new(),
        direct: BTreeMap::new(),
        ports: Ports::new(entropy),
    };
    for node in NodeId::all(count) {
        let client = at(node, CLIENT_PORT);
        layouts.linked.insert(node, client);
        let direct = SocketAddr::from((inside(node), CLIENT_PORT));
        layouts.direct.insert(node, direct);
        let others = NodeId::all(count).filter(|other| *other != node);
        let layout = Layout {
            dir: absolute(&folder.node(node)?)?,
            client,
            peer: at(node, PEER_PORT),
            peers: others.map(|other| (other, at(other, PEER_PORT))).collect(),
            program: plan.cluster.node_bin.as_ref().map(PathBuf::from),
        };
        layouts.nodes.insert(node, layout);
    }
    Ok(layouts)
}

/// Chooses ports and opens one path per pair of nodes and per client and node.
async fn between_proxies(
    plan: &Plan,
    folder: &RunFolder,
    links: &Links,
    system: &dyn System,
    entropy: u64,
) -> Result<Layouts, SetupError> {
    let count = plan.cluster.nodes;
    let harness = |what| move |source| SetupError::Harness { what, source };
    let mut ports = Ports::new(entropy);
    let mut listen = || {
        ports
            .take()
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    let framing = if system.frames_peers() {
        Framing::LengthPrefixed
    } else {
        Framing::Opaque
    };
    let mut addresses = BTreeMap::new();
    for node in NodeId::all(count) {
        addresses.insert(node, (listen()?, listen()?));
    }
    let mut layouts = Layouts {
        nodes: BTreeMap::new(),
        linked: BTreeMap::new(),
        direct: BTreeMap::new(),
        ports,
    };
    for node in NodeId::all(count) {
        let (upstream, peer) = addresses[&node];
        let path = Path {
            dialer: Endpoint::Clients,
            target: node,
            upstream,
            framing: Framing::Opaque,
        };
        let linked = links.open(path).await.map_err(harness("open a link"))?;
        layouts.linked.insert(node, linked);
        layouts.direct.insert(node, upstream);
        let mut peers = BTreeMap::new();
        for other in NodeId::all(count).filter(|other| *other != node) {
            let (_, upstream) = addresses[&other];
            let path = Path {
                dialer: Endpoint::Node(node),
                target: other,
                upstream,
                framing,
            };
            peers.insert(
                other,
                links.open(path).await.map_err(harness("open a link"))?,
            );
        }
        let layout = Layout {
            dir: absolute(&folder.node(node)?)?,
            client: upstream,
            peer,
            peers,
            program: plan.cluster.node_bin.as_ref().map(PathBuf::from),
        };
        layouts.nodes.insert(node, layout);
    }
    Ok(layouts)
}

/// The ports of ZooKeeper, for clients and for peers.
const CLIENT_PORT: u16 = 2181;
const PEER_PORT: u16 = 2888;

pub(super) fn absolute(path: &FilePath) -> Result<PathBuf, SetupError> {
    std::path::absolute(path).map_err(|source| SetupError::Harness {
        what: "name a node's folder",
        source,
    })
}

/// What the faults of a plan need of the nodes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    /// Clocks that can be wrong.
    pub(super) clocks: bool,
    /// Disks that can be wrong.
    pub(super) disks: bool,
}

/// How to start this node.
pub(super) fn spec(system: &dyn System, node: NodeId, layout: &Layout, needs: Needs) -> NodeSpec {
    let mut launch = system.launch(node, layout);
    if needs.clocks {
        let file = layout.dir.join(CLOCK_FILE).display().to_string();
        launch.env.push((CLOCK_VARIABLE.to_owned(), file));
    }
    NodeSpec {
        id: node,
        program: launch.program,
        args: launch.args,
        env: launch.env,
        dir: layout.dir.clone(),
        stdout: layout.dir.join("stdout"),
        stderr: layout.dir.join("stderr"),
        listens: vec![layout.client, layout.peer],
        disk: launch.data.filter(|_| needs.disks),
    }
}
