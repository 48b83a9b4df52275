//! Effects: what a fault holds in force on the cluster while it lasts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::disk::Rule as DiskRule;
use crate::id::NodeId;
use crate::link::{LinkId, Rule};

/// One thing that is wrong while a fault lasts. The cluster is healthy when none is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The process is gone.
    Down {
        /// Whose.
        node: NodeId,
        /// How it was ended.
        how: Ending,
    },
    /// The process exists but is stopped (SIGSTOP).
    Paused(NodeId),
    /// The process is stopped and let go on again and again, all its threads together.
    Stutter {
        /// Whose.
        node: NodeId,
        /// The share of the time in which it runs, between 0 and 1.
        share: f64,
        /// From one stop to the next.
        period: Nanos,
    },
    /// The process may not open more file descriptors than this (the soft `RLIMIT_NOFILE`).
    FdLimit {
        /// Whose.
        node: NodeId,
        /// How many.
        soft: u64,
    },
    /// The clocks of the node are wrong.
    Clock {
        /// Whose.
        node: NodeId,
        /// How far.
        skew: super::clock_file::Skew,
    },
    /// Calls to the disk under the node's data meet a rule.
    Disk {
        /// Whose.
        node: NodeId,
        /// Which calls, and what happens to them.
        rule: DiskRule,
    },
    /// Data on one link does not simply pass.
    Link {
        /// Which.
        link: LinkId,
        /// What happens to the data.
        rule: Rule,
    },
}

/// A call to a node's disk at which the power fails: what is to happen waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Whose disk.
    pub node: NodeId,
    /// Which call; its act is that the power fails.
    pub rule: DiskRule,
    /// How long to wait for it.
    pub within: Nanos,
}

/// Harm that is done once and cannot be taken back: recorded, never healed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// Files of a node are changed behind its back.
    File {
        /// Whose.
        node: NodeId,
        /// Which: relative to the node's folder, `*` stands for anything within one name.
        path: String,
        /// What becomes of each.
        harm: Harm,
    },
    /// Every connection that carries data of this link, in either direction, is reset at both
    /// ends.
    Reset {
        /// Which link.
        link: LinkId,
    },
    /// Every connection that carries data of this link, in either direction, is reset at the end
    /// that was dialled; who dialled hears nothing of it.
    HalfOpen {
        /// Which link.
        link: LinkId,
    },
}

/// What becomes of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// Each bit is flipped with this probability, by fates that follow from the seed.
    Bitflip {
        /// From 0 to 1.
        share: f64,
        /// From which the fates follow.
        seed: u64,
    },
    /// The last bytes are cut off.
    CutOff {
        /// How many.
        bytes: u64,
    },
    /// Only the first bytes are kept.
    KeepFirst {
        /// How many.
        bytes: u64,
    },
    /// It is removed; a folder is emptied.
    Wipe,
    /// Chunks are overwritten with other chunks of the same file, chosen by the seed.
    CopyChunks {
        /// Which are overwritten.
        chunks: Chunks,
        /// From which the others follow.
        seed: u64,
    },
    /// Chunks are saved by the harness. Nothing changes yet.
    SnapshotChunks {
        /// Which.
        chunks: Chunks,
    },
    /// Chunks that were saved are put back.
    RestoreChunks {
        /// Which.
        chunks: Chunks,
    },
}

/// Pieces of one length of which one in so many is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunks {
    /// Bytes of a chunk, above 0.
    pub size: u64,
    /// Of how many one is meant, above 0.
    pub every: u64,
    /// The first one that is meant; counted modulo `every`.
    pub offset: u64,
}

impl Damage {
    /// Whose, if it is harm of one node.
    #[must_use]
    pub const fn node(&self) -> Option<NodeId> {
        match self {
            Self::File { node, .. } => Some(*node),
            Self::Reset { .. } | Self::HalfOpen { .. } => None,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { node, path, harm } => write!(f, "{node} {path} {harm}"),
            Self::Reset { link } => write!(f, "{link} reset"),
            Self::HalfOpen { link } => write!(f, "{link} half open"),
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bitflip { share, .. } => write!(f, "bits flipped with {share:e}"),
            Self::CutOff { bytes } => write!(f, "loses its last {bytes} bytes"),
            Self::KeepFirst { bytes } => write!(f, "keeps its first {bytes} bytes"),
            Self::Wipe => f.write_str("wiped"),
            Self::CopyChunks { chunks, .. } => write!(f, "{chunks} overwritten with others"),
            Self::SnapshotChunks { chunks } => write!(f, "{chunks} saved"),
            Self::RestoreChunks { chunks } => write!(f, "{chunks} put back"),
        }
    }
}

impl fmt::Display for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            size,
            every,
            offset,
        } = self;
        write!(f, "chunks of {size} bytes, {offset} of every {every},")
    }
}

/// How a process is brought down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// SIGKILL.
    Kill,
    /// SIGKILL, and what it had written to its disk and not synced is lost.
    PowerLoss,
    /// SIGTERM, then SIGKILL after the grace (nanoseconds).
    Terminate {
        /// How long the process may take to end by itself.
        grace: Nanos,
    },
}

impl Effect {
    /// Whether `node` feels it.
    #[must_use]
    pub fn is_on(&self, node: NodeId) -> bool {
        match self {
            Self::Down { node: down, .. } => *down == node,
            Self::Paused(paused) => *paused == node,
            Self::Stutter { node: kept, .. }
            | Self::FdLimit { node: kept, .. }
            | Self::Clock { node: kept, .. }
            | Self::Disk { node: kept, .. } => *kept == node,
            Self::Link { link, .. } => link.touches(node),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { node, .. } => write!(f, "{node} down"),
            Self::Paused(node) => write!(f, "{node} paused"),
            Self::Stutter { node, share, .. } => {
                write!(f, "{node} runs {:.0} % of the time", share * 100.0)
            }
            Self::Clock { node, .. } => write!(f, "{node} has a wrong clock"),
            Self::Disk { node, rule } => write!(f, "{node} disk {rule}"),
            Self::FdLimit { node, soft } => write!(f, "{node} may open {soft} descriptors"),
            Self::Link {
                link,
                rule: Rule::Cut,
            } => write!(f, "{link} cut"),
            Self::Link {
                link,
                rule: Rule::Drop { loss, .. },
            } => {
                write!(f, "{link} loses {:.0} %", loss * 100.0)
            }
            Self::Link {
                link,
                rule: Rule::Delay { by, jitter, .. },
            } => {
                write!(f, "{link} delayed {by} ± {jitter}")
            }
            Self::Link {
                link,
                rule: Rule::Throttle { rate },
            } => write!(f, "{link} passes {rate} B/s"),
            Self::Link {
                link,
                rule: Rule::Corrupt { share },
            } => write!(f, "{link} flips bits in {:.1} %", share * 100.0),
            Self::Link {
                link,
                rule: Rule::Duplicate { share },
            } => write!(f, "{link} doubles {:.1} %", share * 100.0),
            Self::Link {
                link,
                rule: Rule::Reorder { share },
            } => write!(f, "{link} reorders {:.1} %", share * 100.0),
        }
    }
}
