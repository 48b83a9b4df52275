//! From the tree to steps: one verb each, names and nodes checked as the steps go by.

use serde::Deserialize;

use super::diagnostic::{Diagnostic, place};
use super::document::{Entry, Kind, Node};
use super::not_built;
use super::read::Reader;
use super::scope::{Bound, Scope};
use super::steps::{Action, Each, Healed, Order, Repeat, Rounds, Step};
use crate::clock::Nanos;
use crate::fault::{FaultSpec, Pool, Selector, Span, Terminate};

/// The verbs beside the faults, each with what it does.
pub const VERBS: &[(&str, &str)] = &[
    ("start", "start nodes again, whatever had stopped them"),
    ("restart", "SIGTERM, then start again"),
    ("resume", "let paused nodes run again (SIGCONT)"),
    ("heal", "end `all` faults, or the one of that name"),
    ("wait", "let time pass"),
    (
        "wait_for",
        "wait until a state holds or operations are done, with a time limit",
    ),
    (
        "repeat",
        "do steps several times; with a `name` each round is a trial",
    ),
    ("each", "do steps once for each node"),
    (
        "parallel",
        "do several lists of steps at the same time, until all have ended",
    ),
    (
        "random",
        "draw faults by chance for a while, so many at once, leaving a majority",
    ),
    ("mark", "write a text into the record"),
    (
        "call",
        "ask a node for something that its system can do by itself",
    ),
    (
        "exec",
        "run a command of one's own; only with `--allow-exec`",
    ),
];

/// Deeper plans are unreadable; the bound also keeps recursion shallow.
const MAX_DEPTH: usize = 8;

