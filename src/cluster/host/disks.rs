//! The disks under the nodes' data: what calls to them meet, and what a power failure takes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Cluster;
use crate::cluster::answer::ClusterError;
use crate::cluster::effect::{Effect, Trigger};
use crate::cluster::ledger::rules_of;
use crate::disk::{Disk, Lost, Met};
use crate::id::{FaultId, NodeId};

/// A power failure that waits for its call.
#[derive(Debug)]
pub struct Armed {
    node: NodeId,
    number: u64,
    disk: Arc<Disk>,
}

impl Armed {
    /// Resolves when the call came: from then on the disk answers nothing.
    pub async fn struck(&self) {
        self.disk.power_failed(self.number).await;
    }
}

impl Cluster {
    /// Lets the power fail at a call to a disk. The node goes on until that call, then its disk
    /// answers nothing; it is up to the caller to bring it down.
    ///
    /// # Errors
    /// If the node has no disk that a fault can reach, or that does not obey.
    pub async fn arm(&mut self, trigger: &Trigger) -> Result<Armed, ClusterError> {
        let node = trigger.node;
        let disk = self.disks.get(&node).ok_or(ClusterError::NoDisk(node))?;
        let disk = Arc::clone(disk);
        self.next_armed += 1;
        let number = ARMED | self.next_armed;
        let armed = self.armed.entry(node).or_default();
        armed.insert(number, trigger.rule.clone());
        self.disk_follows(node).await?;
        Ok(Armed { node, number, disk })
    }

    /// Lets go of what was armed, whether its call came or not.
    ///
    /// # Errors
    /// If the disk does not obey.
    pub async fn disarm(&mut self, armed: Armed) -> Result<(), ClusterError> {
        if let Some(rules) = self.armed.get_mut(&armed.node) {
            rules.remove(&armed.number);
        }
        self.disk_follows(armed.node).await
    }

    /// Sets the rules of a disk as the ledger wants them, and what is armed beside.
    pub(super) async fn disk_follows(&self, node: NodeId) -> Result<(), ClusterError> {
        let mut rules = self.ledger.disk_rules(node);
        let Some(disk) = self.disks.get(&node) else {
            return if rules.is_empty() {
                Ok(())
            } else {
                Err(ClusterError::NoDisk(node))
            };
        };
        let armed = self.armed.get(&node).into_iter().flatten();
        rules.extend(armed.map(|(number, rule)| (*number, rule.clone())));
        let set = disk.set(rules).await;
        set.map_err(|source| ClusterError::Disk { node, source })
    }

    /// What the rules of this fault have met so far, on all disks together; nothing if it has none.
    pub(super) async fn disk_met(&self, fault: FaultId) -> Option<Met> {
        let effects = self.ledger.in_force().get(&fault)?;
        let mut sum = None;
        let nodes: BTreeSet<NodeId> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Disk { node, .. } => Some(*node),
                _ => None,
            })
            .collect();
        for disk in nodes.iter().filter_map(|node| self.disks.get(node)) {
            // A disk that does not answer has met nothing that anybody knows of.
            let met = disk.met().await.unwrap_or_default();
            let sum: &mut Met = sum.get_or_insert_default();
            for (_, met) in met.range(rules_of(fault)) {
                sum.calls += met.calls;
                sum.hits += met.hits;
            }
        }
        sum
    }

    /// A process that was killed while it waits for its disk cannot die before that answers.
    pub(super) async fn release_disk(&self, node: NodeId) -> Result<(), ClusterError> {
        match self.disks.get(&node) {
            None => Ok(()),
            Some(disk) => {
                let released = disk.release().await;
                released.map_err(|source| ClusterError::Disk { node, source })
            }
        }
    }

    /// The power has failed, and nobody uses the disk any more.
    pub(super) async fn lose_unsynced(&mut self, node: NodeId) -> Result<(), ClusterError> {
        let disk = self.disks.get(&node).ok_or(ClusterError::NoDisk(node))?;
        let lost = disk.reopen(true).await;
        let lost = lost.map_err(|source| ClusterError::Disk { node, source })?;
        let before = self.lost.unwrap_or_default();
        self.lost = Some(Lost {
            files: before.files + lost.files,
            bytes: before.bytes + lost.bytes,
            names: before.names + lost.names,
        });
        Ok(())
    }
}

/// Faults number their rules below this.
const ARMED: u64 = 1 << 60;
