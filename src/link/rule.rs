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
        /// give or take about this much, never reordering a byte stream.
        jitter: Nanos,
        /// What the jitter measures.
        #[serde(default)]
        spread: Spread,
    },
    /// Let no more than this through. What is too much waits; nothing is lost.
    Throttle {
        /// Bytes per second, above 0, over all connections of the link together.
        rate: u64,
    },
    /// Flip one bit in a share of what passes: of the segments (1448 bytes at most) of an opaque
    /// stream; of the frames of a framed one, always in their bodies.
    Corrupt {
        /// 0 to 1.
        share: f64,
    },
    /// Let a share of the frames come twice. Only for protocols that the harness can frame.
    Duplicate {
        /// 0 to 1.
        share: f64,
    },
    /// Let a share of the frames be overtaken by the next frame of their connection. One that no
    /// frame follows for 50 ms goes on in its place. Only for protocols that the harness can
    /// frame.
    Reorder {
        /// 0 to 1.
        share: f64,
    },
}

/// What the jitter of a delay measures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Anything from `by - jitter` to `by + jitter`, equally likely.
    #[default]
    Uniform,
    /// Normal around `by`; `jitter` is the standard deviation. Cut off at zero.
    Normal,
    /// Never less than `by`. What comes on top is mostly short and seldom very long (Pareto of
    /// the second kind with exponent 3, cut off at 100 jitters); `jitter` is its mean.
    Pareto,
}

/// Of what a loss consists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropLayer {
    /// Whole length-prefixed messages vanish. The fate of a frame is a function of seed, link and
    /// its index over the whole run. Only for protocols that the harness can frame.
    Frame,
    /// Whole packets vanish between network namespaces. Only where the packet layer carries them.
    Packet,
    /// Segments are held for a retransmission timeout, as TCP would: nothing vanishes.
    Stall,
    /// The bytes of segments (1448 at most) are deleted from the stream, which no network does to
    /// TCP: the receiver sees a broken protocol.
    Corrupt,
}

impl Spread {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Normal => "normal",
            Self::Pareto => "pareto",
        }
    }
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
