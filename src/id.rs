//! Names for the things of a run: nodes, processes of the history, faults, trials.
//!
//! Each is a newtype so that two of them can never be swapped by accident.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A member of the cluster under test, written `n1`, `n2` … Numbering starts at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u8);

/// A logical client process of a history: single-threaded, at most one operation in flight.
/// After an operation of unknown outcome its process never acts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessId(pub u64);

/// One injected fault of a run, numbered from 1 in the order of injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u32);

/// One round of a `repeat` (or `each`): a fault with its aftermath, numbered from 1 over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrialId(pub u32);

impl NodeId {
    /// The nodes `n1..=n{count}`.
    pub fn all(count: u8) -> impl DoubleEndedIterator<Item = Self> + Clone {
        (1..=count).map(Self)
    }

    /// Position in a zero-based table of nodes.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0) - 1
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F{}", self.0)
    }
}

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T{}", self.0)
    }
}

/// The text is not a node name such as `n1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a node name: write n1, n2 …")]
pub struct NotANode(pub String);

impl FromStr for NodeId {
    type Err = NotANode;

    fn from_str(text: &str) -> Result<Self, NotANode> {
        text.strip_prefix('n')
            .filter(|digits| !digits.starts_with('0') && !digits.starts_with('+'))
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| NotANode(text.to_owned()))
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_round_trips_and_nothing_else_parses() {
        assert_eq!("n12".parse(), Ok(NodeId(12)));
        assert_eq!(NodeId(3).to_string(), "n3");
        for wrong in ["", "n", "n0", "n01", "x1", "n256", "n+1", "1"] {
            assert!(wrong.parse::<NodeId>().is_err(), "{wrong}");
        }
    }
}
