//! The simulated cluster: one queue of events, virtual time, one source of chance.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Write;

use chaos_node::bug::Bugs;
use chaos_node::protocol::Core;
use chaos_node::protocol::io::{BreakReason, CoreConfig, Input, Output, Timing, TraceEvent};
use chaos_node::protocol::zxid::{Nanos, Sid, Ticket};
use chaos_node::server::{Asked, Replica};

use super::action::Trap;
use super::checker::{Checker, node_of};
use super::clients::Clients;
use super::disk::{Disk, Payloads, Record};
use super::faults::point_of;
use super::net::{End, Net, locate};
use super::rng::Rng;
use super::witness::Witness;

pub(crate) const MILLI: u64 = 1_000_000;

/// How many lines of what happened are kept for a failure.
const TAIL: usize = 60;

/// What will happen to a node.
#[derive(Debug)]
pub(crate) enum Event {
    Input(End, Input),
    Wake(End, u64),
    Written(End, Ticket),
    Snapshot(End),
    Review(End),
}

/// One entry of the queue.
#[derive(Debug)]
struct Due {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// One simulated process and its disk.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) core: Option<Core>,
    pub(crate) boot: u64,
    pub(crate) paused: bool,
    pub(crate) disk: Disk,
    /// The state machine: the list of what was applied.
    pub(crate) applied: Vec<Record>,
    pub(crate) serving: Option<(Sid, u32)>,
    /// The wake-up that the node asked for last.
    pub(crate) wake_at: u64,
    /// When the disk has finished what was issued.
    pub(crate) disk_free: u64,
    /// The longest that the disk takes, in nanoseconds.
    pub(crate) disk_worst: u64,
    /// How far its clock is ahead.
    pub(crate) ahead: u64,
    /// When it was last harmed itself, or will have been.
    pub(crate) harmed: u64,
    pub(crate) serving_since: u64,
    pub(crate) trap: Option<Trap>,
    /// Its own source of chance.
    pub(crate) chance: Rng,
    pub(crate) inbox: VecDeque<Input>,
    pub(crate) tick_owed: bool,
    pub(crate) requests: u64,
    /// The state machine and the sessions.
    pub(crate) replica: Option<Replica>,
    /// What those ask of the protocol.
    pub(crate) asked: VecDeque<Asked>,
}

/// How long an undisturbed disk takes at most.
pub(crate) const DISK_QUICK: u64 = 300_000;

/// What a run wants of its cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) nodes: usize,
    pub(crate) keep_entries: usize,
    pub(crate) linear_reads: bool,
    pub(crate) bugs: Bugs,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) net: Net,
    pub(crate) checker: Checker,
    pub(crate) witness: Witness,
    pub(crate) clients: Clients,
    pub(crate) payloads: Payloads,
    /// Nothing is reviewed any more, so that nothing happens that nobody asked for.
    pub(crate) quiet: bool,
    /// All that the nodes said of themselves.
    pub(crate) traces: Vec<(u64, usize, TraceEvent)>,
    /// How many inputs the nodes have taken: each led to a state that was checked.
    pub(crate) steps: u64,
    /// Outputs are digested, for comparing two runs.
    pub(crate) digest: Option<u64>,
    /// What happened lately, if recorded.
    pub(crate) tail: Option<VecDeque<String>>,
    pub(crate) acknowledged: u64,
    queue: BinaryHeap<Reverse<Due>>,
    order: u64,
    pub(crate) settings: Settings,
}

impl Node {
    fn new(seed: u64, node: usize) -> Self {
        Self {
            core: None,
            boot: 0,
            paused: false,
            disk: Disk::new(node),
            applied: Vec::new(),
            serving: None,
            wake_at: 0,
            disk_free: 0,
            disk_worst: DISK_QUICK,
            ahead: 0,
            harmed: 0,
            serving_since: 0,
            trap: None,
            chance: Rng::stream(seed, node as u64),
            inbox: VecDeque::new(),
            tick_owed: false,
            requests: 0,
            replica: None,
            asked: VecDeque::new(),
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, settings: Settings) -> Result<Self, String> {
        let nodes = settings.nodes;
        let mut world = Self {
            now: 1_000 * MILLI,
            nodes: (0..nodes).map(|node| Node::new(seed, node)).collect(),
            net: Net::new(seed, nodes),
            checker: Checker::default(),
            witness: Witness::default(),
            clients: Clients::new(seed, nodes + 1),
            payloads: Payloads::new(),
            quiet: false,
            traces: Vec::new(),
            steps: 0,
            digest: None,
            tail: None,
            acknowledged: 0,
            queue: BinaryHeap::new(),
            order: 0,
            settings,
        };
        for node in 0..nodes {
            world.start(node)?;
        }
        Ok(world)
    }

    pub(crate) fn quorum(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// Runs until `until`.
    pub(crate) fn run(&mut self, until: u64) -> Result<(), String> {
        while self
            .queue
            .peek()
            .is_some_and(|Reverse(due)| due.at <= until)
        {
            let Some(Reverse(due)) = self.queue.pop() else {
                break;
            };
            self.now = self.now.max(due.at);
            self.happen(due.event)?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    /// Runs for `length` nanoseconds.
    pub(crate) fn run_for(&mut self, length: u64) -> Result<(), String> {
        self.run(self.now + length)
    }

    /// Starts a node from its disk, if it is down.
    pub(crate) fn start(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].core.is_some() {
            return Ok(());
        }
        let voters = (1..=self.nodes.len() as u8).map(Sid).collect();
        let config = CoreConfig {
            me: Sid(node as u8 + 1),
            voters,
            seed: self.nodes[node].chance.next(),
            timing: Timing::default(),
            keep_entries: self.settings.keep_entries,
            bugs: self.settings.bugs,
        };
        let state = &mut self.nodes[node];
        state.boot += 1;
        let boot = state.disk.durable.boot(&self.payloads)?;
        state.applied = state.disk.durable.history[..state.disk.durable.in_snapshot].to_vec();
        let core = Core::new(config, boot, Nanos(self.now + state.ahead))
            .map_err(|e| format!("boot: {e}"))?;
        state.core = Some(core);
        state.disk_free = self.now;
        state.wake_at = 0;
        state.harmed = self.now;
        self.nodes[node].replica = Some(self.replica_of(node)?);
        let end = End {
            node,
            boot: self.nodes[node].boot,
        };
        self.schedule(self.now, Event::Review(end));
        self.log(|| format!("n{} starts", node + 1));
        self.feed(node, Input::Tick)
    }

    /// The node that serves as leader of the newest epoch.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(|(node, state)| {
                let (leader, epoch) = state.serving?;
                (node_of(leader) == node && !state.paused).then_some((epoch, node))
            })
            .max()
            .map(|(_, node)| node)
    }

