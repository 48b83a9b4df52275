//! Lines printed while a run goes on. Pure: the conductor says what happened and prints them.
//!
//! A line has a time, a tag (`ready`, `T1`) and a text, in 80 columns.

use crate::clock::Nanos;
use crate::measure::{NodeSync, TrialMeasure};
use crate::results::PlanFacts;

use super::text::counted;

/// What is about to run, in two lines.
#[must_use]
pub fn header(chaos: &str, plan: &PlanFacts) -> String {
    let rate = plan.rate.map_or_else(
        || "closed loop".to_owned(),
        |rate| format!("{rate:.0} op/s"),
    );
    let system = if plan.system == "zab" {
        "bundled zab"
    } else {
        &plan.system
    };
    let mut second = format!(
        "{} ({system}), {}, {rate}",
        counted(usize::from(plan.nodes), "node"),
        counted(plan.clients as usize, "client"),
    );
    if let Some(bug) = &plan.bug {
        second.push_str(&format!(", planted bug {bug}"));
    }
    if plan.trials > 0 {
        second.push_str(&format!(", {}", counted(plan.trials as usize, "trial")));
    }
    format!("{chaos}  {}  seed {}\n{second}", plan.path, plan.seed)
}

/// A phase: `   0.4s  ready   n1 leads epoch 1, 3 of 3 in sync`.
#[must_use]
pub fn phase_line(at: Nanos, phase: &str, text: &str) -> String {
    line(at, phase, text, "")
}

/// A fault, when it has landed or is known to have missed:
/// `   1.2s  T1      SIGKILL n1 (leader)                 landed 0.4 ms`.
/// `tag` is its trial (`T1`), or its id outside of trials (`F3`); `landed` is the injection lag,
/// `None` if it did not land.
#[must_use]
pub fn fault_line(at: Nanos, tag: &str, label: &str, landed: Option<Nanos>) -> String {
    let right = landed.map_or_else(
        || "DID NOT LAND".to_owned(),
        |lag| format!("landed {}", brief(lag)),
    );
    line(at, tag, label, &right)
}

/// How service came back, below its fault's line:
/// `first ok after 74 ms: detect 0.9  elect 42  sync 19  reroute 12`, in milliseconds.
#[must_use]
pub fn recovery_line(trial: &TrialMeasure) -> String {
    let Some(recovered) = trial.recover_first else {
        return mark_line("no write succeeded before the limit: censored");
    };
    let stages: Vec<String> = [
        ("detect", trial.detect_first),
        ("elect", trial.elect),
        ("sync", trial.sync_leader),
        ("reroute", trial.reroute),
    ]
    .into_iter()
    .filter_map(|(name, length)| Some(format!("{name} {}", millis(length?))))
    .collect();
    let noisy = if trial.noisy {
        "  (noisy: the harness was late)"
    } else {
        ""
    };
    if stages.is_empty() {
        return mark_line(&format!("first ok after {}{noisy}", brief(recovered)));
    }
    // Without the `after`, four stages of seconds still fit the line.
    let after = if recovered < Nanos::from_secs(1) {
        "after "
    } else {
        ""
    };
    mark_line(&format!(
        "first ok {after}{} ms: {}{noisy}",
        millis(recovered),
        stages.join("  ")
    ))
}

/// A node that is whole again: `n1 back in sync after 0.9 s (DIFF, 204 txns)`.
#[must_use]
pub fn sync_line(sync: &NodeSync) -> String {
    let mode = match sync.mode {
        crate::history::SyncMode::Diff => "DIFF",
        crate::history::SyncMode::Trunc => "TRUNC",
        crate::history::SyncMode::Snap => "SNAP",
    };
    mark_line(&format!(
        "{} back in sync after {} ({mode}, {})",
        sync.node,
        brief(sync.took),
        counted(sync.txns as usize, "txn"),
    ))
}

/// More about the line above, in its column.
#[must_use]
pub fn mark_line(text: &str) -> String {
    format!("{:TEXT_COLUMN$}{text}", "")
}

fn line(at: Nanos, tag: &str, text: &str, right: &str) -> String {
    let left = format!("{:>6.1}s  {tag:<6}  {text}", at.as_secs_f64());
    if right.is_empty() {
        return left;
    }
    let width = WIDTH
        .saturating_sub(left.chars().count())
        .max(right.chars().count() + 2);
    format!("{left}{right:>width$}")
}

/// Two digits, for a glance: `0.4 ms`, `74 ms`, `2.6 s`.
fn brief(length: Nanos) -> String {
    if length < Nanos::from_millis(1000) {
        format!("{} ms", millis(length))
    } else {
        format!("{:.1} s", length.as_secs_f64())
    }
}

/// Milliseconds: tenths below ten.
fn millis(length: Nanos) -> String {
    let ms = length.as_millis_f64();
    if ms < 9.95 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

const WIDTH: usize = 80;
const TEXT_COLUMN: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_trial_reads_as_three_lines() {
        let record = sample::small();
        let trial = &record.measurements.trials[0];
        let lag = trial.landed.map(|landed| landed - trial.asked);
        let lines = [
            header(&record.environment.chaos, &record.plan),
            phase_line(
                Nanos::from_millis(412),
                "ready",
                "n1 leads epoch 1, 3 of 3 in sync",
            ),
            fault_line(trial.asked, "T1", &trial.label, lag),
            recovery_line(trial),
            sync_line(&trial.syncs[0]),
            fault_line(Nanos::from_secs(125), "F2", "cut n2,n3 -> n1", None),
        ];
        assert!(
            lines
                .iter()
                .flat_map(|l| l.lines())
                .all(|line| line.chars().count() <= 80)
        );
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_trial_that_never_recovered_says_so() {
        let mut trial = sample::small().measurements.trials[0].clone();
        trial.recover_first = None;
        assert_eq!(
            recovery_line(&trial).trim(),
            "no write succeeded before the limit: censored"
        );
    }

    #[test]
    fn a_slow_recovery_still_fits_the_line() {
        let mut trial = sample::small().measurements.trials[0].clone();
        trial.recover_first = Some(Nanos::from_millis(3650));
        trial.detect_first = Some(Nanos::from_millis(2013));
        trial.elect = Some(Nanos::from_millis(1513));
        let line = recovery_line(&trial);
        assert!(line.chars().count() <= 80, "{line}");
        assert!(
            line.contains("first ok 3650 ms: detect 2013  elect 1513  sync"),
            "{line}"
        );
    }

    #[test]
    fn a_recovery_without_an_election_names_no_stages() {
        let mut trial = sample::small().measurements.trials[0].clone();
        trial.recover_first = Some(Nanos::from_millis(2650));
        (trial.detect_first, trial.elect) = (None, None);
        (trial.sync_leader, trial.reroute) = (None, None);
        assert_eq!(recovery_line(&trial).trim(), "first ok after 2.6 s");
    }
}
