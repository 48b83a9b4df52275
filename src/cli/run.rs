//! `chaos run PLAN…`: runs plans and reports on them.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::{Args, ValueEnum};

use super::Color;
use super::ab::{self, Variant};
use super::beside::{self, Wanted};
use super::compare::parse_percent;
use super::failure::{self, Failure};
use super::github;
use super::plans::{self, Source};
use super::progress::Shown;
use super::together::{self, Line};
use crate::cluster::{Leftover, remove_leftovers};
use crate::exit::Exit;
use crate::plan::Plan;
use crate::report;
use crate::results::{RunFolder, RunRecord, write_list};
use crate::run::{JudgeError, Progress, Request, RunError, Silent, execute, judge};
use crate::verdict::Verdict;

/// What to run.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Plans, or folders of plans
    #[arg(required = true)]
    pub(super) plans: Vec<PathBuf>,
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
    /// Compare with this run or baseline file, and fail if anything is worse
    #[arg(long, value_name = "RUN|FILE", conflicts_with_all = ["ab", "ab_set"])]
    baseline: Option<String>,
    /// A typical sample that is longer by less than this is no change
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = parse_percent)]
    pub(super) tolerance: f64,
    #[command(flatten)]
    pub(super) ab: AbArguments,
    /// Run again: so many times, or `until-fail`
    #[arg(long, value_name = "N|until-fail", value_parser = parse_repeat, conflicts_with_all = ["ab", "ab_set"])]
    repeat: Option<Repeat>,
    /// When to keep the data folders of the nodes
    #[arg(long, value_enum, default_value_t = Keep::Fail)]
    keep: Keep,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,
}

/// Two sides against each other.
#[derive(Debug, Args)]
pub(super) struct AbArguments {
    /// Run two builds of the nodes by turns and compare them
    #[arg(id = "ab", long = "ab", num_args = 2, value_names = ["PATH_A", "PATH_B"], conflicts_with = "node_bin")]
    pub(super) paths: Vec<PathBuf>,
    /// A setting of side B only; without --ab both sides are the same build
    #[arg(id = "ab_set", long = "ab-set", value_name = "cluster.config.NAME=VALUE", value_parser = parse_setting)]
    pub(super) set: Vec<(String, String)>,
    /// In how many rounds the two take turns
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rounds: Option<u32>,
}

impl AbArguments {
    fn is_asked(&self) -> bool {
        !self.paths.is_empty() || !self.set.is_empty()
    }
}

/// How often a plan is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Times(u32),
    UntilFail,
}

fn parse_repeat(text: &str) -> Result<Repeat, String> {
    match text.parse() {
        _ if text == "until-fail" => Ok(Repeat::UntilFail),
        Ok(times) if times > 0 => Ok(Repeat::Times(times)),
        _ => Err("expected a number above 0, or until-fail".to_owned()),
    }
}

/// When to keep the data of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Keep {
    Always,
    Fail,
    Never,
}

impl RunArguments {
    /// How often, for people.
    fn repeated(&self) -> String {
        match self.repeat {
            Some(Repeat::Times(times)) => times.to_string(),
            Some(Repeat::UntilFail) | None => "as many as it takes".to_owned(),
        }
    }
}

/// What to print on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The report as text
    Human,
    /// summary.json
    Json,
    /// One JSON object a line: phases, trials, checks; last summary.json
    Jsonl,
    /// The report as text, an annotation for each check that did not pass, and the step's summary
    Github,
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

