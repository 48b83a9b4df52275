//! What the harness and a disk say to each other: lines of JSON over a socket. Each command is
//! answered once, in order; that the power failed is told when it happens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rules::{Met, Rule};

/// The harness asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    /// These rules are in force from now on, instead of those before.
    Set(BTreeMap<u64, Rule>),
    /// How often was each rule met?
    Met,
    /// Who uses the disk is about to die: calls that wait fail at once, and none waits any more.
    Release,
    /// Nobody uses the disk: serve again, and if `lose`, first lose what is not on it.
    Reopen {
        /// The power has failed.
        lose: bool,
    },
}

/// The disk answers or reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// It is mounted, in the mount namespace of this process.
    Ready {
        /// The process that serves it.
        pid: u32,
        /// Whether it lives in a user namespace of its own.
        user: bool,
    },
    /// It cannot be mounted.
    Unavailable(String),
    /// Done.
    Done,
    /// What each rule met.
    Met(BTreeMap<u64, Met>),
    /// What was lost.
    Lost(Lost),
    /// It could not be done.
    Failed(String),
    /// The power failed by this rule; nothing is answered from now on.
    PowerFailed(u64),
}

/// What a power failure took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Files with data that was not on the disk.
    pub files: u64,
    /// Bytes that had been written to them or cut off.
    pub bytes: u64,
    /// Files made, removed and renamed.
    pub names: u64,
}
