//! `duplicate`: a share of the frames comes twice. Streams of clients have no frames.

use serde::Deserialize;

use super::part::Part;
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved};
use crate::cluster::ClusterView;
use crate::link::Rule;
use crate::seed::Stream;

/// Let a share of the frames come twice.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Part")]
pub struct Duplicate(pub Part);

impl TryFrom<Part> for Duplicate {
    type Error = String;

    fn try_from(part: Part) -> Result<Self, String> {
        part.framed("duplicate").map(Self)
    }
}

impl Fault for Duplicate {
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
        let rule = |share| Rule::Duplicate { share };
        self.0.effects(view, stream, bindings, "duplicate", rule)
    }

    fn parameters(&self) -> String {
        self.0.to_string()
    }
}
