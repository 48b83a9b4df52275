//! The ledger: which effects are in force by which fault, and what follows for nodes and links.
//!
//! A fault that ends removes its line, so nothing can be forgotten to heal, and faults that
//! overlap have one meaning: the worst effect on a node wins, all rules of a link add up.

use std::collections::{BTreeMap, BTreeSet};

use super::clock_file::Skew;
use super::effect::{Effect, Ending};
use super::view::ProcessState;
use crate::disk::Rule as DiskRule;
use crate::id::{FaultId, NodeId};
use crate::link::{Endpoint, LinkId, Rule};

/// The effects of every fault that has begun and not ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    in_force: BTreeMap<FaultId, Vec<Effect>>,
}

/// One change that moves a process towards its wanted state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// End it and reap it.
    End,
    /// Launch it.
    Start,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
}

impl Ledger {
    /// Puts the effects of `fault` in force. A fault that begins twice has the effects of both; one
    /// without effects is not in force.
    pub fn begin(&mut self, fault: FaultId, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        self.in_force.entry(fault).or_default().extend(effects);
    }

    /// Lifts all effects of `fault` and returns them; none if it is not in force.
    pub fn end(&mut self, fault: FaultId) -> Vec<Effect> {
        self.in_force.remove(&fault).unwrap_or_default()
    }

    /// Lifts everything and returns the faults that were in force.
    pub fn heal(&mut self) -> Vec<FaultId> {
        std::mem::take(&mut self.in_force).into_keys().collect()
    }

    /// The node is started: it is neither down nor paused any more, by whatever fault. What a
    /// fault that brought it down did to its links ends too, but not to links with a node that is
    /// still down by the same fault. Returns the faults of which nothing is left.
    pub fn start(&mut self, node: NodeId) -> Vec<FaultId> {
        self.lift(|effects| {
            let was_down = effects.iter().any(|effect| is_down(effect, node));
            effects.retain(|effect| !is_down(effect, node) && *effect != Effect::Paused(node));
            let down: BTreeSet<NodeId> = downs(effects).collect();
            effects.retain(|effect| match effect {
                Effect::Link { link, .. } => {
                    !was_down
                        || !link.touches(node)
                        || down.iter().any(|other| link.touches(*other))
                }
                Effect::Down { .. }
                | Effect::Paused(_)
                | Effect::Stutter { .. }
                | Effect::FdLimit { .. }
                | Effect::Clock { .. }
                | Effect::Disk { .. } => true,
            });
        })
    }

    /// The node runs again: it is not paused any more, by whatever fault. Returns the faults of
    /// which nothing is left.
    pub fn resume(&mut self, node: NodeId) -> Vec<FaultId> {
        self.lift(|effects| effects.retain(|effect| *effect != Effect::Paused(node)))
    }

    /// What the process of `node` should be. The worst effect wins.
    #[must_use]
    pub fn wanted(&self, node: NodeId) -> ProcessState {
        if self.effects().any(|effect| is_down(effect, node)) {
            ProcessState::Down
        } else if self.effects().any(|effect| *effect == Effect::Paused(node)) {
            ProcessState::Paused
        } else {
            ProcessState::Running
        }
    }

    /// How `node` is brought down, if it should be: a power failure beats a kill, and
    /// that a termination.
    #[must_use]
    pub fn ending(&self, node: NodeId) -> Option<Ending> {
        let endings = self.effects().filter_map(|effect| match effect {
            Effect::Down { node: down, how } if *down == node => Some(*how),
            _ => None,
        });
        endings.min_by_key(|how| match how {
            Ending::PowerLoss => 0,
            Ending::Kill => 1,
            Ending::Terminate { grace } => grace.0.saturating_add(2),
        })
    }

    /// The share of the time in which `node` may run, and the period, if it stutters: the smallest
    /// share wins.
    #[must_use]
    pub fn stutter(&self, node: NodeId) -> Option<(f64, crate::clock::Nanos)> {
        let asked = self.effects().filter_map(|effect| match effect {
            Effect::Stutter {
                node: of,
                share,
                period,
            } if *of == node => Some((*share, *period)),
            _ => None,
        });
        asked.min_by(|one, other| one.0.total_cmp(&other.0))
    }

    /// How far the clocks of `node` are off, all faults together.
    #[must_use]
    pub fn skew(&self, node: NodeId) -> Skew {
        let asked = self.effects().filter_map(|effect| match effect {
            Effect::Clock { node: of, skew } if *of == node => Some(*skew),
            _ => None,
        });
        asked.fold(Skew::default(), Skew::and)
    }

