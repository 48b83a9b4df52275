//! The roster: what the harness knows of each node's process, kept up to date by one task that
//! listens to the reaper.
//!
//! The cluster changes it when it asks for something, the listener when something happened. The
//! lock is held for single changes only, never while waiting.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::network::Network;
use super::process::Process;
use super::reaper::{Incoming, Report, Socket};
use super::view::ProcessState;
use crate::clock::RunClock;
use crate::history::{Event, EventKind, ExitStatus};
use crate::id::NodeId;

/// What is known of all nodes, and who is to be told of changes.
#[derive(Debug)]
pub(super) struct Roster {
    clock: RunClock,
    events: mpsc::UnboundedSender<Event>,
    network: Network,
    entries: Mutex<Entries>,
    changed: Notify,
    /// Whether the reaper is gone without having been dismissed.
    lost: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Entries {
    nodes: BTreeMap<NodeId, Entry>,
    /// Who is being launched: a node, or a helper of the run.
    launches: BTreeMap<u64, Asked>,
    next_tag: u64,
    /// Who waits for the end of a helper.
    watched: BTreeMap<u64, oneshot::Sender<ExitStatus>>,
    reaper_is_gone: bool,
}

/// For which node, and who waits for the answer.
type Asked = (Option<NodeId>, oneshot::Sender<io::Result<Arc<Process>>>);

#[derive(Debug, Default)]
struct Entry {
    process: Option<Arc<Process>>,
    /// Of the launch of this process.
    tag: u64,
    paused: bool,
    incarnation: u32,
    end_is_asked: bool,
}

/// A launch that the reaper has not answered yet.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) tag: u64,
    pub(super) answer: oneshot::Receiver<io::Result<Arc<Process>>>,
}

impl Roster {
    pub(super) fn new(
        clock: RunClock,
        events: mpsc::UnboundedSender<Event>,
        network: Network,
    ) -> Self {
        Self {
            clock,
            events,
            network,
            entries: Mutex::default(),
            changed: Notify::new(),
            lost: watch::Sender::new(false),
        }
    }

