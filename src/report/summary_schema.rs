//! The JSON Schema of `summary.json`, for whoever reads it by program.
//!
//! It lists the keys that this version writes and takes no others, so that a key which is added
//! and not described fails a test.

use serde_json::{Map, Value, json};

use super::summary::SCHEMA;
use crate::measure::{HitPhase, HitRole};

/// The schema of `chaos.summary/1`, in JSON Schema 2020-12.
#[must_use]
pub fn summary_schema() -> Value {
    let mut schema = object(&[asked(), judged(), measured()].concat());
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["$id"] = json!("urn:chaos:summary:1");
    schema["title"] = json!("summary.json of a run of chaos");
    schema["description"] = json!(
        "Lengths and times are nanoseconds, `null` was not measured. Later versions of chaos may add \
         keys under the same name `chaos.summary/1` and never change or remove any: a reader passes \
         over keys that it does not know, and `chaos schema --summary` prints the schema with the \
         keys of its own version."
    );
    schema
}

/// Name, schema, what it means. A name that begins with `?` may be missing.
type Key = (&'static str, Value, &'static str);

/// A map with these keys and no others.
fn object(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema, meaning) in keys {
        let bare = name.trim_start_matches('?');
        if bare == *name {
            required.push(bare);
        }
        let mut schema = schema.clone();
        if !meaning.is_empty() {
            schema["description"] = json!(meaning);
        }
        properties.insert(bare.to_owned(), schema);
    }
    json!({
        "type": "object", "additionalProperties": false, "required": required,
        "properties": properties
    })
}

