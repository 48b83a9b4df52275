//! A plan as a person reads it before a run: `--dry-run`.

use super::steps::{Action, Healed, Keep, Order, Otherwise, Random, Repeat, Rounds, Step};
use super::{Awaited, OnViolation, Plan, State, WaitFor};
use crate::fault::{DurationSpec, Rate, Share, Span};

impl Plan {
    /// What would happen, in order, with every default. What is drawn at random is shown as the
    /// plan says it, for it depends on the moment. Ends with a newline.
    #[must_use]
    pub fn timeline(&self) -> String {
        let mut lines = vec![self.title()];
        if !self.about.is_empty() {
            lines.push(self.about.clone());
        }
        lines.push(String::new());
        lines.push(format!("cluster   {}", self.cluster_line()));
        lines.push(format!("workload  {}", self.workload_line()));
        lines.push(format!("probes    {}", self.probe_line()));
        lines.push(format!("violation {}", self.violation_line()));
        lines.push("steps".to_owned());
        push_steps(&mut lines, &self.steps, 1);
        lines.push("  heal whatever is still in force".to_owned());
        if self.expect.is_empty() {
            lines.push("expect    nothing beyond the safety checks".to_owned());
        } else {
            lines.push("expect".to_owned());
        }
        for expectation in &self.expect {
            lines.push(format!("  {}", expectation.text));
        }
        lines.join("\n") + "\n"
    }

    fn title(&self) -> String {
        let seed = match self.seed {
            Some(seed) => format!("seed {seed}"),
            None => "seed drawn at the start".to_owned(),
        };
        match self.trials() {
            0 => format!("{}, {seed}", self.name),
            1 => format!("{}, {seed}, 1 trial", self.name),
            trials => format!("{}, {seed}, {trials} trials", self.name),
        }
    }

    fn cluster_line(&self) -> String {
        let cluster = &self.cluster;
        let mut line = match cluster.nodes {
            1 => format!("{}, 1 node", cluster.system),
            nodes => format!("{}, {nodes} nodes", cluster.system),
        };
        for (key, value) in &cluster.config {
            line.push_str(&format!(", {key} = {value}"));
        }
        if let Some(path) = &cluster.node_bin {
            line.push_str(&format!(", from {path}"));
        }
        line
    }

    fn workload_line(&self) -> String {
        let workload = &self.workload;
        let rate = workload.rate.map_or_else(
            || "as fast as they go".to_owned(),
            |rate| Rate(rate).to_string(),
        );
        let mix = workload.mix;
        let shares = [(mix.read, "read"), (mix.write, "write"), (mix.cas, "cas")];
        let mix: Vec<String> = shares
            .iter()
            .filter(|(share, _)| *share > 0.0)
            .map(|(share, word)| format!("{} {word}", Share(*share)))
            .collect();
        format!(
            "{} clients ({}), {rate}, {}, {} reads, {} keys ({}), timeout {}",
            workload.clients,
            workload.pin.word(),
            mix.join(" "),
            workload.reads.word(),
            workload.keys.count,
            workload.keys.pick.word(),
            Span(workload.timeout),
        )
    }

    fn violation_line(&self) -> &'static str {
        match self.on_violation {
            OnViolation::Continue if !self.is_checked_online() => "judged at the end",
            OnViolation::Continue => "reported at once, the steps go on",
            OnViolation::Stop => "ends the steps",
            OnViolation::Freeze => "pauses all nodes, collects the scene, ends the steps",
        }
    }

    fn probe_line(&self) -> String {
        let Some(probe) = &self.probe else {
            return "none: no outage or availability is measured".to_owned();
        };
        let ops = match (probe.write, probe.read) {
            (true, false) => "a write",
            (false, true) => "a read",
            _ => "a write and a read",
        };
        format!(
            "{ops} to every node every {}, good within {}, given up after {}",
            Span(probe.every),
            Span(probe.deadline),
            Span(probe.timeout),
        )
    }
}

fn push_steps(lines: &mut Vec<String>, steps: &[Step], depth: usize) {
    let indent = "  ".repeat(depth);
    for step in steps {
        lines.push(format!("{indent}{}", sentence(&step.action)));
        push_steps(lines, step.action.inner(), depth + 1);
        match &step.action {
            Action::Parallel(branches) => {
                for (number, branch) in (1..).zip(branches) {
                    lines.push(format!("{indent}  branch {number}"));
                    push_steps(lines, branch, depth + 2);
                }
            }
            Action::Random(random) => {
                for choice in &random.choose {
                    let what = sentence(&choice.step.action);
                    lines.push(format!("{indent}  weight {}: {what}", choice.weight));
                }
            }
            _ => {}
        }
    }
}

