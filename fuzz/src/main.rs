//! `chaos-fuzz [N] [--seed=N] [--keep] [TARGET..]`: N executions of each target, then a line for each.
//! With `--keep`, some of the mutations that were accepted go into the corpus.

use std::path::Path;
use std::process::ExitCode;

use chaos_fuzz::{Counting, driver, targets};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let mut executions = 100_000;
    let mut seed = 1;
    let mut is_keeping = false;
    let mut names = Vec::new();
    for argument in std::env::args().skip(1) {
        if let Some(number) = argument.strip_prefix("--seed=") {
            match number.parse() {
                Ok(number) => seed = number,
                Err(error) => return usage(&format!("{argument}: {error}")),
            }
        } else if argument == "--keep" {
            is_keeping = true;
        } else if let Ok(number) = argument.parse() {
            executions = number;
        } else {
            names.push(argument);
        }
    }
    if let Some(name) = names.iter().find(|name| targets::find(name).is_none()) {
        return usage(&format!("no target {name}"));
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    for target in targets::ALL.iter().filter(|target| wanted(target.name)) {
        match driver::run(target, executions, seed, &corpus) {
            Ok(summary) => {
                println!("{summary}");
                let few = summary.found.iter().rev().filter(|_| is_keeping).take(KEPT);
                for input in few {
                    if let Err(error) = driver::keep(target, &corpus, "accepted", input) {
                        return usage(&format!("{}: {error}", corpus.display()));
                    }
                }
            }
            Err(failure) => {
                eprintln!("error: {failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn usage(mistake: &str) -> ExitCode {
    let names: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
    eprintln!("error: {mistake}");
    eprintln!("usage: chaos-fuzz [EXECUTIONS] [--seed=N] [--keep] [TARGET..]");
    eprintln!("targets: {}", names.join(" "));
    ExitCode::from(2)
}

/// Inputs that `--keep` adds to the corpus of a target.
const KEPT: usize = 6;
