//! Everything measured in a run, from its two streams.
//!
//! Invariants: a metric that is absent was not observed; one that is present without samples was
//! watched and did not occur; samples of timing from a noisy trial are counted, not kept.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::history::{Event, History, ProbeOp};
use crate::id::NodeId;

use super::availability::{Availability, availability};
use super::coverage::coverage;
use super::goodput::Completions;
use super::lag::Lag;
use super::latency::{histograms, summaries};
use super::metric::metric;
use super::record::{Measurements, Metric, NodeSync, Outage};
use super::roles::Roles;
use super::suspicion::{Suspicion, false_suspicions, flaps, leader_changes};
use super::sync::node_syncs;
use super::timeline::Timeline;
use super::trial::{Sources, Trial, measure_fault};

/// What the streams do not say themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The members whose votes count.
    pub voters: Vec<NodeId>,
    /// Time between two probes of one node and kind; `None` if there are no probes.
    pub probe_every: Option<Nanos>,
    /// A probe answered later than this after its intended time is bad.
    pub probe_deadline: Nanos,
    /// The longest timeout of the system's failure detector: a fault that outlasts it must be
    /// noticed, and a suspicion is judged by what was in force for this long before it.
    pub suspect_timeout: Nanos,
    /// How much longer than `suspect_timeout` a fault must last to count as missed.
    pub suspect_slack: Nanos,
    /// The system's election timeout: ten of them bound a flap.
    pub election_timeout: Nanos,
}

impl Context {
    /// With the timeouts of the bundled node: suspicion after at most 1 s, election within 250 ms.
    #[must_use]
    pub const fn new(
        voters: Vec<NodeId>,
        probe_every: Option<Nanos>,
        probe_deadline: Nanos,
    ) -> Self {
        Self {
            voters,
            probe_every,
            probe_deadline,
            suspect_timeout: Nanos::from_millis(1000),
            suspect_slack: Nanos::from_millis(500),
            election_timeout: Nanos::from_millis(250),
        }
    }
}

/// Measures a run. Pure: the same streams give the same measurements, whatever the order of
/// events in the stream.
#[must_use]
pub fn measure(history: &History, events: &[Event], context: &Context) -> Measurements {
    let timeline = Timeline::new(events, context);
    let roles = Roles::new(&timeline, &context.voters);
    let lag = Lag::new(&timeline);
    let syncs = node_syncs(&timeline);
    let sources = Sources {
        history,
        timeline: &timeline,
        roles: &roles,
        completions: &Completions::new(history, timeline.load),
        disturbed: &timeline.disturbed(),
        syncs: &syncs,
        lag: &lag,
        context,
    };
    let trials: Vec<Trial> = timeline
        .faults
        .iter()
        .map(|fault| measure_fault(&sources, fault))
        .collect();
    let probed: Vec<Availability> = [ProbeOp::Read, ProbeOp::Write]
        .into_iter()
        .filter_map(|op| availability(&timeline, &lag, context, op))
        .collect();

    let mut metrics = Metrics::default();
    metrics.trials(&trials);
    metrics.probes(&probed);
    if !roles.activations.is_empty() {
        metrics.nodes(&timeline, &roles, &syncs, context);
    }
    let late = lag.order_statistics();
    if !late.is_empty() {
        metrics.set("harness_lag", late, 0);
    }
    Measurements {
        metrics: metrics.0,
        trials: trials.into_iter().map(|trial| trial.measure).collect(),
        outages: outages(probed),
        latency: summaries(&histograms(history, &timeline)),
        coverage: coverage(&timeline, &roles),
    }
}

/// Every suspicion of a node that ran on links without a total fault, in the order of time.
#[must_use]
pub fn suspicions(events: &[Event], context: &Context) -> Vec<Suspicion> {
    let timeline = Timeline::new(events, context);
    let roles = Roles::new(&timeline, &context.voters);
    false_suspicions(&timeline, &roles, context)
}

/// Metrics under construction.
#[derive(Debug, Default)]
struct Metrics(BTreeMap<String, Metric>);

impl Metrics {
    /// The metric of this name, begun empty if it is new.
    fn entry(&mut self, name: &'static str) -> &mut Metric {
        let unit = metric(name)
            .expect("every measured name is in the registry")
            .unit;
        self.0.entry(name.to_owned()).or_insert(Metric {
            unit,
            samples: Vec::new(),
            censored: 0,
            noisy: 0,
        })
    }

    fn set(&mut self, name: &'static str, samples: Vec<f64>, censored: usize) {
        let metric = self.entry(name);
        metric.samples = samples;
        metric.censored = censored;
    }

    fn trials(&mut self, trials: &[Trial]) {
        for trial in trials {
            for &(name, value, censored) in &trial.samples {
                let timing = metric(name).is_some_and(super::metric::MetricInfo::is_timing);
                let metric = self.entry(name);
                if timing && trial.measure.noisy {
                    metric.noisy += 1;
                    continue;
                }
                metric.samples.push(value);
                metric.censored += usize::from(censored);
            }
        }
        let judged: Vec<bool> = trials.iter().filter_map(|trial| trial.missed).collect();
        if !judged.is_empty() {
            let missed = judged.iter().filter(|&&missed| missed).count();
            self.set("missed", vec![real(missed)], 0);
        }
    }

