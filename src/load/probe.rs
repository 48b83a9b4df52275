//! Open-loop probes: one read and one write per node at a fixed beat, on keys of their own.
//!
//! A probe is sent at its intended time whatever became of the one before. A small pool of
//! connections keeps waiting probes from delaying later ones; when all are waiting, or none can be
//! opened, the probe fails at once.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::worker::Shared;
use super::{CONNECT_WITHIN, Command, Pacer, stopped};
use crate::clock::Nanos;
use crate::history::{Action, EventKind, Outcome, Probe, ProbeOp, Value};
use crate::id::NodeId;
use crate::system::Client;

/// How nodes are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSettings {
    /// Time between two probes of one kind at one node.
    pub every: Nanos,
    /// A probe not answered within this is bad.
    pub deadline: Nanos,
    /// A probe is given up after this.
    pub timeout: Nanos,
    /// Which kinds are sent: read, write.
    pub kinds: [bool; 2],
}

/// The name of the register that probes of `node` use.
#[must_use]
pub fn probe_key(node: NodeId) -> String {
    format!("probe-{node}")
}

/// One vantage: a node and a kind.
struct Vantage {
    shared: Rc<Shared>,
    node: NodeId,
    op: ProbeOp,
    addr: SocketAddr,
    key: String,
    idle: RefCell<Vec<(Nanos, Box<dyn Client>)>>,
    in_use: Cell<usize>,
    next_value: Cell<i64>,
    settings: ProbeSettings,
}

/// Starts the probes of one node.
pub(super) fn spawn(
    tasks: &mut JoinSet<()>,
    shared: &Rc<Shared>,
    node: NodeId,
    settings: ProbeSettings,
    commands: &watch::Receiver<Command>,
) {
    for (op, wanted) in [ProbeOp::Read, ProbeOp::Write]
        .into_iter()
        .zip(settings.kinds)
    {
        if wanted {
            let vantage = Rc::new(Vantage {
                shared: Rc::clone(shared),
                node,
                op,
                addr: shared.nodes[&node],
                key: probe_key(node),
                idle: RefCell::new(Vec::new()),
                in_use: Cell::new(0),
                next_value: Cell::new(1),
                settings,
            });
            tasks.spawn_local(beat(vantage, commands.clone()));
        }
    }
}

/// Sends probes at their intended times until told to stop; then waits for those in flight.
async fn beat(vantage: Rc<Vantage>, mut commands: watch::Receiver<Command>) {
    let clock = vantage.shared.clock;
    let mut timer = Pacer::new(clock, &vantage.shared.alarm);
    let mut probes = JoinSet::new();
    // Vantages are spread over one period so that they do not all fire at once.
    let nodes = vantage.shared.nodes.len() as u64 * 2;
    let slot = vantage.node.index() as u64 * 2 + vantage.op as u64;
    let mut intended = clock.now() + Nanos(vantage.settings.every.0 * slot / nodes);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut commands) => break,
            () = timer.until(intended) => {}
        }
        probes.spawn_local(send(Rc::clone(&vantage), intended));
        while probes.try_join_next().is_some() {}
        intended = intended + vantage.settings.every;
    }
    while probes.join_next().await.is_some() {}
    let idle = vantage.idle.take();
    for (_, mut connection) in idle {
        drop(tokio::time::timeout(CONNECT_WITHIN, connection.close()).await);
    }
}

/// One probe from its intended start to its record.
async fn send(vantage: Rc<Vantage>, intended: Nanos) {
    let clock = vantage.shared.clock;
    let started = clock.now();
    let error = if vantage.in_use.get() >= POOL_MAX {
        Some("all connections are waiting".to_owned())
    } else {
        vantage.in_use.set(vantage.in_use.get() + 1);
        let error = vantage.ask().await;
        vantage.in_use.set(vantage.in_use.get() - 1);
        error
    };
    let completed = clock.now();
    let good = error.is_none() && completed.since(intended) <= vantage.settings.deadline;
    let probe = Probe {
        node: vantage.node,
        op: vantage.op,
        intended,
        started,
        ok: error.is_none(),
        error,
    };
    vantage
        .shared
        .recorder
        .event(completed, EventKind::Probe(probe));
    vantage.shared.board.probed(vantage.node, vantage.op, good);
}

impl Vantage {
    /// Asks once; why it went wrong, if it did.
    async fn ask(&self) -> Option<String> {
        let timeout = Duration::from(self.settings.timeout);
        let asked = tokio::time::timeout(timeout, self.ask_on_some_connection()).await;
        asked.unwrap_or_else(|_| Some("timeout".to_owned()))
    }

    async fn ask_on_some_connection(&self) -> Option<String> {
        let mut connection = match self.idle_connection().await {
            Some(connection) => connection,
            None => match self.shared.system.connect(self.addr, CONNECT_WITHIN).await {
                Ok(connection) => connection,
                Err(error) => return Some(error.to_string()),
            },
        };
        let action = match self.op {
            ProbeOp::Read => Action::Read,
            ProbeOp::Write => Action::Write(self.fresh()),
        };
        let reply = connection.invoke(&self.key, action).await;
        if !reply.broken {
            self.put_back(connection);
        }
        match reply.outcome {
            Outcome::Ok => None,
            Outcome::Fail | Outcome::Info => Some(reply.error.unwrap_or_default()),
        }
    }

    /// A connection of the pool that is not lost. One that broke while it lay idle says nothing
    /// about the node now.
    async fn idle_connection(&self) -> Option<Box<dyn Client>> {
        loop {
            let (_, mut connection) = self.idle.borrow_mut().pop()?;
            tokio::select! {
                biased;
                () = connection.lost() => {}
                () = std::future::ready(()) => return Some(connection),
            }
        }
    }

    /// Keeps a connection for the next probe; those that lay idle too long are let go, as their
    /// sessions may be gone.
    fn put_back(&self, connection: Box<dyn Client>) {
        let now = self.shared.clock.now();
        let mut idle = self.idle.borrow_mut();
        idle.push((now, connection));
        idle.retain(|(used, _)| now.since(*used) < IDLE_MAX);
    }

    fn fresh(&self) -> Value {
        let value = self.next_value.get();
        self.next_value.set(value + 1);
        Value(value)
    }
}

/// Connections per vantage. At a beat of 10 ms and a deadline of 50 ms five probes wait at once.
const POOL_MAX: usize = 8;

/// Well below the session timeout.
const IDLE_MAX: Nanos = Nanos::from_secs(4);
