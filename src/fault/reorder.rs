//! `reorder`: a share of the frames is overtaken by the next one. Streams of clients have no frames.

use serde::Deserialize;

use super::part::Part;
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved};
use crate::cluster::ClusterView;
use crate::link::Rule;
use crate::seed::Stream;

/// Let a share of the frames be overtaken.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Part")]
pub struct Reorder(pub Part);

impl TryFrom<Part> for Reorder {
    type Error = String;

    fn try_from(part: Part) -> Result<Self, String> {
        part.framed("reorder").map(Self)
    }
}

impl Fault for Reorder {
    fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        self.0.fits(nodes)
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
        let rule = |share| Rule::Reorder { share };
        self.0.effects(view, stream, bindings, "reorder", rule)
    }

    fn parameters(&self) -> String {
        self.0.to_string()
    }
}
