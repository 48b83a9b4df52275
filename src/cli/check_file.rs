//! `chaos check FILE`: judges a history that some tool recorded.

use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::Color;
use super::failure::{self, Failure};
use super::picture::{PictureArguments, beside};
use super::run::Format;
use crate::check::{Evidence, ModelError, evidence_lanes};
use crate::clock::{Nanos, RunClock};
use crate::exit::Exit;
use crate::history::formats::{self, Decoded, export};
use crate::history::{Header, ReadError};
use crate::run::{HistoryJudgement, Measure, judge_history};
use crate::verdict::Verdict;

/// How history files are read and judged.
#[derive(Debug, Args)]
pub(super) struct FileArguments {
    /// What a history file is checked against: `auto`, or a model of `chaos list models`
    #[arg(long, default_value = AUTO)]
    model: String,
    /// What to print on stdout, and how history files are written; may be given twice
    #[arg(long = "format", value_name = "FORMAT", value_parser = format_parser(), default_values = ["human", AUTO])]
    formats: Vec<Either>,
    /// What to print on stdout, as with --format
    #[arg(long, value_enum)]
    output: Option<Format>,
    /// Leave out and count malformed lines of history files
    #[arg(long)]
    lenient: bool,
    /// Write the operations of a history file's counterexample; without FORMAT the ending tells
    #[arg(long, value_name = "[FORMAT:]PATH", value_parser = parse_export)]
    export: Option<Export>,
    /// After how many seconds a search for an order gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    time_limit: u64,
    #[command(flatten)]
    picture: PictureArguments,
}

/// Where and how a counterexample is written.
#[derive(Debug, Clone)]
struct Export {
    format: formats::Format,
    path: PathBuf,
}

/// A format of the output or of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Either {
    Output(Format),
    Input(Option<formats::Format>),
}

/// For what the file itself tells.
const AUTO: &str = "auto";

/// The formats of the output.
const OUTPUTS: [(&str, &str, Format); 3] = [
    ("human", "Output: the report as text", Format::Human),
    ("json", "Output: JSON", Format::Json),
    (
        "quiet",
        "Output: nothing; the exit code says it all",
        Format::Quiet,
    ),
];

impl FileArguments {
    /// What to print.
    pub(super) fn output(&self) -> Format {
        let mut outputs = self.formats.iter().filter_map(|format| match format {
            Either::Output(format) => Some(*format),
            Either::Input(_) => None,
        });
        let last = outputs.next_back();
        self.output.or(last).unwrap_or(Format::Human)
    }

    /// How files are written, if that is told.
    fn input(&self) -> Option<formats::Format> {
        let mut inputs = self.formats.iter().filter_map(|format| match format {
            Either::Input(format) => Some(*format),
            Either::Output(_) => None,
        });
        inputs.next_back().flatten()
    }
}

/// Knows the names of all formats.
fn format_parser() -> impl TypedValueParser<Value = Either> {
    let outputs = OUTPUTS
        .iter()
        .map(|(name, help, _)| PossibleValue::new(*name).help(*help));
    let auto = PossibleValue::new(AUTO).help("Input: seen from the beginning of the file");
    let inputs = formats::Format::ALL.into_iter().map(|format| {
        PossibleValue::new(format.name()).help(format!("Input: {}", format.summary()))
    });
    let names: Vec<PossibleValue> = outputs.chain([auto]).chain(inputs).collect();
    PossibleValuesParser::new(names).map(|name| {
        let output = OUTPUTS.iter().find(|(output, ..)| *output == name);
        match output {
            Some((.., format)) => Either::Output(*format),
            None => Either::Input(formats::Format::named(&name)),
        }
    })
}

/// Judges one file, which is `alone` or one of several.
pub(super) fn check_file(
    path: &Path,
    arguments: &FileArguments,
    alone: bool,
    color: Color,
) -> Result<Exit, Failure> {
    let name = path.display().to_string();
    let decoded = read(path, &name, arguments)?;
    let (measure, why) = measure(&decoded, arguments).map_err(|error| of_model(&error, &name))?;
    let clock = RunClock::start();
    let limit = Nanos::from_secs(arguments.time_limit);
    let judgement =
        judge_history(&decoded.history, measure, limit).map_err(|error| of_model(&error, &name))?;
    let checked = Checked {
        name: &name,
        took: clock.now(),
        exit: exit(&judgement),
        picture: (judgement.evidence.as_ref()).and_then(|evidence| {
            arguments
                .picture
                .draw(path, alone, &decoded.history, evidence)
        }),
        exported: match (&judgement.evidence, &arguments.export) {
            (Some(evidence), Some(target)) => {
                let other = (!alone).then_some(path);
                export_evidence(&decoded, measure, evidence, target, other)
            }
            _ => None,
        },
        decoded,
        measure,
        why,
        judgement,
    };
    match arguments.output() {
        Format::Quiet => {}
        Format::Json | Format::Jsonl => failure::output(&checked.json()),
        Format::Human | Format::Github => {
            failure::output(&checked.text(color.enabled(std::io::stdout().is_terminal())));
        }
    }
    Ok(checked.exit)
}

/// What is told of one file.
struct Checked<'a> {
    name: &'a str,
    decoded: Decoded,
    measure: Measure,
    /// Why this measure, if nobody asked for it.
    why: Option<String>,
    judgement: HistoryJudgement,
    took: Nanos,
    exit: Exit,
    picture: Option<PathBuf>,
    exported: Option<PathBuf>,
}

