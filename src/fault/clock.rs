//! `clock`: the clocks of a node are wrong. Only the node's own view: the host's clock is never
//! touched, and the traces that the harness reads stay true.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Visitor};

use super::sample::DurationSpec;
use super::units::{HELP_MARK, Span};
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved, name_nodes};
use crate::clock::Nanos;
use crate::cluster::{ClusterView, Effect, Skew};
use crate::fault::choose::Chooser;
use crate::seed::Stream;

/// Make the clocks of these nodes wrong.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Clock {
    /// Which nodes.
    pub node: Selector,
    /// The wall clock jumps by this.
    pub bump: Option<Bump>,
    /// The wall clock jumps to and fro.
    pub strobe: Option<Strobe>,
    /// Both clocks run this fast.
    pub rate: Option<f64>,
}

/// A jump of the wall clock in milliseconds, fixed or drawn uniformly from a closed range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bump {
    /// The smallest.
    pub low: i64,
    /// The largest.
    pub high: i64,
}

/// A wall clock that jumps to and fro.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strobe {
    /// How far it jumps ahead.
    pub by: Span,
    /// How long it stays ahead, and then right.
    pub period: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    node: Selector,
    bump: Option<Bump>,
    strobe: Option<Strobe>,
    rate: Option<f64>,
}

impl TryFrom<Keys> for Clock {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys {
            node,
            bump,
            strobe,
            rate,
        } = keys;
        if bump.is_none() && strobe.is_none() && rate.is_none() {
            return Err(format!(
                "it does not say what is wrong with the clock{HELP_MARK}write `bump: -30s`, \
                 `strobe: {{by: 1s, period: 500ms}}` or `rate: 1.05`"
            ));
        }
        if let Some(rate) = rate.filter(|rate| !(0.1..=10.0).contains(rate)) {
            return Err(format!(
                "a clock cannot run {rate} times as fast{HELP_MARK}write a rate from 0.1 to 10"
            ));
        }
        if strobe
            .as_ref()
            .is_some_and(|strobe| strobe.period.0 < Nanos::from_millis(1))
        {
            return Err(format!(
                "the period of a strobe is at least 1ms{HELP_MARK}for example `period: 500ms`"
            ));
        }
        Ok(Self {
            node,
            bump,
            strobe,
            rate,
        })
    }
}

impl Bump {
    fn parse(text: &str) -> Result<Self, String> {
        let signed = |text: &str| -> Result<i64, String> {
            let text = text.trim();
            let (sign, span) = match text.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, text.strip_prefix('+').unwrap_or(text)),
            };
            let span = Span::parse(span).map_err(|error| error.to_string())?;
            let millis = span.0.0 / 1_000_000;
            i64::try_from(millis)
                .map(|millis| sign * millis)
                .map_err(|error| error.to_string())
        };
        let (low, high) = match text.split_once("..") {
            None => (signed(text)?, signed(text)?),
            Some((low, high)) => (signed(low)?, signed(high)?),
        };
        if low > high {
            return Err(format!(
                "the range `{text}` is empty{HELP_MARK}write the smaller end first: `-5m..5m`"
            ));
        }
        Ok(Self { low, high })
    }

    fn draw(self, stream: &mut Stream) -> i64 {
        if self.low == self.high {
            return self.low;
        }
        let width = self.high.abs_diff(self.low);
        let above = i64::try_from(stream.below(width + 1)).unwrap_or(0);
        self.low + above
    }
}

impl Fault for Clock {
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
        Chooser::attempt(view, stream, bindings, |chooser| {
            let nodes = chooser.choose(&self.node)?;
            let bump = self.bump.map(|bump| bump.draw(chooser.stream()));
            let (strobe_ms, strobe_period) = match &self.strobe {
                Some(strobe) => (
                    i64::try_from(strobe.by.0.0 / 1_000_000).unwrap_or(i64::MAX),
                    strobe.period.0,
                ),
                None => (0, Nanos::ZERO),
            };
            let skew = Skew {
                bump_ms: bump.unwrap_or(0),
                strobe_ms,
                strobe_period,
                rate: self.rate.unwrap_or(1.0),
            };
            let mut words = Vec::new();
            if let Some(bump) = bump {
                words.push(written(bump));
            }
            if let Some(strobe) = &self.strobe {
                words.push(format!("strobe {} every {}", strobe.by, strobe.period));
            }
            if let Some(rate) = self.rate {
                words.push(format!("rate {rate}"));
            }
            let leader = view.leader();
            Ok(Chosen {
                effects: nodes
                    .iter()
                    .map(|node| Effect::Clock { node: *node, skew })
                    .collect(),
                damage: Vec::new(),
                trigger: None,
                label: format!(
                    "clock of {}: {}",
                    name_nodes(&nodes, leader),
                    words.join(", ")
                ),
                on_leader: leader.is_some_and(|leader| nodes.contains(&leader)),
                nodes,
            })
        })
    }

    fn parameters(&self) -> String {
        let mut text = format!("{{node: {}", self.node);
        if let Some(bump) = self.bump {
            text.push_str(&format!(", bump: {bump}"));
        }
        if let Some(strobe) = &self.strobe {
            text.push_str(&format!(
                ", strobe: {{by: {}, period: {}}}",
                strobe.by, strobe.period
            ));
        }
        if let Some(rate) = self.rate {
            text.push_str(&format!(", rate: {rate}"));
        }
        text + "}"
    }
}

/// A signed duration as written in a plan.
fn written(millis: i64) -> String {
    let span = DurationSpec::Fixed(Nanos::from_millis(millis.unsigned_abs()));
    let sign = if millis < 0 { "-" } else { "" };
    format!("{sign}{span}")
}

/// As written in a plan.
impl fmt::Display for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            f.write_str(&written(self.low))
        } else {
            write!(f, "{}..{}", written(self.low), written(self.high))
        }
    }
}

struct BumpVisitor;

impl Visitor<'_> for BumpVisitor {
    type Value = Bump;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a jump of the clock: -30s, 5m or -5m..5m")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bump, E> {
        Bump::parse(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Bump, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bump, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for Bump {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(BumpVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;

    #[test]
    fn a_bump_is_drawn_within_its_range_and_written_back() {
        let bump = Bump::parse("-5m..5m").unwrap();
        let mut stream = stream();
        for _ in 0..1000 {
            assert!((-300_000..=300_000).contains(&bump.draw(&mut stream)));
        }
        assert_eq!(bump.to_string(), "-5m..5m");
        assert_eq!(
            Bump::parse("-30s").map(|bump| bump.to_string()),
            Ok("-30s".to_owned())
        );
        assert!(Bump::parse("5m..-5m").is_err());
        assert!(Bump::parse("5").is_err());
    }

    #[test]
    fn a_clock_says_all_that_is_wrong_with_it() {
        let clock = Clock {
            node: Selector::Leader,
            bump: Some(Bump {
                low: -1500,
                high: -1500,
            }),
            strobe: None,
            rate: Some(1.05),
        };
        let chosen = clock
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert_eq!(chosen.label, "clock of n1 (leader): -1500ms, rate 1.05");
        assert_eq!(
            clock.parameters(),
            "{node: leader, bump: -1500ms, rate: 1.05}"
        );
    }
}
