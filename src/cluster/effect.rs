//! Effects: what a fault holds in force on the cluster while it lasts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::link::{LinkId, Rule};

/// One thing that is wrong while a fault lasts. The cluster is healthy when none is in force.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
    /// Data on one link does not simply pass.
    Link {
        /// Which.
        link: LinkId,
        /// What happens to the data.
        rule: Rule,
    },
}

/// How a process is brought down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// SIGKILL.
    Kill,
    /// SIGTERM, then SIGKILL after the grace (nanoseconds).
    Terminate {
        /// How long the process may take to end by itself.
        grace: crate::clock::Nanos,
    },
}

impl Effect {
    /// Whether `node` feels it.
    #[must_use]
    pub fn is_on(&self, node: NodeId) -> bool {
        match self {
            Self::Down { node: down, .. } => *down == node,
            Self::Paused(paused) => *paused == node,
            Self::Link { link, .. } => link.touches(node),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { node, .. } => write!(f, "{node} down"),
            Self::Paused(node) => write!(f, "{node} paused"),
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
