//! `disk`: the disk under a node's data is slow, fails, fills up, or the power fails at one call
//! and what was not synced is lost.

use serde::Deserialize;

use super::kill::down;
use super::power_off::cut_off;
use super::units::{HELP_MARK, Span};
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved, name_nodes};
use crate::clock::Nanos;
use crate::cluster::{ClusterView, Effect, Ending, Trigger};
use crate::disk::{Act, Calls, Failure, Op, Rule, Torn};
use crate::seed::Stream;

/// Something is wrong with the disks of these nodes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Disk {
    /// Whose.
    pub node: Selector,
    /// What is wrong.
    pub wrong: Wrong,
}

/// What is wrong with a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// While the fault lasts, calls meet this.
    Rule(Rule),
    /// The power fails now, and what was not synced is lost.
    PowerNow,
    /// The power fails at a call, if that comes in time.
    PowerAt {
        /// Which call, and what becomes of it.
        rule: Rule,
        /// How long to wait for it.
        within: Nanos,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    node: Selector,
    stall: Option<Span>,
    errno: Option<Failure>,
    full: Option<bool>,
    lose_unsynced: Option<bool>,
    torn: Option<TornKeys>,
    at: Option<AtKeys>,
    within: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AtKeys {
    op: Option<Op>,
    file: Option<String>,
    #[serde(default = "one")]
    nth: u64,
    when: Option<When>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum When {
    Before,
    After,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TornKeys {
    file: Option<String>,
    #[serde(default = "one")]
    nth: u64,
    parts: u32,
    keep: Vec<u32>,
}

const fn one() -> u64 {
    1
}

const WITHIN: Nanos = Nanos::from_secs(10);

const CHOICES: &str = "write one of `stall: 200ms`, `errno: EIO`, `full: true`, \
                       `lose_unsynced: true` and `torn: {file: log*, parts: 3, keep: [1]}`";

impl TryFrom<Keys> for Disk {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let wrong = wrong(&keys)?;
        let fails = matches!(wrong, Wrong::PowerAt { .. });
        if keys.within.is_some() && !fails {
            return Err(format!(
                "`within` is how long a power failure waits for its call{HELP_MARK}write it with \
                 `torn`, or with `lose_unsynced` and `at`"
            ));
        }
        let when = keys.at.as_ref().is_some_and(|at| at.when.is_some());
        if when && !fails {
            return Err(format!(
                "`when` says whether the call at which the power fails is still done{HELP_MARK}\
                 write it with `lose_unsynced: true`"
            ));
        }
        Ok(Self {
            node: keys.node,
            wrong,
        })
    }
}

fn wrong(keys: &Keys) -> Result<Wrong, String> {
    let calls = |op: Option<Op>| match &keys.at {
        None => Calls {
            op,
            file: None,
            nth: 1,
        },
        Some(at) => Calls {
            op: at.op.or(op),
            file: at.file.clone(),
            nth: at.nth.max(1),
        },
    };
    let within = keys.within.map_or(WITHIN, |span| span.0);
    let rule = |calls, act| Wrong::Rule(Rule { calls, act });
    let is_set = |flag: Option<bool>| flag.filter(|flag| *flag);
    let (full, lose) = (is_set(keys.full), is_set(keys.lose_unsynced));
    match (keys.stall, keys.errno, full, lose, &keys.torn) {
        (Some(by), None, None, None, None) => Ok(rule(calls(Some(Op::Fsync)), Act::Stall(by.0))),
        (None, Some(failure), None, None, None) => {
            Ok(rule(calls(Some(Op::Fsync)), Act::Fail(failure)))
        }
        (None, None, Some(_), None, None) => match &keys.at {
            None => Ok(rule(calls(None), Act::Full)),
            Some(_) => Err(format!(
                "a full disk is full for every call{HELP_MARK}for a single one write `errno: \
                 ENOSPC` with `at`"
            )),
        },
        (None, None, None, Some(_), None) => Ok(match &keys.at {
            None => Wrong::PowerNow,
            Some(at) => Wrong::PowerAt {
                rule: Rule {
                    calls: calls(Some(Op::Fsync)),
                    act: Act::PowerFails {
                        after: matches!(at.when, Some(When::After)),
                        torn: None,
                    },
                },
                within,
            },
        }),
        (None, None, None, None, Some(torn)) if keys.at.is_none() => tear(torn, within),
        (None, None, None, None, Some(_)) => Err(format!(
            "`torn` says itself which write it means{HELP_MARK}write `file` and `nth` inside of \
             `torn`"
        )),
        _ => Err(format!(
            "it must say one thing that is wrong with the disk{HELP_MARK}{CHOICES}"
        )),
    }
}

fn tear(torn: &TornKeys, within: Nanos) -> Result<Wrong, String> {
    let good = |part: &u32| (1..=torn.parts).contains(part);
    if !(2..=4096).contains(&torn.parts) || !torn.keep.iter().all(good) {
        return Err(format!(
            "a write is torn into 2 to 4096 parts, of which some are kept{HELP_MARK}write for \
             example `torn: {{file: log*, nth: 5, parts: 3, keep: [1, 3]}}`"
        ));
    }
    let calls = Calls {
        op: Some(Op::Write),
        file: torn.file.clone(),
        nth: torn.nth.max(1),
    };
    let torn = Torn {
        parts: torn.parts,
        keep: torn.keep.clone(),
    };
    let act = Act::PowerFails {
        after: false,
        torn: Some(torn),
    };
    Ok(Wrong::PowerAt {
        rule: Rule { calls, act },
        within,
    })
}

impl Fault for Disk {
    fn fits(&self, _nodes: u8) -> Result<(), Misfit> {
        Ok(())
    }

    fn selectors(&self) -> Vec<&Selector> {
        vec![&self.node]
    }

    fn needs_disk(&self) -> bool {
        true
    }

    fn effects(
        &self,
        view: &ClusterView,
        stream: &mut Stream,
        bindings: &Bindings,
    ) -> Result<Chosen, Unresolved> {
        let nodes = self.node.resolve(view, stream, bindings)?;
        let rule = match &self.wrong {
            Wrong::Rule(rule) => rule,
            Wrong::PowerNow => return Ok(power_fails(view, nodes, None)),
            Wrong::PowerAt { rule, within } => {
                let trigger = Trigger {
                    node: nodes[0],
                    rule: rule.clone(),
                    within: *within,
                };
                if nodes.len() > 1 {
                    return Err(Unresolved {
                        selector: self.node.to_string(),
                        reason: "it means several nodes, and a power failure at a call is that of \
                                 one node"
                            .to_owned(),
                    });
                }
                return Ok(power_fails(view, nodes, Some(trigger)));
            }
        };
        let leader = view.leader();
        Ok(Chosen {
            effects: nodes
                .iter()
                .map(|node| Effect::Disk {
                    node: *node,
                    rule: rule.clone(),
                })
                .collect(),
            damage: Vec::new(),
            trigger: None,
            label: format!("disk of {}: {rule}", name_nodes(&nodes, leader)),
            on_leader: leader.is_some_and(|leader| nodes.contains(&leader)),
            nodes,
        })
    }

    fn parameters(&self) -> String {
        let node = &self.node;
        let at = |calls: &Calls, when: &str| {
            let mut text = String::new();
            if let Some(op) = calls.op {
                text.push_str(&format!("op: {op}"));
            }
            if let Some(file) = &calls.file {
                text.push_str(&format!(", file: \"{file}\""));
            }
            format!("at: {{{text}, nth: {}{when}}}", calls.nth)
        };
        match &self.wrong {
            Wrong::PowerNow => format!("{{node: {node}, lose_unsynced: true}}"),
            Wrong::Rule(rule) => match &rule.act {
                Act::Stall(by) => {
                    let by = Span(*by);
                    format!("{{node: {node}, stall: {by}, {}}}", at(&rule.calls, ""))
                }
                Act::Fail(failure) => {
                    format!(
                        "{{node: {node}, errno: {failure}, {}}}",
                        at(&rule.calls, "")
                    )
                }
                Act::Full | Act::PowerFails { .. } => format!("{{node: {node}, full: true}}"),
            },
            Wrong::PowerAt { rule, within } => {
                let within = Span(*within);
                let what = match &rule.act {
                    Act::PowerFails {
                        torn: Some(torn), ..
                    } => {
                        let file = rule.calls.file.as_ref();
                        let file = file.map_or_else(String::new, |f| format!("file: \"{f}\", "));
                        let nth = rule.calls.nth;
                        let (parts, keep) = (torn.parts, &torn.keep);
                        format!("torn: {{{file}nth: {nth}, parts: {parts}, keep: {keep:?}}}")
                    }
                    act => {
                        let after = matches!(act, Act::PowerFails { after: true, .. });
                        let when = if after { "after" } else { "before" };
                        let at = at(&rule.calls, &format!(", when: {when}"));
                        format!("lose_unsynced: true, {at}")
                    }
                };
                format!("{{node: {node}, {what}, within: {within}}}")
            }
        }
    }
}

/// The machine loses its power, as by `power_off`, and its disk what was not synced.
pub(super) fn power_fails(
    view: &ClusterView,
    nodes: Vec<crate::id::NodeId>,
    trigger: Option<Trigger>,
) -> Chosen {
    let mut effects = cut_off(view, &nodes, true);
    let mut chosen = down(view, nodes, "power off", Ending::PowerLoss);
    effects.append(&mut chosen.effects);
    chosen
        .label
        .push_str(match trigger.as_ref().map(|t| &t.rule.act) {
            Some(Act::PowerFails { torn: Some(_), .. }) => " in the middle of a write",
            Some(_) => ", losing what is not synced, at a call",
            None => ", losing what is not synced",
        });
    Chosen {
        effects,
        trigger,
        ..chosen
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;

    fn parse(text: &str) -> Result<Disk, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_comes_back() {
        for text in [
            "{node: leader, stall: 200ms, at: {op: fsync, nth: 1}}",
            "{node: n1, errno: EIO, at: {op: write, file: \"log*\", nth: 6}}",
            "{node: n1, full: true}",
            "{node: n1, lose_unsynced: true}",
            "{node: n1, lose_unsynced: true, at: {op: fsync, file: \"wal\", nth: 6, when: before}, \
             within: 10s}",
            "{node: n1, torn: {file: \"log*\", nth: 5, parts: 3, keep: [1, 3]}, within: 5s}",
        ] {
            assert_eq!(
                parse(text).map(|disk| disk.parameters()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn one_thing_must_be_wrong() {
        for text in [
            "{node: n1}",
            "{node: n1, stall: 1s, full: true}",
            "{node: n1, full: true, at: {op: write}}",
            "{node: n1, stall: 1s, within: 1s}",
            "{node: n1, errno: EIO, at: {op: write, when: after}}",
            "{node: n1, torn: {parts: 1, keep: [1]}}",
            "{node: n1, torn: {parts: 3, keep: [4]}}",
            "{node: n1, errno: EPERM}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_power_failure_cuts_kills_and_loses() {
        let disk = parse("{node: leader, lose_unsynced: true}").unwrap();
        let bindings = Bindings::default();
        let chosen = disk.effects(&steady(3), &mut stream(), &bindings).unwrap();
        assert_eq!(
            chosen.label,
            "power off n1 (leader), losing what is not synced"
        );
        let how = Ending::PowerLoss;
        let node = crate::id::NodeId(1);
        assert_eq!(chosen.effects.last(), Some(&Effect::Down { node, how }));
        assert_eq!(chosen.effects.len(), 7);
        assert_eq!(chosen.trigger, None);
    }
}
