//! `wait_for`: until something holds, or its time is up.

use crate::clock::Nanos;
use crate::history::EventKind;
use crate::id::NodeId;
use crate::plan::{Awaited, Otherwise, State, WaitFor};

use super::stage::Stage;
use super::steps::{Break, Conductor};

impl Conductor<'_> {
    /// Waits as the step says; what happens when the time is up is the step's choice.
    pub(super) async fn wait_for(&mut self, wait: &WaitFor, path: &str) -> Result<(), Break> {
        let deadline = self.stage.clock.now() + wait.timeout;
        let nodes = match &wait.node {
            Some(selector) => self.resolve(selector).await?,
            None => NodeId::all(self.stage.voters).collect(),
        };
        let holds = match wait.what {
            Awaited::Operations(count) => operations(self.stage, count, deadline).await,
            Awaited::State(state) => self.state(state, &nodes, wait.by, deadline).await,
        };
        if holds || wait.otherwise == Otherwise::GoOn {
            return Ok(());
        }
        let reason = format!(
            "{path}: {} did not come within {} ({})",
            describe(wait.what, &nodes),
            wait.timeout,
            self.stage.describe(),
        );
        if wait.otherwise == Otherwise::Skip {
            return Err(Break::Skipped(reason));
        }
        let expired = EventKind::WaitExpired {
            step: path.to_owned(),
            reason: reason.clone(),
        };
        self.stage.record(expired);
        Err(Break::Censored(reason))
    }

    async fn state(&self, state: State, nodes: &[NodeId], by: u64, deadline: Nanos) -> bool {
        let stage = self.stage;
        let leads = || stage.view().leader().is_some();
        let yes = |held: bool| held.then_some(());
        let found = match state {
            State::Steady => stage.until(deadline, || yes(stage.is_steady())).await,
            State::Served => {
                let since = self.last_fault;
                stage
                    .until(deadline, || yes(stage.board.served_since(since)))
                    .await
            }
            State::Leader => stage.until(deadline, || yes(leads())).await,
            State::NoLeader => stage.until(deadline, || yes(!leads())).await,
            State::Synced => return synced(stage, nodes, deadline).await,
            State::Converged => return converged(stage, deadline).await,
            State::Behind => return behind(stage, nodes, by, deadline).await,
        };
        found.is_some()
    }
}

/// Until so many more operations have completed.
async fn operations(stage: &Stage, count: u64, deadline: Nanos) -> bool {
    let completed = || stage.board.completed().iter().sum::<u64>();
    let goal = completed() + count;
    stage
        .until(deadline, || (completed() >= goal).then_some(()))
        .await
        .is_some()
}

/// Until each of `nodes` has applied what the leader had committed when this began, by a status
/// newer than that.
async fn synced(stage: &Stage, nodes: &[NodeId], deadline: Nanos) -> bool {
    let Some(goal) = leaders_commit(stage, deadline).await else {
        return false;
    };
    for node in nodes {
        loop {
            let in_view = || {
                let view = stage.view();
                let leader = view.leader()?;
                let follows = view
                    .node(*node)
                    .is_some_and(|view| view.follows == Some(leader));
                follows.then_some(())
            };
            if stage.until(deadline, in_view).await.is_none() {
                return false;
            }
            match stage.status(*node).await {
                Ok(status) if status.serving && status.applied >= goal => break,
                Ok(_) | Err(_) => {}
            }
            if stage.clock.now() >= deadline {
                return false;
            }
            stage.pass(ASK_AGAIN).await;
        }
    }
    true
}

/// The last transaction that the leader knows to be committed.
async fn leaders_commit(stage: &Stage, deadline: Nanos) -> Option<u64> {
    loop {
        let leader = stage.until(deadline, || stage.view().leader()).await?;
        if let Ok(status) = stage.status(leader).await
            && status.leads
        {
            return Some(status.committed);
        }
        if stage.clock.now() >= deadline {
            return None;
        }
        stage.pass(ASK_AGAIN).await;
    }
}

/// Until all nodes hold the same state; the load is held meanwhile, so that nothing is in flight.
async fn converged(stage: &Stage, deadline: Nanos) -> bool {
    stage.hold_load(true);
    let idle = || (stage.board.in_flight() == 0).then_some(());
    let mut same = false;
    if stage.until(deadline, idle).await.is_some() {
        loop {
            same = stage.registers().agree(&stage.direct).await;
            if same || stage.clock.now() >= deadline {
                break;
            }
            stage.pass(ASK_AGAIN).await;
        }
    }
    stage.hold_load(false);
    same
}

/// Until each of `nodes` lacks at least `by` entries.
async fn behind(stage: &Stage, nodes: &[NodeId], by: u64, deadline: Nanos) -> bool {
    loop {
        let Some(committed) = leaders_commit(stage, deadline).await else {
            return false;
        };
        let mut all = true;
        for node in nodes {
            let applied = stage.status(*node).await.map(|status| status.applied);
            all &= applied.is_ok_and(|applied| applied.saturating_add(by) <= committed);
        }
        if all {
            return true;
        }
        if stage.clock.now() >= deadline {
            return false;
        }
        stage.pass(ASK_AGAIN).await;
    }
}

fn describe(what: Awaited, nodes: &[NodeId]) -> String {
    let names = || {
        nodes
            .iter()
            .map(NodeId::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match what {
        Awaited::Operations(count) => format!("{count} more operations"),
        Awaited::State(State::Steady) => "a steady cluster".to_owned(),
        Awaited::State(State::Served) => "a successful write".to_owned(),
        Awaited::State(State::Leader) => "a leader".to_owned(),
        Awaited::State(State::NoLeader) => "the end of all leaders".to_owned(),
        Awaited::State(State::Synced) => format!("sync of {}", names()),
        Awaited::State(State::Converged) => "convergence".to_owned(),
        Awaited::State(State::Behind) => format!("lag of {}", names()),
    }
}

/// Between two questions to a node.
const ASK_AGAIN: Nanos = Nanos::from_millis(3);