/// Runs every plan, as often as is asked for; the exit code is the worst.
pub(super) fn run(arguments: &RunArguments, color: Color) -> Result<Exit, Failure> {
    if arguments.ab.is_asked() && !arguments.dry_run {
        return ab::run(arguments, color);
    }
    if arguments.ab.rounds.is_some() && !arguments.ab.is_asked() {
        let message = "--rounds says how often two sides take turns, and there is one";
        return Err(Failure::new(Exit::Usage, message).help("name them with --ab or --ab-set"));
    }
    let mut exit = Exit::Pass;
    let mut rounds = 0_u32;
    loop {
        exit = exit.merge(run_plans(arguments, color)?);
        rounds += 1;
        let is_over = match arguments.repeat {
            None => true,
            Some(Repeat::Times(times)) => rounds == times,
            Some(Repeat::UntilFail) => exit != Exit::Pass,
        };
        if is_over || matches!(exit, Exit::Interrupted | Exit::Terminated) {
            break;
        }
        failure::note(&format!(
            "\nrun {} of {}\n",
            rounds + 1,
            arguments.repeated()
        ));
    }
    if arguments.repeat == Some(Repeat::UntilFail) {
        failure::note(&format!("\nthe first of {rounds} runs that did not pass\n"));
    }
    Ok(exit)
}

/// What the command line says instead of the plan.
fn overrides(arguments: &RunArguments, variant: &Variant) -> plans::Overrides {
    let node_bin = variant.node_bin.as_ref().or(arguments.node_bin.as_ref());
    let settings = arguments.set.iter().chain(&variant.settings);
    plans::Overrides {
        seed: arguments.seed,
        trials: match variant.trials {
            0 => arguments.trials,
            trials => Some(trials),
        },
        system: arguments.system.clone(),
        node_bin: node_bin.map(|path| path.display().to_string()),
        settings: settings.cloned().collect(),
    }
}

/// Reads the plans, and refuses what is not allowed.
fn load(
    arguments: &RunArguments,
    variant: &Variant,
    color: Color,
) -> Result<Vec<(Source, Plan)>, Failure> {
    let overrides = overrides(arguments, variant);
    let stderr_color = color.enabled(std::io::stderr().is_terminal());
    let loaded = plans::load_all(&arguments.plans, &overrides, stderr_color)?;
    if !arguments.allow_bugs {
        refuse_bugs(&loaded)?;
    }
    if !arguments.allow_exec {
        refuse_commands(&loaded)?;
    }
    Ok(loaded)
}

/// How many trials the one plan makes.
pub(super) fn trials_of(
    arguments: &RunArguments,
    plan: &Path,
    color: Color,
) -> Result<u32, Failure> {
    let loaded = load(arguments, &Variant::default(), color)?;
    let [(_, plan)] = loaded.as_slice() else {
        let message = format!("{} is more than one plan", plan.display());
        return Err(Failure::new(Exit::Usage, message));
    };
    Ok(plan.trials())
}

/// Runs the one plan as this side of a comparison wants it, without printing its report.
pub(super) fn run_variant(
    arguments: &RunArguments,
    variant: &Variant,
    color: Color,
) -> Result<RunRecord, Failure> {
    let loaded = load(arguments, variant, color)?;
    let Some((source, mut plan)) = loaded.into_iter().next() else {
        return Err(Failure::new(Exit::Usage, "there is no plan"));
    };
    clear_the_ground();
    let seed = plan.seed.unwrap_or_default().wrapping_add(variant.round);
    plan.set_seed(seed);
    let quiet = RunView {
        variant,
        format: Format::Quiet,
        color,
    };
    run_one(arguments, (source, plan), quiet)
}

