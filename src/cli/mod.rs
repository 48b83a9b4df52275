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
mod failure;
mod heal;
mod list;
mod picture;
mod plans;
mod progress;
mod proxy;
mod report;
mod run;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

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
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether output to a terminal (or not) is coloured. `NO_COLOR` and `CLICOLOR_FORCE` are
    /// honoured as their conventions ask.
    fn enabled(self, is_terminal: bool) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if set("NO_COLOR") => false,
            Self::Auto => is_terminal || set("CLICOLOR_FORCE"),
        }
    }
}

/// Runs the command that `arguments` (with the program's name first) ask for.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
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
    };
    let exit = done.unwrap_or_else(|failure| {
        failure::print(&failure);
        failure.exit
    });
    exit.code().into()
}
