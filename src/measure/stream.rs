//! A builder of event streams for tests: times in milliseconds, nodes by number.

use crate::clock::Nanos;
use crate::history::{
    Action, Event, EventKind, ExitStatus, FaultAsked, History, KeyId, NodeEvent, NodeEventKind,
    Operation, Outcome, Probe, ProbeOp, SyncMode, Tag, TrialOutcome, Value,
};
use crate::id::{FaultId, NodeId, ProcessId, TrialId};

use super::{Context, Measurements, measure};

/// A stream under construction.
pub(super) struct Stream {
    context: Context,
    events: Vec<Event>,
    history: History,
    trial: Option<TrialId>,
    faults: u32,
}

pub(super) const fn ms(millis: u64) -> Nanos {
    Nanos::from_millis(millis)
}

pub(super) fn link(from: &str, to: &str, total: bool) -> Tag {
    Tag::Link {
        from: from.to_owned(),
        to: to.to_owned(),
        rule: if total { "cut" } else { "drop" }.to_owned(),
        total,
    }
}

impl Stream {
    pub(super) fn new(nodes: u8) -> Self {
        Self {
            context: Context::new(NodeId::all(nodes).collect(), Some(ms(10)), ms(50)),
            events: Vec::new(),
            history: History {
                keys: vec!["k1".to_owned()],
                ..History::default()
            },
            trial: None,
            faults: 0,
        }
    }

