//! Writes operations and events to disk while the run goes on, on a thread of its own.
//!
//! The files are complete up to the last tenth of a second whatever happens to the harness. A
//! full disk does not stop the run: it is reported when the recording ends.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::encode::{encode_complete, encode_header, encode_invoke};
use super::event_lines::{encode_event, encode_events_header};
use super::{Action, Event, EventKind, Header, KeyId, Operation, Outcome, Value, Values};
use crate::background::give_way;
use crate::clock::Nanos;
use crate::id::{NodeId, ProcessId};

/// The beginning of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Who asks.
    pub process: ProcessId,
    /// The register's name.
    pub key: Arc<str>,
    /// What.
    pub action: Action,
    /// When.
    pub time: Nanos,
    /// When it was meant to begin.
    pub intended: Nanos,
    /// Which node is asked.
    pub node: NodeId,
}

/// The end of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Who asked.
    pub process: ProcessId,
    /// The register's name.
    pub key: Arc<str>,
    /// What was asked.
    pub action: Action,
    /// When it ended.
    pub time: Nanos,
    /// How it ended.
    pub outcome: Outcome,
    /// The value read, or the one that made a CAS fail.
    pub seen: Option<Value>,
    /// The store's version of the value written or seen.
    pub version: Option<i64>,
    /// Why it did not end well.
    pub error: Option<String>,
}

/// What is handed on once it is written: the beginning or the end of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// An operation began.
    Invoke(Invocation),
    /// An operation ended.
    Complete(Completion),
}

/// Who takes what was recorded. It is called on the recorder's thread and must not wait.
pub type Tap = Box<dyn FnMut(Recorded) + Send>;

enum Item {
    Operation(Recorded),
    Event(Event),
    CloseTap,
}

/// A handle for those who record; clones write to the same files.
#[derive(Debug, Clone)]
pub struct Recorder {
    items: Sender<Item>,
}

/// The recording itself: ends when it is finished.
#[derive(Debug)]
pub struct Recording {
    thread: JoinHandle<io::Result<()>>,
}

impl Recorder {
    /// Begins to write `history` and `events`. Both files are made before this returns. What was
    /// written of operations goes to `tap`.
    ///
    /// # Errors
    /// If a file cannot be made.
    pub fn start(
        history: &Path,
        events: &Path,
        header: &Header,
        tap: Option<Tap>,
    ) -> io::Result<(Self, Recording)> {
        let mut history = BufWriter::with_capacity(BUFFER, File::create(history)?);
        let mut events = BufWriter::with_capacity(BUFFER, File::create(events)?);
        let mut line = Vec::new();
        encode_header(&mut line, header);
        history.write_all(&line)?;
        line.clear();
        encode_events_header(&mut line);
        events.write_all(&line)?;
        let (items, received) = channel();
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                give_way();
                let values = Values::default();
                let files = Files {
                    history,
                    events,
                    values,
                    tap,
                };
                files.write_until_closed(&received)
            })?;
        Ok((Self { items }, Recording { thread }))
    }

    /// Writes the beginning of an operation.
    pub fn invoke(&self, invocation: Invocation) {
        self.send(Item::Operation(Recorded::Invoke(invocation)));
    }

    /// Writes the end of an operation.
    pub fn complete(&self, completion: Completion) {
        self.send(Item::Operation(Recorded::Complete(completion)));
    }

    /// Writes an event.
    pub fn event(&self, time: Nanos, kind: EventKind) {
        self.send(Item::Event(Event { time, kind }));
    }

    /// Drops the tap once all operations recorded so far have gone through it.
    pub fn close_tap(&self) {
        self.send(Item::CloseTap);
    }

    /// The only reason for a failure is that the writer gave up on a full disk, which
    /// [`Recording::finish`] reports.
    fn send(&self, item: Item) {
        drop(self.items.send(item));
    }
}

impl Recording {
    /// Waits until everything is on disk. All recorders must have been dropped.
    ///
    /// # Errors
    /// If something could not be written.
    pub fn finish(self) -> io::Result<()> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the recorder panicked")))
    }
}

