//! A link fault that concerns a share of what crosses its links: what `corrupt`, `duplicate` and
//! `reorder` have in common.

use std::fmt;

use serde::Deserialize;

use super::choose::Chooser;
use super::ends::{End, EndKeys, Ends};
use super::sample::ShareSpec;
use super::units::HELP_MARK;
use super::{Bindings, Chosen, Misfit, Selector, Unresolved};
use crate::cluster::ClusterView;
use crate::link::Rule;
use crate::seed::Stream;

/// Links and a share.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Part {
    /// Which links.
    pub ends: Ends,
    /// How much of what crosses them.
    pub share: ShareSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    between: Option<Vec<End>>,
    from: Option<End>,
    to: Option<End>,
    share: ShareSpec,
}

impl TryFrom<Keys> for Part {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys {
            between,
            from,
            to,
            share,
        } = keys;
        let ends = EndKeys { between, from, to }.ends()?;
        Ok(Self { ends, share })
    }
}

impl Part {
    /// Refuses links of clients, whose messages nobody can tell apart.
    pub(super) fn framed(self, verb: &str) -> Result<Self, String> {
        if [&self.ends.from, &self.ends.to].contains(&&End::Clients) {
            return Err(format!(
                "`{verb}` needs a protocol between nodes, clients speak their own{HELP_MARK}\
                 name nodes as both ends"
            ));
        }
        Ok(self)
    }

    pub(super) fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        if self.share == ShareSpec::Fixed(0.0) {
            return Err(Misfit::new(
                "a share of 0% is no fault",
                "write a share above 0%",
            ));
        }
        self.ends.fits(nodes)
    }

    pub(super) fn selectors(&self) -> Vec<&Selector> {
        self.ends.selectors()
    }

    /// All its links under the rule that `rule` makes of the share.
    pub(super) fn effects(
        &self,
        view: &ClusterView,
        stream: &mut Stream,
        bindings: &Bindings,
        verb: &str,
        rule: impl Fn(f64) -> Rule,
    ) -> Result<Chosen, Unresolved> {
        Chooser::attempt(view, stream, bindings, |chooser| {
            let share = self.share.draw(chooser.stream());
            let verb = format!("{verb} {}", ShareSpec::Fixed(share));
            self.ends.choose(view, chooser, &verb, rule(share))
        })
    }
}

/// As written in a plan.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}, share: {}}}", self.ends, self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::super::{Corrupt, Duplicate, Fault, Reorder};
    use super::*;
    use crate::cluster::Effect;

    const PEERS: &str = r#"{"between": ["leader", "followers"], "share": "20%"}"#;
    const CLIENTS: &str = r#"{"from": "clients", "to": "leader", "share": "5%..10%"}"#;

    fn chosen(fault: &dyn Fault) -> (String, Vec<String>) {
        let chosen = fault
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert!(!chosen.on_leader, "part of the data deposes nobody");
        let effects = chosen.effects.iter().map(Effect::to_string).collect();
        (chosen.label, effects)
    }

    #[test]
    fn each_says_what_it_does_to_which_links() {
        let corrupt: Corrupt = serde_json::from_str(PEERS).unwrap();
        let duplicate: Duplicate = serde_json::from_str(PEERS).unwrap();
        let reorder: Reorder = serde_json::from_str(PEERS).unwrap();
        for (fault, verb, effect) in [
            (
                &corrupt as &dyn Fault,
                "corrupt",
                "n1->n2 flips bits in 20.0 %",
            ),
            (&duplicate, "duplicate", "n1->n2 doubles 20.0 %"),
            (&reorder, "reorder", "n1->n2 reorders 20.0 %"),
        ] {
            let (label, effects) = chosen(fault);
            assert_eq!(label, format!("{verb} 20% n1 (leader) <-> n2,n3"));
            assert_eq!(effects.len(), 4);
            assert_eq!(effects[0], effect);
            assert_eq!(
                fault.parameters(),
                "{between: [leader, followers], share: 20%}"
            );
            assert!(fault.fits(1).is_err());
            fault.fits(2).unwrap();
        }
    }

    #[test]
    fn what_needs_frames_does_not_go_with_clients_and_what_does_not_does() {
        for refused in [
            serde_json::from_str::<Duplicate>(CLIENTS).map(drop),
            serde_json::from_str::<Reorder>(CLIENTS).map(drop),
        ] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("clients speak their own"), "{error}");
        }
        let corrupt: Corrupt = serde_json::from_str(CLIENTS).unwrap();
        assert_eq!(chosen(&corrupt).1.len(), 1);
    }

    #[test]
    fn nothing_at_all_is_no_fault() {
        let none = r#"{"between": ["n1", "n2"], "share": "0%"}"#;
        let corrupt: Corrupt = serde_json::from_str(none).unwrap();
        assert!(corrupt.fits(3).is_err());
    }
}