    /// n1 leads epoch 1, everybody is in sync at 20 ms, the load begins at 30 ms.
    pub(super) fn steady(nodes: u8) -> Self {
        let mut s = Self::new(nodes);
        s.active(10, 1, 1);
        for node in 2..=nodes {
            s.synced(20, node, 1, 1);
        }
        s.phase(30, "load");
        s
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(super) const fn history(&self) -> &History {
        &self.history
    }

    pub(super) const fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn measure(&self) -> Measurements {
        measure(&self.history, &self.events, &self.context)
    }

    pub(super) fn push(&mut self, at: u64, kind: EventKind) {
        self.events.push(Event { time: ms(at), kind });
    }

    pub(super) fn node(&mut self, at: u64, node: u8, what: NodeEventKind) {
        let node = NodeId(node);
        self.push(at, EventKind::Node(NodeEvent { node, what }));
    }

    pub(super) fn phase(&mut self, at: u64, phase: &str) {
        let phase = phase.to_owned();
        self.push(at, EventKind::Phase { phase });
    }

    pub(super) fn trial_begin(&mut self, at: u64, trial: u32) {
        let trial = TrialId(trial);
        self.trial = Some(trial);
        let name = "trial".to_owned();
        self.push(at, EventKind::TrialBegin { trial, name });
    }

    pub(super) fn trial_end(&mut self, at: u64, trial: u32, outcome: TrialOutcome) {
        self.trial = None;
        let (trial, reason) = (TrialId(trial), String::new());
        self.push(
            at,
            EventKind::TrialEnd {
                trial,
                outcome,
                reason,
            },
        );
    }

    /// Asked at `at`; its victim leads if it is n1.
    pub(super) fn asked(
        &mut self,
        at: u64,
        verb: &str,
        effects: Vec<Tag>,
        nodes: &[u8],
    ) -> FaultId {
        self.faults += 1;
        let fault = FaultId(self.faults);
        let nodes: Vec<NodeId> = nodes.iter().copied().map(NodeId).collect();
        let asked = FaultAsked {
            fault,
            trial: self.trial,
            verb: verb.to_owned(),
            label: format!("{verb} {}", nodes[0]),
            on_leader: nodes.contains(&NodeId(1)),
            nodes,
            effects,
        };
        self.push(at, EventKind::FaultAsked(asked));
        fault
    }

    pub(super) fn landed(&mut self, at: u64, fault: FaultId) {
        self.push(at, EventKind::FaultLanded { fault });
    }

    /// Asked at `at`, landed 1 ms later.
    pub(super) fn kill(&mut self, at: u64, node: u8) -> FaultId {
        let fault = self.asked(at, "kill", vec![Tag::Down(NodeId(node))], &[node]);
        self.landed(at + 1, fault);
        fault
    }

    pub(super) fn kill_that_misses(&mut self, at: u64, node: u8) -> FaultId {
        let fault = self.asked(at, "kill", vec![Tag::Down(NodeId(node))], &[node]);
        let reason = "no such process".to_owned();
        self.push(at + 1, EventKind::FaultMissed { fault, reason });
        fault
    }

    /// Asked at `at`, landed 1 ms later.
    pub(super) fn pause(&mut self, at: u64, node: u8) -> FaultId {
        let fault = self.asked(at, "pause", vec![Tag::Paused(NodeId(node))], &[node]);
        self.landed(at + 1, fault);
        fault
    }

    /// Asked at `at`, landed 2 ms later.
    pub(super) fn links(&mut self, at: u64, links: Vec<Tag>, nodes: &[u8]) -> FaultId {
        let fault = self.asked(at, "cut", links, nodes);
        self.landed(at + 2, fault);
        fault
    }

    pub(super) fn heal(&mut self, at: u64, fault: FaultId) {
        self.push(at, EventKind::FaultHealed { fault });
    }

    pub(super) fn exited(&mut self, at: u64, node: u8) {
        let (node, status) = (NodeId(node), ExitStatus::Signal(9));
        self.push(
            at,
            EventKind::ProcessExited {
                node,
                status,
                asked: true,
            },
        );
    }

    pub(super) fn started(&mut self, at: u64, node: u8) {
        let (node, pid, incarnation) = (NodeId(node), 4711, 2);
        self.push(
            at,
            EventKind::ProcessStarted {
                node,
                pid,
                incarnation,
            },
        );
    }

    pub(super) fn suspect(&mut self, at: u64, node: u8, of: u8, channel: &str) {
        let timeout = if channel == "timeout" { 120_000_000 } else { 0 };
        self.node(
            at,
            node,
            NodeEventKind::Suspect {
                of: NodeId(of),
                channel: channel.to_owned(),
                silence_ns: timeout,
                timeout_ns: timeout,
            },
        );
    }

    pub(super) fn looking(&mut self, at: u64, node: u8, reason: &str) {
        let reason = reason.to_owned();
        self.node(at, node, NodeEventKind::Looking { reason });
    }

    pub(super) fn candidate(&mut self, at: u64, node: u8, round: u64) {
        self.node(at, node, NodeEventKind::Candidate { round });
    }

    pub(super) fn elected(&mut self, at: u64, node: u8, round: u64) {
        self.node(at, node, NodeEventKind::Elected { round });
    }

    pub(super) fn active(&mut self, at: u64, node: u8, epoch: u64) {
        self.node(at, node, NodeEventKind::Active { epoch, zxid: 0 });
    }

    pub(super) fn step_down(&mut self, at: u64, node: u8, epoch: u64) {
        let reason = "no quorum".to_owned();
        self.node(at, node, NodeEventKind::StepDown { epoch, reason });
    }

    pub(super) fn evict(&mut self, at: u64, node: u8, of: u8) {
        let (of, reason) = (NodeId(of), "timeout".to_owned());
        self.node(at, node, NodeEventKind::Evict { of, reason });
    }

    pub(super) fn following(&mut self, at: u64, node: u8, leader: u8) {
        let leader = NodeId(leader);
        self.node(at, node, NodeEventKind::Following { leader });
    }

    pub(super) fn synced(&mut self, at: u64, node: u8, leader: u8, epoch: u64) {
        self.node(
            at,
            node,
            NodeEventKind::Synced {
                leader: NodeId(leader),
                epoch,
                mode: SyncMode::Diff,
                txns: 204,
                bytes: 4096,
                zxid: 9,
            },
        );
    }

    pub(super) fn lag(&mut self, at: u64, late: u64) {
        self.push(at, EventKind::Lag { late: ms(late) });
    }

    /// A client's write.
    pub(super) fn write(&mut self, invoked: u64, completed: u64, outcome: Outcome) {
        self.operation(Action::Write(Value(1)), ms(invoked), ms(completed), outcome);
    }

    pub(super) fn operation(
        &mut self,
        action: Action,
        invoked: Nanos,
        completed: Nanos,
        outcome: Outcome,
    ) {
        self.history.operations.push(Operation {
            process: ProcessId(0),
            key: KeyId(0),
            action,
            invoked,
            completed,
            outcome,
            seen: None,
            intended: None,
            node: None,
            version: None,
            error: None,
        });
        self.history
            .operations
            .sort_by_key(|operation| operation.invoked);
    }

    /// One good write in each `every` ms from `from` to `to`, each taking 1 ms.
    pub(super) fn writes(&mut self, from: u64, to: u64, every: usize) {
        for at in (from..to).step_by(every) {
            self.write(at, at + 1, Outcome::Ok);
        }
    }

    /// A write probe of `node` meant for `at` and answered after `took` ms.
    pub(super) fn probe(&mut self, node: u8, at: u64, took: u64, ok: bool) {
        let probe = Probe {
            node: NodeId(node),
            op: ProbeOp::Write,
            intended: ms(at),
            started: ms(at),
            ok,
            error: None,
        };
        self.push(at + took, EventKind::Probe(probe));
    }

    /// Write probes of `node` every 10 ms in `[from, to)`.
    pub(super) fn probes(&mut self, node: u8, from: u64, to: u64, ok: bool) {
        for at in (from..to).step_by(10) {
            self.probe(node, at, 1, ok);
        }
    }
}
