//! Starting a node, and the helper processes that it needs.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use tokio::time::timeout;

use super::Cluster;
use crate::clock::Nanos;
use crate::cluster::answer::ClusterError;
use crate::cluster::process::LANDS_WITHIN;
use crate::cluster::reaper::Spawn;
use crate::cluster::spec::NodeSpec;
use crate::cluster::view::ProcessState;
use crate::disk::{DISK_COMMAND, Disk};
use crate::id::NodeId;
use crate::space::Where;

impl Cluster {
    /// Starts a node that is down, whatever the ledger says: for the setup. Returns just before
    /// the program was asked for.
    ///
    /// # Errors
    /// If it is not down or cannot be started.
    pub async fn start(&mut self, node: NodeId) -> Result<Nanos, ClusterError> {
        let spec = self.specs.get(&node).cloned();
        let spec = spec.ok_or(ClusterError::NoSuchNode(node))?;
        if self.roster.state(node) != ProcessState::Down {
            return Err(ClusterError::NotDown(node));
        }
        let disk = match &spec.disk {
            Some(folder) => Some(self.disk(node, &spec, folder).await?),
            None => None,
        };
        let mut place = self.network.place(node);
        if let Some(disk) = disk {
            place = place.and(disk.place());
        }
        let asked_at = self.clock.now();
        let launched = self.launch(
            Some(node),
            spawn(&spec, &place, self.reaper.executable()),
            None,
        );
        launched
            .await
            .map_err(|source| ClusterError::NotStarted { node, source })?;
        Ok(asked_at)
    }

    /// The disk of a node, ready for a process.
    async fn disk(
        &mut self,
        node: NodeId,
        spec: &NodeSpec,
        folder: &Path,
    ) -> Result<Arc<Disk>, ClusterError> {
        let on_disk = |source| ClusterError::Disk { node, source };
        if let Some(disk) = self.disks.get(&node) {
            let disk = Arc::clone(disk);
            disk.reopen(false).await.map_err(on_disk)?;
            return Ok(disk);
        }
        let not_started = |source| ClusterError::NotStarted { node, source };
        std::fs::create_dir_all(folder).map_err(not_started)?;
        let (ours, theirs) = UnixStream::pair().map_err(not_started)?;
        let spawn = Spawn {
            tag: 0,
            program: self.reaper.executable().to_owned(),
            args: self.network.place_of_helpers().wrap_if_any(
                self.reaper.executable(),
                vec![DISK_COMMAND.to_owned(), folder.display().to_string()],
                &spec.dir,
            ),
            env: Vec::new(),
            dir: spec.dir.clone(),
            stdout: spec.dir.join("disk.log"),
            stderr: spec.dir.join("disk.log"),
            has_stdin: true,
        };
        let launched = self.launch(None, spawn, Some(theirs.into())).await;
        launched.map_err(not_started)?;
        let disk = Arc::new(Disk::attach(ours).await.map_err(on_disk)?);
        self.disks.insert(node, Arc::clone(&disk));
        Ok(disk)
    }

    /// Has the reaper start a process, and waits until it has.
    async fn launch(
        &self,
        node: Option<NodeId>,
        mut spawn: Spawn,
        stdin: Option<OwnedFd>,
    ) -> io::Result<()> {
        let launch = self.roster.launch(node)?;
        spawn.tag = launch.tag;
        self.reaper.socket()?.ask(&spawn, stdin.as_ref()).await?;
        let answer = timeout(LANDS_WITHIN, launch.answer).await;
        answer
            .map_err(|_| io::Error::other("the reaper does not answer"))?
            .map_err(|_| io::Error::other("the reaper is gone"))?
            .map(drop)
    }
}

/// How the reaper is to start a node.
fn spawn(spec: &NodeSpec, place: &Where, executable: &Path) -> Spawn {
    let (program, args) = (spec.program.clone(), spec.args.clone());
    let (program, args) = if place.spaces.is_empty() {
        (program, args)
    } else {
        let args = place.wrap(&program, args, &spec.dir);
        (executable.to_owned(), args)
    };
    Spawn {
        tag: 0,
        program,
        args,
        env: spec.env.clone(),
        dir: spec.dir.clone(),
        stdout: spec.stdout.clone(),
        stderr: spec.stderr.clone(),
        has_stdin: false,
    }
}