impl Checked<'_> {
    fn json(&self) -> String {
        let first = self.judgement.checks.first();
        let skipped = &self.decoded.skipped;
        let line = serde_json::json!({
            "file": self.name,
            "format": self.decoded.format.name(),
            "model": self.measure.name(),
            "verdict": first.map(|check| check.verdict),
            "measured": first.map(|check| &check.measured),
            "reason": first.map(|check| &check.reason),
            "checks": self.judgement.checks,
            "operations": self.decoded.history.operations.len(),
            "keys": self.decoded.history.keys.len(),
            "skipped": skipped.count,
            "first_skipped": skipped.first.as_ref().map(ToString::to_string),
            "check_ns": self.took.0,
            "exit_code": self.exit.code(),
            "picture": self.picture,
            "exported": self.exported,
        });
        format!("{line}\n")
    }

    fn text(&self, is_coloured: bool) -> String {
        let history = &self.decoded.history;
        let mut text = String::new();
        for (number, check) in self.judgement.checks.iter().enumerate() {
            let word = check.verdict.word().to_uppercase();
            let word = if is_coloured {
                paint(&word, check.verdict)
            } else {
                word
            };
            text += &match number {
                0 => format!(
                    "{word}  {}: {} ({})\n",
                    self.name, check.measured, self.took
                ),
                _ => format!("      {word}  {}: {}\n", check.name, check.measured),
            };
            // The lanes end with the sentence.
            let is_told = number == 0 && self.judgement.evidence.is_some();
            if !check.reason.is_empty() && !is_told {
                text += &format!("      {}\n", check.reason);
            }
        }
        let (format, model) = (self.decoded.format.name(), self.measure.name());
        let why = self
            .why
            .as_ref()
            .map_or_else(String::new, |why| format!(", because {why}"));
        text += &format!("      read as {format}, judged as {model}{why}\n");
        if let Some(first) = &self.decoded.skipped.first {
            let count = self.decoded.skipped.count;
            text += &format!(
                "      skipped {count} line{} (first: {first})\n",
                if count == 1 { "" } else { "s" }
            );
            if self.exit == Exit::Safety {
                text += "      one of them may be what is missing in the counterexample\n";
            }
        }
        if let Some(evidence) = &self.judgement.evidence {
            text += &format!("\n{}", evidence_lanes(history, evidence));
        }
        if self.picture.is_some() || self.exported.is_some() {
            text.push('\n');
        }
        for (what, path) in [("picture", &self.picture), ("export", &self.exported)] {
            if let Some(path) = path {
                text += &format!("{what:<8} {}\n", path.display());
            }
        }
        text
    }
}

/// What the file is judged by, and why if nobody asked for it.
fn measure(
    decoded: &Decoded,
    arguments: &FileArguments,
) -> Result<(Measure, Option<String>), ModelError> {
    if arguments.model == AUTO {
        let (measure, mut why) = Measure::proposed(&decoded.history, &decoded.header)?;
        if decoded.format == formats::Format::PorcupineKv {
            why = "files of this format hold texts".to_owned();
        }
        return Ok((measure, Some(why)));
    }
    Ok((Measure::named(&arguments.model)?, None))
}

fn of_model(error: &ModelError, name: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{name}: {error}"))
}

fn exit(judgement: &HistoryJudgement) -> Exit {
    // The first sums up the others.
    match judgement.checks.first().map(|check| check.verdict) {
        Some(Verdict::Pass) => Exit::Pass,
        Some(Verdict::Fail) => Exit::Safety,
        Some(Verdict::Unknown) | None => Exit::Inconclusive,
    }
}

/// Writes the operations of the evidence as a history and returns where; of several histories the
/// name of this `other` one is added. As with the picture, a file that cannot be written is a
/// warning, never another verdict.
fn export_evidence(
    decoded: &Decoded,
    measure: Measure,
    evidence: &Evidence,
    target: &Export,
    other: Option<&Path>,
) -> Option<PathBuf> {
    let path = match other {
        Some(name) => beside(&target.path, name),
        None => target.path.clone(),
    };
    let part = decoded.history.part(&evidence.operations);
    let header = Header {
        model: Some(measure.name().to_owned()),
        ..Header::default()
    };
    let written = export(&part, &header, target.format)
        .map_err(|error| error.to_string())
        .and_then(|bytes| std::fs::write(&path, bytes).map_err(|error| error.to_string()));
    match written {
        Ok(()) => Some(path),
        Err(reason) => {
            let path = path.display();
            failure::note(&format!("warning: {path} was not written: {reason}\n"));
            None
        }
    }
}

fn parse_export(text: &str) -> Result<Export, String> {
    let told = text
        .split_once(':')
        .and_then(|(format, path)| Some((formats::Format::named(format)?, path)));
    let (format, path) = told.unwrap_or_else(|| {
        let by_ending = formats::Format::by_ending(text);
        (by_ending.unwrap_or(formats::Format::Jsonl), text)
    });
    if path.is_empty() {
        return Err("write a path behind the format, such as edn:counterexample.edn".to_owned());
    }
    Ok(Export {
        format,
        path: PathBuf::from(path),
    })
}

/// Reads a history file, a block at a time where it can be.
fn read(path: &Path, name: &str, arguments: &FileArguments) -> Result<Decoded, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::new(Exit::Usage, format!("cannot read {name}: {error}"));
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file);
    let length = length.map(|file| file.len());
    match formats::read(
        &mut file,
        length,
        name,
        arguments.input(),
        arguments.lenient,
    ) {
        Ok(decoded) => Ok(decoded),
        Err(ReadError::Io(error)) => Err(unreadable(error)),
        Err(error @ ReadError::Unknown { .. }) => Err(Failure::of(Exit::Usage, &error)),
        Err(error @ ReadError::Codec(_)) => Err(Failure::of(Exit::Usage, &error)
            .help("mend the line, or leave such lines out with --lenient")),
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
