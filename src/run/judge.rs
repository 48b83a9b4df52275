//! Judging: from the files of a run to its record. The same for a run that has just ended, for
//! `chaos check RUN` and for `chaos report RUN`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::beside;
use super::deaths::deaths;
use crate::check::linearizable::{self, Budget, Linearizability};
use crate::check::{
    CheckResult, Class, Promise, converged, lost_writes, session_guarantees, split_brain_writes,
    stale_reads, time_behind, versions_behind, zookeeper,
};
use crate::clock::{Nanos, RunClock};
use crate::exit::Exit;
use crate::history::{Event, EventKind, History, Outcome, TrialOutcome, Value};
use crate::id::NodeId;
use crate::measure::{
    self, Assertion, AssertionError, Context, Judgement, Predicate, Predicates, Subject, evaluate,
    measure,
};
use crate::model::Register;
use crate::results::{FolderError, PlanFacts, RunFacts, RunFolder, RunRecord, StoredRun};
use crate::verdict::Verdict;

/// Why the files of a run cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A file is missing or cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// An assertion is not understood by this version.
    #[error("`{text}`: {}", error.message)]
    Assertion {
        /// As written.
        text: String,
        /// What is wrong.
        error: AssertionError,
    },
}

/// Judges a run from its folder.
///
/// # Errors
/// If a file is missing or damaged.
pub fn judge(folder: &RunFolder) -> Result<RunRecord, JudgeError> {
    let StoredRun {
        facts,
        history,
        events,
        torn,
        ..
    } = folder.load()?;
    let context = context(&facts.plan);
    let measurements = measure(&history, &events, &context);
    let mut environment = facts.environment.clone();
    environment.harness_lag_p99 = lag(&events);
    let linear = linearizability(&history);
    let mut predicates = predicates(&linear, &history, &events, facts.plan.nodes);
    predicates.extend(weaker_predicates(&facts.expect, &history));
    let expect = assertions(&facts)?;
    let kept = folder.baseline()?;
    let beside = beside::beside(kept, &facts.plan, &environment, &measurements, &expect);
    let mut checks: Vec<CheckResult> = expect
        .iter()
        .filter_map(|assertion| match assertion.subject {
            Subject::Within(_) => beside::line(assertion, beside.as_ref()),
            _ => Some(result_of(evaluate(assertion, &measurements, &predicates))),
        })
        .collect();
    let compared = beside.map(|(compared, _)| compared);
    checks.extend(compared.as_ref().and_then(beside::regression));
    checks.extend(assumptions(&facts, &history, &events));
    checks.extend(agreement(&linear, &events));
    checks.extend(torn.iter().map(|name| {
        let reason = format!("the last line of {name} was cut short: the run died while writing");
        check(
            "files whole",
            Class::Assumption,
            Err((Verdict::Unknown, reason)),
        )
    }));
    let (verdict, exit) = conclude(&checks, facts.interrupted);
    let last = events
        .iter()
        .map(|event| event.time)
        .max()
        .unwrap_or_default();
    Ok(RunRecord {
        run_id: folder.run_id().to_owned(),
        folder: folder.path().display().to_string(),
        plan: facts.plan,
        verdict,
        exit,
        duration: facts.ended.unwrap_or(last),
        checks,
        evidence: linear.evidence,
        measurements,
        compared,
        history,
        events,
        environment,
        reproduce: facts.reproduce,
    })
}

/// What the measures need to know of the plan.
pub(super) fn context(plan: &PlanFacts) -> Context {
    let voters = NodeId::all(plan.nodes).collect();
    Context::new(voters, plan.probe_every, plan.probe_deadline)
}

fn linearizability(history: &History) -> Linearizability {
    within_limit(CHECK_LIMIT, |budget| {
        linearizable::check(history, &Register::default(), budget)
    })
}

