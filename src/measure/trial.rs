//! One fault with everything measured about it.
//!
//! *Applicable*: whether a measure means anything for a fault. A measure that applies but was not
//! seen is a censored sample, one that does not apply is no sample at all.

use crate::clock::Nanos;
use crate::history::{History, TrialOutcome};
use crate::id::NodeId;

use super::Context;
use super::detection::{Detection, Expected, detect};
use super::goodput::Completions;
use super::lag::Lag;
use super::record::{NodeSync, TrialMeasure};
use super::recovery::{FirstWrite, Phases, first_write, phases};
use super::roles::Roles;
use super::spans::Spans;
use super::suspicion::is_missed;
use super::sync::{Redundancy, redundancy};
use super::timeline::{Fault, Timeline};

/// Everything that a trial is measured from.
pub(super) struct Sources<'a> {
    pub(super) history: &'a History,
    pub(super) timeline: &'a Timeline<'a>,
    pub(super) roles: &'a Roles,
    pub(super) completions: &'a Completions,
    pub(super) disturbed: &'a Spans,
    pub(super) syncs: &'a [NodeSync],
    pub(super) lag: &'a Lag,
    pub(super) context: &'a Context,
}

/// A measured trial with its samples.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) measure: TrialMeasure,
    /// Name, value in the metric's unit, and whether it is censored.
    pub(super) samples: Vec<(&'static str, f64, bool)>,
    /// Whether nobody noticed a fault that outlasted every timeout; `None` if that cannot be
    /// said of it.
    pub(super) missed: Option<bool>,
}

/// Measures one fault.
pub(super) fn measure_fault(sources: &Sources<'_>, fault: &Fault<'_>) -> Trial {
    let mut measure = blank(sources, fault);
    if fault.missed || fault.landed.is_none() {
        return Trial {
            measure,
            samples: Vec::new(),
            missed: None,
        };
    }
    let (timeline, roles) = (sources.timeline, sources.roles);
    let voters = &sources.context.voters;
    let leader = led_by_victim(roles, fault);
    let expected = Expected::new(fault, leader, timeline, voters);
    let detection = detect(fault, &expected, timeline, voters);
    let victim = leader.filter(|_| expected.is_leader_fault());
    let written = first_write(
        sources.history,
        timeline,
        roles,
        fault,
        victim,
        sources.context.suspect_timeout,
    );
    let phases = if expected.is_leader_fault() {
        phases(timeline, roles, fault, detection.first, written)
    } else {
        Phases::default()
    };
    let observable = !roles.activations.is_empty();
    let missed = is_missed(
        fault,
        detection.first.is_some(),
        observable && expected.is_possible(),
        sources.context,
    );
    let mut samples = Samples::new(fault, written);
    samples.detection(&detection, missed, &expected);
    samples.failover(&phases, detection.first);
    samples.recovery(written);
    fill_detection(&mut measure, fault, &detection);
    fill_phases(&mut measure, fault, &phases, written);
    fill_service(&mut measure, &mut samples, sources, fault);
    if observable {
        let lost = redundancy(fault, roles);
        samples.redundancy(lost);
        if let Redundancy::After(length) = lost {
            measure.redundancy = Some(length);
        }
    }
    debug_assert!(phases_sum_up(&measure), "phases must sum up: {measure:?}");
    Trial {
        measure,
        samples: samples.found,
        missed,
    }
}

/// The victim that led when the fault came: by the trace, else by what the harness believed.
fn led_by_victim(roles: &Roles, fault: &Fault<'_>) -> Option<NodeId> {
    let believed = || {
        let first = fault.asked.nodes.first().copied();
        first.filter(|_| fault.asked.on_leader)
    };
    roles
        .leader_before(fault.origin())
        .map(|claim| claim.node)
        .or_else(believed)
        .filter(|leader| fault.victims.contains(leader))
}

fn blank(sources: &Sources<'_>, fault: &Fault<'_>) -> TrialMeasure {
    let origin = fault.origin();
    TrialMeasure {
        trial: fault.asked.trial,
        fault: fault.asked.fault,
        verb: fault.asked.verb.clone(),
        label: fault.asked.label.clone(),
        nodes: fault.asked.nodes.clone(),
        on_leader: fault.asked.on_leader,
        asked: fault.asked_at,
        landed: fault.landed.filter(|_| !fault.missed),
        healed: fault.healed,
        end: fault.end,
        outcome: fault.outcome,
        noisy: sources.lag.is_noisy(fault.asked_at, fault.end),
        origin,
        detect_first: None,
        detect_quorum: None,
        detect_last: None,
        detect_evict: None,
        channel: None,
        detect_ratio: None,
        elect: None,
        elect_rounds: None,
        elect_split: false,
        sync_leader: None,
        reroute: None,
        recover_first: None,
        recover_steady: None,
        redundancy: None,
        goodput_dip: None,
        figures: fault.figures.clone(),
        winner: None,
        syncs: sources
            .syncs
            .iter()
            .filter(|sync| origin <= sync.began && sync.began + sync.took <= fault.end)
            .cloned()
            .collect(),
    }
}

fn fill_detection(measure: &mut TrialMeasure, fault: &Fault<'_>, detection: &Detection) {
    let after = |instant: Option<Nanos>| instant.map(|time| time.since(fault.origin()));
    measure.detect_first = after(detection.first);
    measure.detect_quorum = after(detection.quorum);
    measure.detect_last = after(detection.last);
    measure.detect_evict = after(detection.evict);
    measure.channel = detection.channel;
    measure.detect_ratio = detection.ratio;
}

