//! `chaos run PLAN…`: runs plans and reports on them.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::rc::Rc;

use clap::{Args, ValueEnum};

use super::Color;
use super::failure::{self, Failure};
use super::plans::{self, Source};
use super::progress::Shown;
use crate::cluster::{Leftover, remove_leftovers};
use crate::exit::Exit;
use crate::plan::Plan;
use crate::report;
use crate::results::{RunFolder, RunRecord};
use crate::run::{JudgeError, Progress, Request, RunError, Silent, execute, judge};
use crate::verdict::Verdict;

/// What to run.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Plans, or folders of plans
    #[arg(required = true)]
    plans: Vec<PathBuf>,
    /// Show what would be done, without doing it
    #[arg(long)]
    dry_run: bool,
    /// The seed of every random decision, instead of the plan's
    #[arg(long)]
    seed: Option<u64>,
    /// How many trials, instead of the plan's
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    trials: Option<u32>,
    /// The system under test, instead of the plan's
    #[arg(long)]
    system: Option<String>,
    /// Another build to run the bundled nodes with
    #[arg(long, value_name = "PATH")]
    node_bin: Option<PathBuf>,
    /// Set a setting of the system, instead of the plan's
    #[arg(long, value_name = "cluster.config.NAME=VALUE", value_parser = parse_setting)]
    set: Vec<(String, String)>,
    /// Allow plans that plant a bug in the nodes (cluster.config.bug)
    #[arg(long)]
    allow_bugs: bool,
    /// Allow plans that run commands of their own (exec)
    #[arg(long)]
    allow_exec: bool,
    /// The results root
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// When to keep the data folders of the nodes
    #[arg(long, value_enum, default_value_t = Keep::Fail)]
    keep: Keep,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// When to keep the data of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Keep {
    Always,
    Fail,
    Never,
}

/// What to print on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The report as text
    Human,
    /// summary.json
    Json,
    /// Nothing; the exit code says it all
    Quiet,
}

/// Kills what runs have left that were killed; what cannot be killed is told, and stays.
fn clear_the_ground() {
    match remove_leftovers() {
        Ok(killed) => {
            for Leftover { pid, name, run } in killed {
                failure::note(&format!(
                    "note: killed process {pid} ({name}), which {run} had left\n"
                ));
            }
        }
        Err(error) => failure::note(&format!("note: {error}\n")),
    }
}

/// Runs every plan; the exit code is the worst.
pub(super) fn run(arguments: &RunArguments, color: Color) -> Result<Exit, Failure> {
    let overrides = plans::Overrides {
        seed: arguments.seed,
        trials: arguments.trials,
        system: arguments.system.clone(),
        node_bin: arguments
            .node_bin
            .as_ref()
            .map(|path| path.display().to_string()),
        settings: arguments.set.clone(),
    };
    let stderr_color = color.enabled(std::io::stderr().is_terminal());
    let loaded = plans::load_all(&arguments.plans, &overrides, stderr_color)?;
    if !arguments.allow_bugs {
        refuse_bugs(&loaded)?;
    }
    if !arguments.allow_exec {
        refuse_commands(&loaded)?;
    }
    if arguments.dry_run {
        for (_, plan) in &loaded {
            failure::output(&plan.timeline());
        }
        return Ok(Exit::Pass);
    }
    clear_the_ground();
    let several = loaded.len() > 1;
    let mut exit = Exit::Pass;
    let mut table = Vec::new();
    for (source, plan) in loaded {
        let name = plan.name.clone();
        let one = run_one(arguments, source, plan, color);
        let (one, verdict, folder) = match one {
            Ok(record) => (record.exit, record.verdict.word(), record.folder),
            Err(failure) if several => {
                failure::print(&failure);
                (failure.exit, "error", String::new())
            }
            Err(failure) => return Err(failure),
        };
        table.push(format!(
            "  {verdict:<8} {:<4} {name:<24} {folder}\n",
            one.code()
        ));
        exit = exit.merge(one);
        if matches!(one, Exit::Interrupted | Exit::Terminated) {
            break;
        }
    }
    if several && arguments.format == Format::Human {
        failure::output(&format!("\n  verdict  exit plan\n{}", table.concat()));
    }
    Ok(exit)
}

/// A planted bug shall never be a surprise: the results of such a run say nothing of the nodes.
fn refuse_bugs(loaded: &[(Source, Plan)]) -> Result<(), Failure> {
    for (source, plan) in loaded {
        if let Some(bug) = plan.cluster.planted_bug() {
            let message = format!("{} plants a bug in the nodes: {bug}", source.path);
            return Err(Failure::new(Exit::Usage, message).help(
                "say --allow-bugs if you mean it, or --set cluster.config.bug=none for the same \
                 plan without it",
            ));
        }
    }
    Ok(())
}

