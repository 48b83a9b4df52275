//! `isolate`: the node is cut from all of its peers, both ways; its clients still reach it unless
//! they are cut off too.

use serde::Deserialize;

use super::ends::link_fault;
use super::power_off::cut_off;
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved, name_nodes};
use crate::cluster::ClusterView;
use crate::seed::Stream;

/// Cut each of these nodes from every other member.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Isolate {
    /// Which nodes; several are isolated from each other too.
    pub node: Selector,
    /// Also from the clients.
    #[serde(default)]
    pub clients: bool,
}

impl Fault for Isolate {
    fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        if nodes == 1 && !self.clients {
            return Err(Misfit::new(
                "one node has no peers to be isolated from",
                "use at least 2 nodes, or `clients: true` to cut it from its clients",
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
        let from = if self.clients {
            " from peers and clients"
        } else {
            ""
        };
        let label = format!("isolate {}{from}", name_nodes(&nodes, view.leader()));
        let effects = cut_off(view, &nodes, self.clients);
        Ok(Chosen {
            nodes,
            ..link_fault(view, effects, label)
        })
    }

    fn parameters(&self) -> String {
        format!("{{node: {}, clients: {}}}", self.node, self.clients)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;
    use crate::id::NodeId;

    #[test]
    fn an_isolated_leader_is_the_only_victim() {
        let isolate = Isolate {
            node: Selector::Leader,
            clients: false,
        };
        let chosen = isolate
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert_eq!(chosen.nodes, [NodeId(1)]);
        assert_eq!(chosen.effects.len(), 4);
        assert_eq!(chosen.label, "isolate n1 (leader)");
        assert!(chosen.on_leader);
    }

    #[test]
    fn an_isolated_follower_leaves_the_leader_alone() {
        let isolate = Isolate {
            node: Selector::Node(NodeId(2)),
            clients: true,
        };
        let chosen = isolate
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert_eq!(chosen.effects.len(), 6);
        assert!(!chosen.on_leader);
    }

    #[test]
    fn one_node_cannot_be_isolated_from_peers() {
        let clients = |clients| Isolate {
            node: Selector::Leader,
            clients,
        };
        assert!(clients(false).fits(1).is_err());
        assert!(clients(true).fits(1).is_ok());
    }
}