fn fill_phases(
    measure: &mut TrialMeasure,
    fault: &Fault<'_>,
    phases: &Phases,
    written: FirstWrite,
) {
    measure.winner = phases.winner;
    measure.elect = phases.elect;
    measure.elect_rounds = phases.rounds;
    measure.elect_split = phases.split;
    measure.sync_leader = phases.sync_leader;
    measure.reroute = phases.reroute;
    if let FirstWrite::At(time) = written {
        measure.recover_first = Some(time.since(fault.origin()));
    }
}

/// Goodput against the baseline. Load goes on between trials, so the return to steady may be seen
/// up to the next fault.
fn fill_service(
    measure: &mut TrialMeasure,
    samples: &mut Samples,
    sources: &Sources<'_>,
    fault: &Fault<'_>,
) {
    let origin = fault.origin();
    let Some(baseline) = sources
        .completions
        .baseline(fault.asked_at, sources.disturbed)
    else {
        return;
    };
    measure.recover_steady = sources
        .completions
        .steady_again(origin, fault.next, baseline);
    samples.length(
        "recover.steady",
        measure.recover_steady,
        fault.next.since(origin),
    );
    let lost = sources.completions.lost(origin, fault.end, baseline);
    measure.goodput_dip = Some(lost);
    samples.found.push(("goodput.dip", lost, false));
}

fn phases_sum_up(measure: &TrialMeasure) -> bool {
    let phases = [
        measure.detect_first,
        measure.elect,
        measure.sync_leader,
        measure.reroute,
    ];
    measure.reroute.is_none()
        || phases
            .into_iter()
            .flatten()
            .reduce(|sum, phase| sum + phase)
            == measure.recover_first
}

/// The samples of one trial under construction.
struct Samples {
    found: Vec<(&'static str, f64, bool)>,
    origin: Nanos,
    end: Nanos,
    /// t0 … the end of the window: what a measure that was not seen is known to exceed.
    whole: Nanos,
    /// t0 … the heal or the end of the window: detection cannot come later.
    noticeable: Nanos,
    /// The trial gave up waiting, or nothing was served until its end.
    unrecovered: bool,
}

impl Samples {
    fn new(fault: &Fault<'_>, written: FirstWrite) -> Self {
        let origin = fault.origin();
        Self {
            found: Vec::new(),
            origin,
            end: fault.end,
            whole: fault.end.since(origin),
            noticeable: fault.noticeable_until().since(origin),
            unrecovered: written == FirstWrite::None
                || (fault.outcome == Some(TrialOutcome::Censored)
                    && !matches!(written, FirstWrite::At(_))),
        }
    }

    fn seen(&mut self, name: &'static str, length: Option<Nanos>) {
        self.found
            .extend(length.map(|length| (name, nanoseconds(length), false)));
    }

    /// A length that applies: censored at `at_least` if it was not seen.
    fn length(&mut self, name: &'static str, length: Option<Nanos>, at_least: Nanos) {
        let value = nanoseconds(length.unwrap_or(at_least));
        self.found.push((name, value, length.is_none()));
    }

    fn detection(&mut self, detection: &Detection, missed: Option<bool>, expected: &Expected) {
        let Some(missed) = missed else {
            return;
        };
        let origin = self.origin;
        let after = |instant: Option<Nanos>| instant.map(|time| time.since(origin));
        if missed {
            self.length("detect.first", None, self.noticeable);
            if expected.is_leader_fault() {
                self.length("detect.quorum", None, self.noticeable);
            }
            return;
        }
        self.seen("detect.first", after(detection.first));
        self.seen("detect.last", after(detection.last));
        if expected.is_leader_fault() {
            if detection.quorum.is_some() || self.unrecovered {
                self.length("detect.quorum", after(detection.quorum), self.noticeable);
            }
        } else {
            self.seen("detect.evict", after(detection.evict));
        }
        self.found
            .extend(detection.ratio.map(|ratio| ("detect.ratio", ratio, false)));
    }

    /// The phases in their order: the first that was not seen is censored if service never came
    /// back, and nothing is known of those after it.
    fn failover(&mut self, phases: &Phases, detected: Option<Nanos>) {
        let mut passed = detected;
        let lengths = [
            ("elect", phases.elect),
            ("sync.leader", phases.sync_leader),
            ("reroute", phases.reroute),
        ];
        for (name, length) in lengths {
            match (length, passed) {
                (Some(length), Some(before)) => {
                    self.seen(name, Some(length));
                    passed = Some(before + length);
                }
                (None, Some(before)) => {
                    if self.unrecovered {
                        self.length(name, None, self.end.since(before));
                    }
                    passed = None;
                }
                (_, None) => {}
            }
        }
        if let Some(rounds) = phases.rounds {
            self.found.push(("elect.rounds", f64::from(rounds), false));
        }
        if phases.elect.is_some() {
            self.found
                .push(("elect.split", f64::from(u8::from(phases.split)), false));
        }
    }

    fn recovery(&mut self, written: FirstWrite) {
        match written {
            FirstWrite::At(time) => self.seen("recover.first", Some(time.since(self.origin))),
            FirstWrite::None => self.length("recover.first", None, self.whole),
            FirstWrite::NotTried => {}
        }
    }

    fn redundancy(&mut self, redundancy: Redundancy) {
        match redundancy {
            Redundancy::After(length) => self.seen("redundancy", Some(length)),
            Redundancy::Lost => self.length("redundancy", None, self.whole),
            Redundancy::Kept => {}
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "lengths within a run are far below 2^53 ns"
)]
const fn nanoseconds(length: Nanos) -> f64 {
    length.0 as f64
}
