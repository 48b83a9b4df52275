//! `chaos check RUN|FILE…`: judges recorded histories again.

use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Color;
use super::failure::{self, Failure};
use super::picture::{self, PictureArguments};
use super::run::{self, Format};
use crate::check::evidence_lanes;
use crate::clock::RunClock;
use crate::exit::Exit;
use crate::history::{History, ReadError, decode_from};
use crate::results::RunFolder;
use crate::run::{JudgeError, judge, judge_history};
use crate::verdict::Verdict;

/// What to judge.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Runs (a folder, an id, `latest`) or history files
    #[arg(required = true)]
    runs: Vec<String>,
    /// The results root in which runs are looked up
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// What a history file is checked against
    #[arg(long, value_enum, default_value_t = Model::Register)]
    model: Model,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    picture: PictureArguments,
}

/// What a history is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Model {
    /// Registers with read, write and cas, one per key
    Register,
}

/// Judges everything named; the exit code is the worst.
pub(super) fn check(arguments: &CheckArguments, color: Color) -> Result<Exit, Failure> {
    let mut exit = Exit::Pass;
    for name in &arguments.runs {
        let path = Path::new(name);
        let one = if path.is_file() {
            let Model::Register = arguments.model;
            check_file(path, arguments, color)?
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
    run::print(arguments.format, &record, color)?;
    if let (Some(path), Format::Human) = (drawn, arguments.format) {
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

fn check_file(path: &Path, arguments: &CheckArguments, color: Color) -> Result<Exit, Failure> {
    let name = path.display().to_string();
    let history = read(path, &name)?;
    let clock = RunClock::start();
    let (result, evidence) = judge_history(&history);
    let took = clock.now();
    let exit = match result.verdict {
        Verdict::Pass => Exit::Pass,
        Verdict::Unknown => Exit::Inconclusive,
        Verdict::Fail => Exit::Safety,
    };
    let alone = arguments.runs.len() == 1;
    let drawn = (evidence.as_ref())
        .and_then(|evidence| arguments.picture.draw(path, alone, &history, evidence));
    match arguments.format {
        Format::Quiet => {}
        Format::Json => {
            let line = serde_json::json!({
                "file": name,
                "verdict": result.verdict,
                "measured": result.measured,
                "reason": result.reason,
                "operations": history.operations.len(),
                "keys": history.keys.len(),
                "check_ns": took.0,
                "exit_code": exit.code(),
                "picture": drawn,
            });
            failure::output(&format!("{line}\n"));
        }
        Format::Human => {
            let word = result.verdict.word().to_uppercase();
            let colour = color.enabled(std::io::stdout().is_terminal());
            let word = if colour {
                paint(&word, result.verdict)
            } else {
                word
            };
            failure::output(&format!("{word}  {name}: {} ({took})\n", result.measured));
            // The lanes end with the sentence.
            if !result.reason.is_empty() && evidence.is_none() {
                failure::output(&format!("      {}\n", result.reason));
            }
            if let Some(evidence) = evidence {
                failure::output(&format!("\n{}", evidence_lanes(&history, &evidence)));
            }
            if let Some(path) = drawn {
                failure::output(&format!("\npicture  {}\n", path.display()));
            }
        }
    }
    Ok(exit)
}

/// Reads a history file, a block at a time.
fn read(path: &Path, name: &str) -> Result<History, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::new(Exit::Usage, format!("cannot read {name}: {error}"));
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file);
    match decode_from(&mut file, length.map(|file| file.len()), name) {
        Ok((_, history)) => Ok(history),
        Err(ReadError::Io(error)) => Err(unreadable(error)),
        Err(ReadError::Codec(error)) => Err(Failure::of(Exit::Usage, &error)),
    }
}

fn paint(word: &str, verdict: Verdict) -> String {
    let code = match verdict {
        Verdict::Pass => 32,
        Verdict::Unknown => 33,
        Verdict::Fail => 31,
    };
    format!("\u{1b}[{code}m{word}\u{1b}[0m")
}
