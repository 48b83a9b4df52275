//! The state machines of the simulated nodes: what their protocol delivers and what they ask for.

use chaos_node::protocol::blob::Blob;
use chaos_node::protocol::io::{Input, RejectReason};
use chaos_node::protocol::message::{Entry, Payload};
use chaos_node::protocol::zxid::{Sid, Zxid};
use chaos_node::server::{Asked, Now, Replica, ReplicaOptions};
use chaos_node::state::{Access, CreateMode, Txn, TxnOp};

use super::checker::node_of;
use super::disk::{Record, snapshot_bytes, snapshot_parts};
use super::net::End;
use super::rng::Rng;
use super::world::{Event, MILLI, Node, World};

/// Session timeouts, in milliseconds: short, so that sessions expire within a run.
const TIMEOUTS_MS: (i32, i32) = (80, 400);

/// How often sessions are reviewed.
const REVIEW: u64 = 25 * MILLI;

/// This bit marks what is asked past the sessions.
const DIRECT: u64 = 1 << 62;

impl World {
    /// A state machine as the disk of a node has it.
    pub(crate) fn replica_of(&self, node: usize) -> Result<Replica, String> {
        let state = &self.nodes[node];
        let options = ReplicaOptions {
            me: Sid(node as u8 + 1),
            boot: state.boot as u32,
            session_timeout_ms: TIMEOUTS_MS,
            linear_reads: self.settings.linear_reads,
            bugs: self.settings.bugs,
        };
        let durable = &state.disk.durable;
        let snapshot = (durable.in_snapshot > 0).then_some(&*durable.machine);
        Replica::new(options, snapshot, self.clock_of(node))
            .map_err(|error| format!("boot: snapshot: {error}"))
    }

    /// What the clocks of a node show.
    pub(crate) fn clock_of(&self, node: usize) -> Now {
        let monotonic_ns = self.now + self.nodes[node].ahead;
        Now {
            monotonic_ns,
            wall_ms: (monotonic_ns / MILLI) as i64,
        }
    }

