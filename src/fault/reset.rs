//! `reset`: connections are reset at both ends. It is done once; new ones are as good as before.

use serde::Deserialize;

use super::choose::Chooser;
use super::ends::Ends;
use super::{Bindings, Chosen, Fault, Misfit, Network, Selector, Unresolved};
use crate::cluster::{ClusterView, Damage};
use crate::seed::Stream;

/// Reset the connections of these links.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Reset(pub Ends);

impl Fault for Reset {
    fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        self.0.fits(nodes)
    }

    fn suits(&self, network: Network) -> Result<(), Misfit> {
        network.needs_streams("reset", "leave it out, or write `network: proxy`")
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
        Chooser::attempt(view, stream, bindings, |chooser| {
            let damage = |link| Damage::Reset { link };
            self.0.strike(view, chooser, "reset", damage)
        })
    }

    fn parameters(&self) -> String {
        format!("{{{}}}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::HalfOpen;
    use super::super::choose::tests::{steady, stream};
    use super::*;

    fn chosen(fault: &dyn Fault) -> Chosen {
        fault
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap()
    }

    #[test]
    fn each_pair_of_nodes_is_struck_once_whichever_way_it_is_written() {
        for (ends, label, pairs) in [
            (
                r#"{"between": ["leader", "followers"]}"#,
                "n1 (leader) <-> n2,n3",
                vec!["n1->n2", "n1->n3"],
            ),
            (
                r#"{"from": "n2", "to": "n1"}"#,
                "n2 <-> n1 (leader)",
                vec!["n2->n1"],
            ),
            (
                r#"{"between": ["all", "all"]}"#,
                "n1,n2,n3 (n1 leads) <-> n1,n2,n3 (n1 leads)",
                vec!["n1->n2", "n1->n3", "n2->n3"],
            ),
        ] {
            let reset: Reset = serde_json::from_str(ends).unwrap();
            let chosen_now = chosen(&reset);
            assert_eq!(chosen_now.label, format!("reset {label}"));
            assert!(chosen_now.effects.is_empty() && !chosen_now.on_leader);
            let damage: Vec<String> = chosen_now.damage.iter().map(Damage::to_string).collect();
            let wanted: Vec<String> = pairs.iter().map(|pair| format!("{pair} reset")).collect();
            assert_eq!(damage, wanted);
        }
    }

    #[test]
    fn clients_can_be_one_end_and_other_keys_are_refused() {
        let text = r#"{"between": ["clients", "leader"]}"#;
        let half_open: HalfOpen = serde_json::from_str(text).unwrap();
        let chosen = chosen(&half_open);
        assert_eq!(chosen.label, "half open clients <-> n1 (leader)");
        let damage: Vec<String> = chosen.damage.iter().map(Damage::to_string).collect();
        assert_eq!(damage.len(), 1);
        assert!(damage[0].ends_with("half open"));
        assert_eq!(half_open.parameters(), "{between: [clients, leader]}");
        let wrong = r#"{"between": ["n1", "n2"], "share": "5%"}"#;
        assert!(serde_json::from_str::<Reset>(wrong).is_err());
        assert!(serde_json::from_str::<Reset>(r#"{"from": "n1"}"#).is_err());
    }
}
