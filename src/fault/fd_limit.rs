//! `fd_limit`: the process may not open more file descriptors than so many. Those that are open
//! stay open; the next `open`, `accept` or `socket` fails with EMFILE.

use serde::Deserialize;

use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved, name_nodes};
use crate::cluster::{ClusterView, Effect};
use crate::seed::Stream;

/// Limit the descriptors of these nodes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FdLimit {
    /// Which nodes.
    pub node: Selector,
    /// The soft `RLIMIT_NOFILE`.
    pub soft: u64,
}

impl Fault for FdLimit {
    fn fits(&self, _nodes: u8) -> Result<(), Misfit> {
        if self.soft > 1_048_576 {
            return Err(Misfit::new(
                format!("{} descriptors limit nobody", self.soft),
                "write fewer than a million, for example `soft: 64`",
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
        let nodes = self.node.resolve(view, stream, bindings)?;
        let soft = self.soft;
        let leader = view.leader();
        Ok(Chosen {
            effects: nodes
                .iter()
                .map(|node| Effect::FdLimit { node: *node, soft })
                .collect(),
            damage: Vec::new(),
            trigger: None,
            label: format!("{soft} descriptors for {}", name_nodes(&nodes, leader)),
            on_leader: leader.is_some_and(|leader| nodes.contains(&leader)),
            nodes,
        })
    }

    fn parameters(&self) -> String {
        format!("{{node: {}, soft: {}}}", self.node, self.soft)
    }
}
