//! Plans from files and folders, with what the command line overrides.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::seed::fnv1a;
use crate::system::SYSTEMS;

/// A plan as it was found.
#[derive(Debug)]
pub(super) struct Source {
    /// As given, or below the folder that was given.
    pub(super) path: String,
    /// The text.
    pub(super) text: String,
}

/// What the command line says instead of the plan.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    pub(super) seed: Option<u64>,
    pub(super) trials: Option<u32>,
    pub(super) system: Option<String>,
    pub(super) node_bin: Option<String>,
    /// Settings of the system, by name.
    pub(super) settings: Vec<(String, String)>,
}

/// The YAML files that these paths name; a folder stands for those directly in it.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let inside = in_folder(path)?;
            if inside.is_empty() {
                let message = format!("no plans in {}", path.display());
                let help = "a folder of plans holds files that end in .yaml";
                return Err(Failure::new(Exit::Usage, message).help(help));
            }
            found.extend(inside);
        } else {
            found.push(path.clone());
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let is_plan = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
    };
    let mut plans: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(is_plan)
        .collect();
    plans.sort();
    Ok(plans)
}

/// Reads and checks all plans; all mistakes of all plans are told together.
pub(super) fn load_all(
    paths: &[PathBuf],
    overrides: &Overrides,
    colour: bool,
) -> Result<Vec<(Source, Plan)>, Failure> {
    let mut loaded = Vec::new();
    let mut problems = String::new();
    for path in find(paths)? {
        match load(&path, overrides, colour) {
            Ok((source, plan, warnings)) => {
                // Nobody is left to be warned if stderr is closed.
                drop(std::io::stderr().lock().write_all(warnings.as_bytes()));
                loaded.push((source, plan));
            }
            Err(Loading::Refused(text)) => problems += &format!("{}\n\n", text.trim_end()),
            Err(Loading::Unreadable(failure)) => return Err(failure),
        }
    }
    if problems.is_empty() {
        Ok(loaded)
    } else {
        drop(std::io::stderr().lock().write_all(problems.as_bytes()));
        let message = "nothing was started: the plan has mistakes";
        Err(Failure::new(Exit::Usage, message))
    }
}

/// Why a plan was not loaded.
pub(super) enum Loading {
    /// It has mistakes: the text shows them.
    Refused(String),
    /// It cannot be read.
    Unreadable(Failure),
}

/// Reads and checks one plan: the warnings are text, too.
pub(super) fn load(
    path: &Path,
    overrides: &Overrides,
    colour: bool,
) -> Result<(Source, Plan, String), Loading> {
    let label = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|error| Loading::Unreadable(unreadable(path, &error)))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("{label}: byte {at} is no UTF-8: a plan is a text file");
        Loading::Unreadable(Failure::new(Exit::Usage, message))
    })?;
    let refused =
        |diagnostics: crate::plan::Diagnostics| Loading::Refused(diagnostics.render(colour));
    let (mut plan, warnings) = Plan::parse(&label, &text).map_err(refused)?;
    if let Some(seed) = overrides.seed {
        plan.seed = Some(seed);
    }
    if let Some(trials) = overrides.trials
        && !plan.set_trials(trials)
    {
        let message = format!("{label}: --trials: the plan has no named `repeat` to count");
        return Err(Loading::Unreadable(Failure::new(Exit::Usage, message)));
    }
    if let Some(system) = &overrides.system {
        let names: Vec<&str> = SYSTEMS.iter().map(|(name, _)| *name).collect();
        if !names.contains(&system.as_str()) {
            let there_is = names.join(" and ");
            let message = if PLANNED.contains(&system.as_str()) {
                format!("--system {system} is not built yet: there is {there_is}")
            } else {
                format!("there is no system `{system}`: there is {there_is}")
            };
            return Err(Loading::Unreadable(Failure::new(Exit::Usage, message)));
        }
        plan.cluster.system.clone_from(system);
    }
    if let Some(node_bin) = &overrides.node_bin {
        plan.cluster.node_bin = Some(node_bin.clone());
    }
    let settings = overrides.settings.iter().cloned();
    plan.cluster.config.extend(settings);
    let warnings = warnings.render(colour);
    Ok((Source { path: label, text }, plan, warnings))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("cannot read {}: {error}", path.display()),
    )
}

/// A seed nobody gave: from the clock, short enough to type.
pub(super) fn draw_seed() -> u64 {
    let now = crate::clock::RunClock::start().origin();
    fnv1a(
        &[
            now.to_le_bytes(),
            u64::from(std::process::id()).to_le_bytes(),
        ]
        .concat(),
    ) % 1_000_000_000
}

/// Systems that plans may name one day.
const PLANNED: &[&str] = &["zookeeper", "etcd", "redis", "command"];
