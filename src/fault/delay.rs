//! `delay`: everything that crosses a link is held back for a while, in order.

use serde::Deserialize;

use super::choose::Chooser;
use super::ends::{End, EndKeys, Ends};
use super::sample::DurationSpec;
use super::units::{HELP_MARK, Span};
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved};
use crate::clock::Nanos;
use crate::cluster::ClusterView;
use crate::link::{Rule, Spread};
use crate::seed::Stream;

/// Hold back everything that crosses these links.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Delay {
    /// Which links.
    pub ends: Ends,
    /// By how long.
    pub by: DurationSpec,
    /// Give or take about this much.
    pub jitter: Nanos,
    /// What the jitter measures.
    pub dist: Spread,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    between: Option<Vec<End>>,
    from: Option<End>,
    to: Option<End>,
    by: DurationSpec,
    jitter: Option<Span>,
    dist: Option<Spread>,
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
            dist,
        } = keys;
        let ends = EndKeys { between, from, to }.ends()?;
        let jitter = jitter.map_or(Nanos::ZERO, |span| span.0);
        if let Some(dist) = dist.filter(|_| jitter == Nanos::ZERO) {
            return Err(format!(
                "`dist: {}` without a jitter means nothing{HELP_MARK}\
                 write how far delays spread, for instance `jitter: 5ms`",
                dist.word()
            ));
        }
        let dist = dist.unwrap_or_default();
        let reaches_down = dist != Spread::Pareto;
        if reaches_down && matches!(by, DurationSpec::Fixed(by) if by < jitter) {
            return Err(format!(
                "`jitter: {}` is longer than the delay `by: {by}`{HELP_MARK}\
                 nothing arrives before it was sent: keep jitter at or below `by`",
                Span(jitter)
            ));
        }
        Ok(Self {
            ends,
            by,
            jitter,
            dist,
        })
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
            let spread = self.dist;
            let (jitter, sign) = match spread {
                Spread::Uniform => (self.jitter.min(by), "±"),
                Spread::Normal => (self.jitter.min(by), "± sd"),
                Spread::Pareto => (self.jitter, "+ pareto"),
            };
            let verb = if jitter == Nanos::ZERO {
                format!("delay {}", Span(by))
            } else {
                format!("delay {} {sign} {}", Span(by), Span(jitter))
            };
            let rule = Rule::Delay { by, jitter, spread };
            self.ends.choose(view, chooser, &verb, rule)
        })
    }

    fn parameters(&self) -> String {
        let (by, jitter) = (&self.by, Span(self.jitter));
        // A `dist` without a jitter would not be read again.
        let dist = match self.dist {
            Spread::Uniform => String::new(),
            other => format!(", dist: {}", other.word()),
        };
        format!("{{{}, by: {by}, jitter: {jitter}{dist}}}", self.ends)
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
            dist: Spread::Uniform,
        };
        let chosen = delay
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert_eq!(chosen.label, "delay 50ms ± 20ms clients <-> n1 (leader)");
        assert_eq!(chosen.effects.len(), 2);
        assert!(!chosen.on_leader);
    }

    fn parse(text: &str) -> Result<Delay, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_distribution_needs_a_jitter_and_only_pareto_may_exceed_the_delay() {
        let delay = |rest: &str| {
            parse(&format!(
                r#"{{"between": ["clients", "leader"], "by": "5ms", {rest}}}"#
            ))
        };
        let pareto = delay(r#""jitter": "20ms", "dist": "pareto""#).unwrap();
        assert!(pareto.parameters().ends_with("jitter: 20ms, dist: pareto}"));
        let chosen = pareto
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert!(chosen.label.starts_with("delay 5ms + pareto 20ms"));
        assert!(delay(r#""jitter": "20ms", "dist": "normal""#).is_err());
        assert!(delay(r#""dist": "normal""#).is_err());
        assert!(delay(r#""jitter": "2ms", "dist": "bell""#).is_err());
    }
}