    /// How many descriptors `node` may open, if that is limited: the lowest limit wins.
    #[must_use]
    pub fn fd_limit(&self, node: NodeId) -> Option<u64> {
        let asked = self.effects().filter_map(|effect| match effect {
            Effect::FdLimit { node: of, soft } if *of == node => Some(*soft),
            _ => None,
        });
        asked.min()
    }

    /// What calls to the disk of `node` meet: the rules of all faults, each with a number that
    /// stays the same while its fault lasts.
    #[must_use]
    pub fn disk_rules(&self, node: NodeId) -> BTreeMap<u64, DiskRule> {
        let mut rules = BTreeMap::new();
        for (fault, effects) in &self.in_force {
            let of_node = effects.iter().filter_map(|effect| match effect {
                Effect::Disk { node: of, rule } if *of == node => Some(rule),
                _ => None,
            });
            rules.extend(rules_of(*fault).zip(of_node.cloned()));
        }
        rules
    }

    /// The rules of all links, in the order in which their faults began.
    #[must_use]
    pub fn rules(&self) -> BTreeMap<LinkId, Vec<Rule>> {
        let mut rules: BTreeMap<LinkId, Vec<Rule>> = BTreeMap::new();
        for effect in self.effects() {
            if let Effect::Link { link, rule } = effect {
                rules.entry(*link).or_default().push(*rule);
            }
        }
        rules
    }

    /// The faults in force with what is left of their effects.
    #[must_use]
    pub const fn in_force(&self) -> &BTreeMap<FaultId, Vec<Effect>> {
        &self.in_force
    }

    /// The nodes that should not be running.
    #[must_use]
    pub fn stricken(&self) -> BTreeSet<NodeId> {
        self.effects().filter_map(victim).collect()
    }

    /// Whether data from `from` to `to` is cut off altogether.
    #[must_use]
    pub fn is_cut(&self, from: Endpoint, to: Endpoint) -> bool {
        self.effects()
            .any(|effect| matches!(effect, Effect::Link { link, rule: Rule::Cut } if *link == LinkId::new(from, to)))
    }

    fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.in_force.values().flatten()
    }

    fn lift(&mut self, mut change: impl FnMut(&mut Vec<Effect>)) -> Vec<FaultId> {
        let mut ended = Vec::new();
        self.in_force.retain(|fault, effects| {
            let before = effects.len();
            change(effects);
            if effects.is_empty() && before > 0 {
                ended.push(*fault);
            }
            !effects.is_empty()
        });
        ended
    }
}

/// The numbers of the rules by which a fault strikes one disk.
pub(super) fn rules_of(fault: FaultId) -> std::ops::Range<u64> {
    let first = u64::from(fault.0) << 16;
    first..first + (1 << 16)
}

/// The node whose process an effect ends or stops.
#[must_use]
pub const fn victim(effect: &Effect) -> Option<NodeId> {
    match effect {
        Effect::Down { node, .. } | Effect::Paused(node) => Some(*node),
        _ => None,
    }
}

/// The node whose process goes on, hampered.
#[must_use]
pub const fn hampered(effect: &Effect) -> Option<NodeId> {
    match effect {
        Effect::Stutter { node, .. }
        | Effect::FdLimit { node, .. }
        | Effect::Clock { node, .. }
        | Effect::Disk { node, .. } => Some(*node),
        Effect::Down { .. } | Effect::Paused(_) | Effect::Link { .. } => None,
    }
}

/// The steps from what a process is to what it should be.
#[must_use]
pub const fn steps(is: ProcessState, wanted: ProcessState) -> &'static [Step] {
    use ProcessState::{Down, Paused, Running};
    match (is, wanted) {
        (Running, Running) | (Paused, Paused) | (Down, Down) => &[],
        (Running | Paused, Down) => &[Step::End],
        (Running, Paused) => &[Step::Stop],
        (Paused, Running) => &[Step::Continue],
        (Down, Running) => &[Step::Start],
        (Down, Paused) => &[Step::Start, Step::Stop],
    }
}

fn is_down(effect: &Effect, of: NodeId) -> bool {
    matches!(effect, Effect::Down { node, .. } if *node == of)
}

