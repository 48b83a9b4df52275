//! `terminate`: SIGTERM, an orderly stop; SIGKILL if the grace runs out.

use serde::Deserialize;

use super::kill::down;
use super::{Bindings, Chosen, Fault, Misfit, Selector, Span, Unresolved};
use crate::clock::Nanos;
use crate::cluster::{ClusterView, Ending};
use crate::seed::Stream;

/// SIGTERM these nodes, SIGKILL them after the grace.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminate {
    /// Which nodes.
    pub node: Selector,
    /// How long a process may take to end by itself.
    #[serde(default = "Terminate::default_grace")]
    pub grace: Span,
}

impl Terminate {
    /// 10 s: what process managers commonly give.
    #[must_use]
    pub const fn default_grace() -> Span {
        Span(Nanos::from_secs(10))
    }
}

impl Fault for Terminate {
    fn fits(&self, _nodes: u8) -> Result<(), Misfit> {
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
        let nodes = self.node.resolve(view, stream, bindings)?;
        let grace = self.grace.0;
        Ok(down(view, nodes, "SIGTERM", Ending::Terminate { grace }))
    }

    fn parameters(&self) -> String {
        format!("{{node: {}, grace: {}}}", self.node, self.grace)
    }
}
