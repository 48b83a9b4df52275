//! A made-up run for the tests of the reports: leaders of three nodes are killed, one per trial.
//!
//! It is drawn from a seed with arithmetic alone, so that it is the same on every machine.

mod compared;
mod judged;

use crate::clock::Nanos;
use crate::exit::Exit;
use crate::history::{
    Action, Event, EventKind, ExitStatus, FaultAsked, History, KeyId, NodeEvent, NodeEventKind,
    Operation, Outcome, SyncMode, Tag, TrialOutcome, Value,
};
use crate::id::{FaultId, NodeId, ProcessId, TrialId};
use crate::measure::{Channel, Measurements, NodeSync, TrialMeasure};
use crate::results::{Environment, PlanFacts, RunRecord};
use crate::seed::{Seed, Stream};
use crate::verdict::Verdict;

pub(super) use compared::compared;
use judged::{checks, clash, environment, facts, measurements};

/// How large a run.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) trials: u32,
    pub(super) operations: usize,
    pub(super) pause: bool,
    pub(super) trial: Nanos,
}

/// Three trials, 1,600 operations, everything passed.
pub(super) fn small() -> RunRecord {
    run(Shape {
        trials: 3,
        operations: 1600,
        pause: false,
        trial: Nanos::from_millis(3500),
    })
}

/// The same with a violation, a missed objective and an undecided check.
pub(super) fn failed() -> RunRecord {
    let mut record = small();
    record.verdict = Verdict::Fail;
    record.exit = Exit::Safety;
    record.checks[0].verdict = Verdict::Fail;
    record.checks[0].reason =
        "key k1: a read returned a value that had been overwritten before it began".to_owned();
    record.checks[1].verdict = Verdict::Fail;
    record.checks[1].measured = "2.31 s".to_owned();
    record.checks[1].reason = "2.31 s is over the limit of 1.50 s".to_owned();
    record.checks[2].verdict = Verdict::Unknown;
    record.checks[2].measured = String::new();
    record.checks[2].reason =
        "no final state of n3 was read, so that nothing is known of its writes".to_owned();
    record.evidence = Some(clash(&mut record.history));
    record
}

/// A run that ended before anything began.
pub(super) fn empty() -> RunRecord {
    let shape = Shape {
        trials: 0,
        operations: 0,
        pause: false,
        trial: Nanos::ZERO,
    };
    RunRecord {
        run_id: "20261123T034512Z-nothing-0001".to_owned(),
        folder: "results/20261123T034512Z-nothing-0001".to_owned(),
        plan: PlanFacts {
            name: "nothing".to_owned(),
            ..facts(shape)
        },
        verdict: Verdict::Unknown,
        exit: Exit::Inconclusive,
        duration: Nanos::ZERO,
        checks: Vec::new(),
        evidence: None,
        measurements: Measurements::default(),
        compared: None,
        history: History::default(),
        events: Vec::new(),
        environment: Environment::default(),
        reproduce: "chaos run plans/nothing.yaml --seed 1".to_owned(),
    }
}

/// A run of any size.
pub(super) fn run(shape: Shape) -> RunRecord {
    let mut draw = Seed(7).stream("sample");
    let faults: Vec<Failure> = (0..shape.trials)
        .map(|i| Failure::draw(i, shape, &mut draw))
        .collect();
    let end = START + Nanos(shape.trial.0 * u64::from(shape.trials.max(1)));
    let history = history(shape, &faults, end, &mut draw);
    let measurements = measurements(&faults, &history, shape);
    RunRecord {
        run_id: "20261123T034512Z-kill-leader-7f3a".to_owned(),
        folder: "results/20261123T034512Z-kill-leader-7f3a".to_owned(),
        plan: facts(shape),
        verdict: Verdict::Pass,
        exit: Exit::Pass,
        duration: end,
        checks: checks(&history, &faults),
        evidence: None,
        measurements,
        compared: None,
        history,
        events: events(&faults, end),
        environment: environment(),
        reproduce: "chaos run plans/kill-leader.yaml --seed 7".to_owned(),
    }
}

/// Turns every pause of a run into an isolation: both directions of all links of its node are cut.
pub(super) fn isolate(record: &mut RunRecord) {
    for event in &mut record.events {
        let EventKind::FaultAsked(asked) = &mut event.kind else {
            continue;
        };
        let [Tag::Paused(node)] = asked.effects[..] else {
            continue;
        };
        let cut = |from: NodeId, to: NodeId| Tag::Link {
            from: from.to_string(),
            to: to.to_string(),
            rule: "cut".to_owned(),
            total: true,
        };
        asked.verb = "isolate".to_owned();
        asked.label = format!("isolate {node} (leader)");
        asked.effects = NodeId::all(3)
            .filter(|other| *other != node)
            .flat_map(|other| [cut(node, other), cut(other, node)])
            .collect();
    }
}

/// One failure of a leader with its aftermath.
struct Failure {
    index: u32,
    pause: bool,
    victim: NodeId,
    winner: NodeId,
    asked: Nanos,
    stages: [Nanos; 4],
    healed: Nanos,
    synced: Nanos,
    end: Nanos,
}