    /// Resolves when the reaper is gone, and all nodes with it.
    pub(super) fn reaper_lost(&self) -> impl Future<Output = ()> + use<> {
        let mut lost = self.lost.subscribe();
        async move {
            if lost.wait_for(|lost| *lost).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The process of `node`, if it has one.
    pub(super) fn process(&self, node: NodeId) -> Option<Arc<Process>> {
        self.entries().nodes.get(&node)?.process.clone()
    }

    /// What the process of `node` is.
    pub(super) fn state(&self, node: NodeId) -> ProcessState {
        match self.entries().nodes.get(&node) {
            Some(Entry {
                process: Some(_),
                paused: false,
                ..
            }) => ProcessState::Running,
            Some(Entry {
                process: Some(_),
                paused: true,
                ..
            }) => ProcessState::Paused,
            Some(Entry { process: None, .. }) | None => ProcessState::Down,
        }
    }

    /// How often `node` was started.
    pub(super) fn incarnation(&self, node: NodeId) -> u32 {
        self.entries()
            .nodes
            .get(&node)
            .map_or(0, |entry| entry.incarnation)
    }

    /// Registers a launch that is about to be asked for, of a node or of a helper.
    pub(super) fn launch(&self, node: Option<NodeId>) -> io::Result<Launch> {
        let mut entries = self.entries();
        if entries.reaper_is_gone {
            return Err(reaper_is_gone());
        }
        let tag = entries.next_tag;
        entries.next_tag += 1;
        let (sender, answer) = oneshot::channel();
        entries.launches.insert(tag, (node, sender));
        Ok(Launch { tag, answer })
    }

    /// Resolves when what was launched with this tag has ended. Call it before it is asked for.
    pub(super) fn watch(&self, tag: u64) -> oneshot::Receiver<ExitStatus> {
        let (sender, ended) = oneshot::channel();
        self.entries().watched.insert(tag, sender);
        ended
    }

    /// The end of this node's process is asked for: when it comes it is no surprise.
    pub(super) fn expect_end(&self, node: NodeId) {
        if let Some(entry) = self.entries().nodes.get_mut(&node) {
            entry.end_is_asked = true;
        }
    }

    /// A signal to stop or go on has landed.
    pub(super) fn set_paused(&self, node: NodeId, paused: bool) {
        let is_news = self.entries().nodes.get_mut(&node).is_some_and(|entry| {
            entry.process.is_some() && std::mem::replace(&mut entry.paused, paused) != paused
        });
        if is_news {
            self.tell(EventKind::ProcessPaused { node, paused });
        }
    }

    /// Waits until `node` has no process; false if that takes longer than `limit`.
    pub(super) async fn is_down_within(&self, node: NodeId, limit: Duration) -> bool {
        let down = async {
            loop {
                let changed = self.changed.notified();
                if self.state(node) == ProcessState::Down {
                    return;
                }
                changed.await;
            }
        };
        timeout(limit, down).await.is_ok()
    }

    /// Listens to the reaper until it is gone.
    pub(super) async fn listen(self: Arc<Self>, socket: Arc<Socket>) {
        loop {
            match socket.receive().await {
                Ok(Some(incoming)) => self.hear(incoming),
                Ok(None) => break,
                Err(error) => {
                    self.warn(format!("the reaper cannot be understood: {error}"));
                    break;
                }
            }
        }
        self.lose_reaper();
    }

    fn hear(&self, incoming: Incoming) {
        match incoming.report {
            Report::Ready { .. } => {}
            Report::Spawned { tag } => self.enter(tag, incoming.pidfd),
            Report::Refused { tag, error } => {
                if let Some((_, answer)) = self.entries().launches.remove(&tag) {
                    // Who asked may have given up waiting.
                    let _ = answer.send(Err(io::Error::other(error)));
                }
            }
            Report::Exited { tag, status } => self.leave(tag, status),
        }
    }

    fn enter(&self, tag: u64, pidfd: Option<std::os::fd::OwnedFd>) {
        let process = pidfd
            .ok_or_else(|| io::Error::other("the reaper sent no pidfd"))
            .and_then(Process::new)
            .map(Arc::new);
        let mut entries = self.entries();
        let Some((node, answer)) = entries.launches.remove(&tag) else {
            return;
        };
        let Some(node) = node else {
            drop(entries);
            // Who asked may have given up waiting.
            let _ = answer.send(process);
            return;
        };
        let result = process.inspect(|process| {
            let entry = entries.nodes.entry(node).or_default();
            entry.incarnation += 1;
            entry.paused = false;
            entry.end_is_asked = false;
            let pid = process.pid();
            entry.tag = tag;
            entry.process = Some(Arc::clone(process));
            let incarnation = entry.incarnation;
            self.tell(EventKind::ProcessStarted {
                node,
                pid,
                incarnation,
            });
            self.network.set_running(node, true);
        });
        drop(entries);
        let _ = answer.send(result);
    }

    fn leave(&self, tag: u64, status: ExitStatus) {
        let mut entries = self.entries();
        if let Some(watched) = entries.watched.remove(&tag) {
            // Who waited may have given up.
            let _ = watched.send(status);
        }
        let mut nodes = entries.nodes.iter_mut();
        let gone = nodes.find(|(_, entry)| entry.process.is_some() && entry.tag == tag);
        if let Some((node, entry)) = gone {
            entry.process = None;
            entry.paused = false;
            self.network.set_running(*node, false);
            self.tell(EventKind::ProcessExited {
                node: *node,
                status,
                asked: entry.end_is_asked,
            });
        }
        drop(entries);
        self.changed.notify_waiters();
    }

    /// The kernel kills all nodes when their reaper dies, and nobody is left to report it.
    fn lose_reaper(&self) {
        let mut entries = self.entries();
        entries.reaper_is_gone = true;
        // It is the tool that ends them.
        for entry in entries.nodes.values_mut() {
            entry.end_is_asked = true;
        }
        let orphans: Vec<u64> = entries
            .nodes
            .values()
            .filter(|entry| entry.process.is_some())
            .map(|entry| entry.tag)
            .collect();
        entries.watched.clear();
        for (_, answer) in std::mem::take(&mut entries.launches).into_values() {
            let _ = answer.send(Err(reaper_is_gone()));
        }
        drop(entries);
        if !orphans.is_empty() {
            self.warn("the reaper is gone, and all nodes with it".to_owned());
            self.lost.send_replace(true);
        }
        for tag in orphans {
            self.leave(
                tag,
                ExitStatus::Signal(rustix::process::Signal::KILL.as_raw()),
            );
        }
    }

    pub(super) fn warn(&self, text: String) {
        self.tell(EventKind::Warning { text });
    }

    /// A run that is being torn down may have stopped to record.
    fn tell(&self, kind: EventKind) {
        let _ = self.events.send(Event {
            time: self.clock.now(),
            kind,
        });
    }

    /// A panic elsewhere cannot leave an entry half changed.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reaper_is_gone() -> io::Error {
    io::Error::other("the reaper is gone")
}
