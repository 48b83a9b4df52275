//! `chaos report RUN`: makes every report of a run again from its files.

use std::path::PathBuf;

use clap::Args;

use super::Color;
use super::check::{open, unreadable};
use super::failure::Failure;
use super::run::{self, Format};
use crate::exit::Exit;
use crate::run::judge;

/// Which run.
#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// A folder, an id, or `latest`
    #[arg(default_value = "latest")]
    run: String,
    /// The results root in which runs are looked up
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// Judges, writes and prints again. The exit code says whether that could be done, not how the
/// run went: that is `chaos check`.
pub(super) fn report(arguments: &ReportArguments, color: Color) -> Result<Exit, Failure> {
    let folder = open(&arguments.out, &arguments.run)?;
    let record = judge(&folder).map_err(|error| unreadable(&error))?;
    run::save(&record, &folder)?;
    run::print(arguments.format, &record, &folder, color)?;
    Ok(Exit::Pass)
}
