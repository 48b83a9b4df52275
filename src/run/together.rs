//! Steps that overlap: `parallel` and `random`.
//!
//! Every branch has a conductor with a stream of its own. What `random` draws (when, which, on
//! whom, for how long) comes from one stream in the order of its beats, so that it does not depend
//! on how long anything takes.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use crate::clock::Nanos;
use crate::cluster::{ClusterView, Damage, Effect, ProcessState, hampered, victim};
use crate::fault::{Chosen, FaultSpec};
use crate::id::NodeId;
use crate::link::{Endpoint, LinkId, Rule};
use crate::plan::{Action, Choice, Keep, Random, Step};

use super::steps::{Break, Conductor};

/// So often another fault is drawn where one cannot be had or would leave too little.
const DRAWS: u32 = 8;

/// Work that goes on beside other work, each with what it is good for.
struct Going<'b, T> {
    tasks: Vec<Task<'b, T>>,
}

struct Task<'b, T> {
    /// What it has in force, or will have.
    effects: Vec<Effect>,
    done: Pin<Box<dyn Future<Output = T> + 'b>>,
}

impl<'b, T> Going<'b, T> {
    const fn new() -> Self {
        Self { tasks: Vec::new() }
    }

    fn add(&mut self, effects: Vec<Effect>, done: impl Future<Output = T> + 'b) {
        let done = Box::pin(done);
        self.tasks.push(Task { effects, done });
    }

    /// Moves all tasks on and returns what those gave that are done.
    fn poll(&mut self, cx: &mut Context<'_>) -> Vec<T> {
        let mut given = Vec::new();
        self.tasks
            .retain_mut(|task| match task.done.as_mut().poll(cx) {
                Poll::Ready(done) => {
                    given.push(done);
                    false
                }
                Poll::Pending => true,
            });
        given
    }

