//! The published schemas: they are those of this build, every plan that is shown anywhere is valid
//! by them, what they refuse the parser refuses too, and real summaries are valid.

#![expect(clippy::unwrap_used, reason = "a test helper may fail loudly")]

use std::path::{Path, PathBuf};

use chaos::plan::{Plan, plan_schema};
use chaos::report::summary_schema;
use chaos::seed::Seed;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&plan_schema()).unwrap()
}

/// A plan as a validator sees it; `None` if it is nothing that JSON could say.
fn as_json(text: &str) -> Option<Value> {
    serde_yaml::from_str(text).ok()
}

fn mistakes(validator: &Validator, plan: &Value) -> Vec<String> {
    let told = |error: jsonschema::ValidationError<'_>| {
        let (place, text) = (error.instance_path().to_string(), error.to_string());
        format!("{place}: {text}")
    };
    validator.iter_errors(plan).map(told).collect()
}

/// Run with `CHAOS_UPDATE_DOCS=1` to make them anew.
#[test]
fn the_published_schemas_are_those_of_this_build() {
    for (name, schema) in [("plan", plan_schema()), ("summary", summary_schema())] {
        let path = root().join(format!("docs/schema/{name}.schema.json"));
        let made = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("CHAOS_UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, made).unwrap();
            continue;
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == made,
            "{name} is stale: run `CHAOS_UPDATE_DOCS=1 cargo test --test schema` and look at it"
        );
        assert!(jsonschema::draft202012::meta::is_valid(&schema), "{name}");
    }
}

/// Every plan that the repository shows: the bundled ones, and those in its documents.
fn shown() -> Vec<(String, String)> {
    let mut plans = Vec::new();
    let mut folders = vec![root().join("plans")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                plans.push(read(&path));
            }
        }
    }
    let documents = std::fs::read_dir(root().join("docs")).unwrap();
    let documents = documents.map(|entry| entry.unwrap().path());
    for path in documents.chain([root().join("README.md")]) {
        if path.extension().is_none_or(|ending| ending != "md") {
            continue;
        }
        let (name, text) = read(&path);
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let is_plan = block.contains("version: 1");
            let steps = format!(
                "version: 1\nname: shown\ncluster: {{nodes: 5}}\nsteps:\n{block}expect: [linearizable]\n"
            );
            if is_plan || block.trim_start().starts_with("- ") {
                plans.push((name.clone(), if is_plan { block.to_owned() } else { steps }));
            }
        }
    }
    plans
}

fn read(path: &PathBuf) -> (String, String) {
    let text = std::fs::read_to_string(path).unwrap();
    (path.display().to_string(), text)
}

#[test]
fn every_plan_that_is_shown_is_valid_by_the_schema() {
    let validator = validator();
    let plans = shown();
    assert!(plans.len() > 24, "found only {}", plans.len());
    for (name, text) in plans {
        let plan = as_json(&text).unwrap();
        assert_eq!(mistakes(&validator, &plan), [""; 0], "{name}\n{text}");
        assert!(Plan::parse(&name, &text).is_ok(), "{name}\n{text}");
    }
}

#[test]
fn every_bundled_plan_tells_editors_where_its_schema_is() {
    for (name, text) in shown().iter().filter(|(name, _)| name.ends_with(".yaml")) {
        let first = text.lines().next().unwrap();
        let target = first.strip_prefix("# yaml-language-server: $schema=");
        let target = Path::new(name)
            .parent()
            .unwrap()
            .join(target.unwrap_or("?"));
        let found = target.canonicalize().unwrap_or_default();
        assert!(
            found.ends_with("docs/schema/plan.schema.json"),
            "{name} does not begin with a modeline that leads to the schema: `{first}`"
        );
    }
}

/// A plan that is fine but for its step.
fn step(step: &str) -> String {
    format!("version: 1\nname: wrong\ncluster: {{nodes: 5}}\nsteps:\n  - {step}\n")
}

/// A plan that is fine but for what is given.
fn with(keys: &str) -> String {
    format!("version: 1\nname: wrong\nsteps:\n  - wait: 1s\n{keys}\n")
}

