//! No needless election: a leader whom a majority follows keeps that majority as long as nothing
//! harms its members or the links among them, whatever the others do.

use super::checker::node_of;
use super::world::{MILLI, World};

/// For how long nothing must have been harmed. Longer than the longest retransmission and the
/// shortest suspicion together: what comes of an earlier fault has come by then.
const UNHARMED: u64 = 800 * MILLI;

impl World {
    /// A node is about to serve no more: fails if it belongs to a majority that had no reason.
    pub(crate) fn check_available(&self, node: usize) -> Result<(), String> {
        let Some((leader, epoch)) = self.nodes[node].serving else {
            return Ok(());
        };
        let since = self.now.saturating_sub(UNHARMED);
        let is_well = |node: usize| {
            let state = &self.nodes[node];
            state.serving == Some((leader, epoch))
                && state.serving_since < since
                && state.harmed < since
                && !state.paused
                && state.core.is_some()
        };
        let first = [node_of(leader), node];
        if !first.iter().all(|&member| is_well(member)) {
            return Ok(());
        }
        let mut members = Vec::new();
        for candidate in first.into_iter().chain(0..self.nodes.len()) {
            let linked = |&member: &usize| self.net.is_clean(candidate, member, since);
            if !members.contains(&candidate) && is_well(candidate) && members.iter().all(linked) {
                members.push(candidate);
            }
        }
        if !members.contains(&node) || members.len() < self.quorum() {
            return Ok(());
        }
        // Whoever has promised a greater epoch can join no lesser one: the leader begins anew.
        let promised = |state: &super::world::Node| state.disk.written.accepted > epoch;
        if self.nodes.iter().any(promised) {
            return Ok(());
        }
        Err(format!(
            "I13: n{} leaves epoch {epoch}, whose majority {members:?} nothing had harmed",
            node + 1
        ))
    }
}
