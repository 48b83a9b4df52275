//! The bundled ensemble as the bench runs it: three nodes, no proxies between them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::{BenchError, Target};
use crate::clock::RunClock;
use crate::cluster::{Cluster, Network, NodeSpec, Ports, Reaper, Setup};
use crate::history::Event;
use crate::id::NodeId;
use crate::link::Links;
use crate::seed::Seed;
use crate::system::{Layout, System, Zab};

/// Three bundled nodes that run; they end with it, whatever becomes of this process.
#[derive(Debug)]
pub struct Ensemble {
    cluster: Cluster,
    nodes: BTreeMap<NodeId, Layout>,
    /// Reserved as long as the nodes run.
    _ports: Ports,
    _events: mpsc::UnboundedReceiver<Event>,
}

/// What the nodes of an ensemble have used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all nodes.
    pub cpu: Duration,
    /// Bytes of memory of the greatest.
    pub memory: u64,
    /// Bytes in the data folder of the greatest.
    pub disk: u64,
}

impl Ensemble {
    /// Starts three nodes of `executable` with their data below `dir` and waits until they serve.
    ///
    /// # Errors
    /// If they cannot be started or find no leader.
    pub async fn start(
        executable: &Path,
        node_bin: Option<&Path>,
        dir: &Path,
    ) -> Result<Self, BenchError> {
        let clock = RunClock::start();
        let system =
            Zab::new(executable.to_owned(), false, &BTreeMap::new()).map_err(setup("set up"))?;
        let mut ports = Ports::new(clock.origin());
        let nodes = lay_out(&mut ports, dir, node_bin)?;
        let specs = nodes
            .iter()
            .map(|(node, layout)| spec(&system, *node, layout))
            .collect();
        let links = Links::start(Seed(0)).map_err(setup("start the links"))?;
        let reaper = Reaper::start(executable, "bench")
            .await
            .map_err(setup("start the reaper"))?;
        let (events, received) = mpsc::unbounded_channel();
        let mut cluster = Cluster::new(Setup {
            nodes: specs,
            network: Network::Proxy(Arc::new(links)),
            reaper,
            clock,
            events,
            journal: dir.join("ledger.jsonl"),
        })
        .map_err(setup("describe the cluster"))?;
        for node in nodes.keys() {
            cluster.start(*node).await.map_err(setup("start a node"))?;
        }
        let ensemble = Self {
            cluster,
            nodes,
            _ports: ports,
            _events: received,
        };
        ensemble.ready(&system).await?;
        Ok(ensemble)
    }

    /// As a target of this name.
    #[must_use]
    pub fn target(&self, name: &str) -> Target {
        Target {
            name: name.to_owned(),
            nodes: self.nodes.values().map(|layout| layout.client).collect(),
        }
    }

    /// What the nodes have used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for (node, layout) in &self.nodes {
            let Some(pid) = self.cluster.pid(*node) else {
                continue;
            };
            usage.cpu += cpu_of(pid);
            usage.memory = usage.memory.max(memory_of(pid));
            usage.disk = usage.disk.max(bytes_below(&layout.dir.join("data")));
        }
        usage
    }

    /// Ends all nodes.
    ///
    /// # Errors
    /// If they do not end.
    pub async fn stop(self) -> Result<(), BenchError> {
        self.cluster
            .shutdown()
            .await
            .map_err(setup("stop the nodes"))
    }

    async fn ready(&self, system: &Zab) -> Result<(), BenchError> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            // What a node says of itself may be out of date: only a session proves that it serves.
            let mut serving = 0;
            for layout in self.nodes.values() {
                if let Ok(mut client) = system.connect(layout.client, ASK_FOR).await {
                    client.close().await;
                    serving += 1;
                }
            }
            if serving == self.nodes.len() {
                return Ok(());
            }
            sleep(ASK_EVERY).await;
        }
        Err(BenchError::NotReady(READY_WITHIN))
    }
}

fn lay_out(
    ports: &mut Ports,
    dir: &Path,
    node_bin: Option<&Path>,
) -> Result<BTreeMap<NodeId, Layout>, BenchError> {
    let mut listen = || {
        let port = ports.take().map_err(setup("find a port"))?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    let mut addresses = BTreeMap::new();
    for node in NodeId::all(NODES) {
        addresses.insert(node, (listen()?, listen()?));
    }
    let mut nodes = BTreeMap::new();
    for (node, (client, peer)) in &addresses {
        let folder = dir.join(node.to_string());
        fs::create_dir_all(&folder).map_err(setup("make a node's folder"))?;
        let others = addresses.iter().filter(|(other, _)| *other != node);
        let layout = Layout {
            dir: folder,
            client: *client,
            peer: *peer,
            peers: others.map(|(other, (_, peer))| (*other, *peer)).collect(),
            program: node_bin.map(Path::to_owned),
        };
        nodes.insert(*node, layout);
    }
    Ok(nodes)
}

fn spec(system: &Zab, node: NodeId, layout: &Layout) -> NodeSpec {
    let launch = system.launch(node, layout);
    NodeSpec {
        id: node,
        program: launch.program,
        args: launch.args,
        env: launch.env,
        dir: layout.dir.clone(),
        stdout: layout.dir.join("stdout"),
        stderr: layout.dir.join("stderr"),
        listens: vec![layout.client, layout.peer],
        disk: None,
    }
}

fn setup<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: &'static str,
) -> impl Fn(E) -> BenchError {
    move |source| BenchError::Setup {
        what,
        source: source.into(),
    }
}

/// User and system time of a process; zero if it is gone.
fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * TICK_MS)
}

/// Resident bytes of a process; zero if it is gone.
fn memory_of(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = statm.split_ascii_whitespace().nth(1);
    pages
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * PAGE
}

/// Bytes of all files directly in a folder.
fn bytes_below(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

const NODES: u8 = 3;
const READY_WITHIN: Duration = Duration::from_secs(30);
const ASK_FOR: Duration = Duration::from_millis(500);
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Linux counts processor time in hundredths of a second on every architecture that this runs on.
const TICK_MS: u64 = 10;
const PAGE: u64 = 4096;
