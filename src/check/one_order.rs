//! One order of updates that every session follows: reads may be old, but never go back.
//!
//! The promise, per key: the updates have an order that is consistent with real time; every
//! session sees states of that order, never an older one after a newer one, and none older than
//! its own last write; and nothing is seen before it was written.
//!
//! *Chain*: an update and the CASes that each replaced the one before; nothing can come between
//! them. *First* of a chain: when one of its values was certainly there. *Last*: when the latest of
//! its updates began. Chain A must come before B if `first(A) < last(B)` or if a session went from A
//! to B. An order exists exactly if no chain has to go back inside itself and there is no cycle.
//! Chains are taken one by one: one that nobody has to precede, until none is left or all wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::Evidence;
use super::sources::{Source, Sources, tick, written};
use crate::history::{FixedMap, History};
use crate::id::ProcessId;
use crate::model::Call;
use crate::verdict::Verdict;

/// What became of the promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OneOrder {
    /// Fail: a key has no order. Unknown: some source is unclear, or nothing was seen.
    pub(super) verdict: Verdict,
    /// Observations.
    pub(super) sights: usize,
    /// Operations whose source is unclear.
    pub(super) unclear: usize,
    /// Keys without such an order.
    pub(super) violations: usize,
    /// Why the first of them has none.
    pub(super) evidence: Option<Evidence>,
}

/// Looks for one order of updates on every key.
pub(super) fn judge(history: &History, sources: &Sources) -> OneOrder {
    let mut found = OneOrder {
        verdict: Verdict::Unknown,
        sights: 0,
        unclear: 0,
        violations: 0,
        evidence: None,
    };
    let mut keys: Vec<Vec<u32>> = history.keys.iter().map(|_| Vec::new()).collect();
    for (index, operation) in (0..).zip(&history.operations) {
        keys[operation.key.0 as usize].push(index);
    }
    for indices in &keys {
        let key = KeyOrder {
            history,
            sources,
            indices,
        };
        if let Err(clash) = key.judge(&mut found) {
            found.violations += 1;
            (found.evidence).get_or_insert_with(|| clash.evidence(history));
        }
    }
    found.verdict = match (found.violations, found.sights, found.unclear) {
        (1.., ..) => Verdict::Fail,
        (0, 1.., 0) => Verdict::Pass,
        (0, ..) => Verdict::Unknown,
    };
    found
}

/// Why there is no order.
#[derive(Debug)]
struct Clash {
    operations: Vec<u32>,
    /// What each step of the contradiction says.
    steps: Vec<String>,
}

/// One key.
struct KeyOrder<'a> {
    history: &'a History,
    sources: &'a Sources,
    indices: &'a [u32],
}

/// A chain, and a place in it.
type Place = (u32, u32);

/// The updates that take effect, as nodes; the first is the initial value.
#[derive(Debug, Default)]
struct Nodes {
    /// The update of each; `NONE` for the initial value.
    updates: Vec<u32>,
    /// The node of each update.
    of: FixedMap<u32, u32>,
    /// The node that each one's CAS replaced.
    parents: Vec<u32>,
    /// The chain of each, and its place in it.
    chains: Vec<Place>,
}

/// A session went from one node to another.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: u32,
    to: u32,
    /// The operation that shows it.
    shown_by: u32,
}

/// The chain as a whole: two moments, each with the node that sets it.
#[derive(Debug, Clone, Copy)]
struct Chain {
    first: (u64, u32),
    last: (u64, u32),
}

