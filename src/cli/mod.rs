//! The command line: one file per command, and the one place where errors become text.
//!
//! Results go to stdout, progress to stderr.

mod ab;
mod baseline;
mod bench;
mod beside;
mod check;
mod check_file;
mod compare;
mod doctor;
mod examples;
mod failure;
mod github;
mod heal;
mod list;
mod man;
mod new;
mod picture;
mod plans;
mod progress;
mod proxy;
mod report;
mod run;
mod runs;
mod schema;
mod together;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;

/// Fault injection for replicated systems: real processes, proved linearizability, failover taken
/// apart.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, max_term_width = 100)]
struct Arguments {
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true)]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run plans: start a cluster, drive load, inject faults, judge
    Run(run::RunArguments),
    /// Judge the history of a run, or a history file that any tool recorded
    Check(check::CheckArguments),
    /// Say whether one set of runs is worse than another, by how much, and how surely
    Compare(compare::CompareArguments),
    /// Keep the samples of runs, to compare later ones with
    Baseline(baseline::BaselineArguments),
    /// Make the reports of a run again from its files
    Report(report::ReportArguments),
    /// Check plans without running them
    Validate(validate::ValidateArguments),
    /// Measure write throughput of the bundled ensemble, beside others if asked
    Bench(bench::BenchArguments),
    /// Put the fault proxy alone between clients and any TCP server
    Proxy(proxy::ProxyArguments),
    /// Find out what works on this machine, and what that makes possible
    Doctor(doctor::DoctorArguments),
    /// Remove what runs that were killed have left
    Heal(heal::HealArguments),
    /// Show what there is: runs, faults, systems, workloads, models, metrics
    List(list::ListArguments),
    /// Write a plan to start from, with comments that explain it
    New(new::NewArguments),
    /// Print the JSON Schema of plans, or of summary.json
    Schema(schema::SchemaArguments),
    /// Print what a shell needs to complete commands
    Completions(man::CompletionsArguments),
    /// Print the manual page, or write those of all commands
    Man(man::ManArguments),
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether output to a terminal (or not) is coloured, by the conventions of `NO_COLOR`,
    /// `CLICOLOR` and `CLICOLOR_FORCE`.
    fn enabled(self, is_terminal: bool) -> bool {
        self.decide(is_terminal, |name| std::env::var(name).ok())
    }

    /// An option decides before any variable; then `NO_COLOR`, if it is not empty; then
    /// `CLICOLOR_FORCE`, if it is neither empty nor 0; then `CLICOLOR=0` and a dumb terminal.
    fn decide(self, is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
        let set = |name| variable(name).is_some_and(|value| !value.is_empty());
        let is = |name, word| variable(name).is_some_and(|value| value == word);
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if set("NO_COLOR") => false,
            Self::Auto if set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0") => true,
            Self::Auto => is_terminal && !is("CLICOLOR", "0") && !is("TERM", "dumb"),
        }
    }
}

/// The command line as clap knows it, with its examples.
fn command() -> clap::Command {
    examples::with_examples(bare_command())
}

/// The same without examples, which manual pages have in a section of their own.
fn bare_command() -> clap::Command {
    Arguments::command()
}

/// Runs the command that `arguments` (with the program's name first) ask for.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = command().try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // The only failure left is that the terminal is gone.
            drop(error.print());
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Pass
            }
            .code()
            .into();
        }
    };
    let color = parsed.color;
    let done = match parsed.command {
        Command::Run(arguments) => run::run(&arguments, color),
        Command::Check(arguments) => check::check(&arguments, color),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Baseline(arguments) => baseline::baseline(&arguments),
        Command::Report(arguments) => report::report(&arguments, color),
        Command::Validate(arguments) => validate::validate(&arguments, color),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Proxy(arguments) => proxy::proxy(&arguments),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Heal(arguments) => heal::heal(&arguments),
        Command::List(arguments) => list::list(&arguments),
        Command::New(arguments) => new::new(&arguments),
        Command::Schema(arguments) => schema::schema(&arguments),
        Command::Completions(arguments) => man::completions(&arguments),
        Command::Man(arguments) => man::man(&arguments),
    };
    let exit = done.unwrap_or_else(|failure| {
        failure::print(&failure);
        failure.exit
    });
    exit.code().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_follows_the_option_then_the_conventions() {
        let with = |color: Color, variables: &[(&str, &str)], is_terminal: bool| {
            color.decide(is_terminal, |name| {
                let mut known = variables.iter();
                known
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        let auto = Color::Auto;
        assert!(with(auto, &[], true) && !with(auto, &[], false));
        assert!(!with(auto, &[("NO_COLOR", "1")], true));
        assert!(
            with(auto, &[("NO_COLOR", "")], true),
            "an empty one is none"
        );
        assert!(!with(auto, &[("CLICOLOR", "0")], true));
        assert!(with(auto, &[("CLICOLOR", "1")], true));
        assert!(!with(auto, &[("CLICOLOR", "1")], false));
        assert!(with(auto, &[("CLICOLOR_FORCE", "1")], false));
        assert!(!with(auto, &[("CLICOLOR_FORCE", "0")], false));
        assert!(with(
            auto,
            &[("CLICOLOR", "0"), ("CLICOLOR_FORCE", "1")],
            false
        ));
        assert!(!with(
            auto,
            &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")],
            true
        ));
        assert!(!with(auto, &[("TERM", "dumb")], true));
        let contrary = [("NO_COLOR", "1"), ("TERM", "dumb")];
        assert!(with(Color::Always, &contrary, false));
        assert!(!with(Color::Never, &[("CLICOLOR_FORCE", "1")], true));
    }
}
