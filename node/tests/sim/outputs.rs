//! What the outputs of a node do to the simulated world.

use chaos_node::protocol::io::{BreakReason, DiskOp, Input, Output, TraceEvent};
use chaos_node::protocol::message::Frame;
use chaos_node::protocol::zxid::{ConnId, Sid, Ticket};

use super::checker::node_of;
use super::disk::Record;
use super::net::{End, Rule, id_of, locate};
use super::world::{DISK_QUICK, Event, MILLI, Node, World};

impl World {
    pub(crate) fn execute(&mut self, node: usize, output: Output) -> Result<(), String> {
        let end = End {
            node,
            boot: self.nodes[node].boot,
        };
        match output {
            Output::Dial { peer } => self.dial(end, peer),
            Output::Send { conn, frame } => self.send(node, conn, frame)?,
            Output::Close { conn } => {
                let (conn, side) = locate(conn);
                self.hang_up(conn, side, BreakReason::Reset);
            }
            Output::Disk { ticket, ops } => self.write_disk(end, ticket, ops)?,
            Output::Deliver(entry) => self.deliver(node, &entry)?,
            Output::Restore { zxid, bytes } => self.restore(node, zxid, &bytes)?,
            Output::SnapshotWanted => {
                let at = self.now + self.nodes[node].chance.between(1, 3 * MILLI);
                self.schedule(at, Event::Snapshot(end));
            }
            Output::ReadReady { request, zxid } => self.read_ready(node, request, zxid)?,
            Output::Rejected { request, reason } => self.rejected(node, request, reason)?,
            Output::Serving { leader, epoch } => {
                self.checker.on_serving(epoch, &self.nodes[node].applied)?;
                self.nodes[node].serving = Some((leader, epoch));
                self.nodes[node].serving_since = self.now;
                self.tell_sessions(node, true)?;
            }
            Output::NotServing => {
                self.check_available(node)?;
                self.nodes[node].serving = None;
                self.tell_sessions(node, false)?;
            }
            Output::Trace(event) => {
                if let TraceEvent::Active { epoch, .. } = event {
                    self.checker
                        .on_active(node, epoch, &self.nodes[node].disk)?;
                }
                self.log(|| format!("n{} {event:?}", node + 1));
                self.traces.push((self.now, node, event));
            }
            Output::WakeAt(at) => {
                self.nodes[node].wake_at = at.0;
                let due = at.0.saturating_sub(self.nodes[node].ahead);
                self.schedule(due.max(self.now), Event::Wake(end, at.0));
            }
            Output::Fatal(text) => return Err(format!("fatal: {text}")),
        }
        Ok(())
    }

    fn dial(&mut self, end: End, peer: Sid) {
        let to = node_of(peer);
        let there = self.now + self.net.latency(end.node, to);
        let back = there + self.net.latency(to, end.node);
        let cut = self.net.rule(end.node, to) == Rule::Cut;
        if cut && self.net.chance(end.node, to, 500_000) {
            let failed = Input::DialFailed {
                peer,
                reason: BreakReason::Timeout,
            };
            self.schedule(self.now + 250 * MILLI, Event::Input(end, failed));
            return;
        }
        if self.nodes[to].core.is_none() {
            let failed = Input::DialFailed {
                peer,
                reason: BreakReason::Refused,
            };
            self.schedule(back, Event::Input(end, failed));
            return;
        }
        let other = End {
            node: to,
            boot: self.nodes[to].boot,
        };
        let conn = self.net.open([end, other], back);
        let dialed = Input::Connected {
            conn: id_of(conn, 0),
            dialed: Some(peer),
        };
        let accepted = Input::Connected {
            conn: id_of(conn, 1),
            dialed: None,
        };
        self.schedule(back, Event::Input(end, dialed));
        self.schedule(there, Event::Input(other, accepted));
    }

    fn send(&mut self, node: usize, conn: ConnId, frame: Frame) -> Result<(), String> {
        let (id, side) = locate(conn);
        if let (Frame::Segment(segment), Some(state)) = (&frame, self.net.conns.get_mut(&id))
            && segment.seq > state.said[side]
        {
            state.said[side] = segment.seq;
            let Node { disk, boot, .. } = &self.nodes[node];
            self.checker
                .on_message((node, *boot), &segment.message, disk)?;
        }
        if self
            .net
            .conns
            .get(&id)
            .is_none_or(|state| state.closed[side])
        {
            return Ok(());
        }
        if let Some(at) = self.net.arrival(id, side, self.now) {
            let Some(state) = self.net.conns.get(&id) else {
                return Ok(());
            };
            let input = Input::Frame {
                conn: id_of(id, 1 - side),
                frame,
            };
            self.schedule(at, Event::Input(state.ends[1 - side], input));
        }
        Ok(())
    }

    /// One end goes away; the other learns of it behind what is under way, unless the link is cut.
    pub(crate) fn hang_up(&mut self, conn: u64, side: usize, reason: BreakReason) {
        let Some(state) = self.net.conns.get_mut(&conn) else {
            return;
        };
        if std::mem::replace(&mut state.closed[side], true) {
            return;
        }
        let (from, to) = (state.ends[side].node, state.ends[1 - side].node);
        if reason == BreakReason::Reset {
            let cut = self.now + self.net.below(from, to, 300_000);
            if let Some(state) = self.net.conns.get_mut(&conn) {
                state.broken_at[side] = cut;
            }
        }
        let Some(state) = self.net.conns.get(&conn) else {
            return;
        };
        let last_arrival = state.last_arrival[side];
        if state.closed[0] && state.closed[1] {
            self.net.conns.remove(&conn);
        } else if self.net.rule(from, to) != Rule::Cut || self.net.chance(from, to, 300_000) {
            let at = (self.now + self.net.latency(from, to)).max(last_arrival + 1);
            self.notify_broken(conn, 1 - side, reason, at);
        }
    }

    pub(crate) fn notify_broken(&mut self, conn: u64, side: usize, reason: BreakReason, at: u64) {
        let Some(state) = self.net.conns.get(&conn) else {
            return;
        };
        if !state.closed[side] {
            let input = Input::Disconnected {
                conn: id_of(conn, side),
                reason,
            };
            self.schedule(at, Event::Input(state.ends[side], input));
        }
    }

    fn write_disk(&mut self, end: End, ticket: Ticket, ops: Vec<DiskOp>) -> Result<(), String> {
        for op in &ops {
            if let DiskOp::Append(entries) | DiskOp::InstallSnapshot { entries, .. } = op {
                for entry in entries {
                    let record = Record::of(entry);
                    let asked = self.payloads.get(&(record.origin, record.request));
                    if asked != Some(&entry.payload) {
                        return Err(format!("I3: {} holds what nobody asked for", record.zxid));
                    }
                    self.checker.on_append(end.node, record)?;
                }
            }
        }
        let state = &mut self.nodes[end.node];
        state.disk.issue(ticket, ops)?;
        let worst = if state.chance.chance(30_000) {
            state.disk_worst
        } else {
            DISK_QUICK
        };
        let took = state.chance.between(60_000, worst.max(60_001));
        state.disk_free = state.disk_free.max(self.now) + took;
        let at = state.disk_free;
        if took > DISK_QUICK {
            state.harmed = state.harmed.max(at);
        }
        self.schedule(at, Event::Written(end, ticket));
        Ok(())
    }
}
