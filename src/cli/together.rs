//! The table at the end of `chaos run` with several plans: the verdict, the time and the first check
//! that did not pass of each.

use super::failure::Failure;
use crate::clock::Nanos;
use crate::results::RunRecord;
use crate::verdict::Verdict;

/// What became of one plan.
pub(super) struct Line {
    verdict: &'static str,
    exit: u8,
    plan: String,
    took: Option<Nanos>,
    /// The worst check, the first of these; or why there is no result.
    why: String,
    folder: String,
}

impl Line {
    pub(super) fn of(record: &RunRecord) -> Self {
        let of = |verdict| record.checks.iter().find(|check| check.verdict == verdict);
        let worst = of(Verdict::Fail).or_else(|| of(Verdict::Unknown));
        Self {
            verdict: record.verdict.word(),
            exit: record.exit.code(),
            plan: record.plan.name.clone(),
            took: Some(record.duration),
            why: worst.map_or_else(String::new, |check| check.name.clone()),
            folder: record.folder.clone(),
        }
    }

    /// A plan that could not be run, or not be judged.
    pub(super) fn without_result(plan: String, failure: &Failure) -> Self {
        Self {
            verdict: "error",
            exit: failure.exit.code(),
            plan,
            took: None,
            why: failure
                .message
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
            folder: String::new(),
        }
    }
}

/// The table, with an empty line before it.
pub(super) fn table(done: &[Line]) -> String {
    let width = |of: fn(&Line) -> &str, least: usize| {
        let widths = done.iter().map(|line| of(line).chars().count());
        widths.max().unwrap_or(0).max(least)
    };
    let plan = width(|line| &line.plan, "plan".len());
    let why = width(|line| &line.why, WHY.len()).min(WIDE);
    let mut text = format!(
        "\n  verdict  exit  {:<plan$}  {:>8}  {WHY:<why$}  folder\n",
        "plan", "time"
    );
    for line in done {
        let took = line.took.map(|took| format!("{:.1} s", took.as_secs_f64()));
        let row = format!(
            "  {:<7}  {:>4}  {:<plan$}  {:>8}  {:<why$}  {}",
            line.verdict,
            line.exit,
            line.plan,
            took.unwrap_or_default(),
            line.why,
            line.folder
        );
        text += &format!("{}\n", row.trim_end());
    }
    let passed = done.iter().filter(|line| line.verdict == "pass").count();
    text + &format!("\n  {passed} of {} passed\n", done.len())
}

const WHY: &str = "first not passed";
/// A longer reason moves its own folder and no other.
const WIDE: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn each_plan_has_its_verdict_time_and_first_failed_check() {
        let line = |verdict, exit, plan: &str, why: &str| Line {
            verdict,
            exit,
            plan: plan.to_owned(),
            took: Some(Nanos::from_millis(38_100)),
            why: why.to_owned(),
            folder: format!("results/20261124T013813Z-{plan}-938f"),
        };
        let refused = Failure::new(Exit::Setup, "no port is free\nin the range");
        let done = [
            line("pass", 0, "kill-leader", ""),
            line("fail", 4, "pause-leader", "recover.first p99 <= 500ms"),
            Line::without_result("drop-30".to_owned(), &refused),
        ];
        insta::assert_snapshot!(table(&done));
    }
}
