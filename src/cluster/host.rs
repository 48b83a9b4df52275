//! The cluster itself: starts nodes, and keeps processes and links as the ledger wants them.
//!
//! Order inside one fault: links first, then processes, so that a node that loses power is silent
//! before it dies. All signals of a fault are sent before the first is waited for.

mod commands;
mod disks;
mod harm;
mod launch;
mod signals;

pub use commands::{Command, Running};
pub use disks::Armed;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustix::process::Signal;
use signals::send;
use tokio::task::JoinHandle;

use super::answer::{ClusterError, Healed, Landing, Missed};
use super::clock_file::{CLOCK_FILE, CLOCK_VARIABLE, ClockFile};
use super::crossed::{Crossed, Gauge};
use super::effect::{Damage, Effect, Ending};
use super::journal::{Entry, FaultState, Journal};
use super::keep::Keep;
use super::ledger::{Ledger, Step, hampered, steps, victim};
use super::network::Network;
use super::process::LANDS_WITHIN;
use super::reaper::Reaper;
use super::roster::Roster;
use super::spec::{NodeSpec, Setup, check};
use super::view::ProcessState;
use crate::clock::{Nanos, RunClock};
use crate::disk::{Disk, Lost, Rule as DiskRule};
use crate::id::{FaultId, NodeId};

/// Nodes whose processes a fault changes, and whether it brings them down. Only such a node is
/// started when the fault ends: one that died by itself stays dead.
type Victims = BTreeMap<NodeId, bool>;

/// The cluster under test. Dropping it kills every process that it started.
#[derive(Debug)]
pub struct Cluster {
    specs: BTreeMap<NodeId, NodeSpec>,
    network: Network,
    clock: RunClock,
    roster: Arc<Roster>,
    ledger: Ledger,
    keep: Keep,
    clocks: BTreeMap<NodeId, ClockFile>,
    disks: BTreeMap<NodeId, Arc<Disk>>,
    /// Power failures that wait for their calls, by numbers of their own.
    armed: BTreeMap<NodeId, BTreeMap<u64, DiskRule>>,
    next_armed: u64,
    /// What power failures took since the last fault landed.
    lost: Option<Lost>,
    gauge: Gauge,
    journal: Journal,
    listener: JoinHandle<()>,
    reaper: Reaper,
}

impl Cluster {
    /// A cluster of which nothing runs yet. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If the nodes make no cluster or the journal cannot be created.
    pub fn new(setup: Setup) -> Result<Self, ClusterError> {
        let mut specs = BTreeMap::new();
        for spec in setup.nodes {
            check(&spec, setup.network.is_apart())?;
            let id = spec.id;
            if specs.insert(id, spec).is_some() {
                return Err(ClusterError::TwoNodes(id));
            }
        }
        let mut clocks = BTreeMap::new();
        for spec in specs.values() {
            if spec.env.iter().any(|(name, _)| name == CLOCK_VARIABLE) {
                let file = ClockFile::create(&spec.dir.join(CLOCK_FILE));
                clocks.insert(spec.id, file.map_err(ClusterError::Journal)?);
            }
        }
        let journal = Journal::create(&setup.journal).map_err(ClusterError::Journal)?;
        let roster = Roster::new(setup.clock, setup.events, setup.network.clone());
        let roster = Arc::new(roster);
        let socket = Arc::clone(setup.reaper.socket().map_err(ClusterError::Reaper)?);
        let listener = tokio::spawn(Arc::clone(&roster).listen(socket));
        Ok(Self {
            specs,
            network: setup.network,
            clock: setup.clock,
            roster,
            ledger: Ledger::default(),
            keep: Keep::default(),
            clocks,
            disks: BTreeMap::new(),
            armed: BTreeMap::new(),
            next_armed: 0,
            lost: None,
            gauge: Gauge::default(),
            journal,
            listener,
            reaper: setup.reaper,
        })
    }

    /// Describes a node that is down anew, for instance with other ports after one was busy.
    ///
    /// # Errors
    /// If there is no such node, or it is not down, or would not listen on loopback.
    pub fn respecify(&mut self, spec: NodeSpec) -> Result<(), ClusterError> {
        check(&spec, self.network.is_apart())?;
        if self.roster.state(spec.id) != ProcessState::Down {
            return Err(ClusterError::NotDown(spec.id));
        }
        let known = self
            .specs
            .get_mut(&spec.id)
            .ok_or(ClusterError::NoSuchNode(spec.id))?;
        *known = spec;
        Ok(())
    }

