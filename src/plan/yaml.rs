//! A plan written back as YAML with every default spelled out: `plan.resolved.yaml`.
//!
//! Reading it gives the same plan again, but for the places of its steps.

use super::steps::{
    Action, Awaited, Each, Healed, Order, Otherwise, Random, Repeat, Rounds, State, Step, WaitFor,
};
use super::{OnViolation, Pick, Pin, Plan, Reads, RestartPolicy};
use crate::fault::{Rate, Share, Span};

impl Plan {
    /// The whole plan with every default spelled out, as YAML.
    #[must_use]
    pub fn to_resolved_yaml(&self) -> String {
        let mut lines = vec![format!("version: {}", self.version)];
        lines.push(format!("name: {}", quoted(&self.name)));
        if !self.about.is_empty() {
            lines.push(format!("about: {}", quoted(&self.about)));
        }
        if let Some(seed) = self.seed {
            lines.push(format!("seed: {seed}"));
        }
        self.cluster_lines(&mut lines);
        self.workload_lines(&mut lines);
        lines.push(format!("network: {}", self.network.word()));
        lines.push(format!("on_violation: {}", self.on_violation.word()));
        if let Some(probe) = &self.probe {
            let ops = match (probe.write, probe.read) {
                (true, false) => "[write]",
                (false, true) => "[read]",
                _ => "[write, read]",
            };
            let [every, deadline, timeout] = [probe.every, probe.deadline, probe.timeout].map(Span);
            lines.push(format!(
                "probe: {{every: {every}, deadline: {deadline}, timeout: {timeout}, ops: {ops}}}"
            ));
        }
        lines.push("steps:".to_owned());
        step_lines(&mut lines, &self.steps, 1);
        if !self.expect.is_empty() {
            lines.push("expect:".to_owned());
        }
        for expectation in &self.expect {
            lines.push(format!("  - {}", quoted(&expectation.text)));
        }
        lines.join("\n") + "\n"
    }

    fn cluster_lines(&self, lines: &mut Vec<String>) {
        let cluster = &self.cluster;
        lines.push("cluster:".to_owned());
        lines.push(format!("  system: {}", cluster.system));
        lines.push(format!("  nodes: {}", cluster.nodes));
        if !cluster.config.is_empty() {
            lines.push("  config:".to_owned());
        }
        for (key, value) in &cluster.config {
            lines.push(format!("    {}: {}", quoted(key), quoted(value)));
        }
        let restart = match cluster.restart {
            RestartPolicy::Never => "never",
            RestartPolicy::OnCrash => "on_crash",
            RestartPolicy::Always => "always",
        };
        lines.push(format!("  restart: {restart}"));
        if let Some(path) = &cluster.node_bin {
            lines.push(format!("  node_bin: {}", quoted(path)));
        }
    }

    fn workload_lines(&self, lines: &mut Vec<String>) {
        let workload = &self.workload;
        lines.push("workload:".to_owned());
        lines.push("  kind: register".to_owned());
        lines.push(format!("  reads: {}", workload.reads.word()));
        lines.push(format!("  clients: {}", workload.clients));
        if let Some(rate) = workload.rate {
            lines.push(format!("  rate: {}", Rate(rate)));
        }
        let pick = workload.keys.pick.word();
        lines.push(format!(
            "  keys: {{count: {}, pick: {pick}}}",
            workload.keys.count
        ));
        let mix = workload.mix;
        let [read, write, cas] = [mix.read, mix.write, mix.cas].map(Share);
        lines.push(format!(
            "  mix: {{read: {read}, write: {write}, cas: {cas}}}"
        ));
        lines.push(format!("  timeout: {}", Span(workload.timeout)));
        lines.push(format!("  pin: {}", workload.pin.word()));
    }
}

impl Reads {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Local => "local",
        }
    }
}

impl OnViolation {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
        }
    }
}

impl Pick {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }
}

impl Pin {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Roam => "roam",
            Self::Spread => "spread",
            Self::Leader => "leader",
        }
    }
}

impl State {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Served => "served",
            Self::Leader => "leader",
            Self::NoLeader => "no_leader",
            Self::Synced => "synced",
            Self::Converged => "converged",
            Self::Behind => "behind",
        }
    }
}

impl Otherwise {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::GoOn => "go_on",
        }
    }
}

impl Order {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Random => "random",
            Self::LeaderLast => "leader_last",
        }
    }
}

