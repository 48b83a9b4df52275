//! `chaos list`: what there is.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::failure::{self, Failure};
use super::runs;
use crate::check::{MODELS, WEAK};
use crate::exit::Exit;
use crate::fault::FaultSpec;
use crate::history::formats;
use crate::measure::METRICS;
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
    /// What to print on stdout; JSON only of one list
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// What to print on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table
    Human,
    /// A list of objects
    Json,
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
        Some(What::Runs) if arguments.format == Format::Json => {
            failure::output(&runs::json(&arguments.out)?);
        }
        Some(What::Runs) => failure::output(&runs::table(&arguments.out)),
        Some(what) if arguments.format == Format::Json => {
            failure::output(&json(&entries(what))?);
        }
        Some(what) => failure::output(&rows(&entries(what))),
        None if arguments.format == Format::Json => {
            let message = "`--format json` needs to know which list";
            return Err(Failure::new(Exit::Usage, message)
                .help("write for example `chaos list runs --format json`"));
        }
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
            let formats = formats::Format::ALL.into_iter();
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

/// Names and meanings for programs.
fn json(entries: &[(&str, &str)]) -> Result<String, Failure> {
    let list: Vec<serde_json::Value> = entries
        .iter()
        .map(|(name, about)| serde_json::json!({"name": name, "about": about}))
        .collect();
    let text = serde_json::to_string_pretty(&list);
    Ok(text.map_err(|error| Failure::of(Exit::Bug, &error))? + "\n")
}