    /// Puts the effects of a fault in force, and confirms that they are.
    ///
    /// # Errors
    /// If one of them did not come into force: a victim has no process, or is in the wanted state
    /// already, or a signal had no consequence in time. What had come into force is lifted again.
    pub async fn begin(&mut self, fault: FaultId, effects: Vec<Effect>) -> Result<Landing, Missed> {
        self.begin_with(fault, effects, &[]).await
    }

    /// As [`Cluster::begin`], and does the damage once the effects are in force. Without effects
    /// nothing is in force afterwards: the fault is over when it has landed.
    ///
    /// # Errors
    /// As [`Cluster::begin`], or nothing was damaged.
    pub async fn begin_with(
        &mut self,
        fault: FaultId,
        effects: Vec<Effect>,
        damage: &[Damage],
    ) -> Result<Landing, Missed> {
        let asked_at = self.clock.now();
        let missed = |reason: String| Missed { asked_at, reason };
        if effects.is_empty() && damage.is_empty() {
            return Err(missed("it has no effect".to_owned()));
        }
        self.check_victims(&effects).map_err(missed)?;
        self.note(fault, FaultState::Intent, effects.clone())
            .map_err(|e| missed(e.to_string()))?;
        self.ledger.begin(fault, effects.clone());
        let asked_at = self.clock.now();
        self.lost = None;
        let enforced = match self.enforce(fault, &effects).await {
            Ok(()) => self.harm(damage).await,
            Err(error) => Err(error),
        };
        match enforced {
            Ok(()) => {
                let landed_at = self.clock.now();
                let noted = self.note(fault, FaultState::Landed, Vec::new());
                let over = match noted {
                    Ok(()) if effects.is_empty() => {
                        self.note(fault, FaultState::Healed, Vec::new())
                    }
                    noted => noted,
                };
                over.map_err(|e| Missed {
                    asked_at,
                    reason: e.to_string(),
                })?;
                Ok(Landing {
                    asked_at,
                    landed_at,
                    lost: self.lost.take(),
                })
            }
            Err(error) => {
                let mut reason = error.to_string();
                self.ledger.end(fault);
                self.gauge.forget(fault);
                self.let_go(&effects);
                if let Err(error) = self.restore(&victims(&effects)).await {
                    reason = format!("{reason}; {error}");
                }
                if let Err(error) = self.note(fault, FaultState::Missed, Vec::new()) {
                    reason = format!("{reason}; {error}");
                }
                Err(Missed { asked_at, reason })
            }
        }
    }

    /// Lifts a fault: its links pass again, its victims run again unless another fault holds them.
    /// A fault that is not in force is lifted already.
    ///
    /// # Errors
    /// If a victim cannot be brought back. The ledger has forgotten the fault all the same.
    pub async fn end(&mut self, fault: FaultId) -> Result<Healed, ClusterError> {
        let met = self.disk_met(fault).await;
        let effects = self.ledger.end(fault);
        let faults = if effects.is_empty() {
            Vec::new()
        } else {
            vec![fault]
        };
        let mut healed = self.healed(faults, &victims(&effects)).await?;
        healed.met = met.map(|met| (fault, met)).into_iter().collect();
        Ok(healed)
    }

    /// Starts a node that is down, and lifts all that held it down or paused; a node that lost
    /// power gets its links back. Returns the faults of which nothing is left.
    ///
    /// # Errors
    /// If it is not down or cannot be started.
    pub async fn start_node(&mut self, node: NodeId) -> Result<Healed, ClusterError> {
        if self.roster.state(node) != ProcessState::Down {
            return Err(ClusterError::NotDown(node));
        }
        let faults = self.ledger.start(node);
        self.healed(faults, &BTreeMap::from([(node, true)])).await
    }

