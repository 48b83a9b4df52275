//! `pause`: SIGSTOP. The process keeps its memory and its connections and does nothing, as after
//! a long garbage collection or a stalled virtual machine.

use serde::Deserialize;

use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved, name_nodes};
use crate::cluster::{ClusterView, Effect};
use crate::seed::Stream;

/// SIGSTOP these nodes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Which nodes.
    pub node: Selector,
}

impl Fault for Pause {
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
        let leader = view.leader();
        Ok(Chosen {
            effects: nodes.iter().copied().map(Effect::Paused).collect(),
            damage: Vec::new(),
            trigger: None,
            label: format!("SIGSTOP {}", name_nodes(&nodes, leader)),
            on_leader: leader.is_some_and(|leader| nodes.contains(&leader)),
            nodes,
        })
    }

    fn parameters(&self) -> String {
        format!("{{node: {}}}", self.node)
    }
}
