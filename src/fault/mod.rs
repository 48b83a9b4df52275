//! Faults: what can be made to go wrong, and how each chooses its victims.
//!
//! A *fault* looks at a [`ClusterView`] and returns the [`Effect`]s in force while it lasts. It
//! never acts, and it cannot be stopped: ending it means removing its effects from the ledger.
//! Its struct is its YAML parameters. *Bindings*: the nodes that names of a plan (`as: victim`)
//! stand for.
//!
//! Faults are pure: the same view, stream and bindings give the same choice.

mod choose;
mod clock;
mod corrupt;
mod cut;
mod delay;
mod disk;
mod drop;
mod duplicate;
mod ends;
mod fd_limit;
mod file;
mod half_open;
mod isolate;
mod kill;
mod part;
mod pause;
mod power_off;
mod reference;
mod reorder;
mod reset;
mod sample;
mod selector;
mod split;
mod stutter;
mod terminate;
mod throttle;
mod units;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::cluster::{ClusterView, Damage, Effect, Trigger};
use crate::id::NodeId;
use crate::registry::registry;
use crate::seed::Stream;

pub use clock::{Bump, Clock, Strobe};
pub use corrupt::Corrupt;
pub use cut::Cut;
pub use delay::Delay;
pub use disk::{Disk, Wrong};
pub use drop::{Drop, Layer};
pub use duplicate::Duplicate;
pub use ends::{End, Ends};
pub use fd_limit::FdLimit;
pub use file::{Change, File};
pub use half_open::HalfOpen;
pub use isolate::Isolate;
pub use kill::Kill;
pub use part::Part;
pub use pause::Pause;
pub use power_off::PowerOff;
pub use reference::{MANUALS, Manual, reference};
pub use reorder::Reorder;
pub use reset::Reset;
pub use sample::{DurationSpec, ShareSpec};
pub use selector::{Pool, Selector, WORDS as SELECTOR_WORDS};
pub use split::{Shape, Split};
pub use stutter::Stutter;
pub use terminate::Terminate;
pub use throttle::Throttle;
pub use units::{ByteRate, HELP_MARK, QuantityError, Rate, Share, Size, Span};

/// What a fault does, see the module's comment.
pub trait Fault: fmt::Debug {
    /// Refuses a cluster of this size on which it could never do anything.
    ///
    /// # Errors
    /// Why it cannot work, and what to write instead.
    fn fits(&self, nodes: u8) -> Result<(), Misfit>;

    /// Refuses a network that cannot do it.
    ///
    /// # Errors
    /// Why not, and what to write instead.
    fn suits(&self, _network: Network) -> Result<(), Misfit> {
        Ok(())
    }

    /// Every selector it holds, so that a plan can check names and nodes before the run.
    fn selectors(&self) -> Vec<&Selector>;

    /// Chooses its nodes and says what is wrong while it lasts.
    ///
    /// # Errors
    /// A selector matches nothing now; the view may change, so the caller may try again. Nothing
    /// is then taken from the stream, so that the number of tries changes no later decision.
    fn effects(
        &self,
        view: &ClusterView,
        stream: &mut Stream,
        bindings: &Bindings,
    ) -> Result<Chosen, Unresolved>;

    /// Whether it needs nodes whose data lies on a disk that it can reach.
    fn needs_disk(&self) -> bool {
        false
    }

    /// Its parameters as they would be written in a plan, without the verb: `{node: leader}`.
    fn parameters(&self) -> String;
}

/// What carries the data of the cluster: `network:` of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// `proxy`: streams of bytes, through proxies on loopback.
    #[default]
    Proxy,
    /// `packet`: IP packets between network namespaces.
    Packet,
}

impl Network {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Packet => "packet",
        }
    }

    /// Refuses what only streams can suffer.
    fn needs_streams(self, verb: &str, help: &str) -> Result<(), Misfit> {
        match self {
            Self::Proxy => Ok(()),
            Self::Packet => Err(Misfit::new(
                format!("`{verb}` needs a proxy, this plan has `network: packet`"),
                help,
            )),
        }
    }
}

