//! Doing what the protocol and the sessions ask for.

use std::sync::Arc;

use super::backlog::Backlog;
use super::error::ServerError;
use super::event_loop::Server;
use super::inbox::Durable;
use super::sessions::Effect;
use super::snapshots::Purpose;
use super::start::moment;
use crate::clock;
use crate::protocol::io::{Input, Output};
use crate::protocol::message::{Entry, Frame, Payload};
use crate::protocol::wire;
use crate::protocol::zxid::{ConnId, Sid};
use crate::state::Txn;
use crate::storage::{Batch, StorageOp};
use crate::transport::{ClientEvent, dial};

impl Server {
    /// Does everything that was asked for, but only a slice of what concerns the state, and what follows
    /// from that; then writes to the sockets.
    pub(super) fn settle(&mut self) -> Result<(), ServerError> {
        let until = Backlog::slice_from(clock::monotonic_ns());
        let mut is_in_time = true;
        while !self.outputs.is_empty() || is_in_time && self.is_behind() {
            for output in std::mem::take(&mut self.outputs) {
                if let Some(output) = self.backlog.take(output) {
                    self.execute(output)?;
                }
            }
            is_in_time = self.work_off(until)?;
            self.sessions.advance_held(moment(), &self.state);
            self.do_effects();
            self.save_snapshot();
        }
        self.flush();
        Ok(())
    }

    /// Does what the sessions ask for.
    pub(super) fn do_effects(&mut self) {
        for effect in self.sessions.take_effects() {
            match effect {
                Effect::Propose { request, txn } => {
                    let payload = Payload::from(txn.encode());
                    self.step(Input::Propose { request, payload });
                }
                Effect::ReadIndex { request } => self.step(Input::ReadIndex { request }),
                Effect::Send { conn, frames } => {
                    if let Some(client) = self.clients.get_mut(&conn) {
                        self.sent += 1;
                        client.connection.gathered().extend_from_slice(&frames);
                        client.permits.add_permits(1);
                        self.answered.push(conn);
                    }
                }
                Effect::Tell { conn, frame } => {
                    if let Some(client) = self.clients.get_mut(&conn) {
                        self.sent += 1;
                        client.connection.gathered().extend_from_slice(&frame);
                        self.answered.push(conn);
                    }
                }
                Effect::Finish { conn } => {
                    if let Some(client) = self.clients.remove(&conn) {
                        client.connection.finish();
                    }
                }
            }
        }
    }

    pub(super) fn execute(&mut self, output: Output) -> Result<(), ServerError> {
        match output {
            Output::Dial { peer } => self.dial(peer),
            Output::Send { conn, frame } => self.send(conn, &frame),
            Output::Close { conn } => {
                if let Some(connection) = self.peers.remove(&conn) {
                    connection.reset();
                }
            }
            Output::Disk { ticket, ops } => {
                let ops = ops.into_iter().map(StorageOp::Protocol).collect();
                let token = Durable::Batch(ticket);
                self.worker.send(Batch { ops, token });
            }
            Output::Deliver(entry) => self.deliver(&entry)?,
            Output::Restore { zxid, bytes } => self.snapshots.restore(zxid, bytes),
            Output::SnapshotWanted => self.snapshots.encode(Purpose::Send, self.state.snapshot()),
            Output::ReadReady { request, zxid } => {
                self.sessions
                    .read_ready(request, zxid, moment(), &self.state);
            }
            Output::Rejected { request, reason: _ } => self.sessions.rejected(request),
            Output::Serving { .. } => {
                self.backlog.open();
                self.sessions.serving(moment(), &self.state);
            }
            Output::NotServing => {
                self.backlog.close();
                self.sessions.not_serving();
            }
            Output::Trace(event) => {
                let written = self.trace.event(clock::true_ns(), &event);
                written.map_err(|source| self.trace_error(source))?;
            }
            Output::WakeAt(at) => self.wake_at = at.0,
            Output::Fatal(text) => return Err(ServerError::Invariant(text)),
        }
        Ok(())
    }

    fn dial(&self, peer: Sid) {
        // The protocol dials voters only, and every voter but this node has an address.
        if let Some(address) = self.config.peers.get(&peer) {
            let (ids, events) = (Arc::clone(&self.ids), self.peer_events.clone());
            tokio::spawn(dial(peer, *address, ids, events));
        }
    }

    fn send(&mut self, conn: ConnId, frame: &Frame) {
        if let Some(connection) = self.peers.get_mut(&conn) {
            wire::encode(frame, connection.gathered());
        }
    }

    fn deliver(&mut self, entry: &Entry) -> Result<(), ServerError> {
        let zxid = entry.zxid;
        let txn =
            Txn::decode(&entry.payload).map_err(|source| ServerError::Txn { zxid, source })?;
        self.changes.clear();
        let outcome = self.state.apply(zxid.0, &txn, &mut self.changes);
        self.sessions.changed(zxid.0, &self.changes);
        self.applied_since_snapshot += 1;
        let request = (entry.origin == self.config.me).then_some(entry.request);
        self.sessions
            .applied(&txn, request, &outcome, moment(), &self.state);
        Ok(())
    }

    /// Writes what was gathered. A peer that does not read is cut off, and the protocol brings it up to
    /// date afterwards.
    fn flush(&mut self) {
        let slow: Vec<ConnId> = self
            .peers
            .iter_mut()
            .filter_map(|(conn, peer)| (peer.flush() > PEER_BACKLOG).then_some(*conn))
            .collect();
        for conn in slow {
            if let Some(connection) = self.peers.remove(&conn) {
                connection.reset();
                self.step(Input::Disconnected {
                    conn,
                    reason: crate::protocol::io::BreakReason::Reset,
                });
            }
        }
        self.flush_clients();
    }

    /// A client that does not read gets no more answers until it does; if that is not enough, because
    /// too many events wait, it loses its connection.
    fn flush_clients(&mut self) {
        let mut held_up = self.sessions.flushed();
        let mut slow = Vec::new();
        for conn in self.answered.drain(..) {
            let Some(client) = self.clients.get_mut(&conn) else {
                continue;
            };
            match client.connection.flush() {
                0 => {}
                waiting if waiting > CLIENT_BACKLOG => slow.push(conn),
                _ if self.sessions.hold_up(conn) => held_up.push(conn),
                _ => {}
            }
        }
        for conn in slow {
            self.sessions.closed(conn);
            if let Some(client) = self.clients.remove(&conn) {
                client.connection.reset();
            }
        }
        for conn in held_up {
            self.go_on_when_written(conn);
        }
    }

    /// Lets a client have more answers when it has taken those that were flushed.
    fn go_on_when_written(&mut self, conn: ConnId) {
        if let Some(client) = self.clients.get_mut(&conn) {
            let written = client.connection.written();
            let events = self.client_events.clone();
            tokio::spawn(async move {
                // A broken connection goes on, too, and finds its end.
                let _ = written.await;
                let _ = events.send(ClientEvent::Written { conn }).await;
            });
        }
    }
}

/// Bytes that may wait for one peer: more than the protocol keeps unacknowledged.
const PEER_BACKLOG: usize = 64 << 20;
/// Bytes that may wait for one client: answers wait elsewhere, but for one that is large by itself, and
/// events.
const CLIENT_BACKLOG: usize = 64 << 20;