impl KeyOrder<'_> {
    fn judge(&self, found: &mut OneOrder) -> Result<(), Clash> {
        let sights = found.sights;
        for index in self.indices {
            self.look_at(*index, found)?;
        }
        if found.sights == sights {
            return Ok(());
        }
        let mut nodes = self.nodes()?;
        let (places, chains) = self.chains(&nodes)?;
        nodes.chains = places;
        let steps = self.steps(&nodes);
        self.follow(&nodes, &steps)?;
        self.order(&nodes, &chains, &steps)
    }

    /// Counts an observation, and finds what no order can explain.
    fn look_at(&self, index: u32, found: &mut OneOrder) -> Result<(), Clash> {
        let operation = &self.history.operations[index as usize];
        let Some(source) = self.sources.source(operation) else {
            return Ok(());
        };
        found.sights += usize::from(written(operation).is_none());
        let what = self.tell(index);
        match source {
            Source::Unclear => found.unclear += 1,
            Source::Nowhere => {
                return Err(Clash {
                    operations: vec![index],
                    steps: vec![format!("{what} saw a value that nobody wrote")],
                });
            }
            Source::Update(update) => {
                if self.history.operations[update as usize].invoked > operation.completed {
                    let writer = self.tell(update);
                    return Err(Clash {
                        operations: vec![update, index],
                        steps: vec![format!("{what} was over before {writer} began")],
                    });
                }
            }
            Source::Initial => {}
        }
        Ok(())
    }

    /// The updates that took effect, and what each CAS replaced.
    fn nodes(&self) -> Result<Nodes, Clash> {
        let mut takes_effect = BTreeSet::new();
        for index in self.indices {
            let operation = &self.history.operations[*index as usize];
            let mut next = Some(*index)
                .filter(|_| written(operation).is_some() && self.sources.since(*index) != u64::MAX);
            // A CAS that happened saw what it replaced, so that happened too.
            while let Some(update) = next.filter(|update| takes_effect.insert(*update)) {
                next = match self.replaced(update) {
                    Some(Source::Update(parent)) => Some(parent),
                    Some(Source::Nowhere) => return Err(self.unwritten(update)),
                    Some(Source::Initial | Source::Unclear) | None => None,
                };
            }
        }
        let mut nodes = Nodes::default();
        nodes.updates.push(NONE);
        for update in takes_effect {
            nodes.of.insert(update, nodes.updates.len() as u32);
            nodes.updates.push(update);
        }
        nodes.parents = vec![NONE; nodes.updates.len()];
        for (node, update) in nodes.updates.iter().enumerate().skip(1) {
            match self.replaced(*update) {
                Some(Source::Update(parent)) => nodes.parents[node] = nodes.of[&parent],
                Some(Source::Initial) => nodes.parents[node] = 0,
                Some(Source::Nowhere | Source::Unclear) | None => {}
            }
        }
        Ok(nodes)
    }

    fn unwritten(&self, update: u32) -> Clash {
        let what = self.tell(update);
        Clash {
            operations: vec![update],
            steps: vec![format!("{what} replaced a value that nobody wrote")],
        }
    }

    /// What a CAS replaced.
    fn replaced(&self, update: u32) -> Option<Source> {
        self.sources
            .replaced(&self.history.operations[update as usize])
    }

    /// Walks the chains; every node gets its place.
    fn chains(&self, nodes: &Nodes) -> Result<(Vec<Place>, Vec<Chain>), Clash> {
        let count = nodes.updates.len();
        let mut children = vec![NONE; count];
        for (node, parent) in (0..).zip(&nodes.parents) {
            if *parent == NONE {
                continue;
            }
            let other = std::mem::replace(&mut children[*parent as usize], node);
            if other != NONE {
                let both = [other, node].map(|node| nodes.updates[node as usize]);
                let [a, b] = both.map(|update| self.tell(update));
                return Err(Clash {
                    operations: both.to_vec(),
                    steps: vec![format!("{a} and {b} replaced the same value")],
                });
            }
        }
        let (mut places, mut chains) = (vec![(NONE, 0); count], Vec::new());
        for root in (0..count).filter(|node| nodes.parents[*node] == NONE) {
            let mut chain = Chain {
                first: (u64::MAX, NONE),
                last: (0, root as u32),
            };
            let (mut at, mut place) = (root as u32, 0);
            while at != NONE {
                let (begun, since) = self.moments(nodes, at);
                if since < chain.last.0 {
                    return Err(self.backwards(nodes, chain.last.1, at));
                }
                places[at as usize] = (chains.len() as u32, place);
                chain.first = chain.first.min((since, at));
                chain.last = chain.last.max((begun, at));
                (at, place) = (children[at as usize], place + 1);
            }
            chains.push(chain);
        }
        if let Some(node) = places.iter().position(|(chain, _)| *chain == NONE) {
            return Err(self.circle(nodes, node as u32));
        }
        Ok((places, chains))
    }

    /// When an update began, and since when its value was there.
    fn moments(&self, nodes: &Nodes, node: u32) -> (u64, u64) {
        let update = nodes.updates[node as usize];
        if update == NONE {
            return (0, 0);
        }
        let begun = self.history.operations[update as usize].invoked;
        (tick(begun.0), self.sources.since(update))
    }

    fn backwards(&self, nodes: &Nodes, early: u32, late: u32) -> Clash {
        let [early, late] = [early, late].map(|node| nodes.updates[node as usize]);
        let [a, b] = [early, late].map(|update| self.tell(update));
        Clash {
            operations: vec![early, late],
            steps: vec![format!(
                "{b} took effect before {a} began, but its chain of cas comes after it"
            )],
        }
    }

    fn circle(&self, nodes: &Nodes, start: u32) -> Clash {
        let (mut operations, mut at) = (Vec::new(), start);
        loop {
            operations.push(nodes.updates[at as usize]);
            at = nodes.parents[at as usize];
            if at == start {
                let all: Vec<String> = operations.iter().map(|o| self.tell(*o)).collect();
                let steps = vec![format!("{} need each other in a circle", all.join(", "))];
                return Clash { operations, steps };
            }
        }
    }

    /// What each session saw or wrote, one after the other.
    fn steps(&self, nodes: &Nodes) -> Vec<Step> {
        let mut last: BTreeMap<ProcessId, (u32, u64)> = BTreeMap::new();
        let mut steps = Vec::new();
        for index in self.indices {
            let operation = &self.history.operations[*index as usize];
            let update = if operation.is_acknowledged_update() {
                Some(*index)
            } else {
                match self.sources.source(operation) {
                    Some(Source::Update(update)) => Some(update),
                    Some(Source::Initial) => Some(NONE),
                    Some(Source::Nowhere | Source::Unclear) | None => None,
                }
            };
            let node = update.and_then(|update| match update {
                NONE => Some(0),
                update => nodes.of.get(&update).copied(),
            });
            let Some(to) = node else { continue };
            let begun = tick(operation.invoked.0);
            let end = tick(operation.completed.0);
            let entry = last.entry(operation.process).or_insert((to, end));
            // A process does one thing after the other; if a recorded one did not, it has no order.
            if entry.1 < begun {
                steps.push(Step {
                    from: entry.0,
                    to,
                    shown_by: *index,
                });
                *entry = (to, end);
            } else {
                entry.1 = entry.1.max(end);
            }
        }
        steps.retain(|step| step.from != step.to);
        steps
    }

    /// No session goes back inside a chain.
    fn follow(&self, nodes: &Nodes, steps: &[Step]) -> Result<(), Clash> {
        let is_back = |step: &&Step| {
            let [from, to] = [step.from, step.to].map(|node| nodes.chains[node as usize]);
            from.0 == to.0 && to.1 < from.1
        };
        match steps.iter().find(is_back) {
            None => Ok(()),
            Some(step) => Err(Clash {
                operations: self.operations_of(nodes, step),
                steps: vec![
                    self.tell_step(nodes, step),
                    "a chain of cas leads from the second to the first".to_owned(),
                ],
            }),
        }
    }

    fn operations_of(&self, nodes: &Nodes, step: &Step) -> Vec<u32> {
        [step.from, step.to]
            .map(|node| nodes.updates[node as usize])
            .into_iter()
            .filter(|update| *update != NONE)
            .chain([step.shown_by])
            .collect()
    }

    /// Takes the chains one by one.
    fn order(&self, nodes: &Nodes, chains: &[Chain], steps: &[Step]) -> Result<(), Clash> {
        let mut queue = Queue::new(nodes, chains, steps);
        while let Some(chain) = queue.next() {
            queue.take(chain);
        }
        if queue.left.iter().any(|left| *left) {
            return Err(self.cycle(nodes, chains, steps, &queue.left));
        }
        Ok(())
    }

    /// Chains that wait for each other.
    fn cycle(&self, nodes: &Nodes, chains: &[Chain], steps: &[Step], left: &[bool]) -> Clash {
        let chain_of = |node: u32| nodes.chains[node as usize].0;
        let mut waits: FixedMap<u32, Step> = FixedMap::default();
        for step in steps {
            let [from, to] = [step.from, step.to].map(chain_of);
            if from == to || !left[from as usize] || !left[to as usize] {
                continue;
            }
            if chains[to as usize].first.0 < chains[from as usize].last.0 {
                return self.clash(nodes, chains, &[(to, from, None), (from, to, Some(*step))]);
            }
            waits.entry(to).or_insert(*step);
        }
        // Whoever has the earliest first blocks whoever began last; else a session blocks it.
        let all = || (0..chains.len() as u32).filter(|chain| left[*chain as usize]);
        let mut firsts: Vec<u32> = all().collect();
        firsts.sort_unstable_by_key(|chain| chains[*chain as usize].first);
        let mut path: Vec<(u32, u32, Option<Step>)> = Vec::new();
        let mut at = firsts.first().copied().unwrap_or(0);
        let mut met: FixedMap<u32, usize> = FixedMap::default();
        while met.insert(at, path.len()).is_none() {
            let blocker = firsts.iter().take(2).copied().find(|other| {
                *other != at && chains[*other as usize].first.0 < chains[at as usize].last.0
            });
            let edge = match (blocker, waits.get(&at)) {
                (Some(other), _) => (other, at, None),
                (None, Some(step)) => (chain_of(step.from), at, Some(*step)),
                (None, None) => break,
            };
            path.push(edge);
            at = edge.0;
        }
        let start = path.iter().position(|edge| edge.1 == at).unwrap_or(0);
        let mut cycle = path.split_off(start);
        cycle.reverse();
        self.clash(nodes, chains, &cycle)
    }

    fn clash(&self, nodes: &Nodes, chains: &[Chain], edges: &[(u32, u32, Option<Step>)]) -> Clash {
        let (mut operations, mut steps) = (Vec::new(), Vec::new());
        for (from, to, step) in edges {
            if let Some(step) = step {
                operations.extend(self.operations_of(nodes, step));
                steps.push(self.tell_step(nodes, step));
                continue;
            }
            let ends = [chains[*from as usize].first.1, chains[*to as usize].last.1];
            let ends = ends.map(|node| nodes.updates[node as usize]);
            operations.extend(ends.iter().filter(|update| **update != NONE));
            let [a, b] = ends.map(|update| self.tell(update));
            steps.push(format!("{a} took effect before {b} began"));
        }
        Clash { operations, steps }
    }

    fn tell_step(&self, nodes: &Nodes, step: &Step) -> String {
        let process = self.history.operations[step.shown_by as usize].process;
        let [a, b] = [step.from, step.to].map(|node| self.tell_value(nodes.updates[node as usize]));
        format!("process {process} went from {a} to {b}")
    }

    /// The value of an update.
    fn tell_value(&self, update: u32) -> String {
        let operation = self.history.operations.get(update as usize);
        let value = operation.and_then(written);
        value.map_or_else(
            || "the initial value".to_owned(),
            |value| self.history.values.show(value).to_string(),
        )
    }

    /// An operation in words.
    fn tell(&self, index: u32) -> String {
        let Some(operation) = self.history.operations.get(index as usize) else {
            return "the initial value".to_owned();
        };
        let call = Call::from(operation).describe(&self.history.values);
        format!("process {}'s {call}", operation.process)
    }
}

