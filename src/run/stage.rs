//! Everything that is alive while a plan is executed, and the ways to watch it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, Notify, watch};

use crate::clock::{Nanos, RunClock};
use crate::cluster::{Cluster, ClusterView, Network, Ports};
use crate::history::{Event, EventKind, History, Recorder};
use crate::id::{NodeId, TrialId};
use crate::load::{Board, Load, Timer};
use crate::measure::{Context, NodeSync, TrialMeasure, measure};
use crate::report::{fault_line, mark_line, phase_line, recovery_line, sync_line};
use crate::seed::Seed;
use crate::system::{ConnectError, Status, System};

use super::online::Alarm;
use super::progress::Progress;
use super::registers::Registers;
use super::tracker::Tracker;

/// A run in progress.
pub(super) struct Stage {
    pub(super) seed: Seed,
    pub(super) voters: u8,
    pub(super) clock: RunClock,
    pub(super) recorder: Recorder,
    pub(super) system: Arc<dyn System>,
    /// Gone once everything was shut down.
    pub(super) cluster: Mutex<Option<Cluster>>,
    pub(super) network: Network,
    /// Where each node itself listens for clients: past the links.
    pub(super) direct: BTreeMap<NodeId, SocketAddr>,
    /// Where clients dial each node: over the links.
    pub(super) linked: BTreeMap<NodeId, SocketAddr>,
    /// Keeps the nodes' ports from others.
    pub(super) _ports: Ports,
    /// Each node's own folder.
    pub(super) folders: BTreeMap<NodeId, PathBuf>,
    /// The run's own folder.
    pub(super) folder: PathBuf,
    pub(super) keys: Vec<String>,
    /// Which kinds of probes there are: read, write.
    pub(super) probed: [bool; 2],
    pub(super) context: Context,
    pub(super) board: Arc<Board>,
    pub(super) load: RefCell<Option<Load>>,
    pub(super) tracker: RefCell<Tracker>,
    /// Told whenever the tracker has changed.
    pub(super) changed: Notify,
    /// The first violation, if the plan acts on violations.
    pub(super) alarm: watch::Sender<Option<Alarm>>,
    /// What happened so far, without probes and samples, for the lines printed meanwhile.
    pub(super) so_far: RefCell<Vec<Event>>,
    /// How much of its stderr each node was asked for.
    pub(super) heard: RefCell<BTreeMap<NodeId, usize>>,
    pub(super) progress: Rc<dyn Progress>,
}

impl Stage {
    /// Writes an event of now.
    pub(super) fn record(&self, kind: EventKind) {
        self.record_at(self.clock.now(), kind);
    }

    /// Writes an event, and believes it.
    pub(super) fn record_at(&self, time: Nanos, kind: EventKind) {
        self.tracker.borrow_mut().take(time, &kind);
        self.board.set_leader(self.view().leader());
        if let EventKind::Phase { phase } = &kind {
            self.progress.now(&phase.replace('_', " "));
        }
        self.so_far.borrow_mut().push(Event {
            time,
            kind: kind.clone(),
        });
        self.recorder.event(time, kind);
        self.changed.notify_waiters();
    }

    /// Writes a warning and shows it.
    pub(super) fn warn(&self, text: &str) {
        self.record(EventKind::Warning {
            text: text.to_owned(),
        });
        self.tell("warning", text);
    }

    /// The cluster as it is believed to be now.
    pub(super) fn view(&self) -> ClusterView {
        self.tracker.borrow().view()
    }

    /// The cluster in words.
    pub(super) fn describe(&self) -> String {
        self.tracker.borrow().describe()
    }

    /// One leader, all voters synced, no fault in force, the last probes of every node good.
    pub(super) fn is_steady(&self) -> bool {
        self.tracker.borrow().all_in_sync().is_some()
            && self.nothing_in_force()
            && NodeId::all(self.voters)
                .all(|node| self.board.probes_good(node, GOOD_PROBES, self.probed))
    }

    /// A cluster that is just being changed is not at rest either.
    fn nothing_in_force(&self) -> bool {
        let cluster = self.cluster.try_lock();
        cluster.is_ok_and(|cluster| {
            cluster
                .as_ref()
                .is_some_and(|cluster| cluster.ledger().in_force().is_empty())
        })
    }

