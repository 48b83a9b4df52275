//! Where everything of a cluster lives: ports, folders, and the links over which nodes meet.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path as FilePath, PathBuf};

use super::setup::SetupError;
use crate::cluster::{CLOCK_FILE, CLOCK_VARIABLE, NodeSpec, Ports};
use crate::id::NodeId;
use crate::link::{Endpoint, Framing, Links, Path};
use crate::plan::Plan;
use crate::results::RunFolder;
use crate::system::{Layout, System};

/// Where everything of a cluster lives.
pub(super) struct Layouts {
    pub(super) nodes: BTreeMap<NodeId, Layout>,
    pub(super) linked: BTreeMap<NodeId, SocketAddr>,
    /// Holds the ports as long as the run lasts.
    pub(super) ports: Ports,
}

impl Layouts {
    /// Where each node itself listens for clients.
    pub(super) fn direct(&self) -> BTreeMap<NodeId, SocketAddr> {
        let direct = |(node, layout): (&NodeId, &Layout)| (*node, layout.client);
        self.nodes.iter().map(direct).collect()
    }

    /// Each node's own folder.
    pub(super) fn folders(&self) -> BTreeMap<NodeId, PathBuf> {
        let folder = |(node, layout): (&NodeId, &Layout)| (*node, layout.dir.clone());
        self.nodes.iter().map(folder).collect()
    }
}

/// Chooses ports and opens one path per pair of nodes and per client and node.
pub(super) async fn lay_out(
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

fn absolute(path: &FilePath) -> Result<PathBuf, SetupError> {
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