const BROKEN_STEPS: &[&str] = &[
    "kil: {node: leader, for: 1s}",
    "{kill: {node: leader, for: 1s}, start: all}",
    "kill",
    "kill: {nod: leader, for: 1s}",
    "kill: {for: 1s}",
    "kill: {node: leadr, for: 1s}",
    "kill: {node: 1, for: 1s}",
    "kill: {node: [], for: 1s}",
    "kill: {node: leader, for: 5}",
    "kill: {node: leader, for: 5x}",
    "kill: {node: leader, until: served}",
    "kill: {node: leader, for: 1s, as: all}",
    "kill: {node: leader, for: 1s, as: 'a b'}",
    "wait: 5",
    "wait: {exp: 5}",
    "wait: {gauss: 5s}",
    "wait: 1s..5",
    "wait_for: steady",
    "wait_for: {state: steady}",
    "wait_for: {state: stedy, timeout: 5s}",
    "wait_for: {state: steady, node: n1, timeout: 5s}",
    "wait_for: {state: behind, timeout: 5s}",
    "wait_for: {state: leader, ops: 5, timeout: 5s}",
    "wait_for: {event: {kind: activ}, timeout: 5s}",
    "wait_for: {timeout: 5s}",
    "drop: {between: [n1, n2], loss: 0.3, for: 1s}",
    "drop: {between: [n1, n2], loss: 30%, layer: frames, for: 1s}",
    "drop: {between: [n1, n2], for: 1s}",
    "cut: {between: [n1], for: 1s}",
    "cut: {between: [n1, n2], from: n1, for: 1s}",
    "cut: {from: n1, for: 1s}",
    "cut: [n1, n2]",
    "duplicate: {between: [clients, n2], share: 5%, for: 1s}",
    "throttle: {from: n1, to: n2, rate: 100, for: 1s}",
    "split: {into: thirds, for: 1s}",
    "split: {groups: [[n1, n2, n3, n4, n5]], for: 1s}",
    "disk: {node: n1, for: 1s}",
    "disk: {node: n1, stall: 1s, errno: EIO, for: 1s}",
    "disk: {node: n1, errno: EPERM, for: 1s}",
    "clock: {node: n1, for: 1s}",
    "clock: {node: n1, rate: 50, for: 1s}",
    "file: {node: n1, path: data}",
    "file: {node: n1, path: data, wipe: true, truncate: -3}",
    "file: {node: n1, path: data, wipe: true, for: 1s}",
    "reset: {between: [n1, n2], until: served}",
    "repeat: {steps: [{wait: 1s}]}",
    "repeat: {times: 3, for: 1m, steps: [{wait: 1s}]}",
    "repeat: {times: 0, steps: [{wait: 1s}]}",
    "repeat: {times: 3}",
    "repeat: {times: 3, steps: []}",
    "each: {of: all, steps: [{wait: 1s}]}",
    "parallel: {branches: []}",
    "parallel: {branches: [[{wait: 1s}]], name: x}",
    "random: {for: 10s, every: 1s}",
    "random: {for: 10s, every: 1s, choose: [{do: {kill: {node: any}}}]}",
    "random: {for: 10s, every: 1s, choose: [{do: {wait: 1s}}]}",
    "random: {for: 10s, every: 1s, choose: [{do: {kill: {node: any, for: 1s, as: it}}}]}",
    "call: {node: n1, do: snapshots}",
    "exec: ''",
];