/// Checks on all processors, and gives up after `limit`.
pub(super) fn within_limit<T>(limit: Nanos, check: impl FnOnce(&Budget<'_>) -> T) -> T {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let clock = RunClock::start();
    let is_over = move || clock.now() > limit;
    let budget = Budget {
        is_over: &is_over,
        ..Budget::without_clock(threads)
    };
    check(&budget)
}

/// What the checkers concluded, for the assertions to use.
fn predicates(
    linear: &Linearizability,
    history: &History,
    events: &[Event],
    nodes: u8,
) -> Predicates {
    let mut predicates = BTreeMap::new();
    let mut add = |name: &str, result: CheckResult, count: Option<u64>| {
        predicates.insert(name.to_owned(), predicate(result, count));
    };
    add("linearizable", linear.result(), None);
    add("converged", converged(events, nodes).result(), None);
    let durability = lost_writes(history, events, nodes);
    add(
        "lost_writes",
        durability.result(),
        Some(durability.lost.len() as u64),
    );
    let stale = stale_reads(history, Value::NIL);
    add(
        "stale_reads",
        stale.result(),
        Some(stale.stale.len() as u64),
    );
    let split = split_brain_writes(history, events, &durability);
    add(
        "split_brain_writes",
        split.result(),
        Some(split.writes.len() as u64),
    );
    add("recovered", recovered(events), None);
    predicates
}

/// The same for the weaker promises, of which only those are checked that the plan expects.
fn weaker_predicates(expect: &[String], history: &History) -> Predicates {
    let is_expected = |name: &str| expect.iter().any(|text| text.trim().starts_with(name));
    let mut predicates = BTreeMap::new();
    let mut add = |name: &str, result: CheckResult, count: Option<u64>| {
        predicates.insert(name.to_owned(), predicate(result, count));
    };
    if is_expected("session_guarantees") {
        let found = session_guarantees(history, Value::NIL);
        add("session_guarantees", found.result(), None);
    }
    if is_expected("zookeeper") {
        let found = within_limit(CHECK_LIMIT, |budget| {
            zookeeper(history, Promise::default(), budget)
        });
        add("zookeeper", found.result(), None);
    }
    if is_expected("stale_versions") {
        let found = versions_behind(history, Value::NIL);
        add("stale_versions", found.result(), Some(found.max()));
    }
    if is_expected("stale_time") {
        let found = within_limit(CHECK_LIMIT, |budget| {
            time_behind(history, Value::NIL, budget)
        });
        let mut result = found.result();
        if found.unexplained.is_empty() && !found.undecided.is_empty() {
            result.verdict = Verdict::Unknown;
        }
        add("stale_time", result, Some(found.at_least().0));
    }
    predicates
}

fn predicate(result: CheckResult, count: Option<u64>) -> Predicate {
    Predicate {
        verdict: result.verdict,
        measured: result.measured,
        reason: result.reason,
        count,
    }
}

/// Whether the cluster became steady after the last fault.
fn recovered(events: &[Event]) -> CheckResult {
    let at = |name: &str| {
        let mut phases = events.iter().filter_map(|event| match &event.kind {
            EventKind::Phase { phase } if phase == name => Some(event.time),
            _ => None,
        });
        phases.next()
    };
    let (verdict, measured, reason) = match (at("heal"), at("recovered")) {
        (Some(heal), Some(steady)) => {
            let measured = format!("steady {} after the last heal", steady.since(heal));
            (Verdict::Pass, measured, "")
        }
        (Some(_), None) => (
            Verdict::Fail,
            String::new(),
            "the cluster was not steady again at the end",
        ),
        (None, _) => (
            Verdict::Unknown,
            String::new(),
            "the run did not reach its end",
        ),
    };
    let class = Class::Objective;
    let (name, limit) = ("recovered".to_owned(), String::new());
    CheckResult {
        name,
        class,
        verdict,
        limit,
        measured,
        reason: reason.to_owned(),
    }
}

fn assertions(facts: &RunFacts) -> Result<Vec<Assertion>, JudgeError> {
    let lines = facts.expect.iter();
    lines
        .map(|text| {
            Assertion::parse(text).map_err(|error| JudgeError::Assertion {
                text: text.clone(),
                error,
            })
        })
        .collect()
}

pub(super) fn result_of(judgement: Judgement) -> CheckResult {
    CheckResult {
        name: judgement.name,
        class: match judgement.class {
            measure::Class::Safety => Class::Safety,
            measure::Class::Objective => Class::Objective,
        },
        verdict: judgement.verdict,
        limit: judgement.limit,
        measured: judgement.measured,
        reason: judgement.reason,
    }
}

/// What a meaningful run needs, whatever the plan expects.
fn assumptions(facts: &RunFacts, history: &History, events: &[Event]) -> Vec<CheckResult> {
    let mut checks = vec![faults_verified(history, events), load_was_there(history)];
    checks.push(waits_in_time(events));
    checks.push(nobody_died_unasked(events));
    let broke_off = events.iter().find_map(|event| match &event.kind {
        EventKind::BrokeOff { reason } => Some(format!("the plan broke off: {reason}")),
        _ => None,
    });
    let died = facts.ended.is_none();
    let died = died.then(|| "the run has not ended, or the harness died".to_owned());
    if let Some(reason) = died.or(broke_off) {
        let done = Err((Verdict::Unknown, reason));
        checks.push(check("run completed", Class::Assumption, done));
    }
    checks
}

fn faults_verified(history: &History, events: &[Event]) -> CheckResult {
    let (mut asked, mut landed, mut missed) = (0, Vec::new(), Vec::new());
    for event in events {
        match &event.kind {
            EventKind::FaultAsked(_) => asked += 1,
            EventKind::FaultLanded { fault } => landed.push((*fault, event.time)),
            EventKind::FaultMissed { fault, reason } => missed.push(format!("{fault}: {reason}")),
            _ => {}
        }
    }
    let mut windows: Vec<(Nanos, Nanos)> = Vec::new();
    for (fault, from) in &landed {
        let healed = events.iter().find_map(|event| match &event.kind {
            EventKind::FaultHealed { fault: healed } if healed == fault => Some(event.time),
            _ => None,
        });
        windows.push((*from, healed.unwrap_or(Nanos::MAX)));
    }
    let within = |time: Nanos| {
        windows
            .iter()
            .any(|(from, to)| (*from..*to).contains(&time))
    };
    let operations = history
        .operations
        .iter()
        .filter(|op| within(op.invoked))
        .count();
    let measured = format!(
        "{} of {asked} landed, {operations} ops in their windows",
        landed.len()
    );
    let done = if landed.len() < asked {
        Err((
            Verdict::Unknown,
            format!("{measured}; {}", missed.join("; ")),
        ))
    } else if asked > 0 && operations == 0 {
        Err((
            Verdict::Unknown,
            format!("{measured}: nothing was tried while a fault was in force"),
        ))
    } else {
        Ok(measured)
    };
    check("faults verified", Class::Assumption, done)
}

fn load_was_there(history: &History) -> CheckResult {
    let [ok, fail, info] = history.outcomes();
    let updates = history
        .operations
        .iter()
        .filter(|op| op.is_acknowledged_update())
        .count();
    let reads = history
        .operations
        .iter()
        .filter(|op| op.outcome == Outcome::Ok && !op.action.is_update())
        .count();
    let measured = format!("{ok} ok, {fail} fail, {info} info");
    let done = if ok < LOAD_MIN || updates == 0 {
        Err((
            Verdict::Unknown,
            format!("{updates} updates and {reads} reads succeeded: too few to say anything"),
        ))
    } else {
        Ok(measured)
    };
    check("load", Class::Assumption, done)
}

/// What the check during the run found, the check at the end must find, too.
fn agreement(linear: &Linearizability, events: &[Event]) -> Option<CheckResult> {
    let found: Vec<String> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Violation { key, .. } => {
                Some(format!("{key} at {:.1} s", event.time.as_secs_f64()))
            }
            _ => None,
        })
        .collect();
    let first = found.first()?;
    let done = match linear.verdict {
        Verdict::Fail => Ok(format!(
            "violated during the run: {} of {}, first {first}",
            found.len(),
            linear.violations
        )),
        Verdict::Pass | Verdict::Unknown => {
            let reason = format!("{first} was violated during the run, but not at the end");
            Err((Verdict::Unknown, reason + ": a bug of chaos"))
        }
    };
    Some(check("online check agrees", Class::Assumption, done))
}

