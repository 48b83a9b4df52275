//! `chaos list runs`: the runs of a results root as a table, newest first.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;
use crate::clock::Nanos;
use crate::exit::Exit;
use crate::results::{ListedRun, Utc, list, names};
use crate::verdict::Verdict;

/// One run, as far as its files tell.
#[derive(Debug, Default, Serialize)]
struct Row {
    run_id: String,
    folder: String,
    /// `None`: it was never judged, or it goes on.
    verdict: Option<Verdict>,
    exit_code: Option<u8>,
    plan: Option<String>,
    system: Option<String>,
    started_utc: Option<String>,
    duration_ns: Option<Nanos>,
    trials: Option<usize>,
    recover_first_p50_ns: Option<u64>,
    recover_first_max_ns: Option<u64>,
}

/// The table for people.
pub(super) fn table(root: &Path) -> String {
    let rows = rows(root);
    if rows.is_empty() {
        return format!("no runs in {}\n", root.display());
    }
    let cells = rows.iter().map(cells);
    lines(
        &std::iter::once(HEAD.map(str::to_owned))
            .chain(cells)
            .collect::<Vec<_>>(),
    )
}

/// The same for programs: a list of objects.
pub(super) fn json(root: &Path) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(&rows(root));
    Ok(text.map_err(|error| Failure::of(Exit::Bug, &error))? + "\n")
}

fn rows(root: &Path) -> Vec<Row> {
    let (runs, _) = list(root, usize::MAX);
    runs.into_iter().map(|run| row(root, run)).collect()
}

fn row(root: &Path, run: ListedRun) -> Row {
    let folder = root.join(&run.folder).display().to_string();
    let run_id = run.folder;
    let Ok(brief) = run.brief else {
        // A run that was not judged still says what it was asked.
        let facts = std::fs::read(root.join(&run_id).join(names::FACTS)).ok();
        let facts = facts.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let facts: Value = facts.unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        return Row {
            run_id,
            folder,
            plan: text(&facts["plan"]["name"]),
            system: text(&facts["plan"]["system"]),
            started_utc: text(&facts["environment"]["started_utc"]),
            ..Row::default()
        };
    };
    let recover = brief.metrics.get("recover.first");
    let whole = |ns: Option<f64>| ns.map(|ns| ns.round() as u64);
    Row {
        run_id,
        folder,
        verdict: Some(brief.verdict),
        exit_code: brief.exit_code,
        trials: Some(brief.trials()),
        started_utc: Some(brief.started().to_owned()),
        duration_ns: brief.duration_ns,
        recover_first_p50_ns: recover.and_then(|metric| whole(metric.p50)),
        recover_first_max_ns: recover.and_then(|metric| whole(metric.max)),
        plan: Some(brief.plan),
        system: Some(brief.system),
    }
}

const HEAD: [&str; 9] = [
    "verdict",
    "plan",
    "system",
    "when (UTC)",
    "took",
    "trials",
    "first ok p50",
    "max",
    "folder",
];

/// Columns of figures are set to the right.
const FIGURES: [usize; 4] = [4, 5, 6, 7];

fn cells(row: &Row) -> [String; 9] {
    let figure = |ns: Option<u64>| ns.map_or_else(String::new, |ns| Nanos(ns).to_string());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let took = row
        .duration_ns
        .map(|took| format!("{:.1} s", took.as_secs_f64()));
    [
        row.verdict.map_or("not judged", Verdict::word).to_owned(),
        text(&row.plan),
        text(&row.system),
        when(row.started_utc.as_deref()),
        took.unwrap_or_default(),
        row.trials
            .map(|trials| trials.to_string())
            .unwrap_or_default(),
        figure(row.recover_first_p50_ns),
        figure(row.recover_first_max_ns),
        row.folder.clone(),
    ]
}

/// `2026-11-24 01:38`.
fn when(started: Option<&str>) -> String {
    let stamp = started.filter(|text| Utc::parse(text).is_some());
    stamp.map_or_else(String::new, |text| {
        text.replace('T', " ").chars().take(16).collect()
    })
}

/// Columns as wide as they need to be.
fn lines<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if FIGURES.contains(&column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text += &format!("  {}\n", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(root: &Path, id: &str, summary: Option<&str>) {
        let folder = root.join(id);
        std::fs::create_dir_all(&folder).unwrap();
        let facts = r#"{"plan": {"name": "kill-leader", "system": "zab"},
            "environment": {"started_utc": "2026-11-24T01:38:13Z"}}"#;
        std::fs::write(folder.join("run.json"), facts).unwrap();
        if let Some(summary) = summary {
            std::fs::write(folder.join("summary.json"), summary).unwrap();
        }
    }

    #[test]
    fn runs_are_a_table_newest_first_judged_or_not() {
        let root = tempfile::tempdir().unwrap();
        let judged = r#"{"schema": "chaos.summary/1", "verdict": "pass", "plan": "kill-leader",
            "system": "zab", "environment": {"started_utc": "2026-11-24T01:38:13Z"}, "exit_code": 0, "duration_ns": 38100000000,
            "trials": [{"index": 1}, {"index": 2}, {"index": null}],
            "metrics": {"recover.first": {"n": 3, "p50": 6920000, "max": 13600000}}}"#;
        save(
            root.path(),
            "20261124T013813Z-kill-leader-938f",
            Some(judged),
        );
        save(root.path(), "20261125T013813Z-kill-leader-0001", None);
        let shown = table(root.path()).replace(&root.path().display().to_string(), "results");
        insta::assert_snapshot!(shown);
        let list: Value = serde_json::from_str(&json(root.path()).unwrap()).unwrap();
        assert_eq!(list[0]["verdict"], Value::Null);
        assert_eq!(list[1]["recover_first_max_ns"], 13_600_000);
        assert_eq!(list[1]["trials"], 2);
    }

    #[test]
    fn a_root_without_runs_says_so() {
        let root = tempfile::tempdir().unwrap();
        assert!(table(root.path()).starts_with("no runs in "));
        assert_eq!(json(root.path()).unwrap(), "[]\n");
    }
}