const BROKEN_KEYS: &[&str] = &[
    "expects: [linearizable]",
    "abort: [linearizable]",
    "seed: -1",
    "seed: seven",
    "cluster: {nodes: 10}",
    "cluster: {nodes: three}",
    "cluster: {system: zookeper}",
    "cluster: {restart: onCrash}",
    "cluster: {nod: 3}",
    "cluster: 3",
    "workload: {rate: 400}",
    "workload: {rate: 400/m}",
    "workload: {clients: 0}",
    "workload: {clients: [8]}",
    "workload: {mix: {read: 50, write: 50%}}",
    "workload: {mix: {reads: 100%}}",
    "workload: {keys: 16}",
    "workload: {keys: {pick: zip}}",
    "workload: {kind: queues}",
    "workload: {timeout: 2}",
    "network: udp",
    "on_violation: halt",
    "probe: yes",
    "probe: {every: 10}",
    "probe: {ops: []}",
    "probe: {ops: [cas]}",
    "expect: linearizable",
    "expect: [linearisable]",
    "expect: [detect.frist p99 <= 1s]",
    "expect: [detect.first p98 <= 1s]",
    "expect: [detect.first p99 <= 1]",
    "expect: [detect.first p99 =< 1s]",
    "expect: [detect.first]",
    "expect: [lost_writes == 0s]",
    "expect: [availability.write >= 0.99]",
    "expect: [latency.all mean <= 1s]",
    "expect: [linearizable == 1]",
    "expect: [stale_versions total <= 1]",
];

const BROKEN_PLANS: &[&str] = &[
    "name: wrong\nsteps: [{wait: 1s}]",
    "version: 2\nname: wrong\nsteps: [{wait: 1s}]",
    "version: 1\nsteps: [{wait: 1s}]",
    "version: 1\nname: a b\nsteps: [{wait: 1s}]",
    "version: 1\nname: wrong",
    "version: 1\nname: wrong\nsteps: []",
    "version: 1\nname: wrong\nsteps: {wait: 1s}",
    "version: 1\nname: wrong\nsteps: [wait]",
    "- wait: 1s",
];

#[test]
fn broken_plans_are_flagged_by_the_schema_and_refused_by_the_parser() {
    let validator = validator();
    let steps = BROKEN_STEPS.iter().map(|text| step(text));
    let keys = BROKEN_KEYS.iter().map(|text| with(text));
    let whole = BROKEN_PLANS.iter().map(|text| (*text).to_owned());
    let plans: Vec<String> = steps.chain(keys).chain(whole).collect();
    assert!(plans.len() >= 25);
    for text in plans {
        let plan = as_json(&text).unwrap();
        assert!(
            !mistakes(&validator, &plan).is_empty(),
            "the schema takes\n{text}"
        );
        assert!(Plan::parse("p", &text).is_err(), "the parser takes\n{text}");
    }
}

/// What the parser knows and a schema cannot is not held against the schema.
#[test]
fn the_schema_takes_what_only_the_parser_can_refuse() {
    let validator = validator();
    for text in [
        step("start: $nobody"),
        step("kill: {node: n9, for: 1s}"),
        with("workload: {mix: {read: 50%}}"),
    ] {
        let plan = as_json(&text).unwrap();
        assert_eq!(mistakes(&validator, &plan), [""; 0]);
        assert!(Plan::parse("p", &text).is_err());
    }
}

/// Words that replace keys and values.
fn odd(at: usize) -> Value {
    [
        json!("n1"),
        json!("leader"),
        json!("$victim"),
        json!("5s"),
        json!("2s..5s"),
        json!(" 5 s "),
        json!("+.5s"),
        json!("30%"),
        json!("1e1%"),
        json!("800/s"),
        json!("4kB"),
        json!("all"),
        json!("none"),
        json!(7),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(true),
        json!(false),
        json!(null),
        json!([]),
        json!({}),
        json!(["n1", "n2"]),
        json!([["n1"], ["n2"]]),
        json!({"exp": "5s"}),
        json!({"wait": "1s"}),
        json!([{"wait": "1s"}]),
        json!("2 of followers"),
        json!(""),
        json!("1"),
        json!("lost_writes==0"),
        json!("detect.first p99<5 s"),
        json!("served"),
        json!("majority"),
    ][at % 34]
        .clone()
}

const KEYS: &[&str] = &[
    "node", "for", "as", "until", "between", "from", "to", "share", "loss", "timeout", "state",
    "ops", "steps", "name", "times", "kill", "start", "wait", "by", "rate", "clients", "every",
    "else", "do", "full", "wipe", "groups", "into", "grace", "order", "keep", "weight", "read",
    "count", "unknown",
];

