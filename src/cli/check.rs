//! `chaos check RUN|FILE…`: judges recorded histories again.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Color;
use super::check_file::{FileArguments, check_file};
use super::failure::{self, Failure};
use super::picture;
use super::run::{self, Format};
use crate::exit::Exit;
use crate::results::RunFolder;
use crate::run::{JudgeError, judge};

/// What to judge.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Runs (a folder, an id, `latest`) or history files
    #[arg(required = true)]
    runs: Vec<String>,
    /// The results root in which runs are looked up
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    #[command(flatten)]
    file: FileArguments,
}

/// Judges everything named; the exit code is the worst.
pub(super) fn check(arguments: &CheckArguments, color: Color) -> Result<Exit, Failure> {
    let mut exit = Exit::Pass;
    for name in &arguments.runs {
        let path = Path::new(name);
        let one = if path.is_file() {
            check_file(path, &arguments.file, arguments.runs.len() == 1, color)?
        } else {
            check_run(name, arguments, color)?
        };
        exit = exit.merge(one);
    }
    Ok(exit)
}

fn check_run(name: &str, arguments: &CheckArguments, color: Color) -> Result<Exit, Failure> {
    let folder = open(&arguments.out, name)?;
    let record = judge(&folder).map_err(|error| unreadable(&error))?;
    let drawn = picture::keep(&record, &folder);
    run::print(arguments.file.output(), &record, &folder, color)?;
    if let (Some(path), Format::Human) = (drawn, arguments.file.output()) {
        failure::output(&format!("picture {}\n", path.display()));
    }
    Ok(record.exit)
}

/// Finds a run, with help if there is none of that name.
pub(super) fn open(root: &Path, name: &str) -> Result<RunFolder, Failure> {
    RunFolder::open(root, name).map_err(|error| {
        let help = match &error {
            crate::results::FolderError::NoSuchRun { newest, .. } if !newest.is_empty() => {
                format!("the newest runs: {}", newest.join(", "))
            }
            _ => "give a run's folder, or `--out DIR` with a run's id".to_owned(),
        };
        Failure::of(Exit::Usage, &error).help(help)
    })
}

/// Files that cannot be judged are a mistake of whoever named them.
pub(super) fn unreadable(error: &JudgeError) -> Failure {
    Failure::of(Exit::Usage, error)
}
