//! How a fault that was chosen comes into force.

use std::time::Duration;

use tokio::time::timeout;

use super::stage::Stage;
use crate::cluster::{Armed, ClusterError, Landing, Missed, Trigger};
use crate::disk::{Lost, Met};
use crate::fault::Chosen;
use crate::history::EventKind;
use crate::id::FaultId;

impl Stage {
    /// Waits for what the fault waits for, and puts it in force.
    pub(super) async fn begin(&self, fault: FaultId, chosen: &Chosen) -> Result<Landing, Missed> {
        if let Some(trigger) = &chosen.trigger {
            self.triggered(trigger).await?;
        }
        match self.cluster().await {
            Some(mut cluster) => {
                cluster
                    .begin_with(fault, chosen.effects.clone(), &chosen.damage)
                    .await
            }
            None => Err(self.missed("the cluster was shut down")),
        }
    }

    /// Waits until the power has failed at the call; the disk stands still from then on.
    async fn triggered(&self, trigger: &Trigger) -> Result<(), Missed> {
        let failed = |error: ClusterError| self.missed(&error.to_string());
        let armed: Armed = match self.cluster().await {
            Some(mut cluster) => cluster.arm(trigger).await.map_err(failed)?,
            None => return Err(self.missed("the cluster was shut down")),
        };
        // Others use the cluster meanwhile.
        let came = timeout(Duration::from(trigger.within), armed.struck()).await;
        let disarmed = match self.cluster().await {
            Some(mut cluster) => cluster.disarm(armed).await,
            None => Ok(()),
        };
        match came {
            Ok(()) => disarmed.map_err(failed),
            Err(_) => Err(self.missed(&format!(
                "the call did not come within {}: {}",
                trigger.within, trigger.rule
            ))),
        }
    }

    /// Records and tells what a power failure took.
    pub(super) fn tell_lost(&self, fault: FaultId, lost: Lost) {
        let Lost {
            files,
            bytes,
            names,
        } = lost;
        self.measured(
            fault,
            &[
                ("lost_files", files),
                ("lost_bytes", bytes),
                ("lost_names", names),
            ],
        );
        self.tell_more(&format!(
            "lost {bytes} bytes in {files} files, and {names} changes of names"
        ));
    }

    /// Records what the rules of a disk met, and warns if that was nothing.
    pub(super) fn tell_met(&self, fault: FaultId, met: Met) {
        self.measured(fault, &[("calls", met.calls), ("hits", met.hits)]);
        if met.hits == 0 {
            self.warn(&format!(
                "{fault} was in force on the disk, but no call met it ({} of its kind came)",
                met.calls
            ));
        }
    }

    fn measured(&self, fault: FaultId, figures: &[(&str, u64)]) {
        let figures = figures
            .iter()
            .map(|(name, figure)| ((*name).to_owned(), *figure))
            .collect();
        self.record(EventKind::FaultMeasured { fault, figures });
    }

    fn missed(&self, reason: &str) -> Missed {
        Missed {
            asked_at: self.clock.now(),
            reason: reason.to_owned(),
        }
    }
}