impl Failure {
    fn draw(index: u32, shape: Shape, draw: &mut Stream) -> Self {
        let pause = shape.pause && index % 2 == 1;
        let from = START + Nanos(shape.trial.0 * u64::from(index));
        let asked = from + Nanos::from_millis(500 + draw.below(300));
        let mut near = |millis: u64| Nanos(millis * 600_000 + draw.below(millis * 800_000));
        let detect = if pause {
            Nanos::from_millis(400) + near(60)
        } else {
            near(1)
        };
        let stages = [detect, near(42), near(19), near(12)];
        let healed = asked + Nanos::from_millis(1400);
        let victim = NodeId(u8::try_from(index % 3).unwrap() + 1);
        Self {
            index,
            pause,
            victim,
            winner: NodeId(victim.0 % 3 + 1),
            asked,
            stages,
            healed,
            synced: healed + Nanos::from_millis(200) + near(100),
            end: from + shape.trial,
        }
    }

    fn recovered(&self) -> Nanos {
        self.stages
            .iter()
            .fold(Nanos::ZERO, |sum, stage| sum + *stage)
    }

    fn label(&self) -> String {
        let signal = if self.pause { "SIGSTOP" } else { "SIGKILL" };
        format!("{signal} {} (leader)", self.victim)
    }

    fn measure(&self) -> TrialMeasure {
        let [detect, elect, sync, reroute] = self.stages.map(Some);
        let channel = if self.pause {
            Channel::Timeout
        } else {
            Channel::Transport
        };
        TrialMeasure {
            trial: Some(TrialId(self.index + 1)),
            fault: FaultId(self.index + 1),
            verb: if self.pause { "pause" } else { "kill" }.to_owned(),
            label: self.label(),
            nodes: vec![self.victim],
            on_leader: true,
            asked: self.asked,
            landed: Some(self.asked + Nanos(400_000)),
            healed: Some(self.healed),
            end: self.end,
            outcome: Some(TrialOutcome::Completed),
            noisy: false,
            origin: self.asked,
            detect_first: detect,
            detect_quorum: detect.map(|d| d + Nanos(300_000)),
            detect_last: detect.map(|d| d + Nanos(300_000)),
            detect_evict: None,
            channel: Some(channel),
            detect_ratio: self.pause.then_some(1.04),
            elect,
            elect_rounds: Some(1),
            elect_split: false,
            sync_leader: sync,
            reroute,
            recover_first: Some(self.recovered()),
            recover_steady: Some(self.recovered() + Nanos::from_millis(500)),
            redundancy: Some(self.synced - self.asked),
            goodput_dip: Some(31.5),
            figures: std::collections::BTreeMap::new(),
            winner: Some(self.winner),
            syncs: vec![NodeSync {
                node: self.victim,
                began: self.healed,
                took: self.synced - self.healed,
                mode: SyncMode::Diff,
                txns: 204,
                bytes: 18_360,
                rejoin: true,
            }],
        }
    }
}

fn history(shape: Shape, faults: &[Failure], end: Nanos, draw: &mut Stream) -> History {
    let span = end - LOAD;
    let mut operations = Vec::with_capacity(shape.operations);
    for i in 0..shape.operations as u64 {
        let intended = LOAD + Nanos(span.0 / shape.operations as u64 * i);
        let process = ProcessId(i % 16);
        let usual = 900_000 + draw.below(900_000) + 4_000_000 / (1 + draw.below(400));
        let (took, outcome) = faults
            .iter()
            .find(|fault| intended + Nanos(usual) > fault.asked && intended < fault.end)
            .map_or((usual, Outcome::Ok), |fault| {
                aftermath(fault, intended, usual, draw)
            });
        let value = Value(i as i64 + 1);
        let action = match draw.below(10) {
            0..5 => Action::Read,
            5..9 => Action::Write(value),
            _ => Action::Cas {
                from: Value(i as i64),
                to: value,
            },
        };
        let read = action == Action::Read && outcome == Outcome::Ok;
        operations.push(Operation {
            process,
            key: KeyId((i % 4) as u32),
            action,
            invoked: intended + Nanos(20_000),
            completed: intended + Nanos(took),
            outcome,
            seen: read.then_some(Value(i as i64 - 3)),
            intended: Some(intended),
            node: Some(NodeId((i % 3) as u8 + 1)),
            version: None,
            error: (outcome != Outcome::Ok).then_some(0),
        });
    }
    let keys = (0..4).map(|k| format!("k{k}")).collect();
    History {
        keys,
        errors: vec!["connection lost".to_owned()],
        values: crate::history::Values::default(),
        operations,
    }
}

/// How an operation fares that is in flight at a fault, or begins after it.
fn aftermath(fault: &Failure, intended: Nanos, usual: u64, draw: &mut Stream) -> (u64, Outcome) {
    let back = fault.asked + fault.recovered();
    if intended < fault.asked {
        return (400_000 + (fault.asked - intended).0, Outcome::Info);
    }
    if intended >= back {
        let warm = 3 * usual / (1 + (intended - back).0 / 40_000_000);
        return (usual + warm, Outcome::Ok);
    }
    match draw.below(12) {
        0 => (600_000 + draw.below(2_000_000), Outcome::Fail),
        _ => ((back - intended).0 + usual, Outcome::Ok),
    }
}

