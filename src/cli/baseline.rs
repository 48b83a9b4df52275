//! `chaos baseline RUN…`: keeps the samples of runs, to compare later ones with.

use std::path::PathBuf;

use clap::Args;

use super::check::{open, unreadable};
use super::failure::{self, Failure};
use crate::exit::Exit;
use crate::report::samples_table;
use crate::results::Baseline;
use crate::run::judge;
use crate::verdict::Verdict;

/// Which runs.
#[derive(Debug, Args)]
pub(super) struct BaselineArguments {
    /// Runs of one plan on one machine: folders, ids or `latest`
    #[arg(required = true)]
    runs: Vec<String>,
    /// The results root in which runs are looked up; the baseline goes to its folder `baseline`
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// Write this file instead
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Joins the runs and writes the file.
pub(super) fn baseline(arguments: &BaselineArguments) -> Result<Exit, Failure> {
    let mut all: Option<Baseline> = None;
    for name in &arguments.runs {
        let folder = open(&arguments.out, name)?;
        let record = judge(&folder).map_err(|error| unreadable(&error))?;
        if record.verdict == Verdict::Fail {
            let message = format!("{} failed: it is no measure for others", record.run_id);
            return Err(Failure::new(Exit::Usage, message)
                .help("`chaos report` says why; run the plan again, or loosen what it expects"));
        }
        let joined = Baseline::add(all, Baseline::of(&record));
        all = Some(joined.map_err(|error| {
            Failure::of(Exit::Usage, &error)
                .help("a baseline holds runs of one plan on one machine")
        })?);
    }
    let Some(all) = all else {
        return Err(Failure::new(Exit::Usage, "no run is named"));
    };
    let path = arguments.to.clone().unwrap_or_else(|| {
        let name = Baseline::file_name(&all.plan, &all.system, all.nodes);
        arguments.out.join("baseline").join(name)
    });
    all.write(&path)
        .map_err(|error| Failure::of(Exit::Setup, &error))?;
    failure::output(&samples_table(&all.measured()));
    let runs = match all.runs.len() {
        1 => "1 run".to_owned(),
        several => format!("{several} runs"),
    };
    failure::output(&format!("\n{runs} in {}\n", path.display()));
    Ok(Exit::Pass)
}