fn waits_in_time(events: &[Event]) -> CheckResult {
    let mut reasons = Vec::new();
    let mut skipped = Vec::new();
    let mut trials = 0;
    for event in events {
        match &event.kind {
            EventKind::WaitExpired { reason, .. } => reasons.push(reason.clone()),
            EventKind::TrialEnd {
                trial,
                outcome,
                reason,
            } => {
                trials += 1;
                if *outcome == TrialOutcome::Skipped {
                    skipped.push(format!("{trial} skipped: {reason}"));
                }
            }
            _ => {}
        }
    }
    let done = match (reasons.first(), skipped.first()) {
        (Some(first), _) => Err((
            Verdict::Fail,
            format!("{} waits ran out; first: {first}", reasons.len()),
        )),
        (None, Some(first)) => Err((
            Verdict::Unknown,
            format!("{} of {trials} trials: {first}", skipped.len()),
        )),
        (None, None) => Ok(format!("{trials} trials completed")),
    };
    check("liveness", Class::Objective, done)
}

fn nobody_died_unasked(events: &[Event]) -> CheckResult {
    let deaths = deaths(events);
    let done = match (deaths.unexplained.is_empty(), deaths.excused) {
        (true, 0) => Ok("every exit was asked for".to_owned()),
        (true, excused) => Ok(format!(
            "{excused} exits follow from what was done to the node"
        )),
        (false, _) => Err((Verdict::Fail, deaths.names())),
    };
    check("no node died unasked", Class::Objective, done)
}

