//! `call` and `exec`: what a node is asked to do, and what a command of the user does.

use std::time::Duration;

use crate::clock::Nanos;
use crate::cluster::Command;
use crate::history::{EventKind, ExitStatus};
use crate::id::NodeId;
use crate::plan::{Call, Exec, Otherwise};

use super::steps::{Break, Conductor};

impl Conductor<'_> {
    /// Asks nodes for something that their system can do by itself.
    pub(super) async fn call(&mut self, call: &Call, path: &str) -> Result<(), Break> {
        for node in self.resolve(&call.node).await? {
            let stage = self.stage;
            let asked = stage.clock.now();
            let within = Duration::from(call.timeout);
            let answer = stage.system.call(&call.what, stage.direct[&node], within);
            let text = match answer.await {
                Ok(text) => Ok(format!("call {node} {}: {}", call.what, text.trim())),
                Err(error) => Err(format!("call {node} {}: {error}", call.what)),
            };
            self.told(asked, text, call.otherwise, path)?;
        }
        Ok(())
    }

    /// Runs a command of the plan, for each of its nodes or once.
    pub(super) async fn exec(&mut self, exec: &Exec, path: &str) -> Result<(), Break> {
        let nodes: Vec<Option<NodeId>> = match &exec.node {
            None => vec![None],
            Some(node) => self.resolve(node).await?.into_iter().map(Some).collect(),
        };
        for node in nodes {
            let asked = self.stage.clock.now();
            let of = node.map_or_else(String::new, |node| format!(" for {node}"));
            let text = match self.run(exec, node).await {
                Ok(ExitStatus::Code(0)) => Ok(format!("exec{of} `{}`: done", exec.command)),
                Ok(status) => Err(format!("exec{of} `{}`: ended with {status}", exec.command)),
                Err(error) => Err(format!("exec{of} `{}`: {error}", exec.command)),
            };
            self.told(asked, text, exec.otherwise, path)?;
        }
        Ok(())
    }

    async fn run(&self, exec: &Exec, node: Option<NodeId>) -> Result<ExitStatus, String> {
        let stage = self.stage;
        let addresses = stage.direct.iter();
        let addresses: Vec<String> = addresses
            .map(|(node, address)| format!("{node}={address}"))
            .collect();
        let mut variables = vec![
            (
                "CHAOS_FOLDER".to_owned(),
                stage.folder.display().to_string(),
            ),
            ("CHAOS_NODES".to_owned(), addresses.join(",")),
        ];
        let mut cluster = stage.cluster().await.ok_or("the cluster is gone")?;
        if let Some(node) = node {
            variables.push(("CHAOS_NODE".to_owned(), node.to_string()));
            if let Some(pid) = cluster.pid(node) {
                variables.push(("CHAOS_PID".to_owned(), pid.to_string()));
            }
        }
        let command = Command {
            text: exec.command.clone(),
            node,
            dir: stage.folder.clone(),
            variables,
        };
        let running = cluster.run(command).await.map_err(|e| e.to_string())?;
        // Other steps go on meanwhile.
        drop(cluster);
        running.ended(exec.timeout).await.map_err(|e| e.to_string())
    }

    /// Records how it went, and breaks off if it went wrong, unless the plan goes on.
    fn told(
        &self,
        asked: Nanos,
        text: Result<String, String>,
        otherwise: Otherwise,
        path: &str,
    ) -> Result<(), Break> {
        let took = self.stage.clock.now().since(asked);
        match (text, otherwise) {
            (Ok(text), _) => {
                let text = format!("{text} ({took})");
                self.stage.tell("mark", &text);
                self.stage.record(EventKind::Mark { text });
                Ok(())
            }
            (Err(text), Otherwise::GoOn) => {
                self.stage.warn(&text);
                Ok(())
            }
            (Err(text), Otherwise::Skip) => Err(Break::Skipped(format!("{path}: {text}"))),
            (Err(text), Otherwise::Fail) => Err(Break::Censored(format!("{path}: {text}"))),
        }
    }
}