impl Action {
    /// What is done, in a line.
    #[must_use]
    pub fn sentence(&self) -> String {
        sentence(self)
    }
}

fn sentence(action: &Action) -> String {
    match action {
        Action::Fault {
            fault,
            for_,
            until,
            name,
        } => {
            let mut text = format!("{} {}", fault.name(), bare(&fault.as_dyn().parameters()));
            if let Some(duration) = for_ {
                text.push_str(&format!(", for {}", spoken(duration)));
            }
            if let Some(state) = until {
                text.push_str(&format!(" or until {}", state.word()));
            }
            if let Some(name) = name {
                text.push_str(&format!(", as {name}"));
            }
            text
        }
        Action::Start { node } => format!("start {node}"),
        Action::Restart { node, grace } => {
            format!("restart {node}, SIGKILL after {}", Span(*grace))
        }
        Action::Resume { node } => format!("resume {node}"),
        Action::Heal(Healed::All) => "heal all".to_owned(),
        Action::Heal(Healed::Named(name)) => format!("heal {name}"),
        Action::Wait(duration) => format!("wait {}", spoken(duration)),
        Action::WaitFor(wait) => wait_sentence(wait),
        Action::Repeat(repeat) => repeat_sentence(repeat),
        Action::Each(each) => {
            let order = match each.order {
                Order::Given => "in the order given",
                Order::Random => "in random order",
                Order::LeaderLast => "the leader last",
            };
            format!("for each ${} of {}, {order}", each.name, each.of)
        }
        Action::Parallel(branches) => format!("{} at the same time", branches.len()),
        Action::Random(random) => random_sentence(random),
        Action::Mark(text) => format!("mark \"{text}\""),
        Action::Call(call) => format!("call {} {}, {}", call.node, call.what, or(call.otherwise)),
        Action::Exec(exec) => {
            let of = exec.node.as_ref();
            let of = of.map_or_else(String::new, |node| format!(" for {node}"));
            format!("exec `{}`{of}, {}", exec.command, or(exec.otherwise))
        }
    }
}

const fn or(otherwise: Otherwise) -> &'static str {
    match otherwise {
        Otherwise::Fail => "else fail",
        Otherwise::Skip => "else skip the trial",
        Otherwise::GoOn => "else go on",
    }
}

fn random_sentence(random: &Random) -> String {
    let left = match random.keep {
        Keep::Majority => "a majority is left alone",
        Keep::QuorumConnected => "a connected quorum is left",
        Keep::Nothing => "nothing need be left",
    };
    format!(
        "for {}, every {} one of these, {} at once, {left}",
        Span(random.length),
        spoken(&random.every),
        random.at_once
    )
}

fn wait_sentence(wait: &WaitFor) -> String {
    let node = wait
        .node
        .as_ref()
        .map_or_else(String::new, |node| format!("{node} "));
    let what = match &wait.what {
        Awaited::State(State::Behind) => format!("{node}behind by {}", wait.by),
        Awaited::State(state) => format!("{node}{}", state.word()),
        Awaited::Operations(count) => format!("{count} operations"),
        Awaited::Event { name, node: None } => format!("the event {}", name.0),
        Awaited::Event {
            name,
            node: Some(node),
        } => format!("the event {} of {node}", name.0),
        Awaited::Log { node, text } => format!("\"{text}\" in the log of {node}"),
    };
    format!(
        "wait for {what}, at most {}, {}",
        Span(wait.timeout),
        or(wait.otherwise)
    )
}

fn repeat_sentence(repeat: &Repeat) -> String {
    let rounds = match repeat.rounds {
        Rounds::Times(1) => "once".to_owned(),
        Rounds::Times(times) => format!("{times} times"),
        Rounds::For(span) => format!("for {}", Span(span)),
    };
    match &repeat.name {
        Some(name) => format!("{rounds}, each a trial ({name})"),
        None => rounds,
    }
}

fn spoken(duration: &DurationSpec) -> String {
    match duration {
        DurationSpec::Fixed(value) => Span(*value).to_string(),
        DurationSpec::Uniform(low, high) => format!("{} to {}", Span(*low), Span(*high)),
        DurationSpec::Exponential(mean) => format!("{} on average (exponential)", Span(*mean)),
        DurationSpec::Normal { mean, sd } => format!("{} ± {} (normal)", Span(*mean), Span(*sd)),
        DurationSpec::OneOf(values) => {
            let values: Vec<String> = values.iter().map(|v| Span(*v).to_string()).collect();
            values.join(" or ")
        }
    }
}

/// `{node: leader}` as `leader`; other parameters without their braces.
fn bare(parameters: &str) -> &str {
    let inner = parameters.trim_start_matches('{');
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    inner.strip_prefix("node: ").unwrap_or(inner)
}
