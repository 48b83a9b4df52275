//! `summary.json`: the run for programs, schema `chaos.summary/1`. Durations are nanoseconds,
//! verdicts are words.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Number;

use crate::check::Class;
use crate::clock::Nanos;
use crate::history::{EventKind, TrialOutcome};
use crate::id::NodeId;
use crate::measure::{
    Channel, Covered, LatencySummary, Metric, NodeSync, Outage, TrialMeasure, Unit,
};
use crate::results::{Compared, Environment, RunRecord};
use crate::verdict::Verdict;

use super::Reporter;
use super::comparison::ContrastLine;
use super::distribution::Ranked;

/// The run for programs.
#[derive(Debug)]
pub(super) struct Summary;

impl Reporter for Summary {
    fn name(&self) -> &'static str {
        "json"
    }

    fn file_name(&self) -> &'static str {
        "summary.json"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &Document::of(record))?;
        out.write_all(b"\n")
    }
}

#[derive(Serialize)]
pub(super) struct Document<'a> {
    schema: &'static str,
    verdict: Verdict,
    exit_code: u8,
    plan: &'a str,
    plan_path: &'a str,
    system: &'a str,
    nodes: u8,
    clients: u32,
    rate: Option<f64>,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bug: Option<&'a str>,
    run_id: &'a str,
    duration_ns: Nanos,
    operations: Operations,
    checks: Vec<Check<'a>>,
    metrics: BTreeMap<&'a str, MetricLine>,
    trials: Vec<Trial<'a>>,
    outages: &'a [Outage],
    latency: &'a BTreeMap<String, BTreeMap<String, LatencySummary>>,
    coverage: &'a [Covered],
    faults: Faults,
    noise: Noise,
    #[serde(skip_serializing_if = "Option::is_none")]
    counterexample: Option<Counterexample<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Beside<'a>>,
    environment: &'a Environment,
    reproduce: &'a str,
}

#[derive(Serialize)]
struct Beside<'a> {
    from: Option<&'a str>,
    runs: usize,
    judged: bool,
    other_machine: &'a str,
    tolerance: f64,
    metrics: Vec<ContrastLine>,
    not_judged: &'a [String],
}

#[derive(Serialize)]
struct Operations {
    ok: usize,
    fail: usize,
    info: usize,
}

#[derive(Serialize)]
pub(super) struct Check<'a> {
    name: &'a str,
    class: Class,
    verdict: Verdict,
    limit: &'a str,
    measured: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct MetricLine {
    unit: Unit,
    n: usize,
    censored: usize,
    noisy: usize,
    p50: Option<Number>,
    p90: Option<Number>,
    p99: Option<Number>,
    max: Option<Number>,
    samples: Vec<Option<Number>>,
}

#[derive(Serialize)]
pub(super) struct Trial<'a> {
    index: Option<u32>,
    fault_id: u32,
    fault: &'a str,
    label: &'a str,
    victim: Option<NodeId>,
    nodes: &'a [NodeId],
    on_leader: bool,
    outcome: Option<TrialOutcome>,
    noisy: bool,
    asked_ns: Nanos,
    landed_ns: Option<Nanos>,
    healed_ns: Option<Nanos>,
    end_ns: Nanos,
    origin_ns: Nanos,
    channel: Option<Channel>,
    winner: Option<NodeId>,
    phases: Phases,
    detect_quorum_ns: Option<Nanos>,
    detect_last_ns: Option<Nanos>,
    detect_evict_ns: Option<Nanos>,
    elect_rounds: Option<u32>,
    recover_first_ns: Option<Nanos>,
    recover_steady_ns: Option<Nanos>,
    redundancy_ns: Option<Nanos>,
    goodput_dip_ops: Option<f64>,
    syncs: &'a [NodeSync],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    achieved: &'a BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Phases {
    detect: Option<Nanos>,
    elect: Option<Nanos>,
    sync: Option<Nanos>,
    reroute: Option<Nanos>,
}

#[derive(Serialize)]
struct Faults {
    asked: usize,
    landed: usize,
    missed: usize,
    healed: usize,
}

#[derive(Serialize)]
struct Noise {
    harness_lag_p99_ns: Option<Nanos>,
    proxy_rtt_p50_ns: Option<Nanos>,
}

#[derive(Serialize)]
struct Counterexample<'a> {
    key: &'a str,
    operations: usize,
    sentence: &'a str,
}

impl<'a> Document<'a> {
    pub(super) fn of(record: &'a RunRecord) -> Self {
        let [ok, fail, info] = record.history.outcomes();
        let measurements = &record.measurements;
        Self {
            schema: SCHEMA,
            verdict: record.verdict,
            exit_code: record.exit.code(),
            plan: &record.plan.name,
            plan_path: &record.plan.path,
            system: &record.plan.system,
            nodes: record.plan.nodes,
            clients: record.plan.clients,
            rate: record.plan.rate,
            seed: record.plan.seed,
            bug: record.plan.bug.as_deref(),
            run_id: &record.run_id,
            duration_ns: record.duration,
            operations: Operations { ok, fail, info },
            checks: record.checks.iter().map(Check::of).collect(),
            metrics: measurements
                .metrics
                .iter()
                .map(|(name, metric)| (name.as_str(), MetricLine::of(metric)))
                .collect(),
            trials: measurements.trials.iter().map(Trial::of).collect(),
            outages: &measurements.outages,
            latency: &measurements.latency,
            coverage: &measurements.coverage,
            faults: Faults::of(record),
            noise: Noise {
                harness_lag_p99_ns: record.environment.harness_lag_p99,
                proxy_rtt_p50_ns: record.environment.proxy_rtt_p50,
            },
            counterexample: record.evidence.as_ref().map(|evidence| Counterexample {
                key: &evidence.key,
                operations: evidence.operations.len(),
                sentence: &evidence.sentence,
            }),
            baseline: record.compared.as_ref().map(Beside::of),
            environment: &record.environment,
            reproduce: &record.reproduce,
        }
    }
}

