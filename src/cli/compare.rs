//! `chaos compare A B`: two sets of runs against each other.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::check::{open, unreadable};
use super::failure::{self, Failure};
use crate::exit::Exit;
use crate::measure::{Change, Row, Strictness, table, worst};
use crate::report::{ContrastLine, comparison_table};
use crate::results::Baseline;
use crate::run::judge;

/// What to compare.
#[derive(Debug, Args)]
pub(super) struct CompareArguments {
    /// The first side: a run (folder, id or `latest`), a baseline file, or several, with commas
    /// between them
    first: String,
    /// The second side, which is better or worse
    second: String,
    /// The results root in which runs are looked up
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// A typical sample that is longer by less than this is no change
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = parse_percent)]
    tolerance: f64,
    /// Exit with 4 if a typical sample is longer by this share or more, and surely so
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    fail_on_regression: Option<f64>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Shape::Human)]
    format: Shape,
}

/// What to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shape {
    /// A table
    Human,
    /// One JSON object, schema `chaos.compare/1`
    Json,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    sides: [Vec<&'a str>; 2],
    difference: Option<String>,
    change: &'static str,
    tolerance: f64,
    metrics: Vec<ContrastLine>,
}

/// Compares and prints.
pub(super) fn compare(arguments: &CompareArguments) -> Result<Exit, Failure> {
    let first = side(&arguments.first, &arguments.out)?;
    let second = side(&arguments.second, &arguments.out)?;
    let strictness = Strictness {
        tolerance: arguments.fail_on_regression.unwrap_or(arguments.tolerance),
        ..Strictness::default()
    };
    let rows = table(&first.measured(), &second.measured(), strictness);
    print(arguments.format, [&first, &second], &rows, strictness)?;
    if rows.is_empty() {
        return Ok(Exit::Inconclusive);
    }
    let is_worse = worst(&rows) == Some(Change::Worse);
    Ok(if is_worse && arguments.fail_on_regression.is_some() {
        Exit::Objective
    } else {
        Exit::Pass
    })
}

/// All runs of one side together.
fn side(names: &str, out: &Path) -> Result<Baseline, Failure> {
    let mut all: Option<Baseline> = None;
    for name in names.split(',').filter(|name| !name.is_empty()) {
        let one = samples_of(name, out)?;
        all = Some(Baseline::add(all, one).map_err(|error| {
            Failure::of(Exit::Usage, &error).help("each side holds runs of one plan only")
        })?);
    }
    all.ok_or_else(|| Failure::new(Exit::Usage, "there is nothing to compare on one side"))
}

/// The samples of a run or of a baseline file.
pub(super) fn samples_of(name: &str, out: &Path) -> Result<Baseline, Failure> {
    let path = Path::new(name);
    if path.is_file() {
        return Baseline::read(path).map_err(|error| {
            Failure::of(Exit::Usage, &error)
                .help("give a run's folder, or a file that `chaos baseline` has made")
        });
    }
    let folder = open(out, name)?;
    let record = judge(&folder).map_err(|error| unreadable(&error))?;
    Ok(Baseline::of(&record))
}

/// Prints a comparison on stdout.
pub(super) fn print(
    shape: Shape,
    sides: [&Baseline; 2],
    rows: &[Row],
    strictness: Strictness,
) -> Result<(), Failure> {
    let change = worst(rows).map_or("nothing in common", Change::word);
    let difference = sides[0].difference(sides[1]);
    let text = match shape {
        Shape::Human => human(sides, rows, difference.as_deref(), strictness),
        Shape::Json => {
            let ids = |side: &'_ Baseline| -> Vec<String> {
                side.runs.iter().map(|run| run.run_id.clone()).collect()
            };
            let ids = sides.map(ids);
            let document = Document {
                schema: "chaos.compare/1",
                sides: [0, 1].map(|at: usize| ids[at].iter().map(String::as_str).collect()),
                difference,
                change,
                tolerance: strictness.tolerance,
                metrics: rows.iter().map(ContrastLine::of).collect(),
            };
            let text = serde_json::to_string_pretty(&document);
            text.map_err(|error| Failure::of(Exit::Bug, &error))? + "\n"
        }
    };
    failure::output(&text);
    Ok(())
}

fn human(
    sides: [&Baseline; 2],
    rows: &[Row],
    difference: Option<&str>,
    strictness: Strictness,
) -> String {
    let mut text = String::new();
    for (name, side) in ["A", "B"].iter().zip(sides) {
        let runs = side.runs.len();
        let first = side.runs.first().map_or("", |run| run.run_id.as_str());
        let more = if runs > 1 {
            format!(" and {} more", runs - 1)
        } else {
            String::new()
        };
        text += &format!("{name}  {first}{more}\n");
    }
    let lag = sides.map(|side| {
        let lags = side.runs.iter().filter_map(|run| run.harness_lag_p99);
        lags.max()
            .map_or_else(|| "not measured".to_owned(), |lag| lag.to_string())
    });
    text += &format!("   noise: harness lag p99 {} and {}\n", lag[0], lag[1]);
    if let Some(difference) = difference {
        text += &format!("   B differs: {difference}\n");
    }
    text += "\n";
    if rows.is_empty() {
        return text + "  the two have no metric with samples in common\n";
    }
    text += &comparison_table(rows, ["A", "B"]);
    let named = |wanted: fn(&Change) -> bool| -> Vec<&str> {
        let rows = rows.iter().filter(|row| wanted(&row.contrast.change));
        rows.map(|row| row.metric.name).collect()
    };
    let worse = named(|change| *change == Change::Worse);
    let better = named(|change| *change == Change::Better);
    let unclear = named(|change| matches!(change, Change::Unclear { .. }));
    let percent = strictness.tolerance * 100.0;
    text += "\n";
    for (word, names) in [("WORSE", worse), ("BETTER", better), ("UNCLEAR", unclear)] {
        if !names.is_empty() {
            text += &format!("{word}  {}\n", names.join(", "));
        }
    }
    if worst(rows) == Some(Change::Same) {
        text += &format!("SAME  nothing changed by {percent:.0} % or more\n");
    }
    text
}

/// `10%` as a share.
pub(super) fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').map(str::trim);
    let number = number.and_then(|number| number.parse::<f64>().ok());
    match number {
        Some(percent) if percent > 0.0 && percent < 1_000.0 => Ok(percent / 100.0),
        _ => Err("expected a percentage above 0, such as 10%".to_owned()),
    }
}
