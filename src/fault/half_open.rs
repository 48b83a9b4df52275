//! `half_open`: connections die at the end that was dialled, with RST, and who dialled does not hear
//! of it: what it sends vanishes. It is done once; whoever notices dials again.

use serde::Deserialize;

use super::choose::Chooser;
use super::ends::Ends;
use super::{Bindings, Chosen, Fault, Misfit, Network, Selector, Unresolved};
use crate::cluster::{ClusterView, Damage};
use crate::seed::Stream;

/// Leave the connections of these links half open.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct HalfOpen(pub Ends);

impl Fault for HalfOpen {
    fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        self.0.fits(nodes)
    }

    fn suits(&self, network: Network) -> Result<(), Misfit> {
        network.needs_streams("half_open", "leave it out, or write `network: proxy`")
    }

    fn selectors(&self) -> Vec<&Selector> {
        self.0.selectors()
    }

    fn effects(
        &self,
        view: &ClusterView,
        stream: &mut Stream,
        bindings: &Bindings,
    ) -> Result<Chosen, Unresolved> {
        Chooser::attempt(view, stream, bindings, |chooser| {
            let damage = |link| Damage::HalfOpen { link };
            self.0.strike(view, chooser, "half open", damage)
        })
    }

    fn parameters(&self) -> String {
        format!("{{{}}}", self.0)
    }
}
