//! The conductor: executes the steps of a plan one after another.
//!
//! Role words are resolved when their step comes. A fault is written to the ledger before it is
//! put in force, and recorded with the times at which it was asked and confirmed. Whatever a trial
//! leaves in force when it breaks off is healed before the next one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::clock::Nanos;
use crate::cluster::{self, ClusterError, ClusterView, Damage, Effect, Ending};
use crate::fault::{Bindings, Chosen, DurationSpec, FaultSpec, Selector, Unresolved};
use crate::history::{EventKind, FaultAsked, Tag, TrialOutcome};
use crate::id::{FaultId, NodeId, TrialId};
use crate::link::Rule;
use crate::plan::{Action, Each, Healed, Order, Repeat, Rounds, State, Step};
use crate::seed::Stream;

use super::stage::Stage;

/// Why steps did not go on to their end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Break {
    /// A wait ran out: the trial (or the run) never got where it should.
    Censored(String),
    /// It could not be tried.
    Skipped(String),
}

/// Executes one plan on one stage.
pub(super) struct Conductor<'a> {
    pub(super) stage: &'a Stage,
    pub(super) stream: Stream,
    pub(super) bindings: Bindings,
    /// Faults by their `as:` names.
    pub(super) names: BTreeMap<String, FaultId>,
    pub(super) shared: Rc<Shared>,
}

/// What all branches of a plan count together.
#[derive(Debug)]
pub(super) struct Shared {
    faults: Cell<u32>,
    trials: Cell<u32>,
    trial: Cell<Option<TrialId>>,
    /// The origin of the last fault: what `served` counts from.
    pub(super) last_fault: Cell<Nanos>,
    /// How many branches were begun, for the names of their streams.
    branches: Cell<u32>,
}

type Done<'a> = Pin<Box<dyn Future<Output = Result<(), Break>> + 'a>>;

