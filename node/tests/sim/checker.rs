//! The invariants of the protocol, checked on every output of every node.
//!
//! The numbers I1 … I10 are those of the failure texts:
//! I1 one established leader per epoch; I2 the delivered sequences of any two nodes are prefixes
//! of one; I3 what is delivered was proposed by the leader of its epoch; I4 the order of zxids is
//! the order of delivery; I5 a leader begins with all that was ever delivered; I6 no log has a
//! hole; I7 epochs never go back; I8 who acknowledges a leader's history has it; I9 what is
//! delivered is durable on a quorum, what is acknowledged is durable; I10 a linearizable read sees
//! every write acknowledged before it began. (I6 and I7 are checked by the disk.)

use std::collections::BTreeMap;

use chaos_node::protocol::message::{Body, Message};
use chaos_node::protocol::zxid::{Sid, Zxid};

use super::disk::{Disk, Record, State};

/// What is known of the whole cluster.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// Only what clients could notice is checked, not how the nodes bring it about: neither what
    /// they say of their disks nor on how many disks something is.
    pub(crate) outcomes_only: bool,
    /// Everything that was ever delivered, in order.
    pub(crate) history: Vec<Record>,
    /// The last transaction that was delivered where it was asked for: its client has an answer.
    pub(crate) acknowledged: Zxid,
    /// Who proposed what.
    proposed: BTreeMap<Zxid, Record>,
    /// Who was established in which epoch.
    leaders: BTreeMap<u32, usize>,
    /// The last transaction that each epoch began with.
    established: BTreeMap<u32, Zxid>,
    /// The epoch that each disk was last seen to hold.
    known: BTreeMap<usize, u32>,
    /// The history with which each epoch began.
    initial: BTreeMap<u32, Vec<Record>>,
    /// Who promised which epoch, in which boot and incarnation.
    promised: BTreeMap<(usize, u32), (u64, u64)>,
    /// Reads under way: what they must have seen.
    reads: BTreeMap<(usize, u64), Zxid>,
}

impl Checker {
    /// A node is established as the leader of `epoch`.
    pub(crate) fn on_active(&mut self, node: usize, epoch: u32, disk: &Disk) -> Result<(), String> {
        if let Some(other) = self.leaders.insert(epoch, node) {
            return Err(format!(
                "I1: epoch {epoch} has two leaders, {other} and {node}"
            ));
        }
        self.established.insert(epoch, disk.written.last());
        // One that was stopped may become established after later epochs have begun; it need not
        // know of those.
        let earlier = self
            .history
            .partition_point(|record| record.zxid.epoch() < epoch);
        if !disk.written.history.starts_with(&self.history[..earlier]) {
            return Err(format!(
                "I5: the leader of epoch {epoch} lacks delivered transactions"
            ));
        }
        Ok(())
    }

    /// A node serves clients under the leader of `epoch`.
    pub(crate) fn on_serving(&self, epoch: u32, applied: &[Record]) -> Result<(), String> {
        let begun = self.established.get(&epoch).copied().unwrap_or(Zxid::ZERO);
        match applied.last().map_or(Zxid::ZERO, |record| record.zxid) {
            last if last < begun => Err(format!(
                "I5: clients are served at {last}, epoch {epoch} began at {begun}"
            )),
            _ => Ok(()),
        }
    }

    /// A node writes this transaction to its log.
    pub(crate) fn on_append(&mut self, node: usize, record: Record) -> Result<(), String> {
        let zxid = record.zxid;
        match self.proposed.get(&zxid) {
            Some(first) if *first != record => Err(format!("I3: {zxid} means two transactions")),
            Some(_) => Ok(()),
            None if self.leaders.get(&zxid.epoch()) == Some(&node) => {
                self.proposed.insert(zxid, record);
                Ok(())
            }
            None => Err(format!(
                "I3: {zxid} comes from {node}, which does not lead its epoch"
            )),
        }
    }

    /// A node delivers this transaction as number `index`.
    pub(crate) fn on_deliver(
        &mut self,
        index: usize,
        record: Record,
        mut disks: impl Iterator<Item = bool>,
        quorum: usize,
    ) -> Result<(), String> {
        let zxid = record.zxid;
        if !self.proposed.contains_key(&zxid) {
            return Err(format!("I3: {zxid} is delivered but was never proposed"));
        }
        match self.history.get(index) {
            Some(first) if *first == record => return Ok(()),
            Some(first) => {
                let other = first.zxid;
                return Err(format!(
                    "I2: {zxid} is delivered where others delivered {other}"
                ));
            }
            None if index > self.history.len() => {
                return Err(format!("I2: {zxid} is delivered behind a gap"));
            }
            None => {}
        }
        if self.history.last().is_some_and(|last| last.zxid >= zxid) {
            return Err(format!("I4: {zxid} is delivered out of order"));
        }
        let mut holders = 0;
        while holders < quorum && !self.outcomes_only {
            match disks.next() {
                Some(holds) => holders += usize::from(holds),
                None => return Err(format!("I9: {zxid} is delivered but not on a quorum")),
            }
        }
        self.history.push(record);
        Ok(())
    }

