//! Names and open faults, followed through the steps in their order.
//!
//! A name is *bound* by `as:` of an earlier step, or by `each` for its own steps. A fault is
//! *open* when nothing in the plan ends it so far.

use std::collections::BTreeMap;
use std::ops::Range;

use super::diagnostic::{Diagnostic, nearest};
use super::document::{Kind, Node};
use crate::fault::{FaultSpec, Network, Selector};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// A fault and its nodes.
    Fault,
    /// The node of an `each`.
    Node,
}

/// A fault that nothing has ended so far.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) verb: &'static str,
    name: Option<String>,
    nodes: Vec<Selector>,
    /// `start` and `resume` end it too.
    of_process: bool,
    pub(super) place: Range<usize>,
}

/// Everything that earlier steps did and later ones may refer to.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) nodes: u8,
    pub(super) network: Network,
    bound: BTreeMap<String, Bound>,
    /// Every `as:` of the plan with its place, to tell "too early" from "unknown".
    all: BTreeMap<String, Range<usize>>,
    open: Vec<Open>,
    /// The name of the trial around, if in one.
    pub(super) trial: Option<String>,
    pub(super) depth: usize,
    /// Inside of `parallel`, where a trial would not know which faults are its own.
    pub(super) in_parallel: bool,
}

impl Scope {
    pub(super) fn new(nodes: u8, network: Network, steps: &Node) -> Self {
        let mut scope = Self {
            nodes,
            network,
            ..Self::default()
        };
        scope.collect_names(steps);
        scope
    }

    fn collect_names(&mut self, node: &Node) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| self.collect_names(item)),
            Kind::Map(entries) => {
                for entry in entries {
                    match &entry.value.kind {
                        Kind::Text(name) if entry.key == "as" => {
                            let place = entry.value.span.clone();
                            self.all.entry(name.clone()).or_insert(place);
                        }
                        _ => self.collect_names(&entry.value),
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn bind(&mut self, name: &str, bound: Bound) -> Option<Bound> {
        self.bound.insert(name.to_owned(), bound)
    }

    /// Ends a binding of `each`; an outer one of the same name counts again.
    pub(super) fn unbind(&mut self, name: &str, outer: Option<Bound>) {
        match outer {
            Some(outer) => self.bound.insert(name.to_owned(), outer),
            None => self.bound.remove(name),
        };
    }

    /// What is wrong with using `$name` here, if anything is.
    pub(super) fn check_name(&self, name: &str, place: Range<usize>) -> Option<Diagnostic> {
        if self.bound.contains_key(name) {
            return None;
        }
        Some(self.unbound(name, place, self.bound.keys()))
    }

    /// What is wrong with `heal: name` here, if anything is.
    pub(super) fn check_fault(&self, name: &str, place: Range<usize>) -> Option<Diagnostic> {
        match self.bound.get(name) {
            Some(Bound::Fault) => None,
            Some(Bound::Node) => Some(
                Diagnostic::error(place, format!("`{name}` names a node, not a fault"))
                    .help("`heal` takes `all` or the `as:` name of a fault"),
            ),
            None => {
                let faults = self
                    .bound
                    .iter()
                    .filter(|(_, bound)| **bound == Bound::Fault);
                Some(self.unbound(name, place, faults.map(|(name, _)| name)))
            }
        }
    }

    fn unbound<'a>(
        &self,
        name: &str,
        place: Range<usize>,
        bound: impl Iterator<Item = &'a String> + Clone,
    ) -> Diagnostic {
        if let Some(later) = self.all.get(name) {
            let is_later = later.start > place.start;
            let (message, label) = if is_later {
                (format!("`{name}` is used before it is bound"), "bound here")
            } else {
                (
                    format!("`{name}` is not bound any more"),
                    "bound here, for its own steps only",
                )
            };
            return Diagnostic::error(place, message)
                .also(later.clone(), label)
                .help("a name stands for the nodes that an earlier step chose");
        }
        let near = nearest(name, bound.clone().map(String::as_str));
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if bound.clone().next().is_none() => {
                "no step before this one binds a name; bind one with `as:`".to_owned()
            }
            None => {
                let names: Vec<&str> = bound.map(String::as_str).collect();
                format!("bound so far: {}", names.join(", "))
            }
        };
        Diagnostic::error(place, format!("nothing is called `{name}`")).help(help)
    }

    /// A fault begins and stays.
    pub(super) fn open(&mut self, fault: &FaultSpec, name: Option<&str>, place: Range<usize>) {
        // Harm that is done once leaves nothing in force.
        if super::read_control::is_over_at_once(fault.name()) {
            return;
        }
        self.open.push(Open {
            verb: fault.name(),
            name: name.map(str::to_owned),
            nodes: fault.as_dyn().selectors().into_iter().cloned().collect(),
            of_process: matches!(
                fault,
                FaultSpec::Kill(_)
                    | FaultSpec::Terminate(_)
                    | FaultSpec::PowerOff(_)
                    | FaultSpec::Pause(_)
            ),
            place,
        });
    }

    pub(super) fn heal_all(&mut self) {
        self.open.clear();
    }

    pub(super) fn heal(&mut self, name: &str) {
        self.open.retain(|open| open.name.as_deref() != Some(name));
    }

    /// `start`, `restart` or `resume` of these nodes: ends what surely is a fault of theirs.
    pub(super) fn revive(&mut self, node: &Selector) {
        let is_revived = |open: &Open| match node {
            Selector::All => true,
            Selector::Name(name) if open.name.as_ref() == Some(name) => true,
            same => open.nodes.iter().all(|selector| selector == same),
        };
        self.open
            .retain(|open| !(open.of_process && is_revived(open)));
    }

    /// The faults that nothing has ended so far.
    pub(super) fn still_open(&self) -> &[Open] {
        &self.open
    }
}