impl Action {
    /// The verb of its step.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Fault { fault, .. } => fault.name(),
            Self::Start { .. } => "start",
            Self::Restart { .. } => "restart",
            Self::Resume { .. } => "resume",
            Self::Heal(_) => "heal",
            Self::Wait(_) => "wait",
            Self::WaitFor(_) => "wait_for",
            Self::Repeat(_) => "repeat",
            Self::Each(_) => "each",
            Self::Parallel(_) => "parallel",
            Self::Random(_) => "random",
            Self::Mark(_) => "mark",
            Self::Call(_) => "call",
            Self::Exec(_) => "exec",
        }
    }

    /// Its arguments on one line, as written in a plan; inner steps left out.
    #[must_use]
    pub fn arguments(&self) -> String {
        match self {
            Self::Fault {
                fault,
                for_,
                until,
                name,
            } => {
                let mut text = fault.as_dyn().parameters();
                // The parameters end in a brace, before which the common keys go.
                text.pop();
                if let Some(duration) = for_ {
                    text.push_str(&format!(", for: {duration}"));
                }
                if let Some(state) = until {
                    text.push_str(&format!(", until: {}", state.word()));
                }
                if let Some(name) = name {
                    text.push_str(&format!(", as: {name}"));
                }
                text + "}"
            }
            Self::Start { node } | Self::Resume { node } => format!("{{node: {node}}}"),
            Self::Restart { node, grace } => format!("{{node: {node}, grace: {}}}", Span(*grace)),
            Self::Heal(Healed::All) => "all".to_owned(),
            Self::Heal(Healed::Named(name)) => name.clone(),
            Self::Wait(duration) => duration.to_string(),
            Self::WaitFor(wait) => wait.arguments(),
            Self::Repeat(repeat) => repeat.arguments(),
            Self::Each(each) => each.arguments(),
            Self::Parallel(_) => "{}".to_owned(),
            Self::Random(random) => random.arguments(),
            Self::Mark(text) => quoted(text),
            Self::Call(call) => format!(
                "{{node: {}, do: {}, timeout: {}, else: {}}}",
                call.node,
                call.what,
                Span(call.timeout),
                call.otherwise.word()
            ),
            Self::Exec(exec) => {
                let node = exec.node.as_ref();
                let node = node.map_or_else(String::new, |node| format!(", node: {node}"));
                format!(
                    "{{command: {}{node}, timeout: {}, else: {}}}",
                    quoted(&exec.command),
                    Span(exec.timeout),
                    exec.otherwise.word()
                )
            }
        }
    }

    /// The steps inside a `repeat` or `each`.
    #[must_use]
    pub fn inner(&self) -> &[Step] {
        match self {
            Self::Repeat(repeat) => &repeat.steps,
            Self::Each(each) => &each.steps,
            _ => &[],
        }
    }
}

impl Random {
    fn arguments(&self) -> String {
        let choices = self.choose.iter().map(|choice| {
            let (verb, arguments) = (choice.step.action.verb(), choice.step.action.arguments());
            format!("{{weight: {}, do: {{{verb}: {arguments}}}}}", choice.weight)
        });
        format!(
            "{{for: {}, every: {}, at_once: {}, keep: {}, choose: [{}]}}",
            Span(self.length),
            self.every,
            self.at_once,
            self.keep.word(),
            choices.collect::<Vec<_>>().join(", ")
        )
    }
}

impl WaitFor {
    fn arguments(&self) -> String {
        let mut text = match &self.what {
            Awaited::State(state) => format!("{{state: {}", state.word()),
            Awaited::Operations(count) => format!("{{ops: {count}"),
            Awaited::Event { name, node: None } => format!("{{event: {{kind: {}}}", name.0),
            Awaited::Event {
                name,
                node: Some(node),
            } => format!("{{event: {{kind: {}, node: {node}}}", name.0),
            Awaited::Log { node, text } => {
                format!("{{log: {{node: {node}, match: {}}}", quoted(text))
            }
        };
        if let Some(node) = &self.node {
            text.push_str(&format!(", node: {node}"));
        }
        if self.what == Awaited::State(State::Behind) {
            text.push_str(&format!(", by: {}", self.by));
        }
        let (timeout, otherwise) = (Span(self.timeout), self.otherwise.word());
        text.push_str(&format!(", timeout: {timeout}, else: {otherwise}}}"));
        text
    }
}

impl Repeat {
    fn arguments(&self) -> String {
        let rounds = match self.rounds {
            Rounds::Times(times) => format!("times: {times}"),
            Rounds::For(span) => format!("for: {}", Span(span)),
        };
        match &self.name {
            Some(name) => format!("{{{rounds}, name: {}}}", quoted(name)),
            None => format!("{{{rounds}}}"),
        }
    }
}

impl Each {
    fn arguments(&self) -> String {
        let (of, order, name) = (&self.of, self.order.word(), &self.name);
        format!("{{of: {of}, order: {order}, as: {name}}}")
    }
}

fn step_lines(lines: &mut Vec<String>, steps: &[Step], depth: usize) {
    let indent = "  ".repeat(depth);
    for step in steps {
        let (verb, arguments) = (step.action.verb(), step.action.arguments());
        let inner = step.action.inner();
        if let Action::Parallel(branches) = &step.action {
            lines.push(format!("{indent}- {verb}:"));
            lines.push(format!("{indent}    branches:"));
            for branch in branches {
                lines.push(format!("{indent}      -"));
                step_lines(lines, branch, depth + 4);
            }
            continue;
        }
        if inner.is_empty() {
            lines.push(format!("{indent}- {verb}: {arguments}"));
            continue;
        }
        lines.push(format!("{indent}- {verb}:"));
        // The braces of the arguments are unfolded, one key on each line, for `steps` to follow.
        let keys = arguments.trim_start_matches('{').trim_end_matches('}');
        for key in split_keys(keys) {
            lines.push(format!("{indent}    {key}"));
        }
        lines.push(format!("{indent}    steps:"));
        step_lines(lines, inner, depth + 3);
    }
}

/// Splits at commas that lie in no bracket or quotes.
fn split_keys(keys: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut in_quotes, mut start) = (0_i32, false, 0);
    for (at, c) in keys.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes,
            '[' | '{' if !in_quotes => depth += 1,
            ']' | '}' if !in_quotes => depth -= 1,
            ',' if depth == 0 && !in_quotes => {
                parts.push(keys[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(keys[start..].trim());
    parts
}

/// As it is where that is surely plain text in YAML, else as a double-quoted scalar.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().next().is_some_and(char::is_alphabetic)
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-_./ %<>=".contains(c))
        && !text.ends_with(' ')
        && !matches!(
            text.to_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if is_plain {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
