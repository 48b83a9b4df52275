//! What every state machine of the cluster must agree on.
//!
//! I11 a session that is closed never acts again, and its ephemerals are gone with it; I12 state
//! machines that have applied the same transaction are equal.

use std::collections::{BTreeMap, BTreeSet};

use chaos_node::state::{Outcome, State, Txn, TxnOp};

/// What was seen of all of them.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// The digest after each transaction.
    digests: BTreeMap<u64, u64>,
    /// Sessions that were closed, and by which transaction.
    pub(crate) closed: BTreeMap<i64, u64>,
    /// Sessions that were ever opened.
    pub(crate) opened: BTreeSet<i64>,
}

impl Witness {
    /// A state machine has applied a transaction.
    pub(crate) fn on_applied(
        &mut self,
        txn: &Txn,
        outcome: &Outcome,
        state: &State,
    ) -> Result<(), String> {
        let (zxid, session) = (state.applied(), txn.session);
        let is_first = !self.digests.contains_key(&zxid);
        self.on_state(state)?;
        if matches!(outcome, Outcome::Closed) {
            Self::check_gone(session, state)?;
        }
        // Others repeat what the first has done, or their digests differ.
        if !is_first {
            return Ok(());
        }
        let acts = !matches!(outcome, Outcome::Refused(_) | Outcome::MultiRefused(_));
        match (&txn.op, outcome) {
            (TxnOp::OpenSession { .. }, Outcome::Opened) => {
                self.opened.insert(session);
                self.closed.remove(&session);
            }
            (TxnOp::CloseSession, Outcome::Closed) => {
                self.closed.insert(session, zxid);
            }
            (TxnOp::Touch { .. } | TxnOp::Reap { .. }, _) => {}
            _ if acts && self.closed.contains_key(&session) => {
                return Err(format!(
                    "I11: session {session} is closed, but does {:?} at {zxid:#x}",
                    txn.op
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// A state machine is at some transaction, however it came there.
    pub(crate) fn on_state(&mut self, state: &State) -> Result<(), String> {
        let (zxid, digest) = (state.applied(), state.digest());
        if *self.digests.entry(zxid).or_insert(digest) != digest {
            return Err(format!(
                "I12: two state machines differ after transaction {zxid:#x}"
            ));
        }
        Ok(())
    }

    /// Nothing of a closed session is left.
    fn check_gone(session: i64, state: &State) -> Result<(), String> {
        let mut waiting = vec!["/".to_owned()];
        while let Some(path) = waiting.pop() {
            let owner = state
                .node(&path)
                .map_or(0, |node| node.stat.ephemeral_owner);
            if owner == session {
                return Err(format!(
                    "I11: {path} of session {session} outlives it at {:#x}",
                    state.applied()
                ));
            }
            let below = |name: &str| format!("{}/{name}", path.trim_end_matches('/'));
            waiting.extend(state.children(&path).map(below));
        }
        Ok(())
    }
}
