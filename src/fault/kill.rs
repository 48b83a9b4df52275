//! `kill`: SIGKILL. The process is gone at once; the kernel closes its connections for it, so
//! peers see an end of file.

use serde::Deserialize;

use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved, name_nodes};
use crate::cluster::{ClusterView, Effect, Ending};
use crate::seed::Stream;

/// SIGKILL these nodes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// Which nodes.
    pub node: Selector,
}

impl Fault for Kill {
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
        Ok(down(view, nodes, "SIGKILL", Ending::Kill))
    }

    fn parameters(&self) -> String {
        format!("{{node: {}}}", self.node)
    }
}

/// These nodes' processes are gone.
pub(super) fn down(
    view: &ClusterView,
    nodes: Vec<crate::id::NodeId>,
    word: &str,
    how: Ending,
) -> Chosen {
    let leader = view.leader();
    let ended = nodes.iter().map(|node| Effect::Down { node: *node, how });
    Chosen {
        effects: ended.collect(),
        damage: Vec::new(),
        trigger: None,
        label: format!("{word} {}", name_nodes(&nodes, leader)),
        on_leader: leader.is_some_and(|leader| nodes.contains(&leader)),
        nodes,
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;
    use crate::id::NodeId;

    #[test]
    fn killing_the_leader_says_so() {
        let kill = Kill {
            node: Selector::Leader,
        };
        let chosen = kill
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert_eq!(
            chosen,
            Chosen {
                nodes: vec![NodeId(1)],
                effects: vec![Effect::Down {
                    node: NodeId(1),
                    how: Ending::Kill
                }],
                damage: Vec::new(),
                trigger: None,
                label: "SIGKILL n1 (leader)".to_owned(),
                on_leader: true,
            }
        );
    }

    #[test]
    fn killing_several_names_the_leader_among_them() {
        let kill = Kill {
            node: Selector::List(vec![Selector::Node(NodeId(3)), Selector::Leader]),
        };
        let chosen = kill
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert_eq!(chosen.label, "SIGKILL n1,n3 (n1 leads)");
        assert_eq!(chosen.effects.len(), 2);
    }
}
