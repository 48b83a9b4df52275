//! The JSON Schema of plans: editors complete and check a plan by it while it is written.
//!
//! It is made from what the parser itself reads (`shapes`), the registries of faults, verbs,
//! metrics and predicates, and the manuals of faults. It is never stricter than the parser; what
//! hangs on other parts of a plan (names that are bound, nodes that exist) only the parser knows.

mod keys;
mod leaves;
mod shapes;
mod steps;
#[cfg(test)]
mod tests;
mod texts;

use serde_json::{Map, Value, json};

use super::OnViolation;
use super::resolve::KEYS;
use super::sections::{
    ClusterKeys, MAX_CLIENTS, MAX_KEYS, MAX_NODES, ProbeKeys, WORKLOADS, WorkloadKeys,
};
use crate::fault::Network;
use crate::system::{SYSTEMS, Stub, Zab};
use keys::{described, keys, reference};
use shapes::{Shape, shape};
use texts::text;

/// The schema of plans, version 1 of the language, in JSON Schema 2020-12.
#[must_use]
pub fn plan_schema() -> Value {
    let mut properties = Map::new();
    for key in KEYS.iter().filter(|key| **key != NOT_BUILT) {
        properties.insert((*key).to_owned(), described(section(key), text(key)));
    }
    let mut definitions = Map::new();
    let all = leaves::definitions()
        .into_iter()
        .chain(steps::definitions());
    for (name, schema) in all.chain([("step", steps::step())]) {
        definitions.insert(name.to_owned(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:chaos:plan:1",
        "title": "A plan of chaos, version 1 of the language",
        "description": "What one run does: the cluster, the load, the steps, and what must hold \
                        afterwards. `chaos validate` also checks what a schema cannot.",
        "type": "object",
        "additionalProperties": false,
        "required": ["version", "name", "steps"],
        "properties": properties,
        "$defs": definitions
    })
}

/// A key of the language that is refused by name.
const NOT_BUILT: &str = "abort";

fn section(key: &str) -> Value {
    match key {
        "version" => json!({"const": 1}),
        "name" => json!({
            "type": ["string", "number", "boolean"],
            "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
        }),
        "about" => reference("text"),
        "seed" => json!({"type": "integer", "minimum": 0}),
        "cluster" => keys::<ClusterKeys>(key, &[], &refine),
        "workload" => keys::<WorkloadKeys>(key, &[], &refine),
        "probe" => keys::<ProbeKeys>(key, &[], &refine),
        "network" => words(shape::<Network>(&[]).as_ref()),
        "on_violation" => words(shape::<OnViolation>(&[]).as_ref()),
        "steps" => reference("steps"),
        "expect" => json!({"type": "array", "items": reference("assertion")}),
        _ => Value::Bool(true),
    }
}

fn words(shape: Option<&Shape>) -> Value {
    match shape {
        Some(Shape::Words(words)) => json!({"enum": words}),
        _ => Value::Bool(true),
    }
}

/// What the type of a key does not say.
fn refine(place: &str, value: &mut Value) {
    let mut at_most = |most: u64| {
        value["minimum"] = json!(1);
        value["maximum"] = json!(most);
    };
    match place {
        "cluster.nodes" => at_most(u64::from(MAX_NODES)),
        "workload.clients" => at_most(MAX_CLIENTS),
        "workload.keys.count" => at_most(MAX_KEYS),
        "cluster.system" => {
            let names: Vec<&str> = SYSTEMS.iter().map(|(name, _)| *name).collect();
            *value = described(json!({"enum": names}), text(place));
        }
        "workload.kind" => *value = described(json!({"enum": WORKLOADS}), text(place)),
        "cluster.config" => {
            // Names are offered, not demanded: which there are depends on the system.
            let stub = Stub::SETTINGS.iter().map(|(name, ..)| *name);
            let known: Map<String, Value> = Zab::SETTINGS
                .iter()
                .copied()
                .chain(stub)
                .map(|name| (name.to_owned(), reference("text")))
                .collect();
            value["properties"] = Value::Object(known);
        }
        "probe.ops" => value["minItems"] = json!(1),
        _ => {}
    }
}