fn check(name: &str, class: Class, done: Result<String, (Verdict, String)>) -> CheckResult {
    let (verdict, measured, reason) = match done {
        Ok(measured) => (Verdict::Pass, measured, String::new()),
        Err((verdict, reason)) => (verdict, String::new(), reason),
    };
    CheckResult {
        name: name.to_owned(),
        class,
        verdict,
        limit: String::new(),
        measured,
        reason,
    }
}

/// The worst verdict and the exit code. An interruption is told by the exit code, unless a
/// violation was found before it.
fn conclude(checks: &[CheckResult], interrupted: Option<u8>) -> (Verdict, Exit) {
    let worst = |class: Class| {
        let verdicts = checks
            .iter()
            .filter(|check| check.class == class)
            .map(|c| c.verdict);
        verdicts.fold(Verdict::Pass, Verdict::merge)
    };
    let safety = worst(Class::Safety);
    let others = worst(Class::Objective).merge(worst(Class::Assumption));
    let exit = match (safety, interrupted) {
        (Verdict::Fail, _) | (_, None) => Exit::of(safety, others),
        (_, Some(15)) => Exit::Terminated,
        (_, Some(_)) => Exit::Interrupted,
    };
    (safety.merge(others), exit)
}

/// The harness lag over the run, 99th percentile.
fn lag(events: &[Event]) -> Option<Nanos> {
    let late = events.iter().filter_map(|event| match &event.kind {
        EventKind::Lag { late } => Some(*late),
        _ => None,
    });
    let mut samples: Vec<Nanos> = late.collect();
    samples.sort_unstable();
    let at = samples.len().saturating_sub(1) * 99 / 100;
    samples.get(at).copied()
}

/// What is expected of a run whose plan expects nothing: without it nothing would be proved.
pub(super) const SAFETY: &[&str] = &["linearizable", "converged", "lost_writes == 0"];

/// The check of a run's history takes milliseconds; an adversarial one is given up after this.
const CHECK_LIMIT: Nanos = Nanos::from_secs(60);

/// Fewer successful operations than this prove nothing.
const LOAD_MIN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weaker_promises_are_checked_only_where_a_plan_expects_them() {
        let names = |expect: &[&str]| -> Vec<String> {
            let expect: Vec<String> = expect.iter().map(|text| (*text).to_owned()).collect();
            let predicates = weaker_predicates(&expect, &History::default());
            assert!(predicates.values().all(|p| p.verdict == Verdict::Unknown));
            predicates.into_keys().collect()
        };
        assert_eq!(names(&["linearizable", "lost_writes == 0"]), [""; 0]);
        let expect = ["zookeeper", " stale_versions<=3", "stale_time <= 2s"];
        assert_eq!(
            names(&expect),
            ["stale_time", "stale_versions", "zookeeper"]
        );
        assert_eq!(names(&["session_guarantees"]), ["session_guarantees"]);
    }
}
