//! The signals of a fault, and the wait until their consequences are seen.

use std::io;

use rustix::process::Signal;
use tokio::time::timeout;

use super::{Cluster, victims};
use crate::cluster::answer::ClusterError;
use crate::cluster::effect::{Effect, Ending};
use crate::cluster::process::{LANDS_WITHIN, Process};
use crate::cluster::view::ProcessState;
use crate::id::NodeId;

impl Cluster {
    /// Sends the first signal of an ending.
    pub(super) fn strike(
        &self,
        node: NodeId,
        process: &Process,
        how: Ending,
    ) -> Result<(), ClusterError> {
        self.roster.expect_end(node);
        match how {
            Ending::Kill | Ending::PowerLoss => send(node, process, Signal::KILL, "die"),
            Ending::Terminate { .. } => {
                send(node, process, Signal::TERM, "end")?;
                // A stopped process cannot act on SIGTERM before it goes on.
                send(node, process, Signal::CONT, "go on")
            }
        }
    }

    /// Waits for the end of a process that was struck, and kills it after its grace.
    pub(super) async fn await_end(
        &mut self,
        node: NodeId,
        process: &Process,
        how: Ending,
    ) -> Result<(), ClusterError> {
        let unmoved = |source| ClusterError::Unmoved {
            node,
            what: "die",
            source,
        };
        if let Ending::Terminate { grace } = how {
            match timeout(grace.into(), process.ended()).await {
                Ok(ended) => ended.map_err(unmoved)?,
                Err(_) => {
                    self.roster.warn(format!(
                        "{node} did not end within {grace} of SIGTERM and is killed"
                    ));
                    send(node, process, Signal::KILL, "die")?;
                }
            }
        }
        self.release_disk(node).await?;
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no exit was seen in time");
        timeout(LANDS_WITHIN, process.ended())
            .await
            .map_err(|_| unmoved(late()))?
            .map_err(unmoved)?;
        if !self.roster.is_down_within(node, LANDS_WITHIN).await {
            return Err(unmoved(late()));
        }
        match how {
            Ending::PowerLoss => self.lose_unsynced(node).await,
            Ending::Kill | Ending::Terminate { .. } => Ok(()),
        }
    }

    pub(super) async fn await_pause(
        &self,
        node: NodeId,
        process: &Process,
        paused: bool,
    ) -> Result<(), ClusterError> {
        let what = if paused { "stop" } else { "go on" };
        let unmoved = |source| ClusterError::Unmoved { node, what, source };
        if !process.is_seen(paused).await.map_err(unmoved)? {
            let late = io::Error::new(
                io::ErrorKind::TimedOut,
                "its threads do not show it in time",
            );
            return Err(unmoved(late));
        }
        self.roster.set_paused(node, paused);
        Ok(())
    }

    /// A stop that was not seen in time may still come: takes it back where nothing else wants it.
    pub(super) fn let_go(&self, effects: &[Effect]) {
        for node in victims(effects).into_keys() {
            if self.ledger.wanted(node) == ProcessState::Running
                && let Some(process) = self.roster.process(node)
            {
                // A process that is gone needs no signal.
                let _ = process.signal(Signal::CONT);
            }
        }
    }
}

pub(super) fn send(
    node: NodeId,
    process: &Process,
    signal: Signal,
    what: &'static str,
) -> Result<(), ClusterError> {
    process
        .signal(signal)
        .map_err(|source| ClusterError::Unmoved { node, what, source })
}