/// Runs every plan once; the exit code is the worst.
fn run_plans(arguments: &RunArguments, color: Color) -> Result<Exit, Failure> {
    let loaded = load(arguments, &Variant::default(), color)?;
    if arguments.dry_run {
        for (_, plan) in &loaded {
            failure::output(&plan.timeline());
        }
        return Ok(Exit::Pass);
    }
    clear_the_ground();
    let several = loaded.len() > 1;
    let mut exit = Exit::Pass;
    let mut done = Vec::new();
    for (source, plan) in loaded {
        let (name, path) = (plan.name.clone(), source.path.clone());
        let view = RunView {
            variant: &Variant::default(),
            format: arguments.format,
            color,
        };
        let one = run_one(arguments, (source, plan), view);
        let one = match one {
            Ok(record) => {
                done.push(Line::of(&record));
                record.exit
            }
            Err(failure) => {
                if arguments.format == Format::Github {
                    failure::output(&report::github_failure(&path, &failure.text()));
                }
                if !several {
                    return Err(failure);
                }
                failure::print(&failure);
                done.push(Line::without_result(name, &failure));
                failure.exit
            }
        };
        exit = exit.merge(one);
        if matches!(one, Exit::Interrupted | Exit::Terminated) {
            break;
        }
    }
    if several && matches!(arguments.format, Format::Human | Format::Github) {
        failure::output(&together::table(&done));
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

/// How one run is shown.
#[derive(Debug, Clone, Copy)]
struct RunView<'a> {
    /// Which side of a comparison it is, if it is one.
    variant: &'a Variant,
    format: Format,
    color: Color,
}

fn run_one(
    arguments: &RunArguments,
    (source, plan): (Source, Plan),
    view: RunView<'_>,
) -> Result<RunRecord, Failure> {
    let wanted = Wanted {
        baseline: arguments.baseline.as_deref(),
        tolerance: arguments.tolerance,
        out: &arguments.out,
    };
    let baseline = beside::choose(wanted, &plan)?;
    let seed = plan.seed.unwrap_or_else(plans::draw_seed);
    let executable = std::env::current_exe().map_err(|error| {
        Failure::of(Exit::Setup, &error)
            .help("chaos starts itself again as reaper and nodes: its executable must be readable")
    })?;
    let request = Request {
        reproduce: reproduce(arguments, view.variant, &source.path, seed),
        plan,
        text: source.text,
        path: source.path,
        seed,
        out: arguments.out.clone(),
        executable,
    };
    let shown = (view.format != Format::Quiet).then(|| Rc::new(Shown::new()));
    let progress: Rc<dyn Progress> = match &shown {
        Some(shown) => Rc::clone(shown) as Rc<dyn Progress>,
        None => Rc::new(Silent),
    };
    let executed = execute(&request, &progress);
    if let Some(shown) = &shown {
        shown.finish();
    }
    let folder = executed.map_err(|error| explain(&error))?;
    if let Some(baseline) = &baseline {
        folder
            .keep_baseline(baseline)
            .map_err(|error| Failure::of(Exit::Setup, &error))?;
    }
    let record = judge(&folder).map_err(|error| explain_judging(&error))?;
    save(&record, &folder)?;
    clean(arguments.keep, &record, &folder);
    print(view.format, &record, &folder, view.color)?;
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
    list(folder);
    Ok(())
}

/// Writes the list of all runs of the results root; a run is as good without.
fn list(folder: &RunFolder) {
    let (root, name, most) = (folder.root(), report::INDEX, report::INDEX_RUNS);
    if let Err(error) = write_list(root, name, most, report::index) {
        failure::note(&format!("note: no list of all runs: {error}\n"));
    }
}

/// Prints the result on stdout.
pub(super) fn print(
    format: Format,
    record: &RunRecord,
    folder: &RunFolder,
    color: Color,
) -> Result<(), Failure> {
    let mut out = Vec::new();
    let written = match format {
        Format::Human => {
            let colour = color.enabled(std::io::stdout().is_terminal());
            report::Reporter::write(&report::Terminal { colour }, record, &mut out)
        }
        Format::Json => report::json(record, &mut out),
        Format::Jsonl => report::json_lines(record, &mut out),
        Format::Github => return github::print(record, folder),
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
fn reproduce(arguments: &RunArguments, variant: &Variant, path: &str, seed: u64) -> String {
    let overrides = overrides(arguments, variant);
    let mut command = format!("chaos run {path} --seed {seed}");
    if let Some(trials) = overrides.trials {
        command += &format!(" --trials {trials}");
    }
    if let Some(system) = overrides.system {
        command += &format!(" --system {system}");
    }
    if let Some(node_bin) = overrides.node_bin {
        command += &format!(" --node-bin {node_bin}");
    }
    for (name, value) in overrides.settings {
        command += &format!(" --set cluster.config.{name}={value}");
    }
    if let Some(baseline) = &arguments.baseline {
        let percent = arguments.tolerance * 100.0;
        command += &format!(" --baseline {baseline} --tolerance {percent}%");
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