fn text() -> Value {
    json!({"type": "string"})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn maybe_count() -> Value {
    json!({"type": ["integer", "null"], "minimum": 0})
}

fn maybe_number() -> Value {
    json!({"type": ["number", "null"]})
}

fn share() -> Value {
    json!({"type": "number", "minimum": 0, "maximum": 1})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn node() -> Value {
    json!({"type": "string", "pattern": "^n[1-9][0-9]*$"})
}

fn maybe_node() -> Value {
    json!({"type": ["string", "null"], "pattern": "^n[1-9][0-9]*$"})
}

fn words(words: &[&str]) -> Value {
    json!({"enum": words})
}

/// One of these words, or `null`.
fn maybe(words: &[&str]) -> Value {
    let mut all: Vec<Value> = words.iter().map(|word| json!(word)).collect();
    all.push(Value::Null);
    json!({"enum": all})
}

fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

/// Any names, each with such a value.
fn map(values: &Value) -> Value {
    json!({"type": "object", "additionalProperties": values})
}

fn asked() -> Vec<Key> {
    vec![
        (
            "schema",
            json!({"const": SCHEMA}),
            "Name and version of this format.",
        ),
        ("plan", text(), "The name of the plan."),
        (
            "plan_path",
            text(),
            "The file that it was read from, as given.",
        ),
        ("system", text(), "The system under test."),
        (
            "nodes",
            json!({"type": "integer", "minimum": 1, "maximum": 9}),
            "How many nodes.",
        ),
        (
            "clients",
            count(),
            "How many clients, each with one operation in flight.",
        ),
        (
            "rate",
            maybe_number(),
            "Operations per second over all clients; `null`: as fast as they go.",
        ),
        ("seed", count(), "Of every random decision."),
        (
            "?bug",
            text(),
            "The bugs that were planted in the nodes; missing if none was.",
        ),
        ("run_id", text(), "The name of the results folder."),
        ("environment", environment(), "Where and with what it ran."),
        ("reproduce", text(), "The command that repeats it."),
    ]
}

fn judged() -> Vec<Key> {
    let verdict = words(&["pass", "unknown", "fail"]);
    let check = object(&[
        (
            "name",
            text(),
            "The assertion as written, or the name of the check.",
        ),
        (
            "class",
            words(&["safety", "objective", "assumption"]),
            "A promise about data, a limit of the plan, or what a meaningful run needs.",
        ),
        ("verdict", verdict.clone(), ""),
        ("limit", text(), "For people; empty if there is none."),
        ("measured", text(), "For people."),
        (
            "reason",
            text(),
            "Why it failed or is unknown; empty when passed.",
        ),
    ]);
    let counterexample = object(&[
        ("key", text(), "On which it happened."),
        ("operations", count(), "How many operations have no order."),
        ("sentence", text(), "Why."),
    ]);
    vec![
        (
            "verdict",
            verdict,
            "The worst of all checks. `unknown` is never a pass.",
        ),
        ("exit_code", count(), "Of `chaos run`."),
        (
            "duration_ns",
            count(),
            "From the origin of the run to its end.",
        ),
        (
            "operations",
            object(&[
                ("ok", count(), "That succeeded."),
                ("fail", count(), "That certainly did not happen."),
                ("info", count(), "Of which nobody knows."),
            ]),
            "How many client operations ended how.",
        ),
        (
            "checks",
            list(&check),
            "All checks, in the order of the report.",
        ),
        ("?counterexample", counterexample, "Only after a violation."),
        (
            "?baseline",
            baseline(),
            "The run beside its baseline; only if it has one, or its plan speaks of one.",
        ),
    ]
}

fn baseline() -> Value {
    let two = |of: Value| json!({"type": "array", "items": of, "minItems": 2, "maxItems": 2});
    let number = json!({"type": "number"});
    let contrast = object(&[
        ("metric", text(), "Its name, as in docs/measuring.md."),
        (
            "change",
            words(&["worse", "better", "same", "unclear"]),
            "Of this run against the baseline.",
        ),
        (
            "n",
            two(count()),
            "Samples of the baseline and of this run.",
        ),
        ("median", two(number.clone()), "In the metric's unit."),
        (
            "ratio",
            maybe_number(),
            "How many times as large this run is, typically; `null`: without end.",
        ),
        (
            "interval",
            two(maybe_number()),
            "The least and the greatest ratio that the samples do not refute; `null`: open.",
        ),
        (
            "p",
            share(),
            "How often chance alone gives ranks as different as these.",
        ),
        (
            "delta",
            number,
            "How often a sample of this run is larger, minus how often it is smaller.",
        ),
        (
            "?more_trials",
            count(),
            "About so many more would tell; only if unclear.",
        ),
    ]);
    object(&[
        (
            "from",
            json!({"type": ["string", "null"]}),
            "Where it came from; `null`: there is none.",
        ),
        ("runs", count(), "How many runs it is made of."),
        ("judged", flag(), "Whether it says anything about this run."),
        (
            "other_machine",
            text(),
            "In what its machine differs from this one; empty if in nothing.",
        ),
        (
            "tolerance",
            json!({"type": "number", "minimum": 0}),
            "A typical sample longer by less than this share is no change.",
        ),
        ("metrics", list(&contrast), "Metric by metric."),
        (
            "not_judged",
            list(&text()),
            "Lines of `expect` that need a baseline of this machine.",
        ),
    ])
}

/// One metric, one latency distribution, one line of coverage.
fn figures() -> [Value; 3] {
    let metric = object(&[
        (
            "unit",
            words(&["ns", "count", "ratio", "ops"]),
            "What its numbers mean.",
        ),
        ("n", count(), "How many samples."),
        ("censored", count(), "How many of them are lower bounds."),
        (
            "noisy",
            count(),
            "How many were left out because the harness was late.",
        ),
        (
            "p50",
            maybe_number(),
            "A real sample (nearest rank), as are the others.",
        ),
        ("p90", maybe_number(), ""),
        ("p99", maybe_number(), ""),
        ("max", maybe_number(), ""),
        (
            "samples",
            list(&maybe_number()),
            "In the order of trials or time.",
        ),
    ]);
    let latency = object(&[
        ("n", count(), "How many operations."),
        ("p50", count(), ""),
        ("p90", count(), ""),
        ("p99", count(), ""),
        ("p999", count(), ""),
        ("max", count(), ""),
    ]);
    let covered = object(&[
        ("verb", text(), "The fault."),
        (
            "role",
            words(&HitRole::ALL.map(HitRole::word)),
            "What its victim was just before.",
        ),
        (
            "phase",
            words(&HitPhase::ALL.map(HitPhase::word)),
            "What the cluster was doing.",
        ),
        ("hits", count(), "How often."),
    ]);
    [metric, latency, covered]
}

fn measured() -> Vec<Key> {
    let [metric, latency, covered] = figures();
    let faults = ["asked", "landed", "missed", "healed"].map(|name| (name, count(), ""));
    vec![
        ("metrics", map(&metric), "By name, see docs/measuring.md."),
        (
            "trials",
            list(&trial()),
            "One per fault, in the order of injection.",
        ),
        ("outages", list(&outage()), "What the probes saw."),
        (
            "latency",
            map(&map(&latency)),
            "By kind of operation (read, write, cas, all), then by phase (steady, fault, all).",
        ),
        (
            "coverage",
            list(&covered),
            "Which faults landed on whom, and when.",
        ),
        ("faults", object(&faults), "How many faults came how far."),
        (
            "noise",
            object(&[
                (
                    "harness_lag_p99_ns",
                    maybe_count(),
                    "How late the harness's own timers were.",
                ),
                (
                    "proxy_rtt_p50_ns",
                    maybe_count(),
                    "What a proxied link adds to a round trip.",
                ),
            ]),
            "Below this nothing can be told apart.",
        ),
    ]
}

/// What took how long in a failover, and a node that was brought up to date.
fn stages() -> [Value; 2] {
    let phases = object(&[
        (
            "detect",
            maybe_count(),
            "Fault … the first survivor gives up the victim.",
        ),
        ("elect", maybe_count(), "… the winner knows that it won."),
        ("sync", maybe_count(), "… it may commit."),
        (
            "reroute",
            maybe_count(),
            "… the first successful write is answered.",
        ),
    ]);
    let sync = object(&[
        ("node", node(), ""),
        ("began", count(), "When it connected to the leader."),
        ("took", count(), "How long until it was in sync."),
        ("mode", words(&["DIFF", "TRUNC", "SNAP"]), "By which means."),
        ("txns", count(), "Transactions received."),
        ("bytes", count(), "Bytes received."),
        (
            "rejoin",
            flag(),
            "Whether it had been down, stopped or cut off.",
        ),
    ]);
    [phases, sync]
}

fn trial() -> Value {
    object(&[injected(), followed()].concat())
}

/// The fault itself.
fn injected() -> Vec<Key> {
    vec![
        (
            "index",
            maybe_count(),
            "Its trial; `null` outside of trials.",
        ),
        ("fault_id", count(), ""),
        ("fault", text(), "The verb."),
        ("label", text(), "For people."),
        ("victim", maybe_node(), "The first of its nodes."),
        ("nodes", list(&node()), "The nodes that it chose."),
        ("on_leader", flag(), "Whether the victim led."),
        (
            "outcome",
            maybe(&["completed", "censored", "skipped"]),
            "How the trial ended.",
        ),
        (
            "noisy",
            flag(),
            "Whether the harness was too late for its timing to be trusted.",
        ),
        ("asked_ns", count(), "When it was asked for."),
        (
            "landed_ns",
            maybe_count(),
            "When it was confirmed; `null`: it did not land.",
        ),
        ("healed_ns", maybe_count(), "When it ended."),
        ("end_ns", count(), "When the trial ended."),
        ("origin_ns", count(), "From when all lengths below count."),
        (
            "channel",
            maybe(&["transport", "timeout"]),
            "How the first detection came about.",
        ),
    ]
}

/// What came of it.
fn followed() -> Vec<Key> {
    let [phases, sync] = stages();
    vec![
        ("winner", maybe_node(), "The new leader."),
        (
            "phases",
            phases,
            "The failover taken apart; lengths, one after another.",
        ),
        ("detect_quorum_ns", maybe_count(), ""),
        ("detect_last_ns", maybe_count(), ""),
        ("detect_evict_ns", maybe_count(), ""),
        ("elect_rounds", maybe_count(), ""),
        (
            "recover_first_ns",
            maybe_count(),
            "To the first success of a write invoked after it.",
        ),
        ("recover_steady_ns", maybe_count(), "To service as before."),
        ("redundancy_ns", maybe_count(), "To all voters in sync."),
        ("goodput_dip_ops", maybe_number(), "Operations lost to it."),
        ("syncs", list(&sync), "Nodes that were brought up to date."),
        (
            "?achieved",
            map(&count()),
            "What it really did, counted while it was in force.",
        ),
    ]
}

fn outage() -> Value {
    object(&[
        ("op", words(&["read", "write"]), ""),
        (
            "node",
            maybe_node(),
            "As seen from this node; `null`: from all at once.",
        ),
        ("from", count(), "The intended time of its first bad probe."),
        ("to", count(), "The first good completion after it."),
        ("lower", count(), "How long at least."),
        ("upper", count(), "How long at most."),
        ("open", flag(), "It lasted when the run ended."),
    ])
}

fn environment() -> Value {
    let mut calibration = object(&[
        ("delay_asked", count(), "Each way."),
        ("delay", count(), "As it came."),
        ("loss_asked", share(), ""),
        ("loss", share(), "As it came."),
        ("sent", count(), "Of how many frames or packets."),
    ]);
    calibration["type"] = json!(["object", "null"]);
    object(&[
        ("chaos", text(), "The program and its version."),
        ("kernel", text(), ""),
        ("cpu", text(), ""),
        ("cpus", count(), ""),
        ("memory", count(), "Bytes."),
        ("build", text(), "`debug` or `release`."),
        ("started_utc", text(), "RFC 3339."),
        ("harness_lag_p99", maybe_count(), ""),
        ("proxy_rtt_p50", maybe_count(), ""),
        (
            "calibration",
            calibration,
            "A delay and a loss, tried before the load.",
        ),
        ("extra", map(&text()), "Anything else worth showing."),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{json as render, sample};
    use crate::results::RunRecord;

    fn summary(record: &RunRecord) -> Value {
        let mut bytes = Vec::new();
        render(record, &mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn the_summaries_of_real_records_are_valid() {
        let validator = jsonschema::draft202012::new(&summary_schema()).unwrap();
        let mut bugged = sample::failed();
        bugged.plan.bug = Some("no-truncate".to_owned());
        bugged.measurements.trials[0]
            .figures
            .insert("bytes".to_owned(), 7);
        let mut beside = sample::small();
        beside.compared = Some(sample::compared());
        for record in [
            sample::small(),
            sample::failed(),
            sample::empty(),
            bugged,
            beside,
        ] {
            let found: Vec<String> = validator
                .iter_errors(&summary(&record))
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert_eq!(found, [""; 0]);
        }
    }

    #[test]
    fn a_summary_that_was_changed_is_flagged() {
        let validator = jsonschema::draft202012::new(&summary_schema()).unwrap();
        let good = summary(&sample::failed());
        let wrong = |pointer: &str, value: Value| {
            let mut summary = good.clone();
            *summary.pointer_mut(pointer).unwrap() = value;
            !validator.is_valid(&summary)
        };
        assert!(wrong("/schema", json!("chaos.summary/2")));
        assert!(wrong("/verdict", json!("ok")));
        assert!(wrong("/checks/0/verdict", json!(true)));
        assert!(wrong("/trials/0/victim", json!(1)));
        assert!(wrong("/operations", json!({"ok": 1})));
        assert!(wrong("/metrics", json!({"elect": 5})));
        assert!(wrong("/environment/memory", json!(-1)));
        let mut more = good.clone();
        more["more"] = json!(1);
        assert!(
            !validator.is_valid(&more),
            "every key that is written is described"
        );
    }
}
