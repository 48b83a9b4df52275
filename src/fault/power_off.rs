//! `power_off`: the machine is gone. Every link of the node is cut first, then its process is
//! killed, so that no FIN or RST tells anybody: silence is all that is left to detect it by.

use serde::Deserialize;

use super::disk::power_fails;
use super::kill::down;
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved};
use crate::cluster::{ClusterView, Effect, Ending};
use crate::id::NodeId;
use crate::link::{Endpoint, LinkId, Rule};
use crate::seed::Stream;

/// Cut these nodes off, then SIGKILL them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerOff {
    /// Which nodes.
    pub node: Selector,
    /// What they had written and not synced is lost.
    #[serde(default)]
    pub lose_unsynced: bool,
}

impl Fault for PowerOff {
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
        if self.lose_unsynced {
            return Ok(power_fails(view, nodes, None));
        }
        let mut cuts = cut_off(view, &nodes, true);
        let mut chosen = down(view, nodes, "power off", Ending::Kill);
        cuts.append(&mut chosen.effects);
        chosen.effects = cuts;
        Ok(chosen)
    }

    fn parameters(&self) -> String {
        let lose = if self.lose_unsynced {
            ", lose_unsynced: true"
        } else {
            ""
        };
        format!("{{node: {}{lose}}}", self.node)
    }

    fn needs_disk(&self) -> bool {
        self.lose_unsynced
    }
}

/// Cuts both directions between each of `nodes` and every other member, and the clients if
/// wanted. In the order of links, each once.
pub(super) fn cut_off(view: &ClusterView, nodes: &[NodeId], clients: bool) -> Vec<Effect> {
    let mut links = std::collections::BTreeSet::new();
    for node in nodes {
        let members = view.nodes.iter().map(|member| Endpoint::Node(member.id));
        let peers = members.chain(clients.then_some(Endpoint::Clients));
        for peer in peers.filter(|peer| *peer != Endpoint::Node(*node)) {
            let link = LinkId::new(Endpoint::Node(*node), peer);
            links.extend([link, link.reversed()]);
        }
    }
    let cut = |link| Effect::Link {
        link,
        rule: Rule::Cut,
    };
    links.into_iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;

    #[test]
    fn every_link_is_cut_before_the_process_dies() {
        let off = PowerOff {
            node: Selector::Leader,
            lose_unsynced: false,
        };
        let chosen = off
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        let text: Vec<String> = chosen.effects.iter().map(Effect::to_string).collect();
        assert_eq!(
            text,
            [
                "n1->n2 cut",
                "n1->n3 cut",
                "n1->clients cut",
                "n2->n1 cut",
                "n3->n1 cut",
                "clients->n1 cut",
                "n1 down"
            ]
        );
        assert_eq!(chosen.label, "power off n1 (leader)");
        assert_eq!(chosen.nodes, [NodeId(1)]);
    }
}