    /// Starts a node that has died by itself, unless a fault holds it down: then the end of that
    /// fault starts it. What hampers it goes on.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn revive(&mut self, node: NodeId) -> Result<(), ClusterError> {
        if self.roster.state(node) != ProcessState::Down
            || self.ledger.wanted(node) == ProcessState::Down
        {
            return Ok(());
        }
        self.reconcile(node).await?;
        self.hamper(node).await
    }

    /// Lets a paused node run again. Returns the faults of which nothing is left.
    ///
    /// # Errors
    /// If it is down or does not go on.
    pub async fn resume_node(&mut self, node: NodeId) -> Result<Healed, ClusterError> {
        if self.roster.state(node) == ProcessState::Down {
            return Err(ClusterError::Down(node));
        }
        let faults = self.ledger.resume(node);
        self.healed(faults, &BTreeMap::from([(node, false)])).await
    }

    /// Lifts all faults: all links pass, every node that a fault stopped or ended runs again. A
    /// node that died by itself is not touched.
    ///
    /// # Errors
    /// The first failure; the other nodes are brought back all the same.
    pub async fn heal_all(&mut self) -> Result<Healed, ClusterError> {
        let effects: Vec<Effect> = self.ledger.in_force().values().flatten().cloned().collect();
        let stricken = victims(&effects);
        let mut all_met = BTreeMap::new();
        for fault in self.ledger.in_force().keys() {
            if let Some(met) = self.disk_met(*fault).await {
                all_met.insert(*fault, met);
            }
        }
        // Nobody waits for these calls any more.
        self.armed.clear();
        let faults = self.ledger.heal();
        let mut healed = self.healed(faults, &stricken).await?;
        healed.met = all_met;
        Ok(healed)
    }

    /// Ends a node's process without a fault: SIGTERM (and SIGCONT if it is paused), and SIGKILL
    /// after the grace.
    ///
    /// # Errors
    /// If it is down, or does not end even so.
    pub async fn terminate(&mut self, node: NodeId, grace: Nanos) -> Result<Landing, ClusterError> {
        let process = self.roster.process(node).ok_or(ClusterError::Down(node))?;
        let asked_at = self.clock.now();
        let how = Ending::Terminate { grace };
        self.strike(node, &process, how)?;
        self.await_end(node, &process, how).await?;
        Ok(Landing {
            asked_at,
            landed_at: self.clock.now(),
            lost: None,
        })
    }

    /// Kills everything and waits until nothing is left.
    ///
    /// # Errors
    /// If the reaper does not end in time.
    pub async fn shutdown(mut self) -> Result<(), ClusterError> {
        for node in self.specs.keys() {
            if let Some(process) = self.roster.process(*node) {
                self.roster.expect_end(*node);
                // A process that is gone already needs no signal.
                let _ = process.signal(Signal::KILL);
            }
        }
        for node in self.specs.keys() {
            // A disk that does not answer is killed with everything else.
            let _ = self.release_disk(*node).await;
            self.roster.is_down_within(*node, LANDS_WITHIN).await;
        }
        self.disks.clear();
        self.listener.abort();
        // Aborted is the expected end; its reference to the socket is gone with it.
        let _ = (&mut self.listener).await;
        self.reaper.dismiss().map_err(ClusterError::Reaper)
    }

    /// Resolves when the reaper is gone, and all nodes with it.
    pub fn reaper_lost(&self) -> impl Future<Output = ()> + use<> {
        self.roster.reaper_lost()
    }

    /// The effects in force.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeSpec> {
        self.specs.values()
    }

    /// What each node's process is.
    #[must_use]
    pub fn states(&self) -> BTreeMap<NodeId, ProcessState> {
        self.specs
            .keys()
            .map(|node| (*node, self.roster.state(*node)))
            .collect()
    }

    /// The process id of a node that has a process.
    #[must_use]
    pub fn pid(&self, node: NodeId) -> Option<u32> {
        self.roster.process(node).map(|process| process.pid())
    }

    /// How often a node was started.
    #[must_use]
    pub fn incarnation(&self, node: NodeId) -> u32 {
        self.roster.incarnation(node)
    }

    /// A fault whose victim is not there, or is already what it should become, would land without
    /// doing anything.
    fn check_victims(&self, effects: &[Effect]) -> Result<(), String> {
        for effect in effects {
            let Some(node) = victim(effect).or_else(|| hampered(effect)) else {
                continue;
            };
            if !self.specs.contains_key(&node) {
                return Err(ClusterError::NoSuchNode(node).to_string());
            }
            match (self.roster.state(node), effect) {
                (ProcessState::Down, _) => return Err(format!("{node} is already down")),
                (ProcessState::Paused, Effect::Paused(_)) => {
                    return Err(format!("{node} is already paused"));
                }
                (ProcessState::Running | ProcessState::Paused, _) => {}
            }
        }
        Ok(())
    }

    /// Links first; then all signals; then all their consequences.
    async fn enforce(&mut self, fault: FaultId, effects: &[Effect]) -> Result<(), ClusterError> {
        let mut crossed = Crossed::default();
        if effects
            .iter()
            .any(|effect| matches!(effect, Effect::Link { .. }))
        {
            crossed = self.network.set_rules(self.ledger.rules()).await?;
        }
        self.gauge.begin(fault, effects, crossed);
        let mut struck = Vec::new();
        for node in victims(effects).into_keys() {
            self.keep.let_go(node);
            let process = self.roster.process(node).ok_or(ClusterError::Down(node))?;
            match self.ledger.ending(node) {
                Some(how) => self.strike(node, &process, how)?,
                None => send(node, &process, Signal::STOP, "stop")?,
            }
            struck.push((node, process));
        }
        for (node, process) in struck {
            match self.ledger.ending(node) {
                Some(how) => self.await_end(node, &process, how).await?,
                None => self.await_pause(node, &process, true).await?,
            }
        }
        for node in hampers(effects) {
            self.hamper(node).await?;
        }
        Ok(())
    }

    /// Brings links and these nodes to what the ledger wants, links first: a started node must not
    /// send its first SYN into a cut, which TCP would repeat only after a second.
    /// Returns what had crossed all links.
    async fn restore(&mut self, nodes: &Victims) -> Result<Crossed, ClusterError> {
        let mut result = self.network.set_rules(self.ledger.rules()).await;
        for (node, was_brought_down) in nodes {
            if self.roster.state(*node) != ProcessState::Down || *was_brought_down {
                let moved = self.reconcile(*node).await;
                result = result.and_then(|crossed| moved.map(|()| crossed));
            }
        }
        for node in self.specs.keys().copied().collect::<Vec<_>>() {
            let hampered = self.hamper(node).await;
            // A process that has just died by itself is not hampered any more.
            if self.roster.state(node) != ProcessState::Down {
                result = result.and_then(|crossed| hampered.map(|()| crossed));
            }
        }
        result
    }

    async fn reconcile(&mut self, node: NodeId) -> Result<(), ClusterError> {
        for step in steps(self.roster.state(node), self.ledger.wanted(node)) {
            match step {
                Step::Start => {
                    self.start(node).await?;
                }
                Step::Stop | Step::Continue | Step::End => {
                    self.keep.let_go(node);
                    let process = self.roster.process(node).ok_or(ClusterError::Down(node))?;
                    match step {
                        Step::Stop => {
                            send(node, &process, Signal::STOP, "stop")?;
                            self.await_pause(node, &process, true).await?;
                        }
                        Step::Continue => {
                            send(node, &process, Signal::CONT, "go on")?;
                            self.await_pause(node, &process, false).await?;
                        }
                        Step::End | Step::Start => {
                            let how = self.ledger.ending(node).unwrap_or(Ending::Kill);
                            self.strike(node, &process, how)?;
                            self.await_end(node, &process, how).await?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn healed(
        &mut self,
        faults: Vec<FaultId>,
        nodes: &Victims,
    ) -> Result<Healed, ClusterError> {
        let restored = self.restore(nodes).await;
        let at = self.clock.now();
        for fault in &faults {
            self.note(*fault, FaultState::Healed, Vec::new())?;
        }
        let keep = &mut self.keep;
        restored.map(|crossed| Healed {
            at,
            measured: self
                .gauge
                .end(&faults, &crossed, |node| keep.achieved(node)),
            faults,
            met: BTreeMap::new(),
        })
    }

    fn note(
        &mut self,
        fault: FaultId,
        state: FaultState,
        effects: Vec<Effect>,
    ) -> Result<(), ClusterError> {
        let entry = Entry {
            time: self.clock.now(),
            fault,
            state,
            effects,
        };
        self.journal.write(&entry).map_err(ClusterError::Journal)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

fn hampers(effects: &[Effect]) -> std::collections::BTreeSet<NodeId> {
    effects.iter().filter_map(hampered).collect()
}

fn victims(effects: &[Effect]) -> Victims {
    let mut victims = Victims::new();
    for effect in effects {
        if let Some(node) = victim(effect) {
            *victims.entry(node).or_default() |= matches!(effect, Effect::Down { .. });
        }
    }
    victims
}
