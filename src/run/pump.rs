//! Takes in what nodes and processes report while the conductor works, and believes it.

use std::rc::Rc;

use tokio::sync::mpsc;

use crate::clock::Nanos;
use crate::history::{Event, EventKind};
use crate::id::NodeId;

use super::observe::{Batch, Traces};
use super::stage::Stage;

/// What comes in from outside.
pub(super) struct Incoming {
    /// Traces of the nodes.
    pub(super) traces: Traces,
    /// Starts, exits and stops of processes.
    pub(super) processes: mpsc::UnboundedReceiver<Event>,
    /// Start a node again that died unasked.
    pub(super) restart_crashed: bool,
}

/// Runs until it is aborted.
pub(super) async fn pump(stage: Rc<Stage>, mut incoming: Incoming) {
    loop {
        tokio::select! {
            batch = incoming.traces.next() => match batch {
                Ok(batch) => take_batch(&stage, batch),
                Err(error) => {
                    stage.warn(&format!("the nodes' traces cannot be read any more: {error}"));
                    return;
                }
            },
            Some(Event { time, kind }) = incoming.processes.recv() => {
                take_process(&stage, time, kind, incoming.restart_crashed).await;
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

async fn take_process(stage: &Stage, time: Nanos, kind: EventKind, restart: bool) {
    let died = match &kind {
        EventKind::ProcessExited {
            node,
            status,
            asked: false,
        } => Some((*node, *status)),
        _ => None,
    };
    stage.record_at(time, kind);
    if let Some((node, status)) = died {
        let text = format!(
            "{node} ended unasked ({status:?}): {}",
            last_words(stage, node)
        );
        stage.warn(&text);
        if restart {
            start_again(stage, node).await;
        }
    }
}

async fn start_again(stage: &Stage, node: NodeId) {
    let Some(mut cluster) = stage.cluster().await else {
        return;
    };
    let started = cluster.start_node(node).await;
    drop(cluster);
    if let Err(error) = started {
        stage.warn(&format!("{node} cannot be started again: {error}"));
    }
}

/// The last lines that a node wrote to stderr.
pub(super) fn last_words(stage: &Stage, node: NodeId) -> String {
    let Some(folder) = stage.folders.get(&node) else {
        return String::new();
    };
    let text = std::fs::read(folder.join("stderr")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
    if lines.is_empty() {
        return "it wrote nothing to stderr".to_owned();
    }
    lines.into_iter().rev().collect::<Vec<_>>().join("\n    ")
}

/// So many lines of a dead node's log are shown.
const LAST_LINES: usize = 8;
