//! The verbs of the schema: each with its own keys, and what goes with what.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::read_calls::{CallKeys, ExecKeys};
use super::super::read_control::is_over_at_once;
use super::super::read_control::{ChoiceKeys, MAX_AT_ONCE, MAX_WEIGHT, ParallelKeys, RandomKeys};
use super::super::read_faults::CommonKeys;
use super::super::read_steps::{
    EachKeys, MAX_TIMES, NodeKeys, RepeatKeys, RestartKeys, VERBS, takes_node,
};
use super::super::read_waits::{MAX_OPERATIONS, WaitForKeys};
use super::super::steps::EventName;
use super::keys::{described, keys, reference};
use super::texts::text;
use crate::fault::{FaultSpec, MANUALS, Manual};
use crate::system::{SYSTEMS, calls};

/// A step: one verb with its arguments.
pub(super) fn step() -> Value {
    let faults = FaultSpec::ENTRIES.iter();
    let mut verbs = Map::new();
    for (verb, summary) in faults.chain(VERBS) {
        let summary = sentence(summary);
        verbs.insert(
            (*verb).to_owned(),
            described(reference(verb), Some(&summary)),
        );
    }
    json!({
        "description": "One verb with its arguments, for instance `kill: {node: leader, as: victim}`.",
        "type": "object",
        "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
        "properties": verbs
    })
}

/// The arguments of every verb.
pub(super) fn definitions() -> Vec<(&'static str, Value)> {
    let faults = FaultSpec::NAMES.iter().map(|verb| (*verb, fault(verb)));
    let steps = VERBS
        .iter()
        .map(|(verb, summary)| (*verb, described(arguments(verb), Some(&sentence(summary)))));
    let more = [("steps", list_of_steps()), ("drawn_step", drawn_step())];
    faults.chain(steps).chain(more).collect()
}