/// What a fault chose.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The victims of a process fault or an isolation; all touched nodes of another link fault.
    /// In rising order, never empty. `as:` binds them.
    pub nodes: Vec<NodeId>,
    /// What is wrong while it lasts, in the order in which it should be put in force.
    pub effects: Vec<Effect>,
    /// What is done once, when the effects are in force.
    pub damage: Vec<Damage>,
    /// What it waits for before any of this.
    pub trigger: Option<Trigger>,
    /// For people: `SIGKILL n1 (leader)`.
    pub label: String,
    /// It hits the leader of the view: its process, or its full connection with a quorum.
    pub on_leader: bool,
}

/// Nobody matches a selector at this moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("resolve `{selector}`: {reason}")]
pub struct Unresolved {
    /// The selector as written.
    pub selector: String,
    /// Why it matches nothing.
    pub reason: String,
}

/// A fault that cannot work on a cluster of this size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Misfit {
    /// Why.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// The nodes behind the names of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindings(BTreeMap<String, Vec<NodeId>>);

impl Bindings {
    /// Lets `name` stand for these nodes, instead of what it stood for before.
    pub fn bind(&mut self, name: &str, nodes: &[NodeId]) {
        self.0.insert(name.to_owned(), nodes.to_vec());
    }

    /// Takes over all names of `others`.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The nodes that `name` stands for.
    #[must_use]
    pub fn nodes(&self, name: &str) -> Option<&[NodeId]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

impl Misfit {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

registry! {
    /// One fault of a plan: a verb with its parameters.
    #[derive(Debug, Clone, PartialEq)]
    FaultSpec: dyn Fault, "fault";
    "kill" => kill::Kill: "SIGKILL; with `for:` the node is started again after that time",
    "terminate" => terminate::Terminate: "SIGTERM, then SIGKILL after the grace",
    "power_off" => power_off::PowerOff: "cut every link of the node, then SIGKILL: no FIN leaves it",
    "pause" => pause::Pause: "SIGSTOP; ended by `resume` or after `for:`",
    "stutter" => stutter::Stutter: "SIGSTOP and SIGCONT in turn, so that the node runs a share of the time",
    "fd_limit" => fd_limit::FdLimit: "lower the soft limit of the node's file descriptors",
    "disk" => disk::Disk: "a slow, failing or full disk, or a power failure that loses what was not synced",
    "clock" => clock::Clock: "make the clocks of the node jump, strobe or run fast or slow",
    "file" => file::File: "flip bits of a node's files, mix up their chunks, cut their end off, or wipe them",
    "isolate" => isolate::Isolate: "cut the node from all peers, with `clients: true` also from clients",
    "split" => split::Split: "divide the cluster into groups that cannot reach each other",
    "cut" => cut::Cut: "let nothing pass on a link, one way or both ways",
    "drop" => drop::Drop: "lose a share of what crosses a link",
    "delay" => delay::Delay: "hold back everything that crosses a link",
    "throttle" => throttle::Throttle: "let only so many bytes per second through a link",
    "corrupt" => corrupt::Corrupt: "flip one bit in a share of what crosses a link",
    "duplicate" => duplicate::Duplicate: "let a share of the frames on a link come twice",
    "reorder" => reorder::Reorder: "let a share of the frames on a link be overtaken by the next",
    "reset" => reset::Reset: "reset the connections of a link at both ends, once",
    "half_open" => half_open::HalfOpen: "let the connections of a link die at the end that was dialled, once; who dialled hears nothing",
}

/// `n1 (leader)`, `n2,n3 -> n1 (leader)`: how nodes are written in labels.
fn name_nodes(nodes: &[NodeId], leader: Option<NodeId>) -> String {
    let names: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
    let names = names.join(",");
    match leader {
        Some(leader) if nodes == [leader] => format!("{names} (leader)"),
        Some(leader) if nodes.contains(&leader) => format!("{names} ({leader} leads)"),
        _ => names,
    }
}