impl<'a> Conductor<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            stream: stage.seed.stream("schedule"),
            bindings: Bindings::default(),
            names: BTreeMap::new(),
            shared: Rc::new(Shared {
                faults: Cell::new(0),
                trials: Cell::new(0),
                trial: Cell::new(None),
                last_fault: Cell::new(Nanos::ZERO),
                branches: Cell::new(0),
            }),
        }
    }

    /// A conductor for steps that go on beside this one's. Its stream is its own, so that what it
    /// draws does not depend on how the two are interleaved.
    pub(super) fn branch(&self) -> Self {
        let number = self.shared.branches.get() + 1;
        self.shared.branches.set(number);
        Self {
            stage: self.stage,
            stream: self.stage.seed.stream(&format!("schedule/{number}")),
            bindings: self.bindings.clone(),
            names: self.names.clone(),
            shared: Rc::clone(&self.shared),
        }
    }

    /// What a branch named is known here too.
    pub(super) fn join(&mut self, branch: Self) {
        self.bindings.extend(branch.bindings);
        self.names.extend(branch.names);
    }

    /// Executes steps in order until one breaks off.
    pub(super) fn execute<'b>(&'b mut self, steps: &'b [Step]) -> Done<'b> {
        Box::pin(async move {
            for step in steps {
                self.step(step).await?;
            }
            Ok(())
        })
    }

    /// Shows what goes on now.
    fn tell_step(&self, step: &Step) {
        let what = step.action.sentence();
        self.stage.progress.now(&match self.shared.trial.get() {
            Some(trial) => format!("{trial}  {what}"),
            None => what,
        });
    }

    pub(super) async fn step(&mut self, step: &Step) -> Result<(), Break> {
        self.tell_step(step);
        match &step.action {
            Action::Fault {
                fault,
                for_,
                until,
                name,
            } => {
                let ends = (for_.as_ref(), *until);
                self.fault(fault, ends, name.as_deref()).await
            }
            Action::Call(call) => self.call(call, &step.path).await,
            Action::Exec(exec) => self.exec(exec, &step.path).await,
            Action::Start { node } => {
                for node in self.resolve(node).await? {
                    self.start(node).await;
                }
                Ok(())
            }
            Action::Resume { node } => {
                for node in self.resolve(node).await? {
                    self.resume(node).await;
                }
                Ok(())
            }
            Action::Restart { node, grace } => self.restart(node, *grace).await,
            Action::Heal(Healed::All) => {
                self.heal_all().await;
                Ok(())
            }
            Action::Heal(Healed::Named(name)) => {
                self.heal(name).await;
                Ok(())
            }
            Action::Wait(duration) => {
                let duration = duration.draw(&mut self.stream);
                self.stage.pass(duration).await;
                Ok(())
            }
            Action::WaitFor(wait) => self.wait_for(wait, &step.path).await,
            Action::Repeat(repeat) => self.repeat(repeat).await,
            Action::Each(each) => self.each(each).await,
            Action::Parallel(branches) => self.parallel(branches).await,
            Action::Random(random) => self.random(random).await,
            Action::Mark(text) => {
                self.stage.record(EventKind::Mark { text: text.clone() });
                Ok(())
            }
        }
    }

    async fn heal(&mut self, name: &str) {
        if let Some(fault) = self.names.get(name).copied() {
            self.end(fault).await;
        }
    }

    /// Injects a fault; if it `ends`, also waits for that and heals it.
    async fn fault(
        &mut self,
        fault: &FaultSpec,
        ends: (Option<&DurationSpec>, Option<State>),
        name: Option<&str>,
    ) -> Result<(), Break> {
        let chosen = self
            .when_resolved(|conductor, view| {
                fault
                    .as_dyn()
                    .effects(view, &mut conductor.stream, &conductor.bindings)
            })
            .await?;
        let id = self.inject(fault.name(), &chosen).await;
        if let Some(name) = name {
            self.names.insert(name.to_owned(), id);
            self.bindings.bind(name, &chosen.nodes);
        }
        if let Some(duration) = ends.0 {
            let duration = duration.draw(&mut self.stream);
            match ends.1 {
                None => self.stage.pass(duration).await,
                Some(state) => {
                    let deadline = self.stage.clock.now() + duration;
                    self.state(state, &[], 0, deadline).await;
                }
            }
            self.end(id).await;
        }
        Ok(())
    }

    async fn restart(&mut self, node: &Selector, grace: Nanos) -> Result<(), Break> {
        let nodes = self.resolve(node).await?;
        self.inject("restart", &self.restarted(&nodes, grace)).await;
        for node in nodes {
            self.start(node).await;
        }
        Ok(())
    }

    /// The fault by which these nodes go down to be started again.
    pub(super) fn restarted(&self, nodes: &[NodeId], grace: Nanos) -> Chosen {
        let leader = self.stage.view().leader();
        let names: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
        let how = Ending::Terminate { grace };
        Chosen {
            effects: nodes
                .iter()
                .map(|node| Effect::Down { node: *node, how })
                .collect(),
            damage: Vec::new(),
            trigger: None,
            label: format!("restart {}", names.join(",")),
            on_leader: leader.is_some_and(|leader| nodes.contains(&leader)),
            nodes: nodes.to_vec(),
        }
    }

    /// Puts effects in force and records what became of that.
    pub(super) async fn inject(&self, verb: &str, chosen: &Chosen) -> FaultId {
        let id = FaultId(self.shared.faults.get() + 1);
        self.shared.faults.set(id.0);
        let stage = self.stage;
        let landing = stage.begin(id, chosen).await;
        let is_process_fault = chosen
            .effects
            .iter()
            .any(|effect| !matches!(effect, Effect::Link { .. }));
        let asked = FaultAsked {
            fault: id,
            trial: self.shared.trial.get(),
            verb: verb.to_owned(),
            label: chosen.label.clone(),
            nodes: chosen.nodes.clone(),
            on_leader: chosen.on_leader,
            effects: chosen
                .effects
                .iter()
                .map(tag)
                .chain(chosen.damage.iter().map(damage_tag))
                .collect(),
        };
        let line_tag = self
            .shared
            .trial
            .get()
            .map_or_else(|| id.to_string(), |trial| trial.to_string());
        match landing {
            Ok(landing) => {
                stage.tracker.borrow_mut().strike(&chosen.effects);
                stage.record_at(landing.asked_at, EventKind::FaultAsked(asked));
                stage.record_at(landing.landed_at, EventKind::FaultLanded { fault: id });
                self.shared.last_fault.set(if is_process_fault {
                    landing.asked_at
                } else {
                    landing.landed_at
                });
                let lag = landing.landed_at.since(landing.asked_at);
                stage.tell_fault(landing.asked_at, &line_tag, &chosen.label, Some(lag));
                if let Some(lost) = landing.lost {
                    stage.tell_lost(id, lost);
                }
                if chosen.effects.is_empty() {
                    stage.record_at(landing.landed_at, EventKind::FaultHealed { fault: id });
                }
            }
            Err(missed) => {
                stage.record_at(missed.asked_at, EventKind::FaultAsked(asked));
                let reason = missed.reason;
                stage.record(EventKind::FaultMissed {
                    fault: id,
                    reason: reason.clone(),
                });
                self.shared.last_fault.set(missed.asked_at);
                stage.tell_fault(missed.asked_at, &line_tag, &chosen.label, None);
                stage.tell_more(&reason);
            }
        }
        id
    }

    pub(super) async fn start(&self, node: NodeId) {
        if let Some(mut cluster) = self.stage.cluster().await {
            let healed = cluster.start_node(node).await;
            drop(cluster);
            self.record_healed(healed);
        }
    }

    async fn resume(&self, node: NodeId) {
        if let Some(mut cluster) = self.stage.cluster().await {
            let healed = cluster.resume_node(node).await;
            drop(cluster);
            self.record_healed(healed);
        }
    }

    pub(super) async fn end(&self, fault: FaultId) {
        if let Some(mut cluster) = self.stage.cluster().await {
            let healed = cluster.end(fault).await;
            drop(cluster);
            self.record_healed(healed);
        }
    }

    /// Ends every fault in force.
    pub(super) async fn heal_all(&self) {
        if let Some(mut cluster) = self.stage.cluster().await {
            let healed = cluster.heal_all().await;
            drop(cluster);
            self.record_healed(healed);
        }
    }

    fn record_healed(&self, healed: Result<cluster::Healed, ClusterError>) {
        match healed {
            Ok(healed) => {
                for fault in healed.faults {
                    self.stage
                        .record_at(healed.at, EventKind::FaultHealed { fault });
                }
                for (fault, figures) in healed.measured {
                    self.stage
                        .record(EventKind::FaultMeasured { fault, figures });
                }
                for (fault, met) in healed.met {
                    self.stage.tell_met(fault, met);
                }
            }
            Err(error) => self.stage.warn(&error.to_string()),
        }
    }

    async fn repeat(&mut self, repeat: &Repeat) -> Result<(), Break> {
        let began = self.stage.clock.now();
        let mut round = 0;
        loop {
            let over = match repeat.rounds {
                Rounds::Times(times) => round >= times,
                Rounds::For(length) => self.stage.clock.now().since(began) >= length,
            };
            if over {
                return Ok(());
            }
            round += 1;
            match &repeat.name {
                Some(name) => self.trial(name, &repeat.steps).await?,
                None => self.execute(&repeat.steps).await?,
            }
        }
    }

    /// One round as a trial: when it breaks off, it is healed and the next one is tried, unless
    /// the cluster does not come back at all.
    async fn trial(&mut self, name: &str, steps: &[Step]) -> Result<(), Break> {
        let trial = TrialId(self.shared.trials.get() + 1);
        self.shared.trials.set(trial.0);
        self.shared.trial.set(Some(trial));
        let began = self.stage.clock.now();
        self.stage.record_at(
            began,
            EventKind::TrialBegin {
                trial,
                name: name.to_owned(),
            },
        );
        let done = self.execute(steps).await;
        let (outcome, reason) = match &done {
            Ok(()) => (TrialOutcome::Completed, String::new()),
            Err(Break::Censored(reason)) => (TrialOutcome::Censored, reason.clone()),
            Err(Break::Skipped(reason)) => (TrialOutcome::Skipped, reason.clone()),
        };
        self.stage.record(EventKind::TrialEnd {
            trial,
            outcome,
            reason: reason.clone(),
        });
        self.stage.tell_trial(trial, began);
        self.shared.trial.set(None);
        if done.is_ok() {
            return Ok(());
        }
        self.stage.tell_more(&reason);
        self.heal_all().await;
        if self.stage.steady_within(RECOVERY_LIMIT).await {
            Ok(())
        } else {
            done
        }
    }

    async fn each(&mut self, each: &Each) -> Result<(), Break> {
        let mut nodes = self.resolve(&each.of).await?;
        if each.order == Order::Random {
            self.stream.shuffle(&mut nodes);
        }
        while !nodes.is_empty() {
            let mut node = nodes.remove(0);
            if each.order == Order::LeaderLast
                && self.stage.view().leader() == Some(node)
                && !nodes.is_empty()
            {
                nodes.push(node);
                node = nodes.remove(0);
            }
            self.bindings.bind(&each.name, &[node]);
            self.execute(&each.steps).await?;
        }
        Ok(())
    }

    /// The nodes that a selector means, as soon as it means any.
    pub(super) async fn resolve(&mut self, selector: &Selector) -> Result<Vec<NodeId>, Break> {
        self.when_resolved(|conductor, view| {
            selector.resolve(view, &mut conductor.stream, &conductor.bindings)
        })
        .await
    }

    /// Tries until `choose` finds somebody, for at most [`RESOLVE_LIMIT`].
    async fn when_resolved<T>(
        &mut self,
        mut choose: impl FnMut(&mut Self, &ClusterView) -> Result<T, Unresolved>,
    ) -> Result<T, Break> {
        let stage = self.stage;
        let mut last = None;
        let found = stage
            .until(stage.clock.now() + RESOLVE_LIMIT, || {
                match choose(self, &stage.view()) {
                    Ok(found) => Some(found),
                    Err(unresolved) => {
                        last = Some(unresolved);
                        None
                    }
                }
            })
            .await;
        found.ok_or_else(|| {
            let why = last.map_or_else(String::new, |unresolved| unresolved.to_string());
            Break::Skipped(format!("{why}, for {RESOLVE_LIMIT}"))
        })
    }
}

