//! A cluster of small programs, and how tests watch it.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chaos::clock::RunClock;
use chaos::cluster::{Cluster, Effect, Ending, Network, NodeSpec, ProcessState, Reaper, Setup};
use chaos::history::{Event, EventKind};
use chaos::id::NodeId;
use chaos::link::Links;
use chaos::seed::Seed;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");
/// Whatever a test waits for comes within this time, or the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const N1: NodeId = NodeId(1);
pub(crate) const N2: NodeId = NodeId(2);

pub(crate) type Tested = Result<(), Box<dyn std::error::Error>>;

pub(crate) fn run(test: impl Future<Output = Tested>) -> Tested {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { timeout(DEADLINE, test).await? })
}

/// A cluster of shell scripts.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) links: Arc<Links>,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) reaper: u32,
    pub(crate) folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn new(
        scripts: &[(NodeId, &str)],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let nodes = scripts
            .iter()
            .map(|(id, script)| node(*id, script, folder.path()))
            .collect();
        let reaper = Reaper::start(Path::new(CHAOS), "test").await?;
        let (sender, events) = mpsc::unbounded_channel();
        let reaper_pid = reaper.pid();
        let links = Arc::new(Links::start(Seed(1))?);
        let cluster = Cluster::new(Setup {
            nodes,
            network: Network::Proxy(Arc::clone(&links)),
            reaper,
            clock: RunClock::start(),
            events: sender,
            journal: folder.path().join("ledger.jsonl"),
        })?;
        Ok(Self {
            cluster,
            links,
            events,
            reaper: reaper_pid,
            folder,
        })
    }

    pub(crate) async fn started(
        scripts: &[(NodeId, &str)],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let mut stage = Self::new(scripts).await?;
        for (node, _) in scripts {
            stage.cluster.start(*node).await?;
        }
        Ok(stage)
    }

    pub(crate) async fn next(&mut self) -> Result<EventKind, &'static str> {
        self.events
            .recv()
            .await
            .map(|event| event.kind)
            .ok_or("no more events")
    }

    pub(crate) fn state(&self, node: NodeId) -> Option<ProcessState> {
        self.cluster.states().get(&node).copied()
    }

    /// Waits until a node has written this many lines.
    pub(crate) async fn lines(&self, node: NodeId, count: usize) -> Result<Vec<String>, io::Error> {
        loop {
            let text = std::fs::read_to_string(self.folder.path().join(format!("{node}.out")))?;
            if text.lines().count() >= count {
                return Ok(text.lines().map(str::to_owned).collect());
            }
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn node(id: NodeId, script: &str, folder: &Path) -> NodeSpec {
    NodeSpec {
        id,
        program: "sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: vec![("NODE".to_owned(), id.to_string())],
        dir: folder.to_owned(),
        stdout: folder.join(format!("{id}.out")),
        stderr: folder.join(format!("{id}.err")),
        listens: Vec::new(),
        disk: None,
    }
}

/// A process by its pidfd, so that its end can be awaited whoever its parent is.
pub(crate) struct Watched(pub(crate) std::os::fd::OwnedFd);

impl Watched {
    pub(crate) fn new(pid: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("pid 0")?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    pub(crate) fn has_ended_within_the_deadline(&self) -> io::Result<bool> {
        let mut fds = [rustix::event::PollFd::new(
            &self.0,
            rustix::event::PollFlags::IN,
        )];
        let limit = rustix::time::Timespec::try_from(DEADLINE).map_err(io::Error::other)?;
        Ok(rustix::event::poll(&mut fds, Some(&limit))? == 1)
    }
}

/// A node with a child and a daemon that left its process group and session. Each says who it is
/// by the number that it has out here: in the reaper's namespace it has another.
pub(crate) const FAMILY: &str = "\
    (read p _ </proc/self/stat; echo $p; exec sleep 600) & \
    (setsid sh -c 'read p _ </proc/self/stat; echo $p; exec sleep 600' &) ; \
    read p _ </proc/self/stat; echo $p; wait";

pub(crate) fn down(node: NodeId) -> Vec<Effect> {
    vec![Effect::Down {
        node,
        how: Ending::Kill,
    }]
}
