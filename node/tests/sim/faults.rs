//! The harm that is done to a simulated cluster.

use chaos_node::protocol::io::{BreakReason, Input, Output};
use chaos_node::protocol::message::{Body, Frame, Hello};
use chaos_node::protocol::zxid::{Sid, Ticket};

use super::action::{Point, Strike, Trap, Way, Word};
use super::net::{End, Rule, id_of};
use super::world::{Event, MILLI, World};

impl World {
    /// Ends a node without warning.
    pub(crate) fn crash(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].core.take().is_none() {
            return Ok(());
        }
        self.log(|| format!("n{} CRASHES", node + 1));
        let state = &mut self.nodes[node];
        state.disk.crash(&mut state.chance)?;
        state.serving = None;
        state.replica = None;
        state.asked.clear();
        self.clients.lose_all(node);
        let state = &mut self.nodes[node];
        state.paused = false;
        state.trap = None;
        state.inbox.clear();
        state.tick_owed = false;
        state.harmed = self.now;
        self.checker.on_durable(&state.disk.durable)?;
        let boot = state.boot;
        let dead = End { node, boot };
        let open: Vec<(u64, usize)> = self
            .net
            .conns
            .iter()
            .flat_map(|(&conn, state)| {
                (0..2)
                    .filter(|&end| state.ends[end] == dead)
                    .map(move |end| (conn, end))
            })
            .collect();
        for (conn, end) in open {
            self.hang_up(conn, end, BreakReason::Eof);
        }
        Ok(())
    }

    /// Ends `count` nodes at once, from `first` on.
    pub(crate) fn crash_some(&mut self, first: usize, count: usize) -> Result<(), String> {
        let nodes = self.nodes.len();
        for offset in 0..count.min(nodes) {
            self.crash((first + offset) % nodes)?;
        }
        Ok(())
    }

    /// Stops a node without its noticing.
    pub(crate) fn pause(&mut self, node: usize) {
        self.nodes[node].paused = self.nodes[node].core.is_some();
        self.nodes[node].harmed = self.now;
        self.log(|| format!("n{} stops", node + 1));
    }

    /// Lets a stopped node run on: first what came in meanwhile, in the order of each source but
    /// with the sources in any order, then the clock.
    pub(crate) fn resume(&mut self, node: usize) -> Result<(), String> {
        if !std::mem::take(&mut self.nodes[node].paused) {
            return Ok(());
        }
        self.log(|| format!("n{} runs on", node + 1));
        self.nodes[node].harmed = self.now;
        while !self.nodes[node].inbox.is_empty() {
            let state = &mut self.nodes[node];
            let pick = state.chance.index(state.inbox.len());
            let source = source_of(&state.inbox[pick]);
            let first = state
                .inbox
                .iter()
                .position(|input| source_of(input) == source);
            let Some(input) = first.and_then(|first| state.inbox.remove(first)) else {
                break;
            };
            self.feed(node, input)?;
        }
        if std::mem::take(&mut self.nodes[node].tick_owed) {
            self.feed(node, Input::Tick)?;
        }
        Ok(())
    }

    /// The clock of a node leaps forward.
    pub(crate) fn leap(&mut self, node: usize, by: u64) {
        let state = &mut self.nodes[node];
        state.ahead += by;
        state.harmed = self.now;
        let end = End {
            node,
            boot: state.boot,
        };
        // What the node waits for may have come.
        let wake_at = state.wake_at;
        let due = wake_at.saturating_sub(state.ahead).max(self.now);
        self.schedule(due, Event::Wake(end, wake_at));
    }

    /// Cuts a node off.
    pub(crate) fn isolate(&mut self, node: usize, way: Way) {
        let now = self.now;
        for other in (0..self.nodes.len()).filter(|&other| other != node) {
            if way != Way::Hears {
                self.net.set(node, other, Rule::Cut, now);
            }
            if way != Way::Sends {
                self.net.set(other, node, Rule::Cut, now);
            }
        }
        self.log(|| format!("n{} is cut off ({way:?})", node + 1));
    }

    /// Breaks the connections between two nodes; what is under way is partly lost.
    pub(crate) fn break_between(&mut self, one: usize, two: usize) {
        let between = |ends: &[End; 2]| {
            (ends[0].node, ends[1].node) == (one, two) || (ends[1].node, ends[0].node) == (one, two)
        };
        let conns: Vec<u64> = self
            .net
            .conns
            .iter()
            .filter(|(_, state)| between(&state.ends))
            .map(|(&conn, _)| conn)
            .collect();
        self.net.harm(one, two, self.now);
        for conn in conns {
            self.log(|| format!("connection {conn} breaks"));
            for end in 0..2 {
                let cut = self.now + self.net.below(one, two, 200_000);
                if let Some(state) = self.net.conns.get_mut(&conn) {
                    state.broken_at[end] = state.broken_at[end].min(cut);
                }
                let at = self.now + self.net.below(one, two, 400_000);
                self.notify_broken(conn, end, BreakReason::Reset, at);
            }
        }
    }

    /// Connects `from` to `to` without `from` knowing: an attempt that it has given up arrives.
    pub(crate) fn ghost(&mut self, from: usize, to: usize) {
        if from <= to || self.nodes[to].core.is_none() {
            return;
        }
        let ends = [from, to].map(|node| End {
            node,
            boot: self.nodes[node].boot,
        });
        let now = self.now;
        self.net.harm(from, to, now);
        let conn = self.net.open(ends, now);
        if let Some(state) = self.net.conns.get_mut(&conn) {
            // Whatever comes back goes nowhere.
            state.broken_at[1] = 0;
            state.closed[0] = true;
        }
        let id = id_of(conn, 1);
        let accepted = Input::Connected {
            conn: id,
            dialed: None,
        };
        let hello = Frame::Hello(Hello {
            from: Sid(from as u8 + 1),
            to: Sid(to as u8 + 1),
        });
        let greeting = Input::Frame {
            conn: id,
            frame: hello,
        };
        let gone = now + self.net.below(from, to, 100 * MILLI) + MILLI;
        self.schedule(now, Event::Input(ends[1], accepted));
        self.schedule(now + 1, Event::Input(ends[1], greeting));
        self.notify_broken(conn, 1, BreakReason::Reset, gone);
    }

    /// Makes a disk finish nothing for `length` nanoseconds.
    pub(crate) fn stick_disk(&mut self, node: usize, length: u64) {
        let state = &mut self.nodes[node];
        state.disk_free = state.disk_free.max(self.now) + length;
        state.harmed = state.disk_free;
    }

    /// Sets the longest that a disk takes.
    pub(crate) fn slow_disk(&mut self, node: usize, worst: u64) {
        self.nodes[node].disk_worst = worst;
        self.nodes[node].harmed = self.now;
    }

    /// A batch is on the disk. Sometimes only a later one is reported, which covers it.
    pub(crate) fn written(&mut self, end: End, ticket: Ticket) -> Result<(), String> {
        let disk = &mut self.nodes[end.node].disk;
        let before = disk.rewrites(ticket).then(|| disk.durable.history.clone());
        disk.finish(ticket)?;
        self.checker.on_durable(&disk.durable)?;
        if let Some(before) = before {
            self.checker.on_rewrite(&before, &disk.durable.history)?;
        }
        if self.springs(end.node, Point::Written) {
            // Nobody is there any more to be told, unless the strike was another one.
            self.strike(end.node)?;
        }
        let state = &mut self.nodes[end.node];
        if state.disk.pending.is_empty() || state.chance.chance(700_000) {
            self.feed(end.node, Input::DiskDone { ticket })?;
        }
        Ok(())
    }

    /// Counts a point that is reached; tells whether it is the one of the node's trap.
    pub(crate) fn springs(&mut self, node: usize, point: Point) -> bool {
        let Some(trap) = &mut self.nodes[node].trap else {
            return false;
        };
        if trap.point != point && trap.point != Point::Output {
            return false;
        }
        trap.nth = trap.nth.saturating_sub(1);
        trap.nth == 0
    }

    /// The trap snaps.
    pub(crate) fn strike(&mut self, node: usize) -> Result<(), String> {
        let Some(Trap { strike, .. }) = self.nodes[node].trap.take() else {
            return Ok(());
        };
        match strike {
            Strike::Crash => self.crash(node),
            Strike::PowerCut => self.crash_some(0, self.nodes.len()),
            Strike::CrashLeader => {
                let leader = self.leader().unwrap_or(node);
                self.crash(leader)
            }
            Strike::Isolate => {
                self.isolate(node, Way::Both);
                Ok(())
            }
        }
    }
}

