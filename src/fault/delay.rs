//! `delay`: everything that crosses a link is held back for a while, in order.

use serde::Deserialize;

use super::choose::Chooser;
use super::ends::{End, EndKeys, Ends};
use super::sample::DurationSpec;
use super::units::{HELP_MARK, Span};
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved};
use crate::clock::Nanos;
use crate::cluster::ClusterView;
use crate::link::Rule;
use crate::seed::Stream;

/// Hold back everything that crosses these links.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Delay {
    /// Which links.
    pub ends: Ends,
    /// By how long.
    pub by: DurationSpec,
    /// Give or take up to this much, uniformly.
    pub jitter: Nanos,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    between: Option<Vec<End>>,
    from: Option<End>,
    to: Option<End>,
    by: DurationSpec,
    jitter: Option<Span>,
}

impl TryFrom<Keys> for Delay {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys {
            between,
            from,
            to,
            by,
            jitter,
        } = keys;
        let ends = EndKeys { between, from, to }.ends()?;
        let jitter = jitter.map_or(Nanos::ZERO, |span| span.0);
        if matches!(by, DurationSpec::Fixed(by) if by < jitter) {
            return Err(format!(
                "`jitter: {}` is longer than the delay `by: {by}`{HELP_MARK}\
                 nothing arrives before it was sent: keep jitter at or below `by`",
                Span(jitter)
            ));
        }
        Ok(Self { ends, by, jitter })
    }
}

impl Fault for Delay {
    fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        if self.by == DurationSpec::Fixed(Nanos::ZERO) {
            return Err(Misfit::new(
                "a delay by 0s is no fault",
                "write how long, for instance `by: 50ms`",
            ));
        }
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
            let by = self.by.draw(chooser.stream());
            let jitter = self.jitter.min(by);
            let verb = if jitter == Nanos::ZERO {
                format!("delay {}", Span(by))
            } else {
                format!("delay {} ± {}", Span(by), Span(jitter))
            };
            let rule = Rule::Delay { by, jitter };
            self.ends.choose(view, chooser, &verb, rule)
        })
    }

    fn parameters(&self) -> String {
        let (by, jitter) = (&self.by, Span(self.jitter));
        format!("{{{}, by: {by}, jitter: {jitter}}}", self.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;

    #[test]
    fn the_label_shows_delay_and_jitter() {
        let delay = Delay {
            ends: Ends {
                from: End::Clients,
                to: End::Nodes(Selector::Leader),
                both_ways: true,
            },
            by: DurationSpec::Fixed(Nanos::from_millis(50)),
            jitter: Nanos::from_millis(20),
        };
        let chosen = delay
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert_eq!(chosen.label, "delay 50ms ± 20ms clients <-> n1 (leader)");
        assert_eq!(chosen.effects.len(), 2);
        assert!(!chosen.on_leader);
    }
}