/// The chains that are not yet in the order.
struct Queue<'a> {
    chains: &'a [Chain],
    left: Vec<bool>,
    /// How many steps of sessions lead to each from others that are left.
    waits: Vec<u32>,
    /// Where steps of sessions lead.
    next: Vec<Vec<u32>>,
    /// Those left by their first.
    firsts: BTreeSet<(u64, u32)>,
    /// For whom no session waits, by their last.
    ready: BinaryHeap<Reverse<(u64, u32)>>,
}

impl<'a> Queue<'a> {
    fn new(nodes: &Nodes, chains: &'a [Chain], steps: &[Step]) -> Self {
        let count = chains.len();
        let firsts = (0..)
            .zip(chains)
            .map(|(number, chain)| (chain.first.0, number));
        let mut queue = Self {
            chains,
            left: vec![true; count],
            waits: vec![0; count],
            next: vec![Vec::new(); count],
            firsts: firsts.collect(),
            ready: BinaryHeap::new(),
        };
        for step in steps {
            let [from, to] = [step.from, step.to].map(|node| nodes.chains[node as usize].0);
            if from != to {
                queue.waits[to as usize] += 1;
                queue.next[from as usize].push(to);
            }
        }
        for chain in (0..count as u32).filter(|chain| queue.waits[*chain as usize] == 0) {
            (queue.ready).push(Reverse((chains[chain as usize].last.0, chain)));
        }
        queue
    }