fn sentence(summary: &str) -> String {
    let mut letters = summary.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

fn list_of_steps() -> Value {
    json!({"type": "array", "minItems": 1, "items": reference("step")})
}

/// Arguments, or a node word alone.
fn or_nodes(arguments: &Value) -> Value {
    json!({"anyOf": [reference("nodes"), arguments]})
}

/// A fault: its own keys, those that all faults take, and its manual.
fn fault(verb: &str) -> Value {
    let manual = MANUALS.iter().find(|manual| manual.verb == verb);
    let mut schema = keys::<FaultSpec>(verb, &[verb], &|place, value| {
        let key = place.rsplit('.').next().unwrap_or_default();
        if let (Some(manual), 1) = (manual, place.matches('.').count()) {
            let meaning = parameter(manual, key);
            *value = described(value.take(), meaning.as_deref());
        }
        refine_fault(verb, key, value);
    });
    let common = keys::<CommonKeys>("fault", &[], &|place, value| {
        if place == "fault.as" {
            *value = described(reference("name"), text(place));
        }
    });
    let at_once = is_over_at_once(verb);
    for (key, value) in common["properties"].as_object().into_iter().flatten() {
        if !(at_once && ["for", "until"].contains(&key.as_str())) {
            schema["properties"][key] = value.clone();
        }
    }
    if !at_once {
        schema["dependentRequired"] = json!({"until": ["for"]});
    }
    combine_fault(verb, &mut schema);
    let schema = if takes_node(verb) {
        or_nodes(&schema)
    } else {
        schema
    };
    let about = manual.map(|manual| {
        let Manual {
            does,
            needs,
            ends,
            example,
            ..
        } = manual;
        format!("{does}\n\nNeeds: {needs}. Ends: {ends}\n\nExample: `{example}`")
    });
    described(schema, about.as_deref())
}

/// What the manual says of a parameter: form, default, meaning.
fn parameter(manual: &Manual, key: &str) -> Option<String> {
    let mut all = manual.parameters.iter();
    let [_, form, default, meaning] =
        all.find(|[name, ..]| name.split([',', ' ']).any(|word| word == key))?;
    let meaning = sentence(meaning);
    Some(match *default {
        "required" => format!("{meaning} Form: {form}."),
        other => format!("{meaning} Form: {form}. Default: {other}."),
    })
}

/// What the type of a parameter does not say.
fn refine_fault(verb: &str, key: &str, value: &mut Value) {
    match (verb, key) {
        (_, "between") => {
            value["minItems"] = json!(2);
            value["maxItems"] = json!(2);
            if !takes_clients(verb) {
                value["items"] = reference("nodes");
            }
        }
        (_, "from" | "to") if !takes_clients(verb) => value["$ref"] = json!("#/$defs/nodes"),
        ("split", "groups") => value["minItems"] = json!(2),
        ("clock", "rate") => {
            value["minimum"] = json!(0.1);
            value["maximum"] = json!(10);
        }
        ("fd_limit", "soft") => value["maximum"] = json!(1_048_576),
        ("disk", "parts") => {
            value["minimum"] = json!(2);
            value["maximum"] = json!(4096);
        }
        (_, "every") => value["minimum"] = json!(1),
        ("file", "bitflip") => {
            *value = json!({
                "description": value["description"],
                "type": ["number", "string"],
                "exclusiveMinimum": 0, "maximum": 1
            });
        }
        ("file", "path") => value["pattern"] = json!(r"^[^/]"),
        _ => {}
    }
}

/// Whether clients may be an end of its links: asked of the parser.
fn takes_clients(verb: &str) -> bool {
    let read = |end: &str| {
        let share = json!({"between": [end, "n1"], "share": "1%"});
        let tried = json!({ verb: share });
        serde_json::from_value::<FaultSpec>(tried)
            .err()
            .map(|error| error.to_string())
    };
    read("clients") == read("n2")
}

/// Which parameters go together.
fn combine_fault(verb: &str, schema: &mut Value) {
    let set = |key: &str| json!({"required": [key]});
    let on = |key: &str| json!({"required": [key], "properties": {key: {"const": true}}});
    let has_ends = !schema["properties"]["between"].is_null();
    let (word, choices) = match verb {
        _ if has_ends => (
            "oneOf",
            vec![
                json!({"required": ["between"], "properties": {"from": false, "to": false}}),
                json!({"required": ["from", "to"], "properties": {"between": false}}),
            ],
        ),
        "split" => ("oneOf", vec![set("groups"), set("into")]),
        "clock" => ("anyOf", vec![set("bump"), set("strobe"), set("rate")]),
        "disk" => (
            "oneOf",
            vec![
                set("stall"),
                set("errno"),
                on("full"),
                on("lose_unsynced"),
                set("torn"),
            ],
        ),
        "file" => (
            "oneOf",
            vec![
                set("bitflip"),
                set("truncate"),
                on("wipe"),
                set("copy_chunks"),
                set("snapshot"),
                set("restore"),
            ],
        ),
        _ => return,
    };
    schema[word] = json!(choices);
}

/// The arguments of a verb that is no fault.
fn arguments(verb: &str) -> Value {
    let own = |place: &str, value: &mut Value| refine(place, value);
    match verb {
        "start" | "resume" => or_nodes(&keys::<NodeKeys>(verb, &[], &own)),
        "restart" => or_nodes(&keys::<RestartKeys>(verb, &[], &own)),
        "heal" => json!({
            "type": ["string", "number", "boolean"],
            "examples": ["all"]
        }),
        "wait" => reference("drawn_duration"),
        "wait_for" => wait_for(keys::<WaitForKeys>(verb, &[], &own)),
        "repeat" => {
            let mut schema = with(
                keys::<RepeatKeys>(verb, &[], &own),
                "repeat.steps",
                reference("steps"),
            );
            schema["oneOf"] = json!([{"required": ["times"]}, {"required": ["for"]}]);
            schema
        }
        "each" => with(
            keys::<EachKeys>(verb, &[], &own),
            "each.steps",
            reference("steps"),
        ),
        "parallel" => {
            let branches = json!({"type": "array", "minItems": 1, "items": reference("steps")});
            with(
                keys::<ParallelKeys>(verb, &[], &own),
                "parallel.branches",
                branches,
            )
        }
        "random" => {
            let choice = with(
                keys::<ChoiceKeys>("random.choose", &[], &own),
                "random.choose.do",
                reference("drawn_step"),
            );
            let choices = json!({"type": "array", "minItems": 1, "items": choice});
            with(
                keys::<RandomKeys>(verb, &[], &own),
                "random.choose",
                choices,
            )
        }
        "mark" => reference("text"),
        "call" => keys::<CallKeys>(verb, &[], &own),
        "exec" => json!({"anyOf": [
            {"type": "string", "pattern": r"\S"},
            keys::<ExecKeys>(verb, &[], &own),
        ]}),
        _ => Value::Bool(true),
    }
}

/// A key more, which must be there.
fn with(mut schema: Value, place: &str, value: Value) -> Value {
    let key = place.rsplit('.').next().unwrap_or_default();
    schema["properties"][key] = described(value, text(place));
    let mut required = schema["required"].as_array().cloned().unwrap_or_default();
    required.push(json!(key));
    schema["required"] = json!(required);
    schema
}

/// What the type of a key does not say.
fn refine(place: &str, value: &mut Value) {
    let mut at_most = |most: u64| {
        value["minimum"] = json!(1);
        value["maximum"] = json!(most);
    };
    match place {
        "repeat.times" => at_most(MAX_TIMES),
        "random.at_once" => at_most(MAX_AT_ONCE),
        "random.choose.weight" => at_most(MAX_WEIGHT),
        "wait_for.ops" => at_most(MAX_OPERATIONS),
        "each.as" => *value = described(reference("name"), text(place)),
        "wait_for.event.kind" => {
            *value = described(json!({"enum": EventName::ALL}), text(place));
        }
        "call.do" => {
            // Which of them a system has only the parser knows.
            let all = SYSTEMS.iter().flat_map(|(system, _)| calls(system));
            let names: BTreeSet<&str> = all.map(|(name, _)| *name).collect();
            *value = described(json!({"enum": names}), text(place));
        }
        _ => {}
    }
}

/// One thing to wait for, within a time; nodes and distances belong to some states only.
fn wait_for(mut schema: Value) -> Value {
    schema["required"] = json!(["timeout"]);
    let one = |key: &str| json!({"required": [key]});
    schema["oneOf"] = json!(["state", "ops", "event", "log"].map(one));
    let state =
        |words: &[&str]| json!({"properties": {"state": {"enum": words}}, "required": ["state"]});
    schema["allOf"] = json!([
        {"if": one("node"), "then": state(&["synced", "behind"])},
        {"if": one("by"), "then": state(&["behind"])},
        {"if": state(&["behind"]), "then": one("node")},
    ]);
    schema
}

/// What `random` may draw: a fault that ends by itself and that nothing refers to, or `restart`.
fn drawn_step() -> Value {
    let mut verbs = Map::new();
    for (verb, summary) in FaultSpec::ENTRIES {
        let mut more = json!({"type": "object", "properties": {"as": false, "until": false}});
        if !is_over_at_once(verb) {
            more["required"] = json!(["for"]);
        }
        let schema = json!({"allOf": [reference(verb), more]});
        verbs.insert(
            (*verb).to_owned(),
            described(schema, Some(&sentence(summary))),
        );
    }
    let about = VERBS.iter().find(|(verb, _)| *verb == "restart");
    let about = about.map(|(_, summary)| sentence(summary));
    let restart = described(reference("restart"), about.as_deref());
    verbs.insert("restart".to_owned(), restart);
    json!({
        "type": "object",
        "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
        "properties": verbs
    })
}
