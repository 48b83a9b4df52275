//! `wait_for`: until something holds, or its time is up.

use crate::clock::Nanos;
use crate::history::{Event, EventKind, NodeEventKind};
use crate::id::NodeId;
use crate::plan::{Awaited, EventName, Otherwise, State, WaitFor};

use super::stage::Stage;
use super::steps::{Break, Conductor};

impl Conductor<'_> {
    /// Waits as the step says; what happens when the time is up is the step's choice.
    pub(super) async fn wait_for(&mut self, wait: &WaitFor, path: &str) -> Result<(), Break> {
        let deadline = self.stage.clock.now() + wait.timeout;
        let since = self.stage.so_far.borrow().len();
        let nodes = match &wait.node {
            Some(selector) => self.resolve(selector).await?,
            None => NodeId::all(self.stage.voters).collect(),
        };
        let holds = match &wait.what {
            Awaited::Operations(count) => operations(self.stage, *count, deadline).await,
            Awaited::State(state) => self.state(*state, &nodes, wait.by, deadline).await,
            Awaited::Event { name, node } => {
                let nodes = match node {
                    Some(node) => Some(self.resolve(node).await?),
                    None => None,
                };
                event(self.stage, *name, nodes.as_deref(), since, deadline).await
            }
            Awaited::Log { node, text } => {
                let nodes = self.resolve(node).await?;
                logged(self.stage, &nodes, text, deadline).await
            }
        };
        if holds || wait.otherwise == Otherwise::GoOn {
            return Ok(());
        }
        let reason = format!(
            "{path}: {} did not come within {} ({})",
            describe(&wait.what, &nodes),
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

    pub(super) async fn state(
        &self,
        state: State,
        nodes: &[NodeId],
        by: u64,
        deadline: Nanos,
    ) -> bool {
        let stage = self.stage;
        let leads = || stage.view().leader().is_some();
        let yes = |held: bool| held.then_some(());
        let found = match state {
            State::Steady => stage.until(deadline, || yes(stage.is_steady())).await,
            State::Served => {
                let since = self.shared.last_fault.get();
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

/// Until an event of this name was recorded behind the first `since` ones.
async fn event(
    stage: &Stage,
    name: EventName,
    nodes: Option<&[NodeId]>,
    since: usize,
    deadline: Nanos,
) -> bool {
    let mut seen = since;
    let found = || {
        let so_far = stage.so_far.borrow();
        let new = so_far.get(seen..).unwrap_or_default();
        seen = so_far.len();
        let fits = |event: &Event| {
            named(&event.kind) == Some(name.0)
                && nodes.is_none_or(|nodes| of(&event.kind).is_some_and(|of| nodes.contains(&of)))
        };
        new.iter().any(fits).then_some(())
    };
    stage.until(deadline, found).await.is_some()
}

/// Until a line with this text was appended to the log of one of these nodes.
async fn logged(stage: &Stage, nodes: &[NodeId], text: &str, deadline: Nanos) -> bool {
    let mut logs: Vec<Log> = nodes
        .iter()
        .filter_map(|node| stage.folders.get(node))
        .flat_map(|folder| ["stdout", "stderr"].map(|name| Log::at_end(folder.join(name))))
        .collect();
    let found = || logs.iter_mut().any(|log| log.grew_by(text)).then_some(());
    stage.until(deadline, found).await.is_some()
}

/// A file to which lines are appended.
struct Log {
    path: std::path::PathBuf,
    read: u64,
    /// The beginning of a line that is not complete.
    open: Vec<u8>,
}

impl Log {
    fn at_end(path: std::path::PathBuf) -> Self {
        let read = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        Self {
            path,
            read,
            open: Vec::new(),
        }
    }

    /// Reads on, and tells whether a new line (complete or not) holds `text`. A file that cannot
    /// be read has no new line.
    fn grew_by(&mut self, text: &str) -> bool {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut new = Vec::new();
        let read = std::fs::File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut new)
        });
        let Ok(count) = read else { return false };
        self.read += count as u64;
        self.open.append(&mut new);
        let found = String::from_utf8_lossy(&self.open).contains(text);
        if let Some(end) = self.open.iter().rposition(|byte| *byte == b'\n') {
            self.open.drain(..=end);
        }
        found
    }
}

/// The name by which a plan calls an event, if it can.
fn named(kind: &EventKind) -> Option<&'static str> {
    use NodeEventKind as Said;
    Some(match kind {
        EventKind::ProcessStarted { .. } => "process_started",
        EventKind::ProcessReady { .. } => "process_ready",
        EventKind::ProcessExited { .. } => "process_exited",
        EventKind::ProcessPaused { .. } => "process_paused",
        EventKind::Node(event) => match &event.what {
            Said::Boot { .. } => "boot",
            Said::Looking { .. } => "looking",
            Said::Suspect { .. } => "suspect",
            Said::Trust { .. } => "trust",
            Said::Candidate { .. } => "candidate",
            Said::Elected { .. } => "elected",
            Said::EpochAgreed { .. } => "epoch_agreed",
            Said::SyncStart { .. } => "sync_start",
            Said::Active { .. } => "active",
            Said::Following { .. } => "following",
            Said::Synced { .. } => "synced",
            Said::Evict { .. } => "evict",
            Said::Rejoin { .. } => "rejoin",
            Said::StepDown { .. } => "step_down",
            Said::Stalled { .. } => "stalled",
            Said::Stop => "stop",
        },
        _ => return None,
    })
}

/// Whose event it is.
const fn of(kind: &EventKind) -> Option<NodeId> {
    match kind {
        EventKind::ProcessStarted { node, .. }
        | EventKind::ProcessReady { node }
        | EventKind::ProcessExited { node, .. }
        | EventKind::ProcessPaused { node, .. } => Some(*node),
        EventKind::Node(event) => Some(event.node),
        _ => None,
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

fn describe(what: &Awaited, nodes: &[NodeId]) -> String {
    let names = || {
        nodes
            .iter()
            .map(NodeId::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match what {
        Awaited::Operations(count) => format!("{count} more operations"),
        Awaited::Event { name, .. } => format!("the event {}", name.0),
        Awaited::Log { text, .. } => format!("a line with \"{text}\""),
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
