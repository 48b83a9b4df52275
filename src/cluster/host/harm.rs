//! What is wrong with a node beside its process being there: what hampers it while a fault lasts,
//! and the harm that is done once.

use std::io;

use super::Cluster;
use crate::cluster::answer::ClusterError;
use crate::cluster::clock_file::Skew;
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
        let unmoved = |source| ClusterError::Unmoved {
            node,
            what: "have a wrong clock",
            source,
        };
        self.skew(node, runs).await.map_err(unmoved)?;
        self.disk_follows(node).await?;
        let process = self.roster.process(node);
        let followed = self.keep.follow(node, process.as_ref(), wanted).await;
        followed.map_err(|source| ClusterError::Unmoved {
            node,
            what: "be hampered",
            source,
        })
    }

    /// Sets the clocks of a node as the ledger wants them. One that does not run looks at them when
    /// it does again.
    async fn skew(&mut self, node: NodeId, runs: bool) -> io::Result<()> {
        let wanted = self.ledger.skew(node);
        let Some(clock) = self.clocks.get_mut(&node) else {
            return if wanted == Skew::default() {
                Ok(())
            } else {
                Err(io::Error::other("this node does not follow a clock file"))
            };
        };
        if clock.skew() == wanted {
            return Ok(());
        }
        clock.set(wanted, self.clock.origin() + self.clock.now().0)?;
        if runs {
            clock.is_obeyed().await?;
        }
        Ok(())
    }

    /// Does the harm that is done once. Connections of all links are struck together, and it is
    /// enough that one link had any.
    pub(super) async fn harm(&self, damage: &[Damage]) -> Result<(), ClusterError> {
        let (mut resets, mut half_opens) = (Vec::new(), Vec::new());
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
                Damage::Reset { link } => resets.push(*link),
                Damage::HalfOpen { link } => half_opens.push(*link),
            }
        }
        if let Some(link) = resets.first()
            && self.network.reset(&resets).await? == 0
        {
            return Err(ClusterError::NoConnection(*link));
        }
        if let Some(link) = half_opens.first()
            && self.network.half_open(&half_opens).await? == 0
        {
            return Err(ClusterError::NoConnection(*link));
        }
        Ok(())
    }
}