    /// A chain that nobody has to precede: the one that ends first, or, if the one that was there
    /// first keeps it back, that one.
    fn next(&mut self) -> Option<u32> {
        while let Some(Reverse((_, chain))) = self.ready.peek()
            && !self.left[*chain as usize]
        {
            self.ready.pop();
        }
        let Reverse((last, ready)) = *self.ready.peek()?;
        let mut firsts = self.firsts.iter().copied();
        let (first, earliest) = firsts.next()?;
        let second = firsts.next().map_or(u64::MAX, |(first, _)| first);
        let bound = if earliest == ready { second } else { first };
        if last <= bound {
            return Some(ready);
        }
        let is_free = self.waits[earliest as usize] == 0 && earliest != ready;
        let own = self.chains[earliest as usize].last.0;
        (is_free && own <= second).then_some(earliest)
    }

    fn take(&mut self, chain: u32) {
        self.left[chain as usize] = false;
        let first = self.chains[chain as usize].first.0;
        self.firsts.remove(&(first, chain));
        for next in std::mem::take(&mut self.next[chain as usize]) {
            self.waits[next as usize] -= 1;
            if self.waits[next as usize] == 0 {
                let last = self.chains[next as usize].last.0;
                self.ready.push(Reverse((last, next)));
            }
        }
    }
}

impl Clash {
    fn evidence(mut self, history: &History) -> Evidence {
        self.operations.sort_unstable();
        self.operations.dedup();
        let operations: Vec<usize> = self.operations.iter().map(|o| *o as usize).collect();
        let key = history.key_name(history.operations[operations[0]].key);
        let more = self.steps.len().saturating_sub(STEPS);
        self.steps.truncate(STEPS);
        let more = match more {
            0 => String::new(),
            more => format!(", and {more} more steps lead back"),
        };
        Evidence {
            key: key.to_owned(),
            operations,
            sentence: format!(
                "no order of the updates of {key} explains what every session saw: {}{more}",
                self.steps.join(", but ")
            ),
            attempt: None,
        }
    }
}

const NONE: u32 = u32::MAX;

/// So many steps of a contradiction are told.
const STEPS: usize = 4;
