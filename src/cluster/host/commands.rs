//! Commands of the user: processes of the run beside the nodes, which end with it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Cluster;
use crate::clock::Nanos;
use crate::cluster::process::{LANDS_WITHIN, Process};
use crate::cluster::reaper::Spawn;
use crate::history::ExitStatus;
use crate::id::NodeId;
use crate::space::Where;

/// A command for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// As `sh -c` understands it.
    pub text: String,
    /// In whose network it runs, if that is apart.
    pub node: Option<NodeId>,
    /// Where it runs; what it writes is appended to `exec.log` there.
    pub dir: PathBuf,
    /// Variables to set in its environment.
    pub variables: Vec<(String, String)>,
}

/// A command that runs. Dropping it lets it go on until the run ends.
#[derive(Debug)]
pub struct Running {
    process: Arc<Process>,
    status: oneshot::Receiver<ExitStatus>,
}

impl Running {
    /// Waits until it has ended by itself; after the limit it is killed.
    ///
    /// # Errors
    /// If it took too long, or nobody knows how it ended.
    pub async fn ended(mut self, limit: Nanos) -> io::Result<ExitStatus> {
        let gone = |_| io::Error::other("the reaper is gone");
        match timeout(limit.into(), &mut self.status).await {
            Ok(status) => status.map_err(gone),
            Err(_) => {
                // One that has just ended needs no signal.
                let _ = self.process.signal(Signal::KILL);
                let _ = timeout(LANDS_WITHIN, self.status).await;
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("not done within {limit}, killed"),
                ))
            }
        }
    }
}

impl Cluster {
    /// Starts a command.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn run(&mut self, command: Command) -> io::Result<Running> {
        let place = command
            .node
            .map_or_else(Where::default, |node| self.network.place(node));
        let arguments = vec!["-c".to_owned(), command.text];
        let shell = PathBuf::from("/bin/sh");
        let (program, args) = if place.spaces.is_empty() {
            (shell, arguments)
        } else {
            let args = place.wrap(&shell, arguments, &command.dir);
            (self.reaper.executable().to_owned(), args)
        };
        let log = command.dir.join("exec.log");
        let mut spawn = Spawn {
            tag: 0,
            program,
            args,
            env: command.variables,
            dir: command.dir,
            stdout: log.clone(),
            stderr: log,
            has_stdin: false,
        };
        let launch = self.roster.launch(None)?;
        spawn.tag = launch.tag;
        let status = self.roster.watch(launch.tag);
        self.reaper.socket()?.ask(&spawn, None).await?;
        let answer = timeout(LANDS_WITHIN, launch.answer).await;
        let process = answer
            .map_err(|_| io::Error::other("the reaper does not answer"))?
            .map_err(|_| io::Error::other("the reaper is gone"))??;
        Ok(Running { process, status })
    }
}