/// Which point an output is.
pub(crate) fn point_of(output: &Output) -> Point {
    match output {
        Output::Disk { .. } => Point::Issue,
        Output::Send {
            frame: Frame::Segment(segment),
            ..
        } => word_of(&segment.message.body).map_or(Point::Output, Point::Say),
        _ => Point::Output,
    }
}

fn word_of(body: &Body) -> Option<Word> {
    Some(match body {
        Body::NewEpoch { .. } => Word::NewEpoch,
        Body::AckEpoch { .. } => Word::AckEpoch,
        Body::Truncate { .. } => Word::Truncate,
        Body::SyncEntries { .. } | Body::SnapshotChunk { .. } => Word::SyncEntries,
        Body::NewLeader { .. } => Word::NewLeader,
        Body::AckNewLeader { .. } => Word::AckNewLeader,
        Body::UpToDate { .. } => Word::UpToDate,
        Body::Proposal { .. } => Word::Proposal,
        Body::Ack { .. } => Word::Ack,
        Body::Commit { .. } => Word::Commit,
        Body::FollowerInfo { .. }
        | Body::Request { .. }
        | Body::RequestRefused { .. }
        | Body::ReadIndex { .. }
        | Body::ReadIndexReply { .. } => return None,
    })
}

/// Where an input comes from: what comes from one place keeps its order.
#[derive(PartialEq, Eq)]
enum Source {
    Connection(u64),
    Dials,
    Disk,
    Clients,
}

fn source_of(input: &Input) -> Source {
    match input {
        Input::Frame { conn, .. } | Input::Disconnected { conn, .. } => Source::Connection(conn.0),
        Input::Connected { conn, .. } => Source::Connection(conn.0),
        Input::DialFailed { .. } | Input::Tick => Source::Dials,
        Input::DiskDone { .. } | Input::Snapshot { .. } | Input::Compacted { .. } => Source::Disk,
        Input::Propose { .. } | Input::ReadIndex { .. } => Source::Clients,
    }
}
