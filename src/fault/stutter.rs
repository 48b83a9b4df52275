//! `stutter`: SIGSTOP and SIGCONT in turn. All threads stand still together, as on a host that is
//! short of processors; it is no slow processor, on which each thread would go on a little.

use serde::Deserialize;

use super::sample::{DurationSpec, ShareSpec};
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved, name_nodes};
use crate::clock::Nanos;
use crate::cluster::{ClusterView, Effect};
use crate::fault::choose::Chooser;
use crate::seed::Stream;

/// Shorter periods are not kept: a stop takes up to some milliseconds to show.
const SHORTEST: Nanos = Nanos::from_millis(20);

/// Let these nodes run for a share of the time only.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stutter {
    /// Which nodes.
    pub node: Selector,
    /// The share of the time in which they run.
    pub share: ShareSpec,
    /// From one stop to the next.
    #[serde(default = "default_period")]
    pub period: DurationSpec,
}

const fn default_period() -> DurationSpec {
    DurationSpec::Fixed(Nanos::from_millis(100))
}

impl Fault for Stutter {
    fn fits(&self, _nodes: u8) -> Result<(), Misfit> {
        let (low, high) = match self.share {
            ShareSpec::Fixed(share) => (share, share),
            ShareSpec::Uniform(low, high) => (low, high),
        };
        if low <= 0.0 || high >= 1.0 {
            return Err(Misfit::new(
                format!(
                    "a process that runs {} of the time does not stutter",
                    self.share
                ),
                "`share` is how much of the time it runs, for example `share: 20%`; for none of \
                 it there is `pause`",
            ));
        }
        if let DurationSpec::Fixed(period) | DurationSpec::Uniform(period, _) = &self.period
            && *period < SHORTEST
        {
            return Err(Misfit::new(
                format!("a period of {} is too short to be kept", self.period),
                "write at least `period: 20ms`",
            ));
        }
        Ok(())
    }

    fn selectors(&self) -> Vec<&Selector> {
        vec![&self.node]
    }

    fn effects(
        &self,
        view: &ClusterView,
        stream: &mut Stream,
        bindings: &Bindings,
    ) -> Result<Chosen, Unresolved> {
        Chooser::attempt(view, stream, bindings, |chooser| {
            let nodes = chooser.choose(&self.node)?;
            let share = self.share.draw(chooser.stream());
            let period = self.period.draw(chooser.stream()).max(SHORTEST);
            let leader = view.leader();
            let hampered = |node: &crate::id::NodeId| Effect::Stutter {
                node: *node,
                share,
                period,
            };
            Ok(Chosen {
                effects: nodes.iter().map(hampered).collect(),
                damage: Vec::new(),
                trigger: None,
                label: format!(
                    "stutter {}, runs {}",
                    name_nodes(&nodes, leader),
                    ShareSpec::Fixed(share)
                ),
                on_leader: leader.is_some_and(|leader| nodes.contains(&leader)),
                nodes,
            })
        })
    }

    fn parameters(&self) -> String {
        format!(
            "{{node: {}, share: {}, period: {}}}",
            self.node, self.share, self.period
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;
    use crate::id::NodeId;

    fn stutter(share: ShareSpec) -> Stutter {
        Stutter {
            node: Selector::Leader,
            share,
            period: default_period(),
        }
    }

    #[test]
    fn the_leader_runs_a_share_of_the_time() {
        let chosen = stutter(ShareSpec::Fixed(0.2))
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert_eq!(chosen.label, "stutter n1 (leader), runs 20%");
        assert_eq!(
            chosen.effects,
            [Effect::Stutter {
                node: NodeId(1),
                share: 0.2,
                period: Nanos::from_millis(100)
            }]
        );
    }

    #[test]
    fn always_and_never_are_no_stutter() {
        for share in [0.0, 1.0] {
            assert!(stutter(ShareSpec::Fixed(share)).fits(3).is_err());
        }
        assert!(stutter(ShareSpec::Uniform(0.1, 0.5)).fits(3).is_ok());
        let mut hasty = stutter(ShareSpec::Fixed(0.5));
        hasty.period = DurationSpec::Fixed(Nanos::from_millis(1));
        assert!(hasty.fits(3).is_err());
    }
}