/// Changes one thing somewhere in `value`, by the numbers that `draw` gives.
fn mutate(value: &mut Value, draw: &mut dyn FnMut(usize) -> usize) {
    let inside = draw(5) > 0;
    match value {
        Value::Object(map) if !map.is_empty() => {
            let at = draw(map.len());
            let key = map.keys().nth(at).unwrap().clone();
            if inside {
                return mutate(&mut map[&key], draw);
            }
            change(map, &key, draw);
        }
        Value::Array(items) if !items.is_empty() => {
            let at = draw(items.len());
            match draw(8) {
                0 => drop(items.remove(at)),
                1 => items.push(odd(draw(34))),
                _ => mutate(&mut items[at], draw),
            }
        }
        other => *other = odd(draw(34)),
    }
}

fn change(map: &mut Map<String, Value>, key: &str, draw: &mut dyn FnMut(usize) -> usize) {
    let new = KEYS[draw(KEYS.len())].to_owned();
    match draw(4) {
        0 => drop(map.remove(key)),
        1 => {
            let value = map.remove(key).unwrap();
            map.insert(new, value);
        }
        2 => drop(map.insert(new, odd(draw(34)))),
        _ => drop(map.insert(key.to_owned(), odd(draw(34)))),
    }
}

/// Every step of every kind that a mutation may start from.
fn seeds() -> Vec<Value> {
    let manuals = chaos::fault::MANUALS
        .iter()
        .map(|manual| step(manual.example));
    let shown = shown().into_iter().map(|(_, text)| text);
    manuals
        .chain(shown)
        .map(|text| as_json(&text).unwrap())
        .collect()
}

#[test]
fn whatever_the_schema_flags_the_parser_refuses() {
    let validator = validator();
    let plans = seeds();
    let mut stream = Seed(20_261_128).stream("schema");
    let cases = std::env::var("CHAOS_SCHEMA_CASES").map_or(4_000, |n| n.parse().unwrap());
    let (mut flagged, mut taken) = (0, 0);
    for _ in 0..cases {
        let mut draw = |below: usize| stream.index(below);
        let mut plan = plans[draw(plans.len())].clone();
        for _ in 0..=draw(2) {
            mutate(&mut plan, &mut draw);
        }
        let found = mistakes(&validator, &plan);
        if found.is_empty() {
            taken += 1;
            continue;
        }
        flagged += 1;
        let text = plan.to_string();
        assert!(
            Plan::parse("p", &text).is_err(),
            "the parser takes what the schema flags: {found:?}\n{text}"
        );
    }
    assert!(
        flagged > cases / 3 && taken > cases / 20,
        "{flagged} flagged, {taken} taken"
    );
}

/// A workflow that is no YAML, or calls chaos in a way that it does not know, would fail at night.
#[test]
fn the_workflows_are_yaml_and_call_chaos_as_it_is() {
    let folder = root().join(".github/workflows");
    let mut calls = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let (name, text) = read(&entry.unwrap().path());
        let workflow: Value = serde_yaml::from_str(&text).unwrap();
        for step in workflow["jobs"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|job| job["steps"].as_array().unwrap())
        {
            let run = step["run"].as_str().unwrap_or_default();
            assert!(
                step["uses"].is_string() || !run.is_empty(),
                "{name}: {step}"
            );
            for line in run.lines().filter(|line| line.contains("/chaos run ")) {
                let (_, arguments) = line.split_once("/chaos ").unwrap();
                let told = std::process::Command::new(env!("CARGO_BIN_EXE_chaos"))
                    .args(arguments.split_whitespace())
                    .arg("--dry-run")
                    .current_dir(root())
                    .output()
                    .unwrap();
                let stderr = String::from_utf8_lossy(&told.stderr).into_owned();
                assert!(told.status.success(), "{line}: {stderr}");
                calls += 1;
            }
        }
    }
    assert!(calls >= 2, "{calls}");
}
