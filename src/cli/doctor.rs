//! `chaos doctor`: what works on this machine.

use clap::{Args, ValueEnum};

use super::failure::{self, Failure};
use crate::cluster::{Finding, examine};
use crate::exit::Exit;

/// How to show it.
#[derive(Debug, Args)]
#[command(after_help = "\
Each mechanism is tried. Exit code 5 if nothing can be run without one that is missing; plans that
need another missing one end with 5 and its name when they are run.")]
pub(super) struct DoctorArguments {
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table
    Human,
    /// The same as JSON
    Json,
}

/// Tries all mechanisms and shows what was found.
pub(super) fn doctor(arguments: &DoctorArguments) -> Result<Exit, Failure> {
    let executable = std::env::current_exe();
    let executable = executable.map_err(|error| Failure::of(Exit::Bug, &error))?;
    let scratch = tempfile::tempdir().map_err(|error| Failure::of(Exit::Setup, &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::Setup, &error))?;
    let findings = runtime.block_on(examine(&executable, scratch.path()));
    match arguments.format {
        Format::Human => failure::output(&table(&findings)),
        Format::Json => {
            let text = serde_json::to_string_pretty(&findings);
            failure::output(&(text.map_err(|e| Failure::of(Exit::Bug, &e))? + "\n"));
        }
    }
    let is_ill = findings.iter().any(|one| one.essential && !one.available);
    Ok(if is_ill { Exit::Setup } else { Exit::Pass })
}

/// One line for each mechanism, and what it is for below.
fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|one| one.mechanism.len()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for one in findings {
        let word = match (one.available, one.essential) {
            (true, _) => "yes",
            (false, false) => "no",
            (false, true) => "MISSING",
        };
        let Finding {
            mechanism,
            detail,
            enables,
            ..
        } = one;
        text += &format!("  {word:<7}  {mechanism:<width$}  {detail}\n");
        text += &format!("  {:<7}  {:<width$}  for {enables}\n", "", "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_is_missing_and_what_for() {
        let finding = |mechanism, available, detail: &str, enables, essential| Finding {
            mechanism,
            available,
            detail: detail.to_owned(),
            enables,
            essential,
        };
        let findings = [
            finding("reaper", true, "answers", "all runs", true),
            finding("FUSE", false, "open /dev/fuse: denied", "disk", false),
            finding("link proxy", false, "no sockets", "cut", true),
        ];
        insta::assert_snapshot!(table(&findings));
    }
}