pub(super) const MAX_TIMES: u64 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeKeys {
    node: Selector,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartKeys {
    node: Selector,
    #[serde(default = "Terminate::default_grace")]
    grace: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepeatKeys {
    times: Option<u64>,
    #[serde(rename = "for")]
    for_: Option<Span>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EachKeys {
    of: Selector,
    order: Option<OrderWord>,
    #[serde(rename = "as")]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OrderWord {
    Given,
    Random,
    LeaderLast,
}

/// Reads the steps of one plan.
pub(super) struct StepReader<'a> {
    pub(super) reader: &'a mut Reader,
    pub(super) scope: Scope,
    pub(super) text: &'a str,
    pub(super) system: String,
}

impl StepReader<'_> {
    /// All steps of the plan; faults left open at its end are warned of.
    pub(super) fn plan(&mut self, node: &Node) -> Vec<Step> {
        let steps = self.list("steps", node);
        let warnings: Vec<Diagnostic> = self
            .scope
            .still_open()
            .iter()
            .map(|open| {
                let message = format!(
                    "nothing ends this `{}` before the end of the run",
                    open.verb
                );
                Diagnostic::warning(open.place.clone(), message)
                    .label("stays in force")
                    .help("add `for: 5s` to it, or `heal: all` behind it")
            })
            .collect();
        warnings
            .into_iter()
            .for_each(|warning| self.reader.report(warning));
        steps
    }

    pub(super) fn list(&mut self, path: &str, node: &Node) -> Vec<Step> {
        let items = match &node.kind {
            Kind::List(items) if !items.is_empty() => items,
            Kind::List(_) => {
                self.refuse(
                    node,
                    "there is not a single step",
                    "write at least one: `- wait: 5s`",
                );
                return Vec::new();
            }
            _ => {
                let message = format!("`steps` is a list, found {}", node.describe());
                self.refuse(node, &message, "begin each step with `- `: `- wait: 5s`");
                return Vec::new();
            }
        };
        if self.scope.depth >= MAX_DEPTH {
            let message = format!("steps are nested more than {MAX_DEPTH} deep");
            self.refuse(node, &message, "move the inner steps out");
            return Vec::new();
        }
        self.scope.depth += 1;
        let steps = items
            .iter()
            .enumerate()
            .filter_map(|(at, item)| self.step(format!("{path}[{at}]"), item))
            .collect();
        self.scope.depth -= 1;
        steps
    }

    pub(super) fn step(&mut self, path: String, node: &Node) -> Option<Step> {
        let entry = match (&node.kind, node.entries()) {
            (_, [entry]) => entry,
            (_, [first, second, ..]) => {
                self.two_verbs(first, second);
                return None;
            }
            (Kind::Text(word), _) if is_verb(word) => {
                let message = format!("`{word}` needs its arguments");
                self.refuse(node, &message, &format!("write `- {word}: ...`"));
                return None;
            }
            _ => {
                let message = format!("a step is one verb, found {}", node.describe());
                self.refuse(node, &message, "write for example `- kill: {node: leader}`");
                return None;
            }
        };
        let action = self.action(&path, entry)?;
        Some(Step {
            line: place(self.text, entry.key_span.start).0,
            path,
            action,
        })
    }

    fn two_verbs(&mut self, first: &Entry, second: &Entry) {
        let message = format!(
            "a step has one verb, found `{}` and `{}`",
            first.key, second.key
        );
        let help = if is_verb(&second.key) {
            format!("begin a new step: `- {}: ...`", second.key)
        } else {
            format!(
                "indent `{}` to make it an argument of `{}`, or put both in braces: \
                 `- {}: {{..., {}: ...}}`",
                second.key, first.key, first.key, second.key
            )
        };
        self.reader.report(
            Diagnostic::error(second.key_span.clone(), message)
                .label("a second key")
                .also(first.key_span.clone(), "the verb")
                .help(help),
        );
    }

    fn action(&mut self, path: &str, entry: &Entry) -> Option<Action> {
        let value = &entry.value;
        match entry.key.as_str() {
            "start" => self
                .nodes("start", value)
                .map(|node| Action::Start { node }),
            "resume" => self
                .nodes("resume", value)
                .map(|node| Action::Resume { node }),
            "restart" => self.restart(value),
            "heal" => self.heal(value),
            "wait" => self.reader.read("wait", value).map(Action::Wait),
            "wait_for" => self.wait_for(entry),
            "repeat" => self.repeat(path, entry),
            "each" => self.each(path, entry),
            "parallel" => self.parallel(path, entry),
            "random" => self.random(path, entry),
            "call" => self.call(entry),
            "exec" => self.exec(entry),
            "mark" => self.reader.read("mark", value).map(Action::Mark),
            verb if FaultSpec::NAMES.contains(&verb) => self.fault(entry),
            verb if not_built::VERBS.contains(&verb) => {
                let message = format!("`{verb}` is not built yet");
                self.reader.report(
                    Diagnostic::error(entry.key_span.clone(), message)
                        .help(format!("built are: {}", verbs().join(", "))),
                );
                None
            }
            verb => {
                let message = format!("unknown verb `{verb}`");
                let help = super::diagnostic::did_you_mean(verb, &verbs(), "verbs are");
                self.reader
                    .report(Diagnostic::error(entry.key_span.clone(), message).help(help));
                None
            }
        }
    }

    pub(super) fn check_binding(&mut self, name: &str, node: &Node) {
        let is_word = !name.is_empty()
            && name != "all"
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || "_-".contains(c));
        if !is_word {
            let span = node.locate(name);
            self.reader.report(
                Diagnostic::error(span, format!("`{name}` cannot be a name"))
                    .help("use letters, digits, `_` and `-`, but not `all`; no `$` here"),
            );
        }
    }

    /// The only argument of `start` and `resume`.
    fn nodes(&mut self, verb: &str, value: &Node) -> Option<Selector> {
        let keys: NodeKeys = match &value.kind {
            Kind::Text(_) | Kind::List(_) => self.reader.read(verb, &short_form("node", value))?,
            _ => self.reader.read(verb, value)?,
        };
        self.check_selector(&keys.node, value);
        self.scope.revive(&keys.node);
        Some(keys.node)
    }

    fn restart(&mut self, value: &Node) -> Option<Action> {
        let keys: RestartKeys = match &value.kind {
            Kind::Text(_) | Kind::List(_) => {
                self.reader.read("restart", &short_form("node", value))?
            }
            _ => self.reader.read("restart", value)?,
        };
        self.check_selector(&keys.node, value);
        self.scope.revive(&keys.node);
        Some(Action::Restart {
            node: keys.node,
            grace: keys.grace.0,
        })
    }

    fn heal(&mut self, value: &Node) -> Option<Action> {
        let word: String = self.reader.read("heal", value)?;
        if word == "all" {
            self.scope.heal_all();
            return Some(Action::Heal(Healed::All));
        }
        let name = word.strip_prefix('$').unwrap_or(&word);
        if let Some(wrong) = self.scope.check_fault(name, value.span.clone()) {
            self.reader.report(wrong);
            return None;
        }
        self.scope.heal(name);
        Some(Action::Heal(Healed::Named(name.to_owned())))
    }

    fn repeat(&mut self, path: &str, entry: &Entry) -> Option<Action> {
        let value = &entry.value;
        let own = Node {
            span: entry.key_span.clone(),
            ..value.without(&["steps"])
        };
        let keys: Option<RepeatKeys> = match value.kind {
            Kind::Map(_) => self.reader.read("repeat", &own),
            _ => self.reader.read("repeat", value),
        };
        let rounds = keys.as_ref().and_then(|keys| self.rounds(keys, entry));
        let name = keys.and_then(|keys| keys.name);
        if let (Some(inner), true) = (&name, self.scope.in_parallel) {
            let message = format!("trial `{inner}` lies in a `parallel`");
            self.refuse_key(
                entry,
                &message,
                "put the `parallel` into the `repeat`, or take its `name` out",
            );
        }
        if let (Some(inner), Some(outer)) = (&name, &self.scope.trial) {
            let message = format!("trial `{inner}` lies in trial `{outer}`");
            self.refuse_key(
                entry,
                &message,
                "only one of nested repeats can have a `name`",
            );
        }
        let outer = self.scope.trial.clone();
        self.scope.trial = name.clone().or_else(|| outer.clone());
        let steps = self.inner("repeat", path, entry);
        self.scope.trial = outer;
        Some(Action::Repeat(Repeat {
            rounds: rounds?,
            name,
            steps: steps?,
        }))
    }

    fn rounds(&mut self, keys: &RepeatKeys, entry: &Entry) -> Option<Rounds> {
        match (keys.times, keys.for_) {
            (Some(times), None) => {
                let times = self
                    .reader
                    .bounded("times", times, MAX_TIMES, &entry.value)?;
                Some(Rounds::Times(u32::try_from(times).unwrap_or(u32::MAX)))
            }
            (None, Some(span)) => {
                let span = self
                    .reader
                    .positive("for", Some(span), Nanos::ZERO, &entry.value)?;
                Some(Rounds::For(span))
            }
            (Some(_), Some(_)) => {
                self.refuse_key(entry, "`times` does not go with `for`", "keep one of them");
                None
            }
            (None, None) => {
                let message = "`repeat` does not say how often";
                self.refuse_key(entry, message, "add `times: 10` or `for: 1m`");
                None
            }
        }
    }

    fn each(&mut self, path: &str, entry: &Entry) -> Option<Action> {
        let value = &entry.value;
        let own = Node {
            span: entry.key_span.clone(),
            ..value.without(&["steps"])
        };
        let keys: Option<EachKeys> = match value.kind {
            Kind::Map(_) => self.reader.read("each", &own),
            _ => self.reader.read("each", value),
        };
        if let Some(keys) = &keys {
            self.check_selector(&keys.of, &own);
            self.check_binding(&keys.name, &own);
            let outer = self.scope.bind(&keys.name, Bound::Node);
            let steps = self.inner("each", path, entry);
            self.scope.unbind(&keys.name, outer);
            return Some(Action::Each(Each {
                of: keys.of.clone(),
                order: match keys.order {
                    None | Some(OrderWord::Given) => Order::Given,
                    Some(OrderWord::Random) => Order::Random,
                    Some(OrderWord::LeaderLast) => Order::LeaderLast,
                },
                name: keys.name.clone(),
                steps: steps?,
            }));
        }
        None
    }

    fn inner(&mut self, verb: &str, path: &str, entry: &Entry) -> Option<Vec<Step>> {
        let Some(steps) = entry.value.entry("steps") else {
            let message = format!("`{verb}` lacks the key `steps`");
            self.refuse_key(entry, &message, "add `steps:` with a list below it");
            return None;
        };
        let steps = self.list(&format!("{path}.{verb}.steps"), &steps.value);
        (!steps.is_empty()).then_some(steps)
    }

    /// Names are bound, nodes exist, and the cluster is large enough for it to match.
    pub(super) fn check_selector(&mut self, selector: &Selector, node: &Node) {
        let nodes = self.scope.nodes;
        for leaf in selector.leaves() {
            let place = node.locate(&leaf.to_string());
            match leaf {
                Selector::Name(name) => {
                    if let Some(wrong) = self.scope.check_name(name, place) {
                        self.reader.report(wrong);
                    }
                }
                Selector::Node(id) if id.0 > nodes => {
                    let message = format!("`{id}` is not in the cluster");
                    let help = match nodes {
                        1 => "its only node is n1".to_owned(),
                        _ => format!("its nodes are n1 to n{nodes}"),
                    };
                    self.reader
                        .report(Diagnostic::error(place, message).help(help));
                }
                Selector::Random { count, of } if leaf.most(nodes) < *count => {
                    let pool = match of {
                        Pool::Running => "nodes",
                        Pool::Followers => "followers",
                    };
                    let message =
                        format!("`{leaf}` wants {count}, a cluster of {nodes} has fewer {pool}");
                    self.reader.report(
                        Diagnostic::error(place, message)
                            .help("use more nodes, or choose fewer of them"),
                    );
                }
                _ if leaf.most(nodes) == 0 => {
                    let message = format!("`{leaf}` matches nobody in a cluster of {nodes}");
                    self.reader.report(
                        Diagnostic::error(place, message).help("use more nodes or another word"),
                    );
                }
                _ => {}
            }
        }
    }

    pub(super) fn refuse(&mut self, node: &Node, message: &str, help: &str) {
        self.reader
            .report(Diagnostic::error(node.span.clone(), message).help(help));
    }

    pub(super) fn refuse_key(&mut self, entry: &Entry, message: &str, help: &str) {
        self.reader
            .report(Diagnostic::error(entry.key_span.clone(), message).help(help));
    }
}

/// Every verb of the language that is built.
pub(super) fn verbs() -> Vec<&'static str> {
    FaultSpec::NAMES
        .iter()
        .copied()
        .chain(VERBS.iter().map(|(name, _)| *name))
        .collect()
}

fn is_verb(word: &str) -> bool {
    verbs().contains(&word) || not_built::VERBS.contains(&word)
}

/// Faults that can be written `kill: leader`.
pub(super) fn takes_node(verb: &str) -> bool {
    matches!(
        verb,
        "kill" | "terminate" | "power_off" | "pause" | "isolate"
    )
}

/// `{key: value}` at the place of the value.
pub(super) fn short_form(key: &str, value: &Node) -> Node {
    Node {
        span: value.span.clone(),
        kind: Kind::Map(vec![Entry {
            key: key.to_owned(),
            key_span: value.span.clone(),
            value: value.clone(),
        }]),
    }
}
