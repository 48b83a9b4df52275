//! `throttle`: a link lets no more than so many bytes through in a second; nothing is lost.

use serde::Deserialize;

use super::choose::Chooser;
use super::ends::{End, EndKeys, Ends};
use super::units::ByteRate;
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved};
use crate::cluster::ClusterView;
use crate::link::Rule;
use crate::seed::Stream;

/// Make these links narrow, each by itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Throttle {
    /// Which links.
    pub ends: Ends,
    /// How much each lets through, over all its connections together.
    pub rate: ByteRate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    between: Option<Vec<End>>,
    from: Option<End>,
    to: Option<End>,
    rate: ByteRate,
}

impl TryFrom<Keys> for Throttle {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys {
            between,
            from,
            to,
            rate,
        } = keys;
        let ends = EndKeys { between, from, to }.ends()?;
        Ok(Self { ends, rate })
    }
}

impl Fault for Throttle {
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
            let verb = format!("throttle {}", self.rate);
            let rule = Rule::Throttle { rate: self.rate.0 };
            self.ends.choose(view, chooser, &verb, rule)
        })
    }

    fn parameters(&self) -> String {
        format!("{{{}, rate: {}}}", self.ends, self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;

    #[test]
    fn every_link_is_as_narrow_as_said() {
        let text = r#"{"from": "leader", "to": "followers", "rate": "100kB/s"}"#;
        let throttle: Throttle = serde_json::from_str(text).unwrap();
        let chosen = throttle
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert_eq!(chosen.label, "throttle 100kB/s n1 (leader) -> n2,n3");
        assert!(!chosen.on_leader);
        let effects: Vec<String> = chosen.effects.iter().map(ToString::to_string).collect();
        assert_eq!(
            effects,
            ["n1->n2 passes 100000 B/s", "n1->n3 passes 100000 B/s"]
        );
        assert_eq!(
            throttle.parameters(),
            "{from: leader, to: followers, rate: 100kB/s}"
        );
    }
}
