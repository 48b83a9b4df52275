//! `chaos list`: what there is.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::failure::{self, Failure};
use crate::check::{MODELS, WEAK};
use crate::exit::Exit;
use crate::fault::FaultSpec;
use crate::history::formats::Format;
use crate::measure::METRICS;
use crate::results::{RunFolder, runs};
use crate::system::SYSTEMS;

/// What to show.
#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// What to show; all but runs if not given
    #[arg(value_enum)]
    what: Option<What>,
    /// The results root in which runs are looked up
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Runs,
    Faults,
    Systems,
    Workloads,
    Models,
    Formats,
    Metrics,
}

/// Prints one or all lists.
pub(super) fn list(arguments: &ListArguments) -> Result<Exit, Failure> {
    let all = [
        What::Faults,
        What::Systems,
        What::Workloads,
        What::Models,
        What::Formats,
        What::Metrics,
    ];
    match arguments.what {
        Some(What::Runs) => failure::output(&list_runs(arguments)),
        Some(what) => failure::output(&rows(&entries(what))),
        None => {
            for what in all {
                let name = what
                    .to_possible_value()
                    .map_or_else(String::new, |value| value.get_name().to_owned());
                failure::output(&format!("{name}\n{}\n", rows(&entries(what))));
            }
        }
    }
    Ok(Exit::Pass)
}

fn entries(what: What) -> Vec<(&'static str, &'static str)> {
    match what {
        What::Runs => Vec::new(),
        What::Faults => FaultSpec::ENTRIES.to_vec(),
        What::Systems => SYSTEMS.to_vec(),
        What::Workloads => {
            vec![(
                "register",
                "read, write and cas on registers, every written value unique",
            )]
        }
        What::Models => {
            let models = MODELS.iter().map(|model| (model.name, model.summary));
            let weaker = WEAK.iter().map(|(name, summary, _)| (*name, *summary));
            models.chain(weaker).collect()
        }
        What::Formats => {
            let formats = Format::ALL.into_iter();
            formats
                .map(|format| (format.name(), format.summary()))
                .collect()
        }
        What::Metrics => METRICS
            .iter()
            .map(|metric| (metric.name, metric.summary))
            .collect(),
    }
}

fn rows(entries: &[(&str, &str)]) -> String {
    let width = entries
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    entries
        .iter()
        .map(|(name, about)| format!("  {name:<width$}  {about}\n"))
        .collect()
}

/// One line per run, newest first: verdict, exit code, folder.
fn list_runs(arguments: &ListArguments) -> String {
    let ids = runs(&arguments.out);
    if ids.is_empty() {
        return format!("no runs in {}\n", arguments.out.display());
    }
    let line = |id: &String| {
        let summary = RunFolder::open(&arguments.out, id)
            .ok()
            .and_then(|folder| folder.read("summary.json").ok())
            .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let verdict = summary
            .as_ref()
            .and_then(|summary| summary["verdict"].as_str().map(str::to_owned))
            .unwrap_or_else(|| "not judged".to_owned());
        format!("  {verdict:<10}  {id}\n")
    };
    ids.iter().map(line).collect()
}
