//! `chaos new NAME`: a plan to start from, with comments that explain it.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::{self, Failure};
use super::schema;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::system::SYSTEMS;

/// What to call it.
#[derive(Debug, Args)]
pub(super) struct NewArguments {
    /// The name of the plan: NAME.yaml is written, a folder before it may be given; `-` prints it
    name: PathBuf,
    /// The system under test
    #[arg(long, default_value = "zab")]
    system: String,
    /// Write the schema for editors beside it too, as chaos.schema.json
    #[arg(long)]
    schema: bool,
}

/// Writes it, unless there is one already.
pub(super) fn new(arguments: &NewArguments) -> Result<Exit, Failure> {
    let systems: Vec<&str> = SYSTEMS.iter().map(|(name, _)| *name).collect();
    if !systems.contains(&arguments.system.as_str()) {
        let message = format!("a plan cannot name the system `{}`", arguments.system);
        let help = format!("there are {}", systems.join(", "));
        return Err(Failure::new(Exit::Usage, message).help(help));
    }
    if arguments.name == Path::new("-") {
        failure::output(&starter("my-plan", &arguments.system));
        return Ok(Exit::Pass);
    }
    let path = file(&arguments.name);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let text = starter(&name, &arguments.system);
    if Plan::parse("new", &text).is_err() {
        let message = format!("`{name}` cannot name a plan");
        return Err(Failure::new(Exit::Usage, message)
            .help("use up to 64 letters, digits, `-`, `_` and `.`, beginning with a letter"));
    }
    write_new(&path, &text)?;
    let shown = path.display();
    if arguments.schema {
        let beside = path.with_file_name(SCHEMA_FILE);
        std::fs::write(&beside, schema::plan_text()?)
            .map_err(|error| unwritable(&beside, &error))?;
        failure::output(&format!("wrote {}\n", beside.display()));
    }
    failure::output(&format!("wrote {shown}\nrun it: chaos run {shown}\n"));
    Ok(Exit::Pass)
}

/// The name that the modeline of the starter gives.
const SCHEMA_FILE: &str = "chaos.schema.json";

/// `NAME` is `NAME.yaml`, and so is `NAME.yaml`.
fn file(name: &Path) -> PathBuf {
    let is_yaml = name.extension().is_some_and(|e| e == "yaml" || e == "yml");
    if is_yaml {
        return name.to_owned();
    }
    let mut text = name.as_os_str().to_owned();
    text.push(".yaml");
    PathBuf::from(text)
}

fn starter(name: &str, system: &str) -> String {
    include_str!("starter.yaml")
        .replace("@NAME@", name)
        .replace("@SYSTEM@", system)
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let message = format!("{} is there already", path.display());
            Failure::new(Exit::Usage, message).help("give another name, or `-` to print the plan")
        }
        _ => unwritable(path, &error),
    })
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("cannot write {}: {error}", path.display());
    Failure::new(Exit::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_is_valid_by_parser_and_schema_and_warns_of_nothing() {
        let schema = crate::plan::plan_schema();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for (system, _) in SYSTEMS {
            let text = starter("my-plan", system);
            let (plan, warnings) = Plan::parse("new", &text).unwrap();
            assert!(warnings.is_empty(), "{warnings}");
            assert_eq!((plan.name.as_str(), plan.trials()), ("my-plan", 5));
            let resolved = Plan::parse("resolved", &plan.to_resolved_yaml()).unwrap().0;
            assert_eq!(resolved.timeline(), plan.timeline());
            let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
            assert!(validator.is_valid(&value));
        }
    }

    /// What the comments offer as other faults is right as well.
    #[test]
    fn the_steps_in_comments_are_valid_in_place_of_the_kill() {
        let text = starter("my-plan", "zab");
        let offered: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("# - "))
            .collect();
        assert!(offered.len() >= 4, "{offered:?}");
        for step in offered {
            let plan = format!("version: 1\nname: p\nsteps:\n  - {step}\nexpect: [linearizable]\n");
            let (_, warnings) = Plan::parse("p", &plan).unwrap();
            assert!(warnings.is_empty(), "{step}: {warnings}");
        }
    }

    #[test]
    fn a_name_is_a_file() {
        assert_eq!(file(Path::new("a/b")), Path::new("a/b.yaml"));
        assert_eq!(file(Path::new("b.yaml")), Path::new("b.yaml"));
        assert_eq!(file(Path::new("v1.2")), Path::new("v1.2.yaml"));
    }
}