/// A plan that somebody else wrote must not run what it likes.
fn refuse_commands(loaded: &[(Source, Plan)]) -> Result<(), Failure> {
    for (source, plan) in loaded {
        if let Some(command) = plan.commands().first() {
            let message = format!("{} runs a command: `{command}`", source.path);
            return Err(Failure::new(Exit::Usage, message)
                .help("read the plan, and say --allow-exec if it may"));
        }
    }
    Ok(())
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (path, value) = text
        .split_once('=')
        .ok_or_else(|| "expected cluster.config.NAME=VALUE".to_owned())?;
    match path.strip_prefix("cluster.config.") {
        Some(name) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!(
            "`{path}` cannot be set here: only cluster.config.NAME can"
        )),
    }
}

fn run_one(
    arguments: &RunArguments,
    source: Source,
    plan: Plan,
    color: Color,
) -> Result<RunRecord, Failure> {
    let seed = plan.seed.unwrap_or_else(plans::draw_seed);
    let executable = std::env::current_exe().map_err(|error| {
        Failure::of(Exit::Setup, &error)
            .help("chaos starts itself again as reaper and nodes: its executable must be readable")
    })?;
    let request = Request {
        reproduce: reproduce(arguments, &source.path, seed),
        plan,
        text: source.text,
        path: source.path,
        seed,
        out: arguments.out.clone(),
        executable,
    };
    let shown = (arguments.format != Format::Quiet).then(|| Rc::new(Shown::new()));
    let progress: Rc<dyn Progress> = match &shown {
        Some(shown) => Rc::clone(shown) as Rc<dyn Progress>,
        None => Rc::new(Silent),
    };
    let executed = execute(&request, &progress);
    if let Some(shown) = &shown {
        shown.finish();
    }
    let folder = executed.map_err(|error| explain(&error))?;
    let record = judge(&folder).map_err(|error| explain_judging(&error))?;
    save(&record, &folder)?;
    clean(arguments.keep, &record, &folder);
    print(arguments.format, &record, color)?;
    Ok(record)
}

/// Writes every report into the results folder.
pub(super) fn save(record: &RunRecord, folder: &RunFolder) -> Result<(), Failure> {
    for reporter in report::REPORTERS {
        folder
            .write(reporter.file_name(), |out| reporter.write(record, out))
            .map_err(|error| Failure::of(Exit::Setup, &error))?;
    }
    // Whoever cannot have it is warned; the picture is in the report as well.
    super::picture::keep(record, folder);
    Ok(())
}

/// Prints the result on stdout.
pub(super) fn print(format: Format, record: &RunRecord, color: Color) -> Result<(), Failure> {
    let mut out = Vec::new();
    let written = match format {
        Format::Human => {
            let colour = color.enabled(std::io::stdout().is_terminal());
            report::Reporter::write(&report::Terminal { colour }, record, &mut out)
        }
        Format::Json => report::json(record, &mut out),
        Format::Quiet => Ok(()),
    };
    written.map_err(|error| Failure::of(Exit::Bug, &error))?;
    failure::output(&String::from_utf8_lossy(&out));
    Ok(())
}

/// Removes the nodes' data unless it is to be kept; their logs and traces always stay.
fn clean(keep: Keep, record: &RunRecord, folder: &RunFolder) {
    let kept = match keep {
        Keep::Always => true,
        Keep::Fail => record.verdict == Verdict::Fail,
        Keep::Never => false,
    };
    if !kept {
        for node in crate::id::NodeId::all(record.plan.nodes) {
            let own = folder.path().join("nodes").join(node.to_string());
            for name in ["data", "data.attic"] {
                // What cannot be removed is only untidy.
                drop(std::fs::remove_dir_all(own.join(name)));
            }
        }
    }
}

/// The command that repeats a run.
fn reproduce(arguments: &RunArguments, path: &str, seed: u64) -> String {
    let mut command = format!("chaos run {path} --seed {seed}");
    if let Some(trials) = arguments.trials {
        command += &format!(" --trials {trials}");
    }
    if let Some(node_bin) = &arguments.node_bin {
        command += &format!(" --node-bin {}", node_bin.display());
    }
    for (name, value) in &arguments.set {
        command += &format!(" --set cluster.config.{name}={value}");
    }
    if arguments.allow_exec {
        command += " --allow-exec";
    }
    if arguments.allow_bugs {
        command += " --allow-bugs";
    }
    command
}

fn explain(error: &RunError) -> Failure {
    match error {
        RunError::Folder(error) => {
            Failure::of(Exit::Setup, error).help("give a folder that can be written: --out DIR")
        }
        RunError::Setup { source, folder } => {
            let failure = Failure::of(Exit::Setup, source);
            let look = format!("what was recorded until then is in {}", folder.display());
            failure.help(look)
        }
        RunError::Refused(error) => Failure::of(Exit::Setup, error),
        RunError::Harness { .. } => Failure::of(Exit::Setup, error),
        RunError::Killed => Failure::of(Exit::Interrupted, error),
    }
}

/// Streams that the run itself wrote and cannot read are a defect of ours.
fn explain_judging(error: &JudgeError) -> Failure {
    Failure::of(Exit::Bug, error)
        .help("the files of the run are kept; please report this with them")
}
