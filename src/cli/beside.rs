//! Which baseline a run is compared with.

use std::path::{Path, PathBuf};

use super::compare::samples_of;
use super::failure::{self, Failure};
use crate::exit::Exit;
use crate::measure::Subject;
use crate::plan::Plan;
use crate::results::{Baseline, Beside};

/// What the command line says of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// `--baseline`.
    pub(super) baseline: Option<&'a str>,
    /// `--tolerance`.
    pub(super) tolerance: f64,
    /// `--out`.
    pub(super) out: &'a Path,
}

/// The baseline for this plan: the one that is asked for, or the one that lies where baselines
/// lie, if the plan speaks of one.
///
/// # Errors
/// One that is asked for and cannot be read, or is of another plan or system.
pub(super) fn choose(wanted: Wanted<'_>, plan: &Plan) -> Result<Option<Beside>, Failure> {
    let (system, nodes) = (&plan.cluster.system, plan.cluster.nodes);
    if let Some(name) = wanted.baseline {
        let baseline = samples_of(name, wanted.out)?;
        if baseline.plan != plan.name || baseline.system != *system || baseline.nodes != nodes {
            let message = format!(
                "the baseline {name} is of {} on {} nodes of {}, not of {} on {nodes} of {system}",
                baseline.plan, baseline.nodes, baseline.system, plan.name
            );
            return Err(Failure::new(Exit::Usage, message)
                .help("give a run of this plan, or a baseline made of such runs"));
        }
        return Ok(Some(Beside {
            from: name.to_owned(),
            given: true,
            tolerance: wanted.tolerance,
            baseline,
        }));
    }
    let speaks = |subject: &Subject| matches!(subject, Subject::Within(_));
    if !plan
        .expect
        .iter()
        .any(|line| speaks(&line.assertion.subject))
    {
        return Ok(None);
    }
    let name = Baseline::file_name(&plan.name, system, nodes);
    let places = [wanted.out.to_owned(), PathBuf::from("results")];
    let mut files = places
        .map(|root| root.join("baseline").join(&name))
        .into_iter();
    let Some(path) = files.find(|path| path.is_file()) else {
        return Ok(None);
    };
    match Baseline::read(&path) {
        Ok(baseline) => Ok(Some(Beside {
            from: path.display().to_string(),
            given: false,
            tolerance: wanted.tolerance,
            baseline,
        })),
        Err(error) => {
            // The run is worth having without it, and says that its lines are not judged.
            failure::note(&format!("warning: {error}\n"));
            Ok(None)
        }
    }
}