fn events(faults: &[Failure], end: Nanos) -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = |time: Nanos, kind: EventKind| events.push(Event { time, kind });
    at(
        Nanos::ZERO,
        EventKind::Phase {
            phase: "setup".to_owned(),
        },
    );
    for node in NodeId::all(3) {
        boot(node, Nanos(1_000_000 * u64::from(node.0)), 1, &mut at);
    }
    let early = Nanos::from_millis(300);
    lead(NodeId(1), 1, early, Nanos::from_millis(380), &mut at);
    for node in [NodeId(2), NodeId(3)] {
        follow(node, NodeId(1), 1, early, Nanos::from_millis(400), &mut at);
    }
    at(
        LOAD,
        EventKind::Phase {
            phase: "load".to_owned(),
        },
    );
    for fault in faults {
        failure(fault, &mut at);
    }
    at(
        end,
        EventKind::Phase {
            phase: "end".to_owned(),
        },
    );
    events.sort_by_key(|event| event.time);
    events
}

fn failure(fault: &Failure, at: &mut impl FnMut(Nanos, EventKind)) {
    let (id, victim, asked) = (FaultId(fault.index + 1), fault.victim, fault.asked);
    let landed = asked + Nanos(400_000);
    let tag = if fault.pause {
        Tag::Paused(victim)
    } else {
        Tag::Down(victim)
    };
    at(
        asked,
        EventKind::FaultAsked(FaultAsked {
            fault: id,
            trial: Some(TrialId(fault.index + 1)),
            verb: if fault.pause { "pause" } else { "kill" }.to_owned(),
            label: fault.label(),
            nodes: vec![victim],
            on_leader: true,
            effects: vec![tag],
        }),
    );
    at(landed, EventKind::FaultLanded { fault: id });
    let epoch = u64::from(fault.index) + 2;
    let [detect, elect, sync, _] = fault.stages;
    let elected = asked + detect + elect;
    let active = elected + sync;
    lead(fault.winner, epoch, asked + detect, active, at);
    at(
        elected,
        node(fault.winner, NodeEventKind::Elected { round: epoch }),
    );
    for other in NodeId::all(3).filter(|n| *n != victim && *n != fault.winner) {
        at(asked + detect, node(other, looking("leader_lost")));
        follow(other, fault.winner, epoch, elected, active, at);
    }
    at(fault.healed, EventKind::FaultHealed { fault: id });
    if fault.pause {
        let late_ns = (fault.healed - asked).0;
        at(
            fault.healed + Nanos(500_000),
            node(victim, NodeEventKind::Stalled { late_ns }),
        );
        at(
            fault.healed + Nanos(900_000),
            node(victim, looking("deposed")),
        );
    } else {
        let status = ExitStatus::Signal(9);
        at(
            landed,
            EventKind::ProcessExited {
                node: victim,
                status,
                asked: true,
            },
        );
        boot(victim, fault.healed, fault.index / 3 + 2, at);
    }
    let connected = fault.healed + Nanos::from_millis(80);
    follow(victim, fault.winner, epoch, connected, fault.synced, at);
}

fn boot(of: NodeId, time: Nanos, incarnation: u32, at: &mut impl FnMut(Nanos, EventKind)) {
    at(
        time,
        EventKind::ProcessStarted {
            node: of,
            pid: 1000 + u32::from(of.0),
            incarnation,
        },
    );
    at(time + Nanos(9_000_000), node(of, looking("boot")));
}

fn lead(of: NodeId, epoch: u64, from: Nanos, active: Nanos, at: &mut impl FnMut(Nanos, EventKind)) {
    at(from, node(of, looking("leader_lost")));
    at(
        active,
        node(
            of,
            NodeEventKind::Active {
                epoch,
                zxid: epoch << 32,
            },
        ),
    );
}

fn follow(
    of: NodeId,
    leader: NodeId,
    epoch: u64,
    from: Nanos,
    synced: Nanos,
    at: &mut impl FnMut(Nanos, EventKind),
) {
    at(from, node(of, NodeEventKind::Following { leader }));
    let (mode, txns, bytes, zxid) = (SyncMode::Diff, 204, 18_360, epoch << 32);
    at(
        synced,
        node(
            of,
            NodeEventKind::Synced {
                leader,
                epoch,
                mode,
                txns,
                bytes,
                zxid,
            },
        ),
    );
}

fn node(node: NodeId, what: NodeEventKind) -> EventKind {
    EventKind::Node(NodeEvent { node, what })
}

fn looking(reason: &str) -> NodeEventKind {
    NodeEventKind::Looking {
        reason: reason.to_owned(),
    }
}

/// When load begins.
const LOAD: Nanos = Nanos::from_millis(500);
/// When the first trial begins.
const START: Nanos = Nanos::from_millis(800);