/// An effect as the stream records it.
fn tag(effect: &Effect) -> Tag {
    match effect {
        Effect::Down { node, .. } => Tag::Down(*node),
        Effect::Paused(node) => Tag::Paused(*node),
        Effect::Stutter { node, .. } => Tag::Hampered {
            node: *node,
            how: "stutter".to_owned(),
        },
        Effect::Clock { node, .. } => Tag::Hampered {
            node: *node,
            how: "clock".to_owned(),
        },
        Effect::Disk { node, .. } => Tag::Hampered {
            node: *node,
            how: "disk".to_owned(),
        },
        Effect::FdLimit { node, .. } => Tag::Hampered {
            node: *node,
            how: "fd_limit".to_owned(),
        },
        Effect::Link { link, rule } => {
            let (name, total) = match rule {
                Rule::Cut => ("cut", true),
                Rule::Drop { loss, .. } => ("drop", *loss >= 1.0),
                Rule::Delay { .. } => ("delay", false),
                Rule::Throttle { .. } => ("throttle", false),
                Rule::Corrupt { .. } => ("corrupt", false),
                Rule::Duplicate { .. } => ("duplicate", false),
                Rule::Reorder { .. } => ("reorder", false),
            };
            Tag::Link {
                from: link.from.to_string(),
                to: link.to.to_string(),
                rule: name.to_owned(),
                total,
            }
        }
    }
}

/// Damage as the stream records it.
fn damage_tag(damage: &Damage) -> Tag {
    let link = |link: &crate::link::LinkId, rule: &str| Tag::Link {
        from: link.from.to_string(),
        to: link.to.to_string(),
        rule: rule.to_owned(),
        total: false,
    };
    match damage {
        Damage::File { node, .. } => Tag::Hampered {
            node: *node,
            how: "file".to_owned(),
        },
        Damage::Reset { link: of } => link(of, "reset"),
        Damage::HalfOpen { link: of } => link(of, "half_open"),
    }
}

/// A role that nobody has for this long makes the trial skipped.
const RESOLVE_LIMIT: Nanos = Nanos::from_secs(10);

/// A cluster that is not steady this long after the end of a broken trial is given up.
const RECOVERY_LIMIT: Nanos = Nanos::from_secs(20);
