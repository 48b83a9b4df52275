//! What a stub's node writes about itself, in the words of all nodes, with exact times.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::clock::RunClock;
use crate::history::{NodeEvent, NodeEventKind};
use crate::id::NodeId;

/// The trace of one node.
#[derive(Debug)]
pub(super) struct Trace {
    file: File,
    node: NodeId,
}

#[derive(Serialize)]
struct Line {
    t: u64,
    #[serde(flatten)]
    event: NodeEvent,
}

impl Trace {
    pub(super) fn open(path: &Path, node: NodeId) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { file, node })
    }

    /// Writes down that this happens now.
    pub(super) fn tell(&self, what: NodeEventKind) {
        let line = Line {
            t: monotonic(),
            event: NodeEvent {
                node: self.node,
                what,
            },
        };
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        // One write per line: the harness never sees half of one. A disk that is full loses it.
        let _ = (&self.file).write_all(&text);
    }
}

/// Absolute monotonic time in nanoseconds.
pub(super) fn monotonic() -> u64 {
    RunClock::start().origin()
}
