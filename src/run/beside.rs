//! A run beside its baseline: which lines can be judged by it, and whether anything became worse.

use super::judge::result_of;
use crate::check::{CheckResult, Class};
use crate::clock::Nanos;
use crate::measure::{
    Assertion, Change, Measured, Measurements, Row, Strictness, Subject, evaluate_beside, percent,
    table,
};
use crate::results::{Beside, Compared, Environment, Machine, PlanFacts};
use crate::verdict::Verdict;

/// Compares what was measured with the baseline that lies with the run. `None` if there is
/// neither a baseline nor a line that speaks of one.
pub(super) fn beside(
    kept: Option<Beside>,
    plan: &PlanFacts,
    environment: &Environment,
    measurements: &Measurements,
    expect: &[Assertion],
) -> Option<(Compared, Measured)> {
    let lines = expect
        .iter()
        .filter(|line| matches!(line.subject, Subject::Within(_)));
    let lines: Vec<String> = lines.map(|line| line.text.clone()).collect();
    let measured = measured(plan.probe_every, measurements);
    let Some(kept) = kept else {
        let compared = Compared {
            unjudged: lines,
            ..Compared::default()
        };
        return (!compared.unjudged.is_empty()).then_some((compared, measured));
    };
    let baseline = kept.baseline.measured();
    let strictness = Strictness {
        tolerance: kept.tolerance,
        ..Strictness::default()
    };
    let mut compared = Compared {
        from: Some(kept.from),
        runs: kept.baseline.runs.len(),
        given: kept.given,
        elsewhere: kept.baseline.machine.differences(&Machine::of(environment)),
        tolerance: kept.tolerance,
        rows: table(&baseline, &measured, strictness),
        baseline,
        unjudged: Vec::new(),
    };
    if !compared.is_judged() {
        compared.unjudged = lines;
    }
    Some((compared, measured))
}

fn measured(probe_every: Option<Nanos>, measurements: &Measurements) -> Measured {
    Measured {
        metrics: measurements.metrics.clone(),
        latency: vec![measurements.latency.clone()],
        probe_every,
    }
}

/// The check of a line that speaks of a baseline; `None` if it is not to be judged.
pub(super) fn line(
    assertion: &Assertion,
    beside: Option<&(Compared, Measured)>,
) -> Option<CheckResult> {
    let (compared, measured) = beside?;
    if !compared.is_judged() {
        return None;
    }
    evaluate_beside(assertion, measured, &compared.baseline).map(result_of)
}

/// Whether anything is worse than a baseline that was asked for.
pub(super) fn regression(compared: &Compared) -> Option<CheckResult> {
    if !compared.given {
        return None;
    }
    let names = |wanted: fn(&Change) -> bool| -> Vec<&Row> {
        let rows = compared.rows.iter();
        rows.filter(|row| wanted(&row.contrast.change)).collect()
    };
    let worse = names(|change| *change == Change::Worse);
    let unclear = names(|change| matches!(change, Change::Unclear { .. }));
    let all = compared.rows.len();
    let measured = format!(
        "{} of {all} metrics worse, {} unclear",
        worse.len(),
        unclear.len()
    );
    let (verdict, reason) = if !worse.is_empty() {
        (Verdict::Fail, format!("worse: {}", told(&worse)))
    } else if unclear.len() == all {
        let reason = if all == 0 {
            "the two have no metric with samples in common".to_owned()
        } else {
            format!("inconclusive: {}", told(&unclear))
        };
        (Verdict::Unknown, reason)
    } else {
        (Verdict::Pass, String::new())
    };
    Some(CheckResult {
        name: "not worse than the baseline".to_owned(),
        class: Class::Objective,
        verdict,
        limit: format!("{:.0} %", compared.tolerance * 100.0),
        measured,
        reason,
    })
}

