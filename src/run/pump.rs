//! Takes in what nodes and processes report while the conductor works, and believes it.

use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::mpsc;

use crate::clock::Nanos;
use crate::history::{Event, EventKind, ExitStatus};
use crate::id::NodeId;
use crate::plan::RestartPolicy;

use super::observe::{Batch, Traces};
use super::stage::Stage;

/// What comes in from outside.
pub(super) struct Incoming {
    /// Traces of the nodes.
    pub(super) traces: Traces,
    /// Starts, exits and stops of processes.
    pub(super) processes: mpsc::UnboundedReceiver<Event>,
    /// Whether a node is started again that died unasked.
    pub(super) restart: RestartPolicy,
}

/// Nodes that died unasked and are to be started again.
///
/// The first time at once, then after a pause that grows: a node that cannot live (its log is
/// damaged, say) must not take the machine from the others.
#[derive(Debug, Default)]
struct Revivals {
    nodes: BTreeMap<NodeId, Revival>,
}

#[derive(Debug, Clone, Copy)]
struct Revival {
    /// Deaths in a row.
    deaths: u32,
    died: Nanos,
    due: Option<Nanos>,
}

impl Revivals {
    /// A node died: when it is to be started again.
    fn plan(&mut self, node: NodeId, now: Nanos) -> Nanos {
        let before = self.nodes.get(&node);
        let deaths = match before {
            Some(before) if now.since(before.died) < LIVED => before.deaths + 1,
            _ => 1,
        };
        let pause = match deaths {
            1 => Nanos::ZERO,
            _ => Nanos(PAUSE.0 << (deaths - 2).min(8)).min(LONGEST_PAUSE),
        };
        let due = now + pause;
        let revival = Revival {
            deaths,
            died: now,
            due: Some(due),
        };
        self.nodes.insert(node, revival);
        due
    }

    /// When the next one is due.
    fn next(&self) -> Option<Nanos> {
        self.nodes.values().filter_map(|revival| revival.due).min()
    }

    /// Those that are due by now; each is given once.
    fn due(&mut self, now: Nanos) -> Vec<NodeId> {
        let mut due = Vec::new();
        for (node, revival) in &mut self.nodes {
            if revival.due.is_some_and(|at| at <= now) {
                revival.due = None;
                due.push(*node);
            }
        }
        due
    }
}

/// Runs until it is aborted.
pub(super) async fn pump(stage: Rc<Stage>, mut incoming: Incoming) {
    let mut revivals = Revivals::default();
    loop {
        for node in revivals.due(stage.clock.now()) {
            revive(&stage, node).await;
        }
        let wait = revivals.next().map(|due| due.since(stage.clock.now()));
        tokio::select! {
            () = tokio::time::sleep(wait.unwrap_or_default().into()), if wait.is_some() => {}
            batch = incoming.traces.next() => match batch {
                Ok(batch) => take_batch(&stage, batch),
                Err(error) => {
                    stage.warn(&format!("the nodes' traces cannot be read any more: {error}"));
                    return;
                }
            },
            Some(Event { time, kind }) = incoming.processes.recv() => {
                let died = take_process(&stage, time, kind);
                if let Some((node, status)) = died
                    && incoming.restart.covers(status)
                {
                    revivals.plan(node, stage.clock.now());
                }
            }
        }
    }
}

/// Believes a batch of trace lines.
pub(super) fn take_batch(stage: &Stage, batch: Batch) {
    for (time, event) in batch.events {
        stage.record_at(time, EventKind::Node(event));
    }
    for line in batch.strange {
        stage.warn(&line);
    }
}

/// Believes it, and tells who died unasked, and how.
fn take_process(stage: &Stage, time: Nanos, kind: EventKind) -> Option<(NodeId, ExitStatus)> {
    let died = match &kind {
        EventKind::ProcessExited {
            node,
            status,
            asked: false,
        } => Some((*node, *status)),
        _ => None,
    };
    stage.record_at(time, kind);
    let (node, status) = died?;
    let text = format!(
        "{node} ended unasked ({status:?}): {}",
        last_words(stage, node)
    );
    stage.warn(&text);
    Some((node, status))
}

/// Starts a node again, unless a fault holds it down.
async fn revive(stage: &Stage, node: NodeId) {
    let Some(mut cluster) = stage.cluster().await else {
        return;
    };
    let started = cluster.revive(node).await;
    drop(cluster);
    if let Err(error) = started {
        stage.warn(&format!("{node} cannot be started again: {error}"));
    }
}

/// The last lines that a node wrote to stderr since it was asked for them before: each process of
/// a node is asked when it has died.
pub(super) fn last_words(stage: &Stage, node: NodeId) -> String {
    let Some(folder) = stage.folders.get(&node) else {
        return String::new();
    };
    let text = std::fs::read(folder.join("stderr")).unwrap_or_default();
    let before = stage.heard.borrow_mut().insert(node, text.len());
    let new = text.get(before.unwrap_or(0)..).unwrap_or(&text);
    let text = String::from_utf8_lossy(new);
    let lines: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
    if lines.is_empty() {
        return "it wrote nothing to stderr".to_owned();
    }
    lines.into_iter().rev().collect::<Vec<_>>().join("\n    ")
}

/// So many lines of a dead node's log are shown.
const LAST_LINES: usize = 8;

/// Who lived this long has not died in a row.
const LIVED: Nanos = Nanos::from_secs(10);

/// Before the second start in a row; it doubles each time,
const PAUSE: Nanos = Nanos::from_millis(100);

/// up to this.
const LONGEST_PAUSE: Nanos = Nanos::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_dies_again_and_again_is_given_longer_pauses() {
        let mut revivals = Revivals::default();
        let node = NodeId(1);
        let mut now = Nanos::from_secs(100);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let due = revivals.plan(node, now);
            pauses.push(due.since(now).0 / 1_000_000);
            assert_eq!(revivals.next(), Some(due));
            assert_eq!(revivals.due(due), [node]);
            assert_eq!(revivals.due(due), [], "each is given once");
            now = due;
        }
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 2000]);
        now = now + LIVED;
        assert_eq!(revivals.plan(node, now), now, "it has lived meanwhile");
    }
}
