//! Plays the plan on a ready stage and brings it to its end: heal, converge, final states.

use std::rc::Rc;

use crate::clock::Nanos;
use crate::history::EventKind;
use crate::link::SelfTest;
use crate::load::Load;
use crate::plan::OnViolation;
use crate::results::{RunFolder, names};

use super::interrupt::First;
use super::online::{Alarm, alarmed};
use super::stage::Stage;
use super::steps::{Break, Conductor};
use super::{Request, SetupError, scene, setup, space};

/// How the recorded part of a run ended.
pub(super) struct Ended {
    /// When.
    pub(super) at: Nanos,
    /// The signal that interrupted it.
    pub(super) signal: Option<u8>,
    /// Added round-trip time of one proxied link.
    pub(super) self_test: Option<SelfTest>,
}

/// Waits until the cluster is ready, runs load and steps, and ends everything.
pub(super) async fn play(
    stage: &Rc<Stage>,
    request: &Request,
    folder: &RunFolder,
    mut interrupted: First,
) -> Result<Ended, SetupError> {
    let self_test = setup::self_test(stage).await;
    let reaper_lost = match stage.cluster().await {
        Some(cluster) => cluster.reaper_lost(),
        None => return Err(SetupError::Gone),
    };
    tokio::pin!(reaper_lost);
    let path = folder.path();
    let full = space::runs_out(&path);
    tokio::pin!(full);
    tokio::select! {
        ready = setup::ready(stage, request) => ready?,
        () = &mut reaper_lost => return Err(SetupError::Gone),
        error = &mut full => return Err(error),
        _ = interrupted.came() => {
            stage.shut_down().await;
            return Ok(Ended { at: stage.clock.now(), signal: interrupted.seen(), self_test });
        }
    }
    stage.record(EventKind::Phase {
        phase: "steps".to_owned(),
    });
    let mut conductor = Conductor::new(stage);
    let broken = tokio::select! {
        broken = steps(stage, request, folder, &mut conductor, &mut interrupted) => broken,
        () = &mut reaper_lost => {
            let seen = interrupted.seen();
            let reason = "the reaper is gone, and all nodes with it: something outside has killed it";
            return Ok(abandon(stage, reason, seen, self_test).await);
        }
        error = &mut full => {
            let seen = interrupted.seen();
            abandon(stage, &error.to_string(), seen, self_test).await;
            return Err(error);
        }
    };
    if let Some(Break::Censored(reason) | Break::Skipped(reason)) = broken {
        stage.warn(&format!("the plan broke off: {reason}"));
        stage.record(EventKind::BrokeOff { reason });
    }
    let signal = interrupted.seen();
    stage.record(EventKind::Phase {
        phase: "heal".to_owned(),
    });
    conductor.heal_all().await;
    recover(stage, signal.is_some()).await;
    end(stage).await;
    Ok(Ended {
        at: stage.clock.now(),
        signal,
        self_test,
    })
}

/// Executes the steps until they are done, one breaks off, somebody interrupts, or a violation ends
/// them.
async fn steps(
    stage: &Stage,
    request: &Request,
    folder: &RunFolder,
    conductor: &mut Conductor<'_>,
    interrupted: &mut First,
) -> Option<Break> {
    let alarm = {
        let steps = conductor.execute(&request.plan.steps);
        tokio::pin!(steps);
        let alarm = tokio::select! {
            done = &mut steps => return done.err(),
            _ = interrupted.came() => None,
            found = alarmed(stage) => Some(found),
        };
        // A fault that is just coming into force, or being healed, must not be dropped half way:
        // nobody would know of it. Whoever changes the cluster holds it until that is done.
        tokio::select! {
            biased;
            cluster = stage.cluster() => drop(cluster),
            _ = &mut steps => {}
        }
        alarm
    };
    if let Some(alarm) = alarm {
        react(stage, request, &alarm, folder).await;
    }
    None
}

/// Waits until nothing is to be seen of the faults any more.
async fn recover(stage: &Stage, is_interrupted: bool) {
    let limit = if is_interrupted {
        INTERRUPTED_LIMIT
    } else {
        RECOVERY_LIMIT
    };
    if stage.steady_within(limit).await {
        stage.record(EventKind::Phase {
            phase: "recovered".to_owned(),
        });
    } else {
        stage.warn(&format!(
            "after the last fault the cluster was not steady within {limit} ({})",
            stage.describe()
        ));
    }
}

/// The run cannot go on, and that says nothing about the nodes: what was recorded until then is
/// kept.
async fn abandon(
    stage: &Stage,
    reason: &str,
    signal: Option<u8>,
    self_test: Option<SelfTest>,
) -> Ended {
    stage.record(EventKind::BrokeOff {
        reason: reason.to_owned(),
    });
    let at = stage.clock.now();
    let load: Option<Load> = stage.load.borrow_mut().take();
    if let Some(load) = load {
        load.stop().await;
    }
    stage.shut_down().await;
    Ended {
        at,
        signal,
        self_test,
    }
}

/// Ends the steps at a violation; with `freeze`, writes down the scene first.
async fn react(stage: &Stage, request: &Request, alarm: &Alarm, folder: &RunFolder) {
    let reaction = request.plan.on_violation;
    stage.hold_load(true);
    if reaction == OnViolation::Freeze {
        scene::freeze(stage, alarm, folder.file(names::SCENE)).await;
    }
    let word = reaction.word();
    stage.record(EventKind::BrokeOff {
        reason: format!("{} was violated (`on_violation: {word}`)", alarm.key),
    });
    stage.tell(
        "stop",
        &format!("the steps end here (`on_violation: {word}`)"),
    );
}

/// Ends the load, reads the final states, ends the nodes.
async fn end(stage: &Stage) {
    stage.record(EventKind::Phase {
        phase: "drain".to_owned(),
    });
    let load: Option<Load> = stage.load.borrow_mut().take();
    if let Some(load) = load {
        load.stop().await;
    }
    stage.record(EventKind::Phase {
        phase: "final_reads".to_owned(),
    });
    let deadline = stage.clock.now() + CONVERGENCE_LIMIT;
    stage.registers().read_all(&stage.direct, deadline).await;
    stage.record(EventKind::Phase {
        phase: "end".to_owned(),
    });
    stage.shut_down().await;
}

/// After the last fault has ended, the cluster has so long to become steady.
const RECOVERY_LIMIT: Nanos = Nanos::from_secs(30);

/// Who interrupts does not want to wait.
const INTERRUPTED_LIMIT: Nanos = Nanos::from_secs(3);

/// Without load, a healthy cluster agrees within milliseconds.
const CONVERGENCE_LIMIT: Nanos = Nanos::from_secs(10);