    /// Does `work` while the tasks go on.
    async fn during(&mut self, work: impl Future<Output = ()>) {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.poll(cx);
            work.as_mut().poll(cx)
        })
        .await;
    }

    /// Until fewer than `most` go on.
    async fn below(&mut self, most: usize) -> Vec<T> {
        let mut all = Vec::new();
        poll_fn(|cx| {
            all.extend(self.poll(cx));
            if self.tasks.len() < most {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        all
    }
}

/// What one beat of `random` does.
struct Drawn {
    verb: &'static str,
    chosen: Chosen,
    length: Option<Nanos>,
    /// Nodes to start afterwards: a restart.
    start: Vec<NodeId>,
}

impl<'a> Conductor<'a> {
    /// Executes all branches at the same time; the first one that broke off says why.
    pub(super) async fn parallel(&mut self, branches: &[Vec<Step>]) -> Result<(), Break> {
        let mut going = Going::new();
        for steps in branches {
            let mut branch = self.branch();
            going.add(Vec::new(), async move {
                let done = branch.execute(steps).await;
                (branch, done)
            });
        }
        let mut result = Ok(());
        for (branch, done) in going.below(1).await {
            self.join(branch);
            result = result.and(done);
        }
        result
    }

    /// Draws faults for a while, and waits until the last one has healed.
    pub(super) async fn random(&mut self, random: &Random) -> Result<(), Break> {
        let stage = self.stage;
        let end = stage.clock.now() + random.length;
        let mut going = Going::new();
        let mut harmed = BTreeSet::new();
        let most = usize::try_from(random.at_once).unwrap_or(usize::MAX);
        loop {
            let gap = random.every.draw(&mut self.stream);
            if stage.clock.now() + gap > end {
                break;
            }
            going.during(stage.pass(gap)).await;
            going.below(most).await;
            if stage.clock.now() > end {
                break;
            }
            let others: Vec<Effect> = going
                .tasks
                .iter()
                .flat_map(|task| task.effects.iter().cloned())
                .collect();
            let Some(drawn) = self.draw(random, &others, &harmed) else {
                continue;
            };
            harmed.extend(drawn.chosen.damage.iter().filter_map(Damage::node));
            let branch = self.branch();
            going.add(drawn.chosen.effects.clone(), async move {
                branch.carry_out(drawn).await;
            });
        }
        going.below(1).await;
        Ok(())
    }

    /// One fault that can be had now and leaves enough; `None` if a few draws found none.
    fn draw(
        &mut self,
        random: &Random,
        others: &[Effect],
        harmed: &BTreeSet<NodeId>,
    ) -> Option<Drawn> {
        for _ in 0..DRAWS {
            let choice = pick(&random.choose, self.stream.unit());
            let Some(drawn) = self.draw_choice(&choice.step) else {
                continue;
            };
            let mut touched = harmed.clone();
            touched.extend(drawn.chosen.damage.iter().filter_map(Damage::node));
            let effects = &drawn.chosen.effects;
            if !can_land(effects, others, &self.stage.view()) {
                continue;
            }
            let effects = others.iter().chain(effects);
            if leaves_enough(random.keep, self.stage.voters, &effects, &touched) {
                return Some(drawn);
            }
        }
        None
    }

    fn draw_choice(&mut self, step: &Step) -> Option<Drawn> {
        let view = self.stage.view();
        match &step.action {
            Action::Fault { fault, for_, .. } => {
                let chosen = fault
                    .as_dyn()
                    .effects(&view, &mut self.stream, &self.bindings);
                Some(Drawn {
                    verb: FaultSpec::name(fault),
                    chosen: chosen.ok()?,
                    length: for_.as_ref().map(|length| length.draw(&mut self.stream)),
                    start: Vec::new(),
                })
            }
            Action::Restart { node, grace } => {
                let nodes = node.resolve(&view, &mut self.stream, &self.bindings).ok()?;
                Some(Drawn {
                    verb: "restart",
                    chosen: self.restarted(&nodes, *grace),
                    length: None,
                    start: nodes,
                })
            }
            _ => None,
        }
    }

    async fn carry_out(&self, drawn: Drawn) {
        let id = self.inject(drawn.verb, &drawn.chosen).await;
        if let Some(length) = drawn.length {
            self.stage.pass(length).await;
            self.end(id).await;
        }
        for node in drawn.start {
            self.start(node).await;
        }
    }
}

/// The choice on which a draw from `[0, 1)` falls.
fn pick(choices: &[Choice], draw: f64) -> &Choice {
    #[expect(clippy::cast_precision_loss, reason = "weights are at most a million")]
    let weight = |choice: &Choice| choice.weight as f64;
    let mut left = draw * choices.iter().map(weight).sum::<f64>();
    for choice in choices {
        left -= weight(choice);
        if left < 0.0 {
            return choice;
        }
    }
    // Only rounding leads here.
    &choices[choices.len() - 1]
}

/// Whether every process that `effects` strike is there, and not yet what it shall become, beside
/// `others`, of which some may just be coming into force.
fn can_land(effects: &[Effect], others: &[Effect], view: &ClusterView) -> bool {
    effects.iter().all(|effect| {
        let Some(node) = victim(effect).or_else(|| hampered(effect)) else {
            return true;
        };
        let stops = matches!(effect, Effect::Paused(_));
        let process = view.node(node).map(|view| view.process);
        let is_there = match process {
            Some(ProcessState::Running) => true,
            Some(ProcessState::Paused) => !stops,
            Some(ProcessState::Down) | None => false,
        };
        let is_taken = |other: &Effect| match other {
            Effect::Down { node: down, .. } => *down == node,
            Effect::Paused(paused) => stops && *paused == node,
            _ => false,
        };
        is_there && !others.iter().any(is_taken)
    })
}

/// Whether a cluster of so many nodes has enough left under `effects`, when `harmed` nodes cannot
/// be relied on either.
fn leaves_enough<'e>(
    keep: Keep,
    voters: u8,
    effects: &(impl Iterator<Item = &'e Effect> + Clone),
    harmed: &BTreeSet<NodeId>,
) -> bool {
    let is_well = |node: &NodeId| {
        !harmed.contains(node)
            && !effects
                .clone()
                .any(|effect| !matches!(effect, Effect::Link { .. }) && effect.is_on(*node))
    };
    let well: Vec<NodeId> = NodeId::all(voters).filter(is_well).collect();
    let quorum = usize::from(voters) / 2 + 1;
    let has_quorum = well.len() >= quorum;
    let reaches = |from: NodeId, to: NodeId| {
        let link = LinkId::new(Endpoint::Node(from), Endpoint::Node(to));
        !effects.clone().any(|effect| match effect {
            Effect::Link { link: cut, rule } => {
                (*cut == link || *cut == link.reversed()) && is_total(rule)
            }
            _ => false,
        })
    };
    match keep {
        Keep::Nothing => true,
        Keep::Majority => has_quorum,
        Keep::QuorumConnected => well.iter().any(|leader| {
            let reached = |node: &&NodeId| *node == leader || reaches(*leader, **node);
            well.iter().filter(reached).count() >= quorum
        }),
    }
}

const fn is_total(rule: &Rule) -> bool {
    match rule {
        Rule::Cut => true,
        Rule::Drop { loss, .. } => *loss >= 1.0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Ending, NodeView, Role};

    fn down(node: u8) -> Effect {
        Effect::Down {
            node: NodeId(node),
            how: Ending::Kill,
        }
    }

    fn cut(from: u8, to: u8) -> Effect {
        let [from, to] = [from, to].map(|node| Endpoint::Node(NodeId(node)));
        Effect::Link {
            link: LinkId::new(from, to),
            rule: Rule::Cut,
        }
    }

    fn leaves(keep: Keep, effects: &[Effect], harmed: &[u8]) -> bool {
        let harmed = harmed.iter().copied().map(NodeId).collect();
        leaves_enough(keep, 5, &effects.iter(), &harmed)
    }

    #[test]
    fn nobody_is_struck_who_is_down_or_stopped_already_or_just_about_to_be() {
        use ProcessState::{Down, Paused, Running};
        let states = [Running, Paused, Down];
        let nodes = (1..).zip(states).map(|(id, process)| NodeView {
            id: NodeId(id),
            process,
            role: Role::Follower,
            epoch: 1,
            follows: None,
        });
        let view = ClusterView {
            nodes: nodes.collect(),
        };
        let pause = |node| Effect::Paused(NodeId(node));
        let can = |effect, others: &[Effect]| can_land(&[effect], others, &view);
        assert!(can(down(1), &[]) && can(down(2), &[]) && !can(down(3), &[]));
        assert!(can(pause(1), &[]) && !can(pause(2), &[]) && !can(pause(3), &[]));
        assert!(can(down(1), &[pause(1), cut(1, 2)]) && !can(down(1), &[down(1)]));
        assert!(!can(pause(1), &[pause(1)]) && !can(pause(1), &[down(1)]));
        assert!(
            can(cut(3, 1), &[down(3)]),
            "links of a dead node can be cut"
        );
    }

    #[test]
    fn a_majority_of_untouched_processes_is_kept_whatever_the_links_do() {
        let two = [down(1), Effect::Paused(NodeId(2))];
        let ring: Vec<Effect> = (1..=5).map(|node| cut(node, node % 5 + 1)).collect();
        assert!(leaves(Keep::Majority, &two, &[]));
        assert!(leaves(Keep::Majority, &two, &[1]), "the same node twice");
        assert!(!leaves(Keep::Majority, &two, &[3]));
        assert!(leaves(Keep::Majority, &ring, &[]));
        assert!(leaves(Keep::Nothing, &two, &[3, 4, 5]));
    }

    #[test]
    fn a_connected_quorum_is_kept_if_somebody_reaches_it_both_ways() {
        let alone: Vec<Effect> = (2..=5).map(|node| cut(node, 1)).collect();
        assert!(leaves(Keep::QuorumConnected, &alone, &[]));
        assert!(leaves(Keep::QuorumConnected, &alone, &[1, 2]));
        assert!(!leaves(Keep::QuorumConnected, &alone, &[2, 3]));
    }

    #[test]
    fn choices_are_drawn_by_their_weight() {
        let choice = |weight, text: &str| Choice {
            weight,
            step: Step {
                path: String::new(),
                line: 1,
                action: Action::Mark(text.to_owned()),
            },
        };
        let choices = [choice(3, "often"), choice(1, "rarely")];
        let drawn = |draw| match &pick(&choices, draw).step.action {
            Action::Mark(text) => text.clone(),
            other => format!("{other:?}"),
        };
        assert_eq!(drawn(0.0), "often");
        assert_eq!(drawn(0.74), "often");
        assert_eq!(drawn(0.76), "rarely");
        assert_eq!(drawn(0.999_999), "rarely");
    }
}
