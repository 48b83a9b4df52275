//! How a fault that was chosen comes into force.

use std::time::Duration;

use tokio::time::timeout;

use super::stage::Stage;
use crate::cluster::{Armed, ClusterError, Landing, Missed, Trigger};
use crate::fault::Chosen;
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

    fn missed(&self, reason: &str) -> Missed {
        Missed {
            asked_at: self.clock.now(),
            reason: reason.to_owned(),
        }
    }
}
