//! Reads what the nodes write about themselves while they run, without polling: inotify tells when
//! a trace file has grown.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify;
use serde::Deserialize;
use tokio::io::unix::AsyncFd;

use crate::clock::{Nanos, RunClock};
use crate::history::NodeEvent;
use crate::ready::readable;

/// One line of a node's trace.
#[derive(Debug, Deserialize)]
struct TraceLine {
    /// Absolute `CLOCK_MONOTONIC` nanoseconds.
    t: u64,
    #[serde(flatten)]
    event: NodeEvent,
}

/// Follows the trace files of all nodes.
pub(super) struct Traces {
    inotify: AsyncFd<OwnedFd>,
    files: Vec<Tail>,
    clock: RunClock,
}

/// One file and what of it has not made a whole line yet.
struct Tail {
    path: PathBuf,
    file: File,
    rest: Vec<u8>,
}

/// What was read: events with their times, and lines that made no sense.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In the order of the files, each file in its own order.
    pub(super) events: Vec<(Nanos, NodeEvent)>,
    /// Lines that could not be read, with the reason.
    pub(super) strange: Vec<String>,
}

impl Traces {
    /// Begins to follow these files; they are made if they do not exist.
    ///
    /// # Errors
    /// If a file cannot be made or watched.
    pub(super) fn follow(paths: &[PathBuf], clock: RunClock) -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags)?;
        let mut files = Vec::new();
        for path in paths {
            File::options().create(true).append(true).open(path)?;
            inotify::add_watch(&inotify, path, inotify::WatchFlags::MODIFY)?;
            files.push(Tail {
                path: path.clone(),
                file: File::open(path)?,
                rest: Vec::new(),
            });
        }
        Ok(Self {
            inotify: readable(inotify)?,
            files,
            clock,
        })
    }

    /// Waits until there is something new and reads it.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) async fn next(&mut self) -> io::Result<Batch> {
        loop {
            let batch = self.read_all()?;
            if !batch.events.is_empty() || !batch.strange.is_empty() {
                return Ok(batch);
            }
            let mut ready = self.inotify.readable().await?;
            // What changed does not matter: all files are read.
            let mut events = [0; EVENTS_READ];
            drop(ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut events)?)));
        }
    }

    /// Reads what is there now.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn read_all(&mut self) -> io::Result<Batch> {
        let mut batch = Batch::default();
        for tail in &mut self.files {
            tail.read(self.clock, &mut batch)?;
        }
        Ok(batch)
    }
}

impl Tail {
    fn read(&mut self, clock: RunClock, batch: &mut Batch) -> io::Result<()> {
        self.file.read_to_end(&mut self.rest)?;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(());
        };
        let tail = self.rest.split_off(end + 1);
        for line in self
            .rest
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice::<TraceLine>(line) {
                Ok(line) => batch.events.push((clock.at_absolute(line.t), line.event)),
                Err(error) => batch.strange.push(strange(&self.path, line, &error)),
            }
        }
        self.rest = tail;
        Ok(())
    }
}

fn strange(path: &Path, line: &[u8], error: &serde_json::Error) -> String {
    let text: String = String::from_utf8_lossy(line)
        .chars()
        .take(LINE_SHOWN)
        .collect();
    format!(
        "{}: a trace line that makes no sense ({error}): {text}",
        path.display()
    )
}

/// Room for a few hundred notices at once; those that do not fit are read next time.
const EVENTS_READ: usize = 4096;

/// So much of a strange line is shown.
const LINE_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::history::NodeEventKind;
    use crate::id::NodeId;

    #[tokio::test(flavor = "current_thread")]
    async fn whole_lines_are_read_as_they_come_and_half_ones_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let clock = RunClock::start();
        let mut traces = Traces::follow(std::slice::from_ref(&path), clock).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        write!(
            file,
            "{{\"t\":{},\"node\":\"n1\",\"what\":\"stop\"}}\n{{\"t\":1,",
            clock.origin()
        )
        .unwrap();
        let batch = traces.next().await.unwrap();
        let stop = NodeEvent {
            node: NodeId(1),
            what: NodeEventKind::Stop,
        };
        assert_eq!(batch.events, [(Nanos::ZERO, stop)]);
        writeln!(file, "\"what\":1}}").unwrap();
        let batch = traces.next().await.unwrap();
        assert_eq!(batch.strange.len(), 1);
        assert!(batch.events.is_empty());
    }
}
