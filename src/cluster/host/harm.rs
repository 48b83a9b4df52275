//! What is wrong with a node beside its process being there: what hampers it while a fault lasts,
//! and the harm that is done once.

use std::io;

use super::Cluster;
use crate::cluster::answer::ClusterError;
use crate::cluster::damage;
use crate::cluster::effect::Damage;
use crate::cluster::keep::Wanted;
use crate::cluster::view::ProcessState;
use crate::id::NodeId;

impl Cluster {
    /// Hampers a process as the ledger wants. One that is stopped or gone is left alone: it will be
    /// hampered when it runs again.
    pub(super) async fn hamper(&mut self, node: NodeId) -> Result<(), ClusterError> {
        let runs = self.roster.state(node) == ProcessState::Running;
        let wanted = Wanted {
            stutter: self.ledger.stutter(node).filter(|_| runs),
            limit: self.ledger.fd_limit(node),
        };
        let process = self.roster.process(node);
        let followed = self.keep.follow(node, process.as_ref(), wanted).await;
        followed.map_err(|source| ClusterError::Unmoved {
            node,
            what: "be hampered",
            source,
        })
    }

    /// Does the harm that is done once.
    pub(super) async fn harm(&self, damage: &[Damage]) -> Result<(), ClusterError> {
        for damage in damage {
            match damage {
                Damage::File { node, path, harm } => {
                    let spec = self
                        .specs
                        .get(node)
                        .ok_or(ClusterError::NoSuchNode(*node))?;
                    let (dir, path, harm) = (spec.dir.clone(), path.clone(), harm.clone());
                    let work = move || damage::harm(&dir, &path, &harm);
                    let done = tokio::task::spawn_blocking(work).await;
                    done.unwrap_or_else(|panic| Err(io::Error::other(panic)))
                        .map_err(|source| ClusterError::Unharmed {
                            node: *node,
                            source,
                        })?;
                }
            }
        }
        Ok(())
    }
}
