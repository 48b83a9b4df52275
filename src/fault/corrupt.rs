//! `corrupt`: one bit is flipped in a share of what crosses a link: of the frames of a protocol that
//! the harness can frame (never in their lengths), elsewhere of segments of 1448 bytes at most.

use serde::Deserialize;

use super::part::Part;
use super::{Bindings, Chosen, Fault, Misfit, Network, Selector, Unresolved};
use crate::cluster::ClusterView;
use crate::link::Rule;
use crate::seed::Stream;

/// Flip bits in a share of what crosses these links.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Corrupt(pub Part);

impl Fault for Corrupt {
    fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        self.0.fits(nodes)
    }

    fn suits(&self, network: Network) -> Result<(), Misfit> {
        network.needs_streams(
            "corrupt",
            "a packet with a wrong bit fails its checksum: write `drop` instead",
        )
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
        let rule = |share| Rule::Corrupt { share };
        self.0.effects(view, stream, bindings, "corrupt", rule)
    }

    fn parameters(&self) -> String {
        self.0.to_string()
    }
}