fn told(rows: &[&Row]) -> String {
    let told = rows.iter().map(|row| {
        let name = row.metric.name;
        match row.contrast.change {
            Change::Unclear { more } => format!("{name} (about {more} more trials)"),
            _ if row.contrast.ratio.is_infinite() => {
                format!("{name}, which does not end any more")
            }
            _ => format!("{name} {}", percent(row.contrast.ratio)),
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Metric, Unit};
    use crate::results::Baseline;

    fn measurements(factor: f64) -> Measurements {
        let samples = (0..20)
            .map(|i| 1e8 * factor * (0.95 + 0.005 * f64::from(i)))
            .collect();
        let metric = Metric {
            unit: Unit::Ns,
            samples,
            censored: 0,
            noisy: 0,
        };
        Measurements {
            metrics: [("elect".to_owned(), metric)].into(),
            ..Measurements::default()
        }
    }

    fn plan() -> PlanFacts {
        PlanFacts {
            name: "p".to_owned(),
            system: "zab".to_owned(),
            nodes: 3,
            ..PlanFacts::default()
        }
    }

    fn kept(given: bool, cpus: u32) -> Beside {
        let environment = Environment {
            cpus,
            ..Environment::default()
        };
        Beside {
            from: "results/baseline/p.json".to_owned(),
            given,
            tolerance: 0.1,
            baseline: Baseline::of_run("a", &plan(), &environment, &measurements(1.0)),
        }
    }

    fn judged(kept: Option<Beside>, factor: f64) -> Option<(Compared, Vec<CheckResult>)> {
        let line = Assertion::parse("elect within 10% of baseline").unwrap();
        let expect = [line];
        let found = beside(
            kept,
            &plan(),
            &Environment::default(),
            &measurements(factor),
            &expect,
        );
        let mut checks: Vec<CheckResult> = super::line(&expect[0], found.as_ref())
            .into_iter()
            .collect();
        let (compared, _) = found?;
        checks.extend(regression(&compared));
        Some((compared, checks))
    }

    #[test]
    fn a_line_is_judged_by_a_baseline_of_the_same_machine() {
        let (compared, checks) = judged(Some(kept(false, 0)), 1.0).unwrap();
        assert!(compared.is_judged() && compared.unjudged.is_empty());
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].verdict, Verdict::Pass);
        let (_, checks) = judged(Some(kept(false, 0)), 1.5).unwrap();
        assert_eq!(checks[0].verdict, Verdict::Fail);
    }

    #[test]
    fn a_baseline_that_is_missing_or_from_elsewhere_is_told_and_judges_nothing() {
        let (compared, checks) = judged(None, 1.5).unwrap();
        assert_eq!(compared.from, None);
        assert_eq!(compared.unjudged, ["elect within 10% of baseline"]);
        assert!(checks.is_empty());
        let (compared, checks) = judged(Some(kept(false, 8)), 1.5).unwrap();
        assert_eq!(compared.elsewhere, "CPUs 8, not 0");
        assert_eq!(compared.unjudged.len(), 1);
        assert!(checks.is_empty());
    }

    #[test]
    fn a_baseline_that_was_asked_for_judges_wherever_it_comes_from() {
        let (compared, checks) = judged(Some(kept(true, 8)), 1.5).unwrap();
        assert!(compared.unjudged.is_empty());
        assert_eq!(checks.len(), 2);
        assert!(checks.iter().all(|check| check.verdict == Verdict::Fail));
        assert_eq!(checks[1].reason, "worse: elect +50 %");
        let (_, checks) = judged(Some(kept(true, 0)), 1.0).unwrap();
        assert!(checks.iter().all(|check| check.verdict == Verdict::Pass));
    }

    #[test]
    fn nothing_in_common_is_unknown() {
        let mut other = kept(true, 0);
        other.baseline.runs[0].metrics.clear();
        let (_, checks) = judged(Some(other), 1.0).unwrap();
        assert!(checks.iter().all(|check| check.verdict == Verdict::Unknown));
    }
}
