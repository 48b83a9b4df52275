//! What the made-up run is judged to be: measures and checks to go with its streams.

use std::collections::BTreeMap;

use super::{Failure, Shape};
use crate::check::{Attempt, CheckResult, Class, Evidence};
use crate::clock::Nanos;
use crate::history::{Action, History, KeyId, Outcome, Value};
use crate::link::Calibration;
use crate::measure::{
    Covered, HitPhase, HitRole, LatencySummary, Measurements, Metric, Outage, TrialMeasure, Unit,
};
use crate::results::{Environment, PlanFacts};
use crate::verdict::Verdict;

/// A metric's name and its value in one trial.
type Column = (&'static str, fn(&TrialMeasure) -> Option<Nanos>);

pub(super) fn measurements(faults: &[Failure], history: &History, shape: Shape) -> Measurements {
    let trials: Vec<TrialMeasure> = faults.iter().map(Failure::measure).collect();
    let columns: [Column; 8] = [
        ("detect.first", |t| t.detect_first),
        ("detect.quorum", |t| t.detect_quorum),
        ("elect", |t| t.elect),
        ("sync.leader", |t| t.sync_leader),
        ("reroute", |t| t.reroute),
        ("recover.first", |t| t.recover_first),
        ("recover.steady", |t| t.recover_steady),
        ("redundancy", |t| t.redundancy),
    ];
    let mut metrics: BTreeMap<String, Metric> = columns
        .into_iter()
        .map(|(name, column)| {
            let samples = trials
                .iter()
                .filter_map(column)
                .map(|ns| ns.0 as f64)
                .collect();
            (
                name.to_owned(),
                Metric {
                    unit: Unit::Ns,
                    samples,
                    censored: 0,
                    noisy: 0,
                },
            )
        })
        .collect();
    let lost = Metric {
        unit: Unit::Count,
        samples: vec![0.0],
        censored: 0,
        noisy: 0,
    };
    metrics.insert("lost_writes".to_owned(), lost);
    Measurements {
        metrics,
        outages: faults.iter().map(outage).collect(),
        latency: latency(history, faults, shape),
        coverage: covered(&trials),
        trials,
    }
}

fn covered(trials: &[TrialMeasure]) -> Vec<Covered> {
    let mut hits: BTreeMap<(String, HitRole), usize> = BTreeMap::new();
    for trial in trials {
        let role = if trial.on_leader {
            HitRole::Leader
        } else {
            HitRole::Follower
        };
        *hits.entry((trial.verb.clone(), role)).or_default() += 1;
    }
    let hits = hits.into_iter();
    hits.map(|((verb, role), hits)| Covered {
        verb,
        role,
        phase: HitPhase::Steady,
        hits,
    })
    .collect()
}

fn outage(fault: &Failure) -> Outage {
    let upper = fault.recovered() + Nanos::from_millis(12);
    Outage {
        op: "write".to_owned(),
        node: None,
        from: fault.asked,
        to: fault.asked + upper,
        lower: fault.recovered() - Nanos::from_millis(12),
        upper,
        open: false,
    }
}

fn latency(
    history: &History,
    faults: &[Failure],
    shape: Shape,
) -> BTreeMap<String, BTreeMap<String, LatencySummary>> {
    if shape.operations == 0 {
        return BTreeMap::new();
    }
    let mut phases: [Vec<u64>; 2] = [Vec::new(), Vec::new()];
    for operation in &history.operations {
        let start = operation.latency_origin();
        let hit = faults
            .iter()
            .any(|f| start > f.asked && start < f.asked + f.recovered());
        phases[usize::from(hit)].push((operation.completed - start).0);
    }
    let [steady, fault] = phases.map(|mut values| {
        values.sort_unstable();
        let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
        LatencySummary {
            n: values.len() as u64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    });
    let phases = [("steady".to_owned(), steady), ("fault".to_owned(), fault)];
    [("all".to_owned(), phases.into_iter().collect())]
        .into_iter()
        .collect()
}

pub(super) fn checks(history: &History, faults: &[Failure]) -> Vec<CheckResult> {
    let check = |name: &str, class, limit: &str, measured: String| CheckResult {
        name: name.to_owned(),
        class,
        verdict: Verdict::Pass,
        limit: limit.to_owned(),
        measured,
        reason: String::new(),
    };
    let operations = history.operations.len();
    let landed = faults.len();
    vec![
        check(
            "linearizable",
            Class::Safety,
            "",
            format!("4 keys, {operations} ops"),
        ),
        check(
            "recover.first p99 <= 1500ms",
            Class::Objective,
            "<= 1.50 s",
            "97.2 ms".to_owned(),
        ),
        check(
            "lost_writes == 0",
            Class::Safety,
            "== 0",
            format!("0 of {}", operations / 2),
        ),
        check(
            "faults verified",
            Class::Assumption,
            "",
            format!("{landed} of {landed} landed"),
        ),
    ]
}

/// Makes the first operations of key `k1` contradict each other: 1 overwritten by 2, then read.
pub(super) fn clash(history: &mut History) -> Evidence {
    let on_key = history
        .operations
        .iter()
        .enumerate()
        .filter(|(_, op)| op.key == KeyId(1));
    let operations: Vec<usize> = on_key.map(|(at, _)| at).take(4).collect();
    let actions = [
        (Action::Write(Value(1)), None, Outcome::Ok),
        (Action::Write(Value(2)), None, Outcome::Ok),
        (
            Action::Cas {
                from: Value(2),
                to: Value(9),
            },
            None,
            Outcome::Info,
        ),
        (Action::Read, Some(Value(1)), Outcome::Ok),
    ];
    for (at, (action, seen, outcome)) in operations.iter().zip(actions) {
        let operation = &mut history.operations[*at];
        (operation.action, operation.seen, operation.outcome) = (action, seen, outcome);
        if outcome == Outcome::Info {
            operation.completed = Nanos::MAX;
        }
    }
    let sentence = "the read returned 1, but the write of 2 began after the write of 1 had ended \
                   and ended before the read began"
        .to_owned();
    let stuck = operations[3];
    let attempt = Attempt {
        object: "register holds",
        order: operations[..2].to_vec(),
        held: ["another value", "1", "2"].map(str::to_owned).into(),
        stuck,
        is_start_chosen: false,
        is_part: false,
        is_longest: true,
    };
    Evidence {
        attempt: Some(attempt),
        ..Evidence::new("k1".to_owned(), operations, sentence)
    }
}

pub(super) fn facts(shape: Shape) -> PlanFacts {
    PlanFacts {
        name: "kill-leader".to_owned(),
        about: "Kill the leader and watch the others take over.".to_owned(),
        path: "plans/kill-leader.yaml".to_owned(),
        system: "zab".to_owned(),
        nodes: 3,
        clients: 16,
        rate: Some(800.0),
        trials: shape.trials,
        seed: 7,
        probe_every: Some(Nanos::from_millis(20)),
        probe_deadline: Nanos::from_millis(50),
        timeout: Nanos::from_secs(2),
        bug: None,
    }
}

pub(super) fn environment() -> Environment {
    Environment {
        chaos: "chaos 0.1.0".to_owned(),
        kernel: "6.1.0".to_owned(),
        cpu: "a made-up CPU".to_owned(),
        cpus: 2,
        memory: 8 << 30,
        build: "debug".to_owned(),
        started_utc: "2026-11-23T03:45:12Z".to_owned(),
        harness_lag_p99: Some(Nanos(1_200_000)),
        proxy_rtt_p50: Some(Nanos(61_200)),
        calibration: Some(Calibration::new(
            Nanos(84_000),
            Nanos(10_184_000),
            4_000,
            3_204,
        )),
        extra: BTreeMap::new(),
    }
}
