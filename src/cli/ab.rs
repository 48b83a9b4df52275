//! `chaos run --ab A B`: two builds, or two settings, against each other in short runs by turns, so
//! that whatever else the machine does falls on both alike.

use std::path::{Path, PathBuf};

use super::Color;
use super::compare::{self, Shape};
use super::failure::{self, Failure};
use super::run::{Format, RunArguments, run_variant};
use crate::exit::Exit;
use crate::measure::{Change, Strictness, table, worst};
use crate::results::Baseline;

/// One side.
#[derive(Debug, Clone, Default)]
pub(super) struct Variant {
    /// The build of the nodes; `None` = this one.
    pub(super) node_bin: Option<PathBuf>,
    /// Settings of its own.
    pub(super) settings: Vec<(String, String)>,
    /// How many trials each of its runs makes.
    pub(super) trials: u32,
    /// Added to the plan's seed: both sides of a round decide alike.
    pub(super) round: u64,
}

/// Runs both sides by turns and compares them.
pub(super) fn run(arguments: &RunArguments, color: Color) -> Result<Exit, Failure> {
    let ab = &arguments.ab;
    let shape = shape(arguments.format)?;
    let [plan] = arguments.plans.as_slice() else {
        return Err(
            Failure::new(Exit::Usage, "--ab compares two builds on one plan")
                .help("name one plan; run the command once for each"),
        );
    };
    let (rounds, trials) = portions(arguments, plan, color)?;
    let mut sides: [Option<Baseline>; 2] = [None, None];
    let mut exit = Exit::Pass;
    let mut undecided = 0;
    for (round, side) in order(rounds) {
        let variant = Variant {
            node_bin: ab.paths.get(side).cloned(),
            settings: if side == 1 {
                ab.set.clone()
            } else {
                Vec::new()
            },
            trials,
            round: u64::from(round),
        };
        let record = run_variant(arguments, &variant, color)?;
        match record.exit {
            Exit::Pass => {}
            Exit::Inconclusive | Exit::Objective => undecided += 1,
            other => exit = exit.merge(other),
        }
        let name = ["A", "B"][side];
        let word = record.verdict.word();
        failure::note(&format!(
            "{:>3} of {rounds}  {name}  {word:<8} {}\n",
            round + 1,
            record.folder
        ));
        if matches!(record.exit, Exit::Interrupted | Exit::Terminated) {
            return Ok(record.exit);
        }
        let joined = Baseline::add(sides[side].take(), Baseline::of(&record));
        sides[side] = Some(joined.map_err(|error| Failure::of(Exit::Bug, &error))?);
    }
    let [Some(first), Some(second)] = &sides else {
        return Err(Failure::new(Exit::Usage, "there is nothing to compare"));
    };
    if undecided > 0 {
        failure::note(&format!(
            "note: {undecided} of {} runs did not pass all that the plan expects of a whole run\n",
            rounds * 2
        ));
    }
    let strictness = Strictness {
        tolerance: arguments.tolerance,
        ..Strictness::default()
    };
    let rows = table(&first.measured(), &second.measured(), strictness);
    if let Some(shape) = shape {
        compare::print(shape, [first, second], &rows, strictness)?;
    }
    Ok(exit.merge(match worst(&rows) {
        None => Exit::Inconclusive,
        Some(Change::Worse) => Exit::Objective,
        Some(_) => Exit::Pass,
    }))
}

/// How the comparison is printed; not at all if the exit code is enough.
fn shape(format: Format) -> Result<Option<Shape>, Failure> {
    match format {
        Format::Human => Ok(Some(Shape::Human)),
        Format::Json => Ok(Some(Shape::Json)),
        Format::Quiet => Ok(None),
        Format::Jsonl | Format::Github => Err(Failure::new(
            Exit::Usage,
            "a comparison is printed for people or as one JSON object",
        )
        .help("write --format human, json or quiet beside --ab")),
    }
}

/// How many rounds, and how many trials each run of a round makes, so that each side makes as many
/// as the plan or `--trials` asks for, or a few more.
fn portions(arguments: &RunArguments, plan: &Path, color: Color) -> Result<(u32, u32), Failure> {
    let asked = super::run::trials_of(arguments, plan, color)?;
    if asked == 0 {
        let message = format!("{} has no trials to compare", plan.display());
        return Err(Failure::new(Exit::Usage, message)
            .help("give its `repeat` a name: each of its rounds is a trial then"));
    }
    let rounds = arguments.ab.rounds.unwrap_or(ROUNDS).min(asked).max(1);
    Ok((rounds, asked.div_ceil(rounds)))
}

/// A and B by turns, and in turn the one or the other first: what grows or falls steadily during
/// the whole falls on both alike.
fn order(rounds: u32) -> impl Iterator<Item = (u32, usize)> {
    (0..rounds).flat_map(|round| {
        let first = usize::from(round % 2 == 1);
        [(round, first), (round, 1 - first)]
    })
}

/// Short enough for the machine to be in one mood, long enough for starting a cluster not to be
/// most of it.
const ROUNDS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_run_equally_often_and_each_is_first_in_turn() {
        let runs: Vec<(u32, usize)> = order(3).collect();
        assert_eq!(runs, [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)]);
    }
}
