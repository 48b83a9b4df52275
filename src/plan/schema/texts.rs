//! What each key means, in a line or two: what an editor shows beside it.

/// By section or verb and key.
const TEXTS: &[(&str, &str)] = &[
    ("version", "The version of the plan language: 1."),
    (
        "name",
        "Names the results folder: letters, digits, `-`, `_` and `.`.",
    ),
    ("about", "One sentence on what the plan shows."),
    (
        "seed",
        "Repeats every random decision (not the timing of the operating system). Drawn and shown if left out.",
    ),
    ("cluster", "The system under test."),
    (
        "cluster.system",
        "Which system: `zab` is the bundled node. Default `zab`.",
    ),
    ("cluster.nodes", "How many nodes, 1 to 9. Default 3."),
    (
        "cluster.config",
        "Settings of the system by name; `chaos node --help` explains those of the bundled node.",
    ),
    (
        "cluster.restart",
        "What becomes of a node that ends unasked; `on_crash` leaves one down whose exit code was 0. Default `never`.",
    ),
    (
        "cluster.node_bin",
        "Another build of the node, relative to the working directory.",
    ),
    ("workload", "The load: clients in a closed loop."),
    (
        "workload.kind",
        "What the clients do. Default `register`: reads, writes and compare-and-sets of registers.",
    ),
    (
        "workload.reads",
        "`linear` reads see every write acknowledged before, `local` ones may be old. Default `linear`.",
    ),
    (
        "workload.clients",
        "How many clients, each with one operation in flight. Default 8.",
    ),
    (
        "workload.rate",
        "Operations per second over all clients, for instance `800/s`; as fast as they go if left out.",
    ),
    (
        "workload.keys",
        "The registers: how many, and how one is picked.",
    ),
    ("workload.keys.count", "How many registers. Default 16."),
    (
        "workload.keys.pick",
        "`uniform`, or `zipf`: a few hot keys. Default `uniform`.",
    ),
    (
        "workload.mix",
        "Shares of the operations, together 100%. Default half reads, half writes.",
    ),
    ("workload.mix.read", "The share of reads."),
    ("workload.mix.write", "The share of writes."),
    ("workload.mix.cas", "The share of compare-and-sets."),
    (
        "workload.timeout",
        "When a client gives an operation up. Default 2s.",
    ),
    (
        "workload.pin",
        "Which node a client talks to: `roam` (another one after a failure), `spread` (stays), `leader`. Default `roam`.",
    ),
    (
        "network",
        "What carries the data: `proxy` (streams through proxies on loopback) or `packet` (IP packets between network namespaces). Default `proxy`.",
    ),
    (
        "on_violation",
        "What happens once a key is found not to be linearizable while the run lasts: `continue`, `stop`, or `freeze` all nodes and collect the scene. Default `continue`.",
    ),
    (
        "probe",
        "Open-loop probes of every node: the clock of outages and availability. Without it there are none.",
    ),
    (
        "probe.every",
        "Time between two probes of one node and kind, at least 1ms. Default 10ms.",
    ),
    ("probe.deadline", "A later answer is bad. Default 50ms."),
    ("probe.timeout", "When a probe is given up. Default 2s."),
    ("probe.ops", "What is probed. Default both."),
    (
        "steps",
        "What happens, in order. A step is one verb with its arguments.",
    ),
    (
        "expect",
        "What must hold afterwards; if left out, all that is safe is checked.",
    ),
    (
        "fault.for",
        "Heal it after that long; a killed node is started again. The step ends when it has healed.",
    ),
    (
        "fault.as",
        "`$name` are then the nodes that it chose, and `heal: name` ends it.",
    ),
    (
        "fault.until",
        "Heal it as soon as this holds; `for` is then the longest that it lasts.",
    ),
    (
        "start.node",
        "Whom to start again, whatever had stopped it.",
    ),
    ("resume.node", "Which paused nodes run again."),
    ("restart.node", "Whom to restart."),
    (
        "restart.grace",
        "SIGKILL follows if it has not ended by then. Default 10s.",
    ),
    (
        "wait_for.state",
        "A state of the cluster: `steady` (one leader, all in sync, no fault, good probes), `served` (a write invoked after the last fault succeeded), `leader`, `no_leader`, `synced`, `converged`, `behind`.",
    ),
    (
        "wait_for.ops",
        "So many more operations have completed since the step began.",
    ),
    (
        "wait_for.event",
        "An event that a node or its process reports after the step began.",
    ),
    ("wait_for.event.kind", "The kind of event."),
    (
        "wait_for.event.node",
        "Of one of these nodes; of any if left out.",
    ),
    (
        "wait_for.log",
        "A line of a node's output, written after the step began.",
    ),
    ("wait_for.log.node", "Whose output."),
    ("wait_for.log.match", "A part of the line."),
    ("wait_for.node", "Who is to be `synced` or `behind`."),
    (
        "wait_for.by",
        "How many entries the node lacks at least, with `state: behind`. Default 1.",
    ),
    (
        "wait_for.timeout",
        "The longest that the step waits: a run must end.",
    ),
    (
        "wait_for.else",
        "What if the time is up: `fail` (the trial is censored, and the run fails), `skip`, `go_on`. Default `fail`.",
    ),
    ("repeat.times", "How many rounds."),
    ("repeat.for", "Rounds begin for that long."),
    (
        "repeat.name",
        "With a name each round is a trial: one sample of every measure.",
    ),
    ("repeat.steps", "The steps of a round."),
    ("each.of", "Whose turn it is, one after another."),
    ("each.order", "In which order. Default `given`."),
    ("each.as", "`$name` is the node of the round."),
    ("each.steps", "The steps of a round."),
    (
        "parallel.branches",
        "Lists of steps that go on at the same time.",
    ),
    (
        "random.for",
        "For how long faults are drawn; then the last one heals.",
    ),
    (
        "random.every",
        "The time from one beat to the next, often `{exp: 5s}`.",
    ),
    (
        "random.at_once",
        "How many faults may be in force together. Default 1.",
    ),
    (
        "random.keep",
        "What is left untouched: `majority` (of processes, disks and clocks), `quorum_connected` (who also reach each other), `none`. Default `majority`.",
    ),
    ("random.choose", "What is drawn from."),
    (
        "random.choose.weight",
        "How likely it is, beside the others. Default 1.",
    ),
    (
        "random.choose.do",
        "A fault that says how long it lasts, or `restart`.",
    ),
    ("call.node", "Who is asked."),
    ("call.do", "What it can do by itself."),
    ("call.timeout", "How long it may take. Default 30s."),
    ("call.else", "What if it fails. Default `fail`."),
    ("exec.command", "For `sh -c`, in the results folder."),
    (
        "exec.node",
        "Once for each of these, with `CHAOS_NODE` and `CHAOS_PID`.",
    ),
    (
        "exec.timeout",
        "How long it may take before it is killed. Default 30s.",
    ),
    (
        "exec.else",
        "What if it ends with anything but 0. Default `fail`.",
    ),
];

/// What the key at this place means.
pub(super) fn text(place: &str) -> Option<&'static str> {
    let found = TEXTS.iter().find(|(known, _)| *known == place);
    found.map(|(_, text)| *text)
}

#[cfg(test)]
pub(super) fn places() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(place, _)| *place)
}