    /// The cluster, to change it; `None` once it was shut down.
    pub(super) async fn cluster(&self) -> Option<MappedMutexGuard<'_, Cluster>> {
        MutexGuard::try_map(self.cluster.lock().await, Option::as_mut).ok()
    }

    /// Ends all nodes.
    pub(super) async fn shut_down(&self) {
        let cluster = self.cluster.lock().await.take();
        if let Some(cluster) = cluster
            && let Err(error) = cluster.shutdown().await
        {
            self.warn(&error.to_string());
        }
    }

    /// Whether it becomes steady within `limit`.
    pub(super) async fn steady_within(&self, limit: Nanos) -> bool {
        let deadline = self.clock.now() + limit;
        self.until(deadline, || self.is_steady().then_some(()))
            .await
            .is_some()
    }

    /// Waits until `holds` gives something, looking whenever anything has changed, until
    /// `deadline`.
    pub(super) async fn until<T>(
        &self,
        deadline: Nanos,
        mut holds: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        loop {
            let (mine, loads) = (self.changed.notified(), self.board.changed());
            tokio::pin!(mine, loads);
            mine.as_mut().enable();
            loads.as_mut().enable();
            if let Some(found) = holds() {
                return Some(found);
            }
            let now = self.clock.now();
            if now >= deadline {
                return None;
            }
            // Some changes tell nobody (a connection that opens late): look again now and then.
            let rest = Duration::from(deadline.since(now)).min(LOOK_AGAIN);
            drop(
                tokio::time::timeout(rest, async {
                    tokio::select! { () = mine => {} () = loads => {} }
                })
                .await,
            );
        }
    }

    /// Lets time pass, exactly.
    pub(super) async fn pass(&self, length: Nanos) {
        let due = self.clock.now() + length;
        match Timer::new(self.clock) {
            Ok(mut timer) => timer.until(due).await,
            Err(_) => tokio::time::sleep(Duration::from(length)).await,
        }
    }

    /// Asks a node for its state, past the links.
    pub(super) async fn status(&self, node: NodeId) -> Result<Status, ConnectError> {
        self.system.status(self.direct[&node], STATUS_WITHIN).await
    }

    /// The registers of this run.
    pub(super) fn registers(&self) -> Registers<'_> {
        Registers {
            system: &*self.system,
            clock: self.clock,
            recorder: &self.recorder,
            keys: &self.keys,
        }
    }

    pub(super) fn hold_load(&self, hold: bool) {
        if let Some(load) = &*self.load.borrow() {
            load.hold(hold);
        }
    }

    /// Shows a phase.
    pub(super) fn tell(&self, tag: &str, text: &str) {
        self.progress.line(&phase_line(self.clock.now(), tag, text));
    }

    /// Shows more about the line above.
    pub(super) fn tell_more(&self, text: &str) {
        self.progress.line(&mark_line(text));
    }

    pub(super) fn tell_fault(&self, at: Nanos, tag: &str, label: &str, landed: Option<Nanos>) {
        self.progress.line(&fault_line(at, tag, label, landed));
    }

    /// Shows how a trial that began at `began` went, from what is known so far.
    pub(super) fn tell_trial(&self, trial: TrialId, began: Nanos) {
        let history = History {
            keys: vec![String::new()],
            errors: Vec::new(),
            values: crate::history::Values::default(),
            operations: self.board.updates_since(began),
        };
        // Reports of nodes arrive a little late, so the list is not quite in the order of time.
        let events: Vec<Event> = {
            let so_far = self.so_far.borrow();
            let of_trial = so_far.iter().filter(|event| event.time >= began);
            of_trial.cloned().collect()
        };
        let measured = measure(&history, &events, &self.context);
        for fault in measured
            .trials
            .iter()
            .filter(|fault| fault.trial == Some(trial))
        {
            if fault.on_leader {
                self.progress.line(&recovery_line(fault));
            }
            for sync in rejoined(fault) {
                self.progress.line(&sync_line(sync));
            }
        }
    }
}

/// The victims that came back, not those that merely follow another leader now.
fn rejoined(fault: &TrialMeasure) -> impl Iterator<Item = &NodeSync> {
    let back = |sync: &&NodeSync| sync.rejoin && fault.nodes.contains(&sync.node);
    fault.syncs.iter().filter(back)
}

/// `steady` asks for so many good probes in a row of every kind at every node.
const GOOD_PROBES: u32 = 20;

/// A node that runs answers within milliseconds.
const STATUS_WITHIN: Duration = Duration::from_millis(500);

/// So long at most between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