impl Invocation {
    fn operation(&self) -> Operation {
        Operation {
            process: self.process,
            key: KeyId(0),
            action: self.action,
            invoked: self.time,
            completed: Nanos::MAX,
            outcome: Outcome::Info,
            seen: None,
            intended: Some(self.intended),
            node: Some(self.node),
            version: None,
            error: None,
        }
    }
}

impl Completion {
    fn operation(&self) -> Operation {
        Operation {
            process: self.process,
            key: KeyId(0),
            action: self.action,
            invoked: Nanos::ZERO,
            completed: self.time,
            outcome: self.outcome,
            seen: self.seen,
            intended: None,
            node: None,
            version: self.version,
            error: None,
        }
    }
}

struct Files {
    history: BufWriter<File>,
    events: BufWriter<File>,
    /// Loads write integers only.
    values: Values,
    tap: Option<Tap>,
}

impl Files {
    fn write_until_closed(mut self, items: &Receiver<Item>) -> io::Result<()> {
        let mut line = Vec::with_capacity(512);
        loop {
            match items.recv_timeout(FLUSH_EVERY) {
                Ok(item) => self.take(item, &mut line)?,
                Err(RecvTimeoutError::Timeout) => self.flush()?,
                Err(RecvTimeoutError::Disconnected) => return self.flush(),
            }
        }
    }

    fn take(&mut self, item: Item, line: &mut Vec<u8>) -> io::Result<()> {
        line.clear();
        match item {
            Item::Operation(recorded) => {
                self.write(&recorded, line)?;
                if let Some(tap) = &mut self.tap {
                    tap(recorded);
                }
                Ok(())
            }
            Item::Event(event) => {
                encode_event(line, &event);
                self.events.write_all(line)
            }
            Item::CloseTap => {
                self.tap = None;
                Ok(())
            }
        }
    }

    fn write(&mut self, recorded: &Recorded, line: &mut Vec<u8>) -> io::Result<()> {
        match recorded {
            Recorded::Invoke(invocation) => {
                encode_invoke(line, &invocation.operation(), &invocation.key, &self.values);
            }
            Recorded::Complete(completion) => {
                let error = completion.error.as_deref();
                let operation = completion.operation();
                encode_complete(line, &operation, &completion.key, &self.values, error);
            }
        }
        self.history.write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.history.flush()?;
        self.events.flush()
    }
}

/// Large enough that a busy load costs few system calls.
const BUFFER: usize = 256 * 1024;

/// When nothing comes for this long, what is buffered goes to disk.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::super::{decode, decode_events};
    use super::*;

    #[test]
    fn what_was_recorded_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let [history, events] = ["history.jsonl", "events.jsonl"].map(|n| folder.path().join(n));
        let header = Header {
            seed: Some(7),
            ..Header::default()
        };
        let (recorder, recording) = Recorder::start(&history, &events, &header, None).unwrap();
        let key = Arc::<str>::from("k1");
        recorder.invoke(Invocation {
            process: ProcessId(1),
            key: Arc::clone(&key),
            action: Action::Write(Value(5)),
            time: Nanos(10),
            intended: Nanos(9),
            node: NodeId(2),
        });
        recorder.complete(Completion {
            process: ProcessId(1),
            key,
            action: Action::Write(Value(5)),
            time: Nanos(20),
            outcome: Outcome::Info,
            seen: None,
            version: None,
            error: Some("reset \"by\" peer\n".to_owned()),
        });
        recorder.event(
            Nanos(3),
            EventKind::Mark {
                text: "here".to_owned(),
            },
        );
        drop(recorder);
        recording.finish().unwrap();

        let (read_header, read) = decode(&std::fs::read(&history).unwrap(), "h").unwrap();
        assert_eq!(read_header, header);
        let operation = &read.operations[0];
        assert_eq!(
            (operation.invoked, operation.completed),
            (Nanos(10), Nanos(20))
        );
        assert_eq!(
            (operation.intended, operation.node),
            (Some(Nanos(9)), Some(NodeId(2)))
        );
        assert_eq!(read.error_text(operation), Some("reset \"by\" peer\n"));
        let read = decode_events(&std::fs::read(&events).unwrap(), "e").unwrap();
        assert_eq!(
            read,
            [Event {
                time: Nanos(3),
                kind: EventKind::Mark {
                    text: "here".to_owned()
                }
            }]
        );
    }
}
