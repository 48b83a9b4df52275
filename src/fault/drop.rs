//! `drop`: a share of what crosses a link is lost. The *layer* says of what a loss consists.

use serde::Deserialize;

use super::choose::Chooser;
use super::ends::{End, EndKeys, Ends};
use super::sample::ShareSpec;
use super::{Bindings, Chosen, Fault, Misfit, Network, Selector, Unresolved};
use crate::cluster::ClusterView;
use crate::link::{DropLayer, Rule};
use crate::seed::Stream;

/// Lose a share of what crosses these links.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Drop {
    /// Which links.
    pub ends: Ends,
    /// How much is lost.
    pub loss: ShareSpec,
    /// Of what a loss consists; frames between proxies, packets between namespaces if not said.
    pub layer: Option<Layer>,
}

/// The words of `layer:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Whole length-prefixed messages vanish.
    Frame,
    /// Whole IP packets vanish between network namespaces.
    Packet,
    /// Segments are held back for a retransmission timeout, nothing vanishes.
    Stall,
    /// The bytes of segments are deleted: the receiver sees a broken protocol.
    Corrupt,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    between: Option<Vec<End>>,
    from: Option<End>,
    to: Option<End>,
    loss: ShareSpec,
    layer: Option<Layer>,
}

impl TryFrom<Keys> for Drop {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys {
            between,
            from,
            to,
            loss,
            layer,
        } = keys;
        let ends = EndKeys { between, from, to }.ends()?;
        Ok(Self { ends, loss, layer })
    }
}

impl Layer {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Packet => "packet",
            Self::Stall => "stall",
            Self::Corrupt => "corrupt",
        }
    }

    const fn drop_layer(self) -> DropLayer {
        match self {
            Self::Frame => DropLayer::Frame,
            Self::Packet => DropLayer::Packet,
            Self::Stall => DropLayer::Stall,
            Self::Corrupt => DropLayer::Corrupt,
        }
    }
}

impl Fault for Drop {
    fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        if self.loss == ShareSpec::Fixed(0.0) {
            return Err(Misfit::new(
                "a loss of 0% is no fault",
                "write a loss above 0%",
            ));
        }
        self.ends.fits(nodes)
    }

    fn suits(&self, network: Network) -> Result<(), Misfit> {
        let of_clients = [&self.ends.from, &self.ends.to].contains(&&End::Clients);
        match (network, self.layer) {
            (Network::Proxy, Some(Layer::Packet)) => Err(Misfit::new(
                "`layer: packet` needs packets, a proxy has streams",
                "write `network: packet` at the top of the plan, or `layer: stall`",
            )),
            (Network::Proxy, None | Some(Layer::Frame)) if of_clients => Err(Misfit::new(
                "`layer: frame` needs a protocol between nodes, clients speak their own",
                "write `layer: stall` for a link of clients",
            )),
            (Network::Packet, Some(layer @ (Layer::Frame | Layer::Stall | Layer::Corrupt))) => {
                Err(Misfit::new(
                    format!(
                        "`layer: {}` needs a proxy, this plan has `network: packet`",
                        layer.word()
                    ),
                    "leave `layer` out: packets are lost then",
                ))
            }
            _ => Ok(()),
        }
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
            let loss = self.loss.draw(chooser.stream());
            // Where there are only packets, each is a frame.
            let layer = self.layer.map_or(DropLayer::Frame, Layer::drop_layer);
            let verb = match self.layer {
                None | Some(Layer::Frame | Layer::Packet | Layer::Stall) => {
                    format!("drop {}", ShareSpec::Fixed(loss))
                }
                // It is the one that breaks streams: it says so.
                Some(Layer::Corrupt) => format!("delete {} of the bytes", ShareSpec::Fixed(loss)),
            };
            let rule = Rule::Drop { loss, layer };
            self.ends.choose(view, chooser, &verb, rule)
        })
    }

    fn parameters(&self) -> String {
        let layer = self.layer.map(|layer| format!(", layer: {}", layer.word()));
        format!(
            "{{{}, loss: {}{}}}",
            self.ends,
            self.loss,
            layer.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;

    fn drop(loss: ShareSpec) -> Chosen {
        let drop = Drop {
            ends: Ends {
                from: End::Nodes(Selector::Leader),
                to: End::Nodes(Selector::Followers),
                both_ways: true,
            },
            loss,
            layer: Some(Layer::Frame),
        };
        drop.effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap()
    }

    #[test]
    fn a_partial_loss_deposes_nobody_and_a_full_one_does() {
        let partial = drop(ShareSpec::Fixed(0.3));
        assert_eq!(partial.label, "drop 30% n1 (leader) <-> n2,n3");
        assert!(!partial.on_leader);
        assert!(drop(ShareSpec::Fixed(1.0)).on_leader);
    }

    #[test]
    fn a_try_that_finds_nobody_takes_nothing_from_the_stream() {
        let mut view = steady(3);
        view.nodes[0].role = crate::cluster::Role::Looking;
        let drop = Drop {
            ends: Ends {
                from: End::Nodes(Selector::parse("any").unwrap()),
                to: End::Nodes(Selector::Leader),
                both_ways: true,
            },
            loss: ShareSpec::Uniform(0.05, 0.6),
            layer: Some(Layer::Stall),
        };
        let (mut used, mut fresh) = (stream(), stream());
        assert!(
            drop.effects(&view, &mut used, &Bindings::default())
                .is_err()
        );
        assert_eq!(used.bits(), fresh.bits());
    }

    #[test]
    fn a_drawn_loss_is_one_value_for_all_links_of_the_step() {
        let chosen = drop(ShareSpec::Uniform(0.05, 0.6));
        let rules: std::collections::BTreeSet<String> = chosen
            .effects
            .iter()
            .map(|effect| match effect {
                crate::cluster::Effect::Link { rule, .. } => format!("{rule:?}"),
                other => panic!("{other} is no link"),
            })
            .collect();
        assert_eq!(rules.len(), 1);
    }
}