    fn probes(&mut self, probed: &[Availability]) {
        for one in probed {
            let [outage, all, share, unexcused] = match one.op {
                "read" => [
                    "outage.read",
                    "outage.read.all",
                    "availability.read",
                    "availability.unexcused.read",
                ],
                _ => [
                    "outage.write",
                    "outage.write.all",
                    "availability.write",
                    "availability.unexcused.write",
                ],
            };
            self.outages(outage, &one.any);
            self.outages(all, &one.all);
            self.set(share, vec![one.share], 0);
            if let Some(value) = one.unexcused {
                self.set(unexcused, vec![value], 0);
            }
        }
    }

    fn outages(&mut self, name: &'static str, outages: &[Outage]) {
        let open = outages.iter().filter(|outage| outage.open).count();
        self.set(
            name,
            outages
                .iter()
                .map(|outage| nanoseconds(outage.upper))
                .collect(),
            open,
        );
    }

    /// What only the nodes' own reports can show.
    fn nodes(
        &mut self,
        timeline: &Timeline<'_>,
        roles: &Roles,
        syncs: &[NodeSync],
        context: &Context,
    ) {
        let found = false_suspicions(timeline, roles, context);
        let grey = found.iter().filter(|suspicion| suspicion.grey).count();
        self.set("false_suspicions", vec![real(found.len() - grey)], 0);
        self.set("false_suspicions.grey", vec![real(grey)], 0);
        let changes = leader_changes(roles);
        self.set("leader_changes", vec![real(changes.len())], 0);
        let flaps = flaps(&changes, timeline, context.election_timeout);
        self.set("flaps", vec![real(flaps)], 0);
        let dual = roles.dual_leadership(timeline);
        self.set(
            "dual_leader",
            dual.iter().map(|span| nanoseconds(span.length())).collect(),
            0,
        );
        let steady = roles.first_steady.unwrap_or(Nanos::MAX);
        let took = syncs
            .iter()
            .filter(|sync| sync.began >= steady)
            .map(|sync| nanoseconds(sync.took))
            .collect();
        self.set("sync.node", took, 0);
    }
}

/// The outages seen from everywhere and those of each vantage, in the order of time.
fn outages(probed: Vec<Availability>) -> Vec<Outage> {
    let mut outages: Vec<Outage> = probed
        .into_iter()
        .flat_map(|one| one.any.into_iter().chain(one.by_node))
        .collect();
    outages.sort_by(|a, b| (a.from, &a.op, a.node).cmp(&(b.from, &b.op, b.node)));
    outages
}

#[expect(
    clippy::cast_precision_loss,
    reason = "lengths within a run are far below 2^53 ns"
)]
const fn nanoseconds(length: Nanos) -> f64 {
    length.0 as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of events is far below 2^53"
)]
const fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::metric::METRICS;
    use super::super::stream::Stream;
    use super::*;

    #[test]
    fn a_run_without_anything_measures_nothing() {
        let measured = measure(&History::default(), &[], &Stream::new(3).context().clone());
        assert_eq!(measured, Measurements::default());
    }

    #[test]
    fn every_measured_name_and_unit_is_that_of_the_registry() {
        let mut s = Stream::steady(3);
        s.writes(40, 2000, 10);
        s.probes(1, 40, 2000, true);
        s.lag(50, 1);
        s.kill(2000, 1);
        s.suspect(2001, 2, 1, "eof");
        s.elected(2005, 2, 1);
        s.active(2010, 2, 2);
        s.writes(2020, 3000, 10);
        s.phase(3000, "drain");
        for (name, metric) in s.measure().metrics {
            let info = METRICS.iter().find(|info| info.name == name).unwrap();
            assert_eq!(info.unit, metric.unit, "{name}");
            assert!(
                metric.samples.iter().all(|sample| sample.is_finite()),
                "{name}"
            );
        }
    }

    #[test]
    fn timing_of_a_noisy_trial_is_counted_and_not_averaged_in() {
        let mut s = Stream::steady(3);
        s.writes(40, 2000, 10);
        s.kill(2000, 1);
        s.suspect(2001, 2, 1, "eof");
        s.lag(2100, 60);
        s.phase(3000, "drain");
        let measured = s.measure();
        assert!(measured.trials[0].noisy);
        assert_eq!(measured.trials[0].detect_first, Some(Nanos::from_millis(1)));
        let metric = &measured.metrics["detect.first"];
        assert_eq!((metric.samples.len(), metric.noisy), (0, 1));
        assert_eq!(measured.metrics["goodput.dip"].samples.len(), 1);
    }

    #[test]
    fn without_reports_of_nodes_nothing_is_said_about_them() {
        let mut s = Stream::new(3);
        s.phase(0, "load");
        s.kill(100, 1);
        s.write(101, 110, crate::history::Outcome::Ok);
        s.phase(9000, "end");
        let measured = s.measure();
        for name in [
            "false_suspicions",
            "dual_leader",
            "leader_changes",
            "missed",
            "redundancy",
        ] {
            assert!(!measured.metrics.contains_key(name), "{name}");
        }
        assert_eq!(measured.metrics["recover.first"].samples, [10e6]);
    }
}
