//! What the sessions of a node go by.

use crate::protocol::zxid::Sid;
use crate::state::Secret;

/// What does not change while the node runs.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) me: Sid,
    pub(super) secret: Secret,
    /// The bounds of session timeouts, in milliseconds.
    pub(super) session_timeout_ms: (i32, i32),
    /// Whether reads ask a quorum first.
    pub(super) linear_reads: bool,
    /// Distinguishes the requests and sessions of this boot from those of earlier ones.
    pub(super) boot: u32,
    /// Most connections from one address; 0 for no bound.
    pub(super) max_connections: u32,
    /// The identity of the super user, `user:hash`.
    pub(super) super_digest: Option<String>,
    /// The members of the cluster, as clients read them.
    pub(super) members: String,
}

impl Rules {
    /// The timeout that a client gets which asks for this one, in milliseconds.
    pub(super) fn session_timeout(&self, asked_ms: i32) -> i32 {
        let (least, most) = self.session_timeout_ms;
        asked_ms.min(most).max(least)
    }
}