fn downs(effects: &[Effect]) -> impl Iterator<Item = NodeId> {
    effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Down { .. }))
        .filter_map(victim)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Nanos;
    use crate::disk::{Act as DiskAct, Calls};
    use crate::link::DropLayer;

    const NODES: u8 = 4;

    fn between(from: u8, to: u8) -> LinkId {
        LinkId::new(Endpoint::Node(NodeId(from)), Endpoint::Node(NodeId(to)))
    }

    fn cut(from: u8, to: u8) -> Effect {
        Effect::Link {
            link: between(from, to),
            rule: Rule::Cut,
        }
    }

    fn kill(node: u8) -> Effect {
        Effect::Down {
            node: NodeId(node),
            how: Ending::Kill,
        }
    }

    /// What the operating system does on each step; `None` if the step is impossible.
    fn perform(is: ProcessState, step: Step) -> Option<ProcessState> {
        match (is, step) {
            (ProcessState::Running | ProcessState::Paused, Step::End) => Some(ProcessState::Down),
            (ProcessState::Down, Step::Start) | (ProcessState::Paused, Step::Continue) => {
                Some(ProcessState::Running)
            }
            (ProcessState::Running, Step::Stop) => Some(ProcessState::Paused),
            (_, Step::End | Step::Start | Step::Stop | Step::Continue) => None,
        }
    }

    fn effect() -> impl Strategy<Value = Effect> {
        let node = 1..=NODES;
        prop_oneof![
            node.clone().prop_map(kill),
            node.clone().prop_map(|n| Effect::Paused(NodeId(n))),
            (node.clone(), node).prop_map(|(from, to)| cut(from, to)),
            (1..=NODES).prop_map(|n| Effect::Link {
                link: LinkId::new(Endpoint::Clients, Endpoint::Node(NodeId(n))),
                rule: Rule::Drop {
                    loss: 0.3,
                    layer: DropLayer::Stall
                },
            }),
            hamper(),
        ]
    }

    /// What leaves the process where it is, and hampers it.
    fn hamper() -> impl Strategy<Value = Effect> {
        let node = || (1..=NODES).prop_map(NodeId);
        let skew = |bump_ms| Skew {
            bump_ms,
            ..Skew::default()
        };
        prop_oneof![
            (node(), 1..99_u8).prop_map(|(node, percent)| Effect::Stutter {
                node,
                share: f64::from(percent) / 100.0,
                period: Nanos::from_millis(100),
            }),
            (node(), 10..100_u64).prop_map(|(node, soft)| Effect::FdLimit { node, soft }),
            (node(), 1..1_000_i64).prop_map(move |(node, bump_ms)| Effect::Clock {
                node,
                skew: skew(bump_ms),
            }),
            (node(), 1..5_u64).prop_map(|(node, nth)| Effect::Disk {
                node,
                rule: DiskRule {
                    calls: Calls {
                        op: None,
                        file: None,
                        nth,
                    },
                    act: DiskAct::Full,
                },
            }),
        ]
    }

    /// What is wanted of a node beside its process being there is what the faults in force say,
    /// together.
    fn is_hampered_as_said(ledger: &Ledger, node: NodeId) -> Result<(), TestCaseError> {
        let effects: Vec<&Effect> = ledger.in_force().values().flatten().collect();
        let of = |test: fn(&Effect) -> bool| {
            let mine = |effect: &&&Effect| hampered(effect) == Some(node) && test(effect);
            effects.iter().filter(mine).count()
        };
        let stutters = of(|effect| matches!(effect, Effect::Stutter { .. }));
        prop_assert_eq!(ledger.stutter(node).is_some(), stutters > 0);
        let limits = of(|effect| matches!(effect, Effect::FdLimit { .. }));
        prop_assert_eq!(ledger.fd_limit(node).is_some(), limits > 0);
        let clocks = of(|effect| matches!(effect, Effect::Clock { .. }));
        prop_assert_eq!(ledger.skew(node) != Skew::default(), clocks > 0);
        let rules = of(|effect| matches!(effect, Effect::Disk { .. }));
        prop_assert_eq!(ledger.disk_rules(node).len(), rules);
        Ok(())
    }

    #[derive(Debug, Clone)]
    enum Act {
        Begin(Vec<Effect>),
        End(usize),
        Start(u8),
        Resume(u8),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            3 => prop::collection::vec(effect(), 1..5).prop_map(Act::Begin),
            2 => any::<prop::sample::Index>().prop_map(|i| Act::End(i.index(64))),
            1 => (1..=NODES).prop_map(Act::Start),
            1 => (1..=NODES).prop_map(Act::Resume),
        ]
    }

    proptest! {
        #[test]
        fn any_interleaving_of_faults_heals(acts in prop::collection::vec(act(), 0..40)) {
            let mut ledger = Ledger::default();
            let mut open: BTreeSet<FaultId> = BTreeSet::new();
            let mut processes = [ProcessState::Running; NODES as usize];
            for (number, act) in (1..).zip(acts) {
                match act {
                    Act::Begin(effects) => {
                        ledger.begin(FaultId(number), effects);
                        open.insert(FaultId(number));
                    }
                    Act::End(which) => {
                        if let Some(fault) = open.iter().nth(which % open.len().max(1)).copied() {
                            prop_assert!(!ledger.end(fault).is_empty());
                            open.remove(&fault);
                        }
                    }
                    Act::Start(node) => {
                        for ended in ledger.start(NodeId(node)) {
                            prop_assert!(open.remove(&ended));
                        }
                        prop_assert_eq!(ledger.wanted(NodeId(node)), ProcessState::Running);
                    }
                    Act::Resume(node) => {
                        for ended in ledger.resume(NodeId(node)) {
                            prop_assert!(open.remove(&ended));
                        }
                        prop_assert_ne!(ledger.wanted(NodeId(node)), ProcessState::Paused);
                    }
                }
                prop_assert!(ledger.in_force().keys().eq(open.iter()));
                for (id, is) in NodeId::all(NODES).zip(&mut processes) {
                    for step in steps(*is, ledger.wanted(id)) {
                        *is = perform(*is, *step).expect("a step that the system allows");
                    }
                    prop_assert_eq!(*is, ledger.wanted(id));
                    prop_assert_eq!(ledger.ending(id).is_some(), *is == ProcessState::Down);
                    is_hampered_as_said(&ledger, id)?;
                    prop_assert_eq!(ledger.stricken().contains(&id), *is != ProcessState::Running);
                }
            }
            prop_assert_eq!(ledger.heal(), open.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(&ledger, &Ledger::default());
            prop_assert!(ledger.rules().is_empty());
            for id in NodeId::all(NODES) {
                is_hampered_as_said(&ledger, id)?;
            }
        }
    }

    #[test]
    fn starting_a_node_that_lost_power_brings_its_links_back() {
        let mut ledger = Ledger::default();
        ledger.begin(FaultId(1), vec![cut(1, 2), cut(2, 1), kill(1)]);
        ledger.begin(FaultId(2), vec![cut(1, 3)]);
        assert_eq!(ledger.start(NodeId(1)), [FaultId(1)]);
        assert_eq!(
            ledger.rules(),
            BTreeMap::from([(between(1, 3), vec![Rule::Cut])])
        );
    }

    #[test]
    fn links_to_a_node_that_is_still_without_power_stay_cut() {
        let mut ledger = Ledger::default();
        ledger.begin(
            FaultId(1),
            vec![cut(1, 2), cut(1, 3), cut(2, 3), kill(1), kill(2)],
        );
        assert!(ledger.start(NodeId(1)).is_empty());
        assert!(ledger.rules().keys().eq([&between(1, 2), &between(2, 3)]));
        assert_eq!(ledger.start(NodeId(2)), [FaultId(1)]);
    }

    #[test]
    fn a_kill_during_a_pause_wins_and_its_end_leaves_the_pause() {
        let mut ledger = Ledger::default();
        ledger.begin(FaultId(1), vec![Effect::Paused(NodeId(1))]);
        ledger.begin(FaultId(2), vec![kill(1)]);
        assert_eq!(ledger.wanted(NodeId(1)), ProcessState::Down);
        ledger.end(FaultId(2));
        assert_eq!(ledger.wanted(NodeId(1)), ProcessState::Paused);
    }

    #[test]
    fn the_quickest_ending_wins() {
        let slow = Ending::Terminate {
            grace: Nanos::from_secs(5),
        };
        let mut ledger = Ledger::default();
        ledger.begin(
            FaultId(1),
            vec![Effect::Down {
                node: NodeId(1),
                how: slow,
            }],
        );
        assert_eq!(ledger.ending(NodeId(1)), Some(slow));
        ledger.begin(FaultId(2), vec![kill(1)]);
        assert_eq!(ledger.ending(NodeId(1)), Some(Ending::Kill));
    }
}
