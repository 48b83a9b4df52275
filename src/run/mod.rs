//! A run from the plan to the judged record: setup, conductor, finish, judge.
//!
//! *Stage*: what is alive while a plan is executed. *Tracker*: what is believed about the nodes.
//! Whatever happens after the results folder was made, what was recorded is kept and judged.

mod beside;
mod calls;
mod deaths;
mod environment;
mod finish;
mod inject;
mod interrupt;
mod judge;
mod judge_history;
mod layout;
mod observe;
mod online;
mod progress;
mod pump;
mod registers;
mod scene;
mod setup;
mod space;
mod stage;
mod steps;
mod together;
mod tracker;
mod waits;

use std::path::PathBuf;
use std::rc::Rc;

use tokio::task::LocalSet;

use crate::plan::Plan;
use crate::report::header;
use crate::results::{FolderError, RunFolder};

pub use judge::{JudgeError, judge};
pub use judge_history::{HistoryJudgement, Measure, judge_history};
pub use progress::{Progress, Silent};
pub use setup::{SetupError, facts_of};

/// What to run, and where the results go.
#[derive(Debug, Clone)]
pub struct Request {
    /// The plan, valid.
    pub plan: Plan,
    /// The plan as read.
    pub text: String,
    /// The file it was read from, as given.
    pub path: String,
    /// The seed, drawn or given.
    pub seed: u64,
    /// The results root.
    pub out: PathBuf,
    /// This program, to start the reaper and bundled nodes with.
    pub executable: PathBuf,
    /// The command that repeats the run.
    pub reproduce: String,
}

/// Why there is nothing to judge.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The results folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The run cannot even begin.
    #[error(transparent)]
    Refused(#[from] SetupError),
    /// The cluster could not be set up.
    #[error("{source}")]
    Setup {
        /// Why.
        source: SetupError,
        /// What was recorded until then.
        folder: PathBuf,
    },
    /// A thread, a runtime or a file of the harness failed.
    #[error("{what}")]
    Harness {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Interrupted twice.
    #[error("interrupted twice: stopped at once, nothing was judged")]
    Killed,
}

/// Executes a plan and returns the folder with all that was recorded; the judging is
/// [`judge()`]'s. Cluster and harness threads are gone when this returns.
///
/// # Errors
/// If the results folder cannot be made, the cluster cannot be set up, or the harness itself
/// fails.
pub fn execute(request: &Request, progress: &Rc<dyn Progress>) -> Result<RunFolder, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Harness {
            what: "start a runtime",
            source,
        })?;
    LocalSet::new().block_on(&runtime, conduct(request, progress))
}

async fn conduct(request: &Request, progress: &Rc<dyn Progress>) -> Result<RunFolder, RunError> {
    space::suffices(&request.out)?;
    // Before anything is said: who reads it may answer with a signal.
    let mut interrupts = interrupt::Interrupts::listen().map_err(|source| RunError::Harness {
        what: "listen for signals",
        source,
    })?;
    let version = concat!("chaos ", env!("CARGO_PKG_VERSION"));
    progress.line(&header(version, &facts_of(request)));
    progress.line("");
    let opened = setup::open(request)?;
    let folder = opened.folder.clone();
    let work = play(request, opened, progress, interrupts.first());
    tokio::select! {
        done = work => done.map(|()| folder),
        () = interrupts.second() => Err(RunError::Killed),
    }
}

/// Sets up, plays the plan (until it is interrupted), heals, reads final states, takes down.
async fn play(
    request: &Request,
    opened: setup::Opened,
    progress: &Rc<dyn Progress>,
    interrupted: interrupt::First,
) -> Result<(), RunError> {
    let folder = opened.folder.clone();
    let (recording, watch) = (opened.recording, opened.watch);
    let result = setup::stage(request, opened.parts, progress).await;
    let ended = match result {
        Ok((stage, incoming)) => {
            let stage = Rc::new(stage);
            let pump = tokio::task::spawn_local(pump::pump(Rc::clone(&stage), incoming));
            let reaction = request.plan.on_violation;
            let watching = watch.map(|watch| {
                tokio::task::spawn_local(online::follow(Rc::clone(&stage), watch, reaction))
            });
            let played = finish::play(&stage, request, &folder, interrupted).await;
            stage.recorder.close_tap();
            if let Some(watching) = watching {
                drop(watching.await);
            }
            pump.abort();
            // The pump holds the stage, whose recorder must be gone before the files are closed.
            drop(pump.await);
            drop(stage);
            played.map_err(|source| RunError::Setup {
                source,
                folder: folder.path(),
            })
        }
        Err(source) => Err(RunError::Setup {
            source,
            folder: folder.path(),
        }),
    };
    let written = tokio::task::spawn_blocking(move || recording.finish()).await;
    let ended = ended?;
    written
        .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
        .map_err(|source| RunError::Harness {
            what: "write history and events",
            source,
        })?;
    let mut facts = folder.facts()?;
    facts.ended = Some(ended.at);
    facts.interrupted = ended.signal;
    facts.environment.proxy_rtt_p50 = ended.self_test.map(|test| test.added());
    facts.environment.calibration = ended.self_test.map(|test| test.calibration);
    folder.save_facts(&facts)?;
    Ok(())
}
