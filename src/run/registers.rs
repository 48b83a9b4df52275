//! The registers of a run: brought into being before the load, read at every node after it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Nanos, RunClock};
use crate::history::{
    Action, Completion, EventKind, FinalKey, Invocation, Outcome, Recorder, Value,
};
use crate::id::{NodeId, ProcessId};
use crate::load::probe_key;
use crate::system::{Client, ConnectError, Status, System};

/// Creates registers, reads them in the end.
#[derive(Debug)]
pub(super) struct Registers<'a> {
    pub(super) system: &'a dyn System,
    pub(super) clock: RunClock,
    pub(super) recorder: &'a Recorder,
    pub(super) keys: &'a [String],
}

/// A register could not be created.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// No session at the node.
    #[error("open a session at {node}: {source}")]
    Connect {
        /// Which node.
        node: NodeId,
        /// Why.
        source: ConnectError,
    },
    /// The node did not do it.
    #[error("create register {key} at {node}: {error}")]
    Create {
        /// Which register.
        key: String,
        /// Which node was asked.
        node: NodeId,
        /// What it said.
        error: String,
    },
}

impl Registers<'_> {
    /// Creates every register with a unique value, 1 upwards, as recorded operations, and the
    /// registers of the probes, which are no part of the history. Returns the values.
    ///
    /// # Errors
    /// If a register could not be created.
    pub(super) async fn create(
        &self,
        node: NodeId,
        addr: SocketAddr,
        nodes: u8,
    ) -> Result<Vec<Value>, RegisterError> {
        let opened = self.open(addr).await;
        let mut client = opened.map_err(|source| RegisterError::Connect { node, source })?;
        let mut values = Vec::new();
        for (value, key) in (1..).zip(self.keys) {
            self.create_one(&mut *client, node, key, Value(value))
                .await?;
            values.push(Value(value));
        }
        for probed in NodeId::all(nodes) {
            let key = probe_key(probed);
            let reply = client.create(&key, Value(0)).await;
            if reply.outcome != Outcome::Ok {
                let error = reply.error.unwrap_or_default();
                return Err(RegisterError::Create { key, node, error });
            }
        }
        client.close().await;
        Ok(values)
    }

    /// A session at a node that has just come up: its link may not have noticed yet, and refuse.
    async fn open(&self, addr: SocketAddr) -> Result<Box<dyn Client>, ConnectError> {
        let deadline = self.clock.now() + Nanos::from(WITHIN);
        loop {
            match self.system.connect(addr, WITHIN).await {
                Err(error) if self.clock.now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
                Ok(client) => return Ok(client),
            }
        }
    }

    async fn create_one(
        &self,
        client: &mut dyn Client,
        node: NodeId,
        key: &str,
        value: Value,
    ) -> Result<(), RegisterError> {
        let (process, name) = (SETUP, Arc::<str>::from(key));
        let action = Action::Write(value);
        let time = self.clock.now();
        self.recorder.invoke(Invocation {
            process,
            key: Arc::clone(&name),
            action,
            time,
            intended: time,
            node,
        });
        let reply = client.create(key, value).await;
        let error = reply.error.clone();
        self.recorder.complete(Completion {
            process,
            key: name,
            action,
            time: self.clock.now(),
            outcome: reply.outcome,
            seen: None,
            version: reply.version,
            error: reply.error,
        });
        if reply.outcome == Outcome::Ok {
            Ok(())
        } else {
            let error = error.unwrap_or_default();
            Err(RegisterError::Create {
                key: key.to_owned(),
                node,
                error,
            })
        }
    }

    /// Waits until all nodes have applied the same last transaction, then writes down the state of
    /// each that can be reached. Nodes are asked directly, not over links.
    pub(super) async fn read_all(&self, nodes: &BTreeMap<NodeId, SocketAddr>, deadline: Nanos) {
        // All states first: opening the sessions that read the registers is a transaction, too.
        let mut states = self.states(nodes).await;
        while self.clock.now() < deadline && !equal(&states) {
            tokio::time::sleep(ASK_AGAIN).await;
            states = self.states(nodes).await;
        }
        for ((node, addr), state) in nodes.iter().zip(states) {
            let state = match state {
                Ok(status) => self.registers_at(*addr).await.map(|keys| (status, keys)),
                Err(error) => Err(error),
            };
            let kind = match state {
                Ok((status, keys)) => EventKind::FinalState {
                    node: *node,
                    zxid: status.applied,
                    digest: status.digest,
                    keys,
                },
                Err(error) => EventKind::Warning {
                    text: format!("the final state of {node} cannot be read: {error}"),
                },
            };
            self.recorder.event(self.clock.now(), kind);
        }
    }

    /// Whether all nodes answer and have applied the same last transaction.
    pub(super) async fn agree(&self, nodes: &BTreeMap<NodeId, SocketAddr>) -> bool {
        equal(&self.states(nodes).await)
    }

    async fn states(&self, nodes: &BTreeMap<NodeId, SocketAddr>) -> Vec<State> {
        let mut states = Vec::with_capacity(nodes.len());
        for addr in nodes.values() {
            states.push(self.system.status(*addr, WITHIN).await);
        }
        states
    }

    async fn registers_at(&self, addr: SocketAddr) -> Result<Vec<FinalKey>, ConnectError> {
        let mut client = self.system.connect(addr, WITHIN).await?;
        let mut keys = Vec::with_capacity(self.keys.len());
        for key in self.keys {
            let reply = client.invoke(key, Action::Read).await;
            if reply.outcome != Outcome::Ok {
                return Err(ConnectError::Protocol(reply.error.unwrap_or_default()));
            }
            let value = reply
                .seen
                .filter(|value| *value != Value::NIL)
                .map(|value| value.0);
            keys.push(FinalKey {
                key: key.clone(),
                value,
                version: reply.version,
            });
        }
        client.close().await;
        keys.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(keys)
    }
}

type State = Result<Status, ConnectError>;

fn equal(states: &[State]) -> bool {
    let mut applied = states.iter().map(|state| {
        let status = state.as_ref().ok()?;
        Some((status.applied, status.digest.as_deref()))
    });
    let first = applied.next().flatten();
    first.is_some() && applied.all(|state| state == first)
}

/// The process that writes the initial values.
pub(super) const SETUP: ProcessId = ProcessId(0);

/// The first process id of the load.
pub(super) const FIRST_PROCESS: u64 = 1;

/// A healthy node answers within milliseconds.
const WITHIN: Duration = Duration::from_secs(2);

/// Between two looks at whether the nodes agree.
const ASK_AGAIN: Duration = Duration::from_millis(5);
