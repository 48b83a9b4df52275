//! What harness and switch say to each other.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::link::{Endpoint, LinkId, Rule};

/// The harness asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Command {
    /// These rules are in force from now on, and no others.
    Set(Vec<(LinkId, Vec<Rule>)>),
    /// What has crossed each link so far?
    Count,
    /// A socket in the network of this endpoint.
    Socket(Endpoint, Transport),
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Transport {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// The switch answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// It forwards.
    Ready {
        /// Its process id as the harness sees it.
        pid: u32,
        /// Whether it has a user namespace of its own.
        user: bool,
        /// The descriptors by which it holds the networks.
        networks: Vec<(Endpoint, i32)>,
    },
    /// It cannot work on this machine.
    Unavailable(String),
    /// What has crossed each link, up to the instant at which new rules came into force.
    Counted(Vec<(LinkId, Counters)>),
    /// The socket comes along.
    Socket,
    /// It could not.
    Failed(String),
}

/// What crossed one link of the packet layer over the whole run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets that came from the sender.
    pub packets: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// Packets that a loss struck.
    pub lost: u64,
    /// Packets that met a cut.
    pub cut: u64,
    /// Packets for which a queue had no room: that of a throttle, or of the machine.
    pub overflowed: u64,
    /// Packets that came twice.
    pub duplicated: u64,
    /// Packets that the next one overtook.
    pub reordered: u64,
    /// Packets that had to wait,
    pub waited: u64,
    /// and how long all of them together.
    pub waited_for: Nanos,
}

impl Counters {
    /// All counts by their names, times in nanoseconds.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("packets", self.packets),
            ("bytes", self.bytes),
            ("lost", self.lost),
            ("cut", self.cut),
            ("overflowed", self.overflowed),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("waited", self.waited),
            ("waited_for", self.waited_for.0),
        ]
    }
}
