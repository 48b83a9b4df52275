//! `chaos validate PLAN…`: checks plans without running them.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use super::Color;
use super::failure::{self, Failure};
use super::plans::{self, Loading, Overrides};
use crate::exit::Exit;

/// What to check.
#[derive(Debug, Args)]
pub(super) struct ValidateArguments {
    /// Plans, or folders of plans
    #[arg(required = true)]
    plans: Vec<PathBuf>,
}

/// Checks every plan, each on its own.
pub(super) fn validate(arguments: &ValidateArguments, color: Color) -> Result<Exit, Failure> {
    let colour = color.enabled(std::io::stdout().is_terminal());
    let mut exit = Exit::Pass;
    for path in plans::find(&arguments.plans)? {
        match plans::load(&path, &Overrides::default(), colour) {
            Ok((source, plan, warnings)) => {
                failure::output(&warnings);
                let trials = plan.trials();
                let note = if trials > 0 {
                    format!(", {trials} trials")
                } else {
                    String::new()
                };
                failure::output(&format!("{}: valid{note}\n", source.path));
            }
            Err(Loading::Refused(problems)) => {
                failure::output(&format!("{}\n\n", problems.trim_end()));
                exit = Exit::Usage;
            }
            Err(Loading::Unreadable(failure)) => {
                failure::print(&failure);
                exit = Exit::Usage;
            }
        }
    }
    Ok(exit)
}