    /// For how long the busiest disk has still to write.
    pub(crate) fn backlog(&self) -> u64 {
        let busy = |state: &Node| state.disk_free.saturating_sub(self.now);
        self.nodes.iter().map(busy).max().unwrap_or(0)
    }

    pub(crate) fn log(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(tail) = &mut self.tail {
            tail.push_back(format!("{:>12.6} {}", now as f64 / 1e9, line()));
            if tail.len() > TAIL {
                tail.pop_front();
            }
        }
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Due {
            at,
            order: self.order,
            event,
        }));
    }

    fn is_current(&self, end: End) -> bool {
        let state = &self.nodes[end.node];
        state.boot == end.boot && state.core.is_some()
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Input(end, input) => {
                if self.is_current(end) {
                    self.feed(end.node, input)?;
                } else if let Input::Frame { conn, .. } = input {
                    // Nobody has this connection any more: its host says so.
                    let (conn, side) = locate(conn);
                    let there = self.net.conns.get(&conn).map(|state| state.ends[1 - side]);
                    let Some(there) = there else { return Ok(()) };
                    let at = self.now + self.net.latency(end.node, there.node);
                    self.notify_broken(conn, 1 - side, BreakReason::Reset, at);
                }
            }
            Event::Wake(end, at) => {
                if self.is_current(end) && self.nodes[end.node].wake_at == at {
                    self.feed(end.node, Input::Tick)?;
                }
            }
            Event::Written(end, ticket) => {
                if self.is_current(end) {
                    self.written(end, ticket)?;
                }
            }
            Event::Snapshot(end) => {
                if self.is_current(end) {
                    self.snapshot(end.node)?;
                }
            }
            Event::Review(end) => {
                if self.is_current(end) {
                    self.review(end)?;
                }
            }
        }
        Ok(())
    }

    /// Gives a node an input, or keeps it while the node is stopped.
    pub(crate) fn feed(&mut self, node: usize, input: Input) -> Result<(), String> {
        let state = &mut self.nodes[node];
        if state.paused {
            if matches!(input, Input::Tick) {
                state.tick_owed = true;
            } else {
                state.inbox.push_back(input);
            }
            return Ok(());
        }
        let Some(core) = &mut state.core else {
            return Ok(());
        };
        let mut out = Vec::new();
        self.steps += 1;
        core.step(Nanos(self.now + state.ahead), input, &mut out);
        let status = core.status();
        if status.delivered > status.committed {
            return Err(format!(
                "I9: {node} has delivered more than is committed: {status:?}"
            ));
        }
        for output in out {
            let point = point_of(&output);
            let springs = self.nodes[node].trap.is_some() && self.springs(node, point);
            let after = self.nodes[node].trap.is_some_and(|trap| trap.after);
            if springs && !after {
                self.strike(node)?;
            }
            if self.nodes[node].core.is_none() {
                return Ok(());
            }
            self.digest(node, &output);
            self.execute(node, output)
                .map_err(|text| format!("n{}: {text}", node + 1))?;
            if springs && after {
                self.strike(node)?;
            }
        }
        self.do_asked(node)
    }

    fn digest(&mut self, node: usize, output: &Output) {
        if let Some(state) = &mut self.digest {
            let mut digest = Fnv(*state ^ self.now ^ node as u64);
            // Writing to a number cannot fail.
            let _ = write!(digest, "{output:?}");
            *state = digest.0;
        }
    }
}

/// The hash of Fowler, Noll and Vo, fed by formatting.
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Ok(())
    }
}
