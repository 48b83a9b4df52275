//! What a link does with the data that crosses it, and the names of links.
//!
//! *Link*: one direction of data between two endpoints. Its rules apply to that direction of
//! every connection between the two, whoever dialled.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::id::NodeId;

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A member of the cluster.
    Node(NodeId),
    /// All load clients and probes of the harness.
    Clients,
}

/// One direction of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkId {
    /// The sender.
    pub from: Endpoint,
    /// The receiver.
    pub to: Endpoint,
}

/// What is wrong with a link. A link without rules passes everything.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Stop reading and keep everything; what was held is delivered after the heal. New
    /// connections hang as their SYNs would.
    Cut,
    /// Lose data with this probability.
    Drop {
        /// 0 to 1.
        loss: f64,
        /// Of what a loss consists.
        layer: DropLayer,
    },
    /// Hold everything back.
    Delay {
        /// By this long,
        by: Nanos,
        /// give or take up to this much (uniform), never reordering a byte stream.
        jitter: Nanos,
    },
}

/// Of what a loss consists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropLayer {
    /// Whole length-prefixed messages vanish. The fate of a frame is a function of seed, link and
    /// its index over the whole run. Only for protocols that the harness can frame.
    Frame,
    /// Segments are held for a retransmission timeout, as TCP would: nothing vanishes.
    Stall,
}

impl LinkId {
    /// The link on which data flows from `from` to `to`.
    #[must_use]
    pub const fn new(from: Endpoint, to: Endpoint) -> Self {
        Self { from, to }
    }

    /// The opposite direction.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
        }
    }

    /// Whether `node` is one of the two ends.
    #[must_use]
    pub fn touches(self, node: NodeId) -> bool {
        self.from == Endpoint::Node(node) || self.to == Endpoint::Node(node)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Clients => f.write_str("clients"),
        }
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)
    }
}
