//! `cut`: nothing passes. What is held back is delivered after the heal, as TCP would.

use serde::Deserialize;

use super::choose::Chooser;
use super::ends::{End, EndKeys, Ends};
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved};
use crate::cluster::ClusterView;
use crate::link::Rule;
use crate::seed::Stream;

/// Let nothing pass on these links.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Cut {
    /// Which links.
    pub ends: Ends,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    between: Option<Vec<End>>,
    from: Option<End>,
    to: Option<End>,
}

impl TryFrom<Keys> for Cut {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys { between, from, to } = keys;
        let ends = EndKeys { between, from, to }.ends()?;
        Ok(Self { ends })
    }
}

impl Fault for Cut {
    fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        self.ends.fits(nodes)
    }

    fn selectors(&self) -> Vec<&Selector> {
        self.ends.selectors()
    }

    fn effects(
        &self,
        view: &ClusterView,
        stream: &mut Stream,
        bindings: &Bindings,
    ) -> Result<Chosen, Unresolved> {
        Chooser::attempt(view, stream, bindings, |chooser| {
            self.ends.choose(view, chooser, "cut", Rule::Cut)
        })
    }

    fn parameters(&self) -> String {
        format!("{{{}}}", self.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;
    use crate::cluster::Effect;

    fn cut(from: End, to: End, both_ways: bool, nodes: u8) -> (Vec<String>, Chosen) {
        let cut = Cut {
            ends: Ends {
                from,
                to,
                both_ways,
            },
        };
        let chosen = cut
            .effects(&steady(nodes), &mut stream(), &Bindings::default())
            .unwrap();
        (
            chosen.effects.iter().map(Effect::to_string).collect(),
            chosen,
        )
    }

    #[test]
    fn a_deaf_leader_hears_no_follower_but_still_speaks() {
        let (effects, chosen) = cut(
            End::Nodes(Selector::Followers),
            End::Nodes(Selector::Leader),
            false,
            3,
        );
        assert_eq!(effects, ["n2->n1 cut", "n3->n1 cut"]);
        assert_eq!(chosen.label, "cut n2,n3 -> n1 (leader)");
        assert!(chosen.on_leader);
    }

    #[test]
    fn losing_one_follower_does_not_depose_the_leader() {
        let follower = End::Nodes(Selector::Node(crate::id::NodeId(2)));
        let (effects, chosen) = cut(End::Nodes(Selector::Leader), follower, true, 3);
        assert_eq!(effects, ["n1->n2 cut", "n2->n1 cut"]);
        assert_eq!(chosen.label, "cut n1 (leader) <-> n2");
        assert!(!chosen.on_leader);
    }

    #[test]
    fn clients_are_an_end_and_no_node_is_linked_to_itself() {
        let (effects, _) = cut(End::Clients, End::Nodes(Selector::Leader), false, 3);
        assert_eq!(effects, ["clients->n1 cut"]);
        let all = || End::Nodes(Selector::All);
        let (effects, _) = cut(all(), all(), true, 3);
        assert_eq!(effects.len(), 6);
    }
}