impl<'a> Beside<'a> {
    fn of(compared: &'a Compared) -> Self {
        Self {
            from: compared.from.as_deref(),
            runs: compared.runs,
            judged: compared.is_judged(),
            other_machine: &compared.elsewhere,
            tolerance: compared.tolerance,
            metrics: compared.rows.iter().map(ContrastLine::of).collect(),
            not_judged: &compared.unjudged,
        }
    }
}

impl<'a> Check<'a> {
    pub(super) fn of(check: &'a crate::check::CheckResult) -> Self {
        Self {
            name: &check.name,
            class: check.class,
            verdict: check.verdict,
            limit: &check.limit,
            measured: &check.measured,
            reason: &check.reason,
        }
    }
}

impl MetricLine {
    fn of(metric: &Metric) -> Self {
        let ranked = Ranked::new(&metric.samples);
        let at = |per_mille| ranked.at(per_mille).and_then(number);
        Self {
            unit: metric.unit,
            n: metric.samples.len(),
            censored: metric.censored,
            noisy: metric.noisy,
            p50: at(500),
            p90: at(900),
            p99: at(990),
            max: ranked.max().and_then(number),
            samples: metric
                .samples
                .iter()
                .map(|sample| number(*sample))
                .collect(),
        }
    }
}

impl<'a> Trial<'a> {
    pub(super) fn of(trial: &'a TrialMeasure) -> Self {
        Self {
            index: trial.trial.map(|trial| trial.0),
            fault_id: trial.fault.0,
            fault: &trial.verb,
            label: &trial.label,
            victim: trial.nodes.first().copied(),
            nodes: &trial.nodes,
            on_leader: trial.on_leader,
            outcome: trial.outcome,
            noisy: trial.noisy,
            asked_ns: trial.asked,
            landed_ns: trial.landed,
            healed_ns: trial.healed,
            end_ns: trial.end,
            origin_ns: trial.origin,
            channel: trial.channel,
            winner: trial.winner,
            phases: Phases {
                detect: trial.detect_first,
                elect: trial.elect,
                sync: trial.sync_leader,
                reroute: trial.reroute,
            },
            detect_quorum_ns: trial.detect_quorum,
            detect_last_ns: trial.detect_last,
            detect_evict_ns: trial.detect_evict,
            elect_rounds: trial.elect_rounds,
            recover_first_ns: trial.recover_first,
            recover_steady_ns: trial.recover_steady,
            redundancy_ns: trial.redundancy,
            goodput_dip_ops: trial.goodput_dip,
            syncs: &trial.syncs,
            achieved: &trial.figures,
        }
    }
}

impl Faults {
    fn of(record: &RunRecord) -> Self {
        let mut faults = Self {
            asked: 0,
            landed: 0,
            missed: 0,
            healed: 0,
        };
        for event in &record.events {
            if let EventKind::FaultAsked(_) = event.kind {
                faults.asked += 1;
            }
            if let EventKind::FaultLanded { .. } = event.kind {
                faults.landed += 1;
            }
            if let EventKind::FaultMissed { .. } = event.kind {
                faults.missed += 1;
            }
            if let EventKind::FaultHealed { .. } = event.kind {
                faults.healed += 1;
            }
        }
        faults
    }
}

/// A whole number where it is one, for readers that tell the two apart; `None` (null) where JSON
/// has no word for it.
fn number(value: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        Some(Number::from(value as i64))
    } else {
        Number::from_f64(value)
    }
}

/// Name and version of the format.
pub(super) const SCHEMA: &str = "chaos.summary/1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn render(record: &RunRecord) -> String {
        let mut bytes = Vec::new();
        Summary.write(record, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_summary_of_a_small_run() {
        let mut record = sample::small();
        record.measurements.trials.truncate(1);
        record
            .measurements
            .metrics
            .retain(|name, _| name == "elect" || name == "recover.first");
        record.checks.truncate(2);
        insta::assert_snapshot!(render(&record));
    }

    #[test]
    fn a_failed_run_says_so_in_words_and_points_to_its_counterexample() {
        let json: serde_json::Value = serde_json::from_str(&render(&sample::failed())).unwrap();
        assert_eq!(json["verdict"], "fail");
        assert_eq!(json["exit_code"], 1);
        assert_eq!(json["counterexample"]["key"], "k1");
        assert_eq!(json["checks"][0]["verdict"], "fail");
        let faults = &json["faults"];
        assert_eq!(faults["asked"], faults["landed"]);
    }

    #[test]
    fn samples_are_whole_numbers_where_they_are_and_null_where_they_are_none() {
        assert_eq!(number(74_000_000.0), Some(Number::from(74_000_000)));
        assert_eq!(number(0.5), Number::from_f64(0.5));
        assert_eq!(number(f64::NAN), None);
    }
}
