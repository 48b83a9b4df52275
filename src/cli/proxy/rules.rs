//! Rules of the proxy as people write them, in a file or over HTTP: the words and units of plans.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::clock::Nanos;
use crate::fault::{ByteRate, Layer, Share, Span};
use crate::link::{DropLayer, LinkId, Rule, RuleError, Spread};

/// What is wrong in each direction.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// As it was written.
    pub(super) text: serde_json::Value,
    forth: Vec<Rule>,
    back: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    /// From the clients to the server.
    forth: Vec<Word>,
    back: Vec<Word>,
    both: Vec<Word>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Word {
    Cut,
    Drop {
        loss: Share,
        layer: Layer,
    },
    Delay {
        by: Span,
        jitter: Option<Span>,
        #[serde(default)]
        dist: Spread,
    },
    Throttle {
        rate: ByteRate,
    },
    Corrupt {
        share: Share,
    },
    Duplicate {
        share: Share,
    },
    Reorder {
        share: Share,
    },
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            text: serde_json::json!({}),
            forth: Vec::new(),
            back: Vec::new(),
        }
    }
}

impl Rules {
    /// Reads YAML, of which JSON is a part. Nothing at all means that nothing is wrong.
    ///
    /// # Errors
    /// What is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let value: serde_json::Value =
            serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        if value.is_null() {
            return Ok(Self::default());
        }
        let keys = Keys::deserialize(&value).map_err(|error| error.to_string())?;
        let rules = |own: &[Word]| own.iter().chain(&keys.both).map(Word::rule).collect();
        Ok(Self {
            forth: rules(&keys.forth),
            back: rules(&keys.back),
            text: value,
        })
    }

    /// The rules of both links; `forth` is the direction from the clients to the server.
    pub(super) fn table(&self, forth: LinkId) -> BTreeMap<LinkId, Vec<Rule>> {
        BTreeMap::from([
            (forth, self.forth.clone()),
            (forth.reversed(), self.back.clone()),
        ])
    }
}

/// Why these rules cannot be obeyed, in the words of a rules file; `forth` as in [`Rules::table`].
pub(super) fn refused(error: &RuleError, forth: LinkId) -> String {
    let list = |link: LinkId| if link == forth { "forth" } else { "back" };
    match error {
        RuleError::NotFramed(link) => format!(
            "`{}`: messages can only be dropped where they are known: start the proxy with \
             `--framed`, or use `layer: stall`",
            list(*link)
        ),
        RuleError::NoFrames { link, what } => format!(
            "`{}`: messages can only be {what} where they are known: start the proxy with `--framed`",
            list(*link)
        ),
        RuleError::NotPackets(link) => format!(
            "`{}`: a proxy has no packets to drop: use `layer: stall`",
            list(*link)
        ),
        RuleError::NotAProbability { link, .. } | RuleError::NoRate(link) => {
            format!("`{}`: {error}", list(*link))
        }
        RuleError::Closed => error.to_string(),
    }
}

impl Word {
    fn rule(&self) -> Rule {
        match *self {
            Self::Cut => Rule::Cut,
            Self::Drop { loss, layer } => Rule::Drop {
                loss: loss.0,
                layer: match layer {
                    Layer::Frame => DropLayer::Frame,
                    // Refused by the proxy, which has none.
                    Layer::Packet => DropLayer::Packet,
                    Layer::Stall => DropLayer::Stall,
                    Layer::Corrupt => DropLayer::Corrupt,
                },
            },
            Self::Delay { by, jitter, dist } => Rule::Delay {
                by: by.0,
                jitter: jitter.map_or(Nanos::ZERO, |jitter| jitter.0),
                spread: dist,
            },
            Self::Throttle { rate } => Rule::Throttle { rate: rate.0 },
            Self::Corrupt { share } => Rule::Corrupt { share: share.0 },
            Self::Duplicate { share } => Rule::Duplicate { share: share.0 },
            Self::Reorder { share } => Rule::Reorder { share: share.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;
    use crate::link::Endpoint;

    const FORTH: LinkId = LinkId::new(Endpoint::Clients, Endpoint::Node(NodeId(1)));

    #[test]
    fn each_direction_gets_its_own_rules_and_those_of_both() {
        let rules = Rules::parse(
            "forth: [cut, {throttle: {rate: 100kB/s}}]\n\
             back:\n  - drop: {loss: 5%, layer: stall}\n\
             both: [{delay: {by: 20ms, jitter: 5ms, dist: normal}}, {corrupt: {share: 1%}}]\n",
        )
        .unwrap();
        let table = rules.table(FORTH);
        let delay = Rule::Delay {
            by: Nanos::from_millis(20),
            jitter: Nanos::from_millis(5),
            spread: Spread::Normal,
        };
        let corrupt = Rule::Corrupt { share: 0.01 };
        let throttle = Rule::Throttle { rate: 100_000 };
        assert_eq!(table[&FORTH], [Rule::Cut, throttle, delay, corrupt]);
        let stall = Rule::Drop {
            loss: 0.05,
            layer: DropLayer::Stall,
        };
        assert_eq!(table[&FORTH.reversed()], [stall, delay, corrupt]);
    }

    #[test]
    fn json_is_read_too_and_nothing_is_nothing() {
        let rules = Rules::parse(r#"{"both": [{"reorder": {"share": "2%"}}]}"#).unwrap();
        assert_eq!(rules.table(FORTH)[&FORTH], [Rule::Reorder { share: 0.02 }]);
        for nothing in ["", "{}", "both: []"] {
            let rules = Rules::parse(nothing).unwrap();
            assert!(rules.table(FORTH).values().all(Vec::is_empty), "{nothing}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [
            "sideways: [cut]",
            "forth: [{cutt: {}}]",
            "forth: [{throttle: {rate: 100}}]",
            "forth: [{drop: {loss: 5%}}]",
            "forth: [{delay: {by: 5ms, jiter: 1ms}}]",
            "forth: [",
        ] {
            assert!(Rules::parse(wrong).is_err(), "{wrong}");
        }
    }
}