    /// A disk loses or replaces part of its history.
    pub(crate) fn on_rewrite(&self, before: &[Record], after: &[Record]) -> Result<(), String> {
        let shared = |records: &[Record]| {
            records
                .iter()
                .zip(&self.history)
                .take_while(|(a, b)| a == b)
                .count()
        };
        if shared(after) < shared(before) {
            return Err("I9: a disk loses transactions that were delivered".to_owned());
        }
        Ok(())
    }

    /// What a disk holds has changed: an epoch is there only with the history that it began with.
    pub(crate) fn on_durable(&mut self, durable: &State) -> Result<(), String> {
        let epoch = durable.current;
        let initial = self.initial.get(&epoch).map_or(&[][..], Vec::as_slice);
        let knows = self.known.entry(durable.owner).or_insert(0);
        if *knows == epoch {
            return Ok(());
        }
        *knows = epoch;
        if self.outcomes_only || durable.history.starts_with(initial) {
            Ok(())
        } else {
            Err(format!("I8: epoch {epoch} is durable without its history"))
        }
    }

    /// A node says something that must be true of its disk.
    pub(crate) fn on_message(
        &mut self,
        (node, boot): (usize, u64),
        message: &Message,
        disk: &Disk,
    ) -> Result<(), String> {
        let durable = &disk.durable;
        if self.outcomes_only && !matches!(message.body, Body::NewLeader { .. }) {
            return Ok(());
        }
        match &message.body {
            Body::NewEpoch { epoch } if durable.accepted < *epoch => Err(format!(
                "I9: epoch {epoch} is proposed without being promised"
            )),
            Body::AckEpoch {
                standing, promised, ..
            } => {
                let epoch = disk.written.accepted;
                let role = (boot, message.from);
                if *promised && *self.promised.entry((node, epoch)).or_insert(role) != role {
                    return Err(format!("I1: epoch {epoch} is promised twice"));
                }
                let durable_enough = durable.last() >= standing.last_zxid
                    && durable.current >= standing.current_epoch;
                if durable_enough {
                    Ok(())
                } else {
                    Err(format!("I9: {standing:?} is not durable"))
                }
            }
            Body::NewLeader { epoch, .. } => {
                self.initial
                    .entry(*epoch)
                    .or_insert_with(|| disk.written.history.clone());
                Ok(())
            }
            Body::AckNewLeader { zxid } => {
                let epoch = durable.current;
                let initial = self.initial.get(&epoch).map_or(&[][..], Vec::as_slice);
                if epoch < disk.written.current {
                    let written = disk.written.current;
                    return Err(format!("I8: epoch {written} is not durable"));
                }
                if durable.accepted > epoch {
                    let accepted = durable.accepted;
                    return Err(format!(
                        "I7: epoch {epoch} is joined after promising {accepted}"
                    ));
                }
                if durable.last() < *zxid || !durable.history.starts_with(initial) {
                    return Err(format!("I8: the history of epoch {epoch} is not durable"));
                }
                Ok(())
            }
            Body::Ack { zxid } if durable.last() < *zxid => {
                Err(format!("I9: {zxid} is acknowledged but not durable"))
            }
            _ => Ok(()),
        }
    }

    /// A client at `node` begins a linearizable read.
    pub(crate) fn on_read(&mut self, node: usize, request: u64) {
        self.reads.insert((node, request), self.acknowledged);
    }

    /// The read may be served once `zxid` is applied.
    pub(crate) fn on_read_ready(
        &mut self,
        node: usize,
        request: u64,
        zxid: Zxid,
    ) -> Result<(), String> {
        match self.reads.remove(&(node, request)) {
            Some(floor) if zxid < floor => Err(format!(
                "I10: a read sees {zxid}, but {floor} was acknowledged before it"
            )),
            Some(_) => Ok(()),
            None => Err(format!(
                "I10: read {request} is answered twice or was never asked"
            )),
        }
    }
}

/// The node with this sid.
pub(crate) fn node_of(sid: Sid) -> usize {
    usize::from(sid.0) - 1
}