    /// Something is written past the sessions, on behalf of one of a few that come and go.
    pub(crate) fn write(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].core.is_none() {
            return Ok(());
        }
        let request = self.next_request(node);
        let time_ms = self.clock_of(node).wall_ms;
        let payload = random_txn(&mut self.nodes[node].chance, time_ms).encode();
        self.propose(node, request, payload.into())
    }

    /// Somebody begins a linearizable read at `node`, past the sessions.
    pub(crate) fn read(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].core.is_none() {
            return Ok(());
        }
        let request = self.next_request(node);
        self.checker.on_read(node, request);
        self.feed(node, Input::ReadIndex { request })
    }

    fn propose(&mut self, node: usize, request: u64, payload: Payload) -> Result<(), String> {
        let origin = Sid(node as u8 + 1);
        let copy = Payload::clone(&payload);
        if self.payloads.insert((origin, request), copy).is_some() {
            return Err(format!("I3: request {request:#x} of {origin} comes twice"));
        }
        self.feed(node, Input::Propose { request, payload })
    }

    pub(crate) fn next_request(&mut self, node: usize) -> u64 {
        let state = &mut self.nodes[node];
        state.requests += 1;
        DIRECT | state.boot << 40 | state.requests
    }

    /// Puts what a node has applied into a snapshot on its disk.
    pub(crate) fn compact(&mut self, node: usize) -> Result<(), String> {
        let state = &mut self.nodes[node];
        let Some(replica) = &state.replica else {
            return Ok(());
        };
        if state.core.is_none() || state.paused || state.applied.is_empty() {
            return Ok(());
        }
        // A snapshot older than the installed one, or not yet covered by the log on disk, is not
        // taken.
        let covers = state.disk.durable.history.starts_with(&state.applied)
            && state.disk.written.history.starts_with(&state.applied);
        if !covers {
            return Ok(());
        }
        let machine = replica.state().encode();
        state.disk.snapshot(state.applied.len(), machine);
        let zxid = state.disk.durable.history[state.disk.durable.in_snapshot - 1].zxid;
        self.feed(node, Input::Compacted { zxid })
    }

    /// The answer to a wanted snapshot.
    pub(crate) fn snapshot(&mut self, node: usize) -> Result<(), String> {
        let state = &self.nodes[node];
        let applied = &state.applied;
        let zxid = applied.last().map_or(Zxid::ZERO, |record| record.zxid);
        let machine = state.replica.as_ref().map(|it| it.state().encode());
        let bytes = snapshot_bytes(applied, &machine.unwrap_or_default());
        let bytes = Blob::from(&bytes[..]);
        self.feed(node, Input::Snapshot { zxid, bytes })
    }

    /// A node replaces its state machine.
    pub(crate) fn restore(&mut self, node: usize, zxid: Zxid, bytes: &[u8]) -> Result<(), String> {
        let (records, machine) = snapshot_parts(bytes);
        if records.last().map_or(Zxid::ZERO, |record| record.zxid) != zxid {
            return Err("I2: a snapshot is not what it says".to_owned());
        }
        if !self.checker.history.starts_with(&records) {
            return Err("I2: a snapshot holds what was not delivered".to_owned());
        }
        let state = &mut self.nodes[node];
        state.applied = records;
        if let Some(replica) = &mut state.replica {
            replica
                .restore(machine)
                .map_err(|error| format!("I12: snapshot: {error}"))?;
            self.witness.on_state(replica.state())?;
        }
        Ok(())
    }

    /// A node applies the next transaction.
    pub(crate) fn deliver(&mut self, node: usize, entry: &Entry) -> Result<(), String> {
        let record = Record::of(entry);
        let index = self.nodes[node].applied.len();
        let holds = |state: &Node| state.disk.durable.history.get(index) == Some(&record);
        let holders = self.nodes.iter().map(holds);
        let quorum = self.nodes.len() / 2 + 1;
        self.checker.on_deliver(index, record, holders, quorum)?;
        let (now, outcomes_only) = (self.clock_of(node), self.checker.outcomes_only);
        let state = &mut self.nodes[node];
        if state.disk.durable.history.get(index) != Some(&record) && !outcomes_only {
            return Err(format!(
                "I9: {} is delivered but not durable here",
                record.zxid
            ));
        }
        state.applied.push(record);
        if record.origin == Sid(node as u8 + 1) && record.request >> 40 == DIRECT >> 40 | state.boot
        {
            self.checker.acknowledged = self.checker.acknowledged.max(record.zxid);
            self.acknowledged += 1;
        }
        if let Some(replica) = &mut state.replica {
            let applied = replica.deliver(entry, now);
            let (txn, outcome) = applied.map_err(|error| format!("I3: payload: {error}"))?;
            self.witness.on_applied(&txn, &outcome, replica.state())?;
        }
        self.gather(node)
    }

    /// A read-index request is answered.
    pub(crate) fn read_ready(
        &mut self,
        node: usize,
        request: u64,
        zxid: Zxid,
    ) -> Result<(), String> {
        if request & DIRECT != 0 {
            return self.checker.on_read_ready(node, request, zxid);
        }
        let now = self.clock_of(node);
        if let Some(replica) = &mut self.nodes[node].replica {
            replica.read_ready(request, zxid, now);
        }
        self.gather(node)
    }

    /// A request ends without its answer.
    pub(crate) fn rejected(
        &mut self,
        node: usize,
        request: u64,
        reason: RejectReason,
    ) -> Result<(), String> {
        if reason == RejectReason::TooLarge {
            return Err("I3: nothing here is too large".to_owned());
        }
        if let Some(replica) = &mut self.nodes[node].replica
            && request & DIRECT == 0
        {
            replica.rejected(request);
        }
        self.gather(node)
    }

    /// The sessions of a node are told that it serves, or does not.
    pub(crate) fn tell_sessions(&mut self, node: usize, serves: bool) -> Result<(), String> {
        let now = self.clock_of(node);
        if let Some(replica) = &mut self.nodes[node].replica {
            if serves {
                replica.serving(now);
            } else {
                replica.not_serving();
            }
        }
        self.gather(node)
    }

    /// Now and then: silent sessions expire.
    pub(crate) fn review(&mut self, end: End) -> Result<(), String> {
        let node = end.node;
        self.schedule(self.now + REVIEW, Event::Review(end));
        let now = self.clock_of(node);
        let state = &mut self.nodes[node];
        if self.quiet || state.paused {
            return Ok(());
        }
        if let (Some((leader, _)), Some(replica)) = (state.serving, &mut state.replica) {
            replica.review(node_of(leader) == node, now);
        }
        self.gather(node)?;
        self.do_asked(node)
    }

    /// Hands out what the sessions send, and keeps what they ask of the protocol for when its
    /// outputs are done.
    pub(crate) fn gather(&mut self, node: usize) -> Result<(), String> {
        let now = self.clock_of(node);
        let Some(replica) = &mut self.nodes[node].replica else {
            return Ok(());
        };
        for asked in replica.asked(now) {
            match asked {
                Asked::Propose { .. } | Asked::ReadIndex { .. } => {
                    self.nodes[node].asked.push_back(asked);
                }
                Asked::Send { conn, frames } => {
                    self.clients.receive(conn, &frames, &self.witness)?;
                }
                Asked::Finish { conn } => self.clients.lose(conn),
            }
        }
        Ok(())
    }

    /// Does what was kept.
    pub(crate) fn do_asked(&mut self, node: usize) -> Result<(), String> {
        while let Some(asked) = self.nodes[node].asked.pop_front() {
            match asked {
                Asked::Propose { request, payload } => self.propose(node, request, payload)?,
                Asked::ReadIndex { request } => self.feed(node, Input::ReadIndex { request })?,
                Asked::Send { .. } | Asked::Finish { .. } => {}
            }
        }
        Ok(())
    }
}

/// A transaction of the cluster itself on behalf of one of a few sessions.
fn random_txn(chance: &mut Rng, time_ms: i64) -> Txn {
    let session = 1 + chance.below(6) as i64;
    let path = format!("/k{}", chance.below(8));
    let data = chance.next().to_be_bytes().to_vec().into();
    let version = if chance.chance(700_000) { -1 } else { 0 };
    let op = match chance.below(12) {
        0..=2 => TxnOp::OpenSession { timeout_ms: 200 },
        3 => TxnOp::CloseSession,
        4..=6 => TxnOp::Create {
            path,
            data,
            access: vec![Access::open()],
            mode: if chance.chance(600_000) {
                CreateMode::Ephemeral
            } else {
                CreateMode::Persistent
            },
            sequential: chance.chance(100_000),
        },
        7 => TxnOp::Delete { path, version },
        8 => TxnOp::Multi {
            ops: vec![
                TxnOp::SetData {
                    path: path.clone(),
                    data,
                    version: -1,
                },
                TxnOp::Delete { path, version },
            ],
        },
        _ => TxnOp::SetData {
            path,
            data,
            version,
        },
    };
    Txn {
        time_ms,
        session,
        connection: 0,
        ids: Vec::new(),
        op,
    }
}
