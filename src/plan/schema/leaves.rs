//! The leaves of the schema: quantities, node words and assertions as patterns.
//!
//! A pattern may let through what the parser refuses (a range that is empty, a rate of zero), but
//! refuses nothing that the parser takes. All are plain enough for every dialect of regular
//! expressions that validators use.

use serde_json::{Value, json};

use crate::fault::SELECTOR_WORDS;
use crate::measure::{Aggregate, Assertion, Comparator, METRICS, MetricInfo, PREDICATES, Unit};

/// A number of a quantity, without its unit.
const NUMBER: &str = r"(?:\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)|-0+(?:\.0*)?)";
/// The same, where `1e3` is read as well.
const SCIENTIFIC: &str = r"(?:\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|-0+(?:\.0*)?)";
const TIME: &str = r"(?:ns|us|µs|ms|s|m|h)";
const BYTES: &str = r"(?:GB|MB|kB|B|GiB|MiB|KiB)";
const BITS: &str = r"(?:Gbit|Mbit|kbit)";
/// Letters, digits, `_` and `-` of any script: what is no space and no other ASCII character.
const WORD: &str = r"[^\s!-,./:-@\[-^`{-~]+";

/// The words by which a visitor asks for a value, and the definition that describes it.
pub(super) const LEAVES: &[(&str, &str)] = &[
    ("a duration such as 5s", "duration"),
    (
        "a duration: 5s, 2s..20s, {exp: 12s}, {normal: {mean, sd}} or {one_of: [..]}",
        "drawn_duration",
    ),
    ("a percentage such as 30%", "share"),
    ("a percentage: 30% or 5%..60%", "drawn_share"),
    ("a rate such as 800/s", "rate"),
    ("a rate of data such as 100kB/s", "byte_rate"),
    ("a size such as 4kB", "size"),
    ("a jump of the clock: -30s, 5m or -5m..5m", "jump"),
    (
        "nodes: n1, [n1, n2], leader, any follower, $name …",
        "nodes",
    ),
    (
        "an end of a link: clients, n1, [n1, n2], leader, followers …",
        "end",
    ),
];

/// A value of each definition.
pub(super) fn example(definition: &str) -> Value {
    json!(match definition {
        "duration" | "drawn_duration" | "jump" => "5s",
        "share" | "drawn_share" => "30%",
        "rate" => "800/s",
        "byte_rate" => "100kB/s",
        "size" => "4kB",
        _ => "n1",
    })
}

/// All definitions of leaves, by name.
pub(super) fn definitions() -> Vec<(&'static str, Value)> {
    let words = [
        ("name", name()),
        ("nodes", nodes(&[])),
        ("end", nodes(&["clients"])),
        ("assertion", assertion()),
    ];
    quantities().into_iter().chain(words).collect()
}

fn quantities() -> Vec<(&'static str, Value)> {
    let duration = format!(r"{NUMBER}\s*{TIME}");
    let share = format!(r"{SCIENTIFIC}\s*%");
    let jump = format!(r"[+-]?\s*{duration}");
    let range = |one: &str| whole(&format!(r"{one}(?:\s*\.\.\s*{one})?"));
    let text = |pattern: String, description: &str, examples: Value| json!({"type": "string", "pattern": pattern, "description": description, "examples": examples});
    let amount = format!("{NUMBER}\\s*(?:{BYTES}|{BITS})\\s*/s");
    vec![
        (
            "text",
            json!({"type": ["string", "number", "boolean"], "description": "Text."}),
        ),
        (
            "duration",
            text(
                whole(&duration),
                "A length of time with its unit: ns, us, ms, s, m or h.",
                json!(["5s", "50ms", "1.5s", "1m"]),
            ),
        ),
        ("drawn_duration", drawn_duration(&range(&duration))),
        (
            "share",
            text(
                whole(&share),
                "A share, in percent.",
                json!(["30%", "0.5%"]),
            ),
        ),
        (
            "drawn_share",
            text(
                range(&share),
                "A share, in percent: fixed (`30%`), or drawn anew each time from a range (`5%..60%`).",
                json!(["30%", "5%..60%"]),
            ),
        ),
        (
            "rate",
            text(
                whole(&format!(r"{SCIENTIFIC}\s*/s")),
                "Operations per second, over all clients.",
                json!(["800/s"]),
            ),
        ),
        (
            "byte_rate",
            text(
                whole(&amount),
                "Bytes or bits per second, with their unit.",
                json!(["100kB/s", "1MiB/s", "10Mbit/s"]),
            ),
        ),
        (
            "size",
            text(
                whole(&format!(r"{NUMBER}\s*{BYTES}")),
                "Bytes, with their unit.",
                json!(["512B", "4kB", "1MiB"]),
            ),
        ),
        (
            "jump",
            text(
                range(&jump),
                "How far the clock jumps, ahead or back; of a range one is drawn.",
                json!(["-30s", "5m", "-5m..5m"]),
            ),
        ),
    ]
}

fn whole(pattern: &str) -> String {
    format!(r"^\s*{pattern}\s*$")
}

fn drawn_duration(fixed: &str) -> Value {
    let one = json!({"$ref": "#/$defs/duration"});
    let keys = |keys: Value, required: &[&str]| {
        json!({
            "type": "object", "additionalProperties": false, "properties": keys, "required": required
        })
    };
    let normal = keys(json!({"mean": one, "sd": one}), &["mean", "sd"]);
    let list = json!({"type": "array", "minItems": 1, "items": one});
    json!({
        "description": "A length of time: fixed (`5s`), or drawn anew each time: uniformly \
                        (`2s..20s`), exponentially (`{exp: 12s}`), normally or from a list.",
        "oneOf": [
            {"type": "string", "pattern": fixed, "examples": ["5s", "2s..20s"]},
            keys(json!({"exp": one}), &["exp"]),
            keys(json!({"normal": normal}), &["normal"]),
            keys(json!({"one_of": list}), &["one_of"]),
        ]
    })
}

/// What `as:` may bind.
fn name() -> Value {
    json!({
        "type": ["string", "number", "boolean"],
        "pattern": format!("^{WORD}$"),
        "not": {"const": "all"},
        "description": "A name: letters, digits, `_` and `-`, but not `all`. `$name` refers to it."
    })
}

/// Node words, and those given beside them.
fn nodes(more: &[&str]) -> Value {
    let words: Vec<&str> = SELECTOR_WORDS
        .iter()
        .map(|(word, _)| *word)
        .chain(more.iter().copied())
        .collect();
    let alternatives = words.join("|");
    let one = |alternatives: &str| {
        whole(&format!(
            r"(?:{alternatives}|n[1-9][0-9]{{0,2}}|\${WORD}|\+?0*[1-9][0-9]{{0,2}}\s+of\s+(?:all|any|followers))"
        ))
    };
    let inner: Vec<&str> = SELECTOR_WORDS.iter().map(|(word, _)| *word).collect();
    json!({
        "description": format!(
            "Nodes: `n1`, `[n1, n2]`, `$name`, `2 of followers`, or one of: {}.", words.join(", ")
        ),
        "oneOf": [
            {"type": "string", "pattern": one(&alternatives), "examples": words},
            {
                "type": "array", "minItems": 1,
                "items": {"type": "string", "pattern": one(&inner.join("|"))}
            },
        ]
    })
}

/// One line of `expect`: which aggregates and limits go with which metric is asked of the parser.
fn assertion() -> Value {
    let bare: Vec<&str> = PREDICATES
        .iter()
        .filter(|(name, ..)| Assertion::parse(name).is_ok())
        .map(|(name, ..)| *name)
        .collect();
    let mut kinds: Vec<(String, Vec<&MetricInfo>)> = Vec::new();
    for metric in METRICS {
        let pattern = comparison(metric);
        match kinds.iter_mut().find(|(known, _)| *known == pattern) {
            Some((_, metrics)) => metrics.push(metric),
            None => kinds.push((pattern, vec![metric])),
        }
    }
    let predicates = PREDICATES.iter().filter(|(name, ..)| bare.contains(name));
    let meaning: Vec<String> = predicates
        .map(|(name, _, _, summary)| format!("`{name}`: {summary}."))
        .collect();
    let mut forms = vec![json!({
        "type": "string",
        "pattern": whole(&format!("(?:{})", bare.join("|"))),
        "examples": bare,
        "description": meaning.join("\n")
    })];
    for (rest, metrics) in kinds {
        let names: Vec<String> = metrics.iter().map(|m| m.name.replace('.', r"\.")).collect();
        let meaning: Vec<String> = metrics
            .iter()
            .map(|metric| format!("`{}`: {}.", metric.name, metric.summary))
            .collect();
        let examples = metrics
            .iter()
            .map(|metric| format!("{} {}", metric.name, limit(metric.unit)));
        forms.push(json!({
            "type": "string",
            "pattern": whole(&format!("(?:{}){rest}", names.join("|"))),
            "examples": examples.collect::<Vec<_>>(),
            "description": meaning.join("\n")
        }));
    }
    json!({
        "description": "`metric [aggregate] op limit`, for instance `detect.quorum p99 <= 2s`, or a \
                        bare predicate such as `linearizable`. `chaos list metrics` names all.",
        "anyOf": forms
    })
}

/// What may follow the name of a metric.
fn comparison(metric: &MetricInfo) -> String {
    let known = |aggregate: &Aggregate| {
        let limit = if *aggregate == Aggregate::Count {
            limit(Unit::Count)
        } else {
            limit(metric.unit)
        };
        Assertion::parse(&format!("{} {aggregate} {limit}", metric.name)).is_ok()
    };
    let aggregates: Vec<&str> = Aggregate::ALL
        .iter()
        .filter(|aggregate| **aggregate != Aggregate::Count && known(aggregate))
        .map(|aggregate| aggregate.word())
        .collect();
    let ops: Vec<&str> = Comparator::ALL.iter().map(|op| op.symbol()).collect();
    let ops = format!("(?:{})", ops.join("|"));
    let aggregate = format!(r"(?:\s+(?:{}))?", aggregates.join("|"));
    let mut forms = vec![
        format!(r"{aggregate}\s*{ops}\s*{}", value(metric.unit)),
        // How far a figure may be from that of a baseline.
        format!(r"{aggregate}\s+within\s+{LIMIT}\s*%\s+of\s+baseline"),
    ];
    if known(&Aggregate::Count) {
        forms.push(format!(r"\s+count\s*{ops}\s*{}", value(Unit::Count)));
    }
    format!("(?:{})", forms.join("|"))
}

/// A number in an assertion.
const LIMIT: &str = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)";

/// The pattern of a limit.
fn value(unit: Unit) -> String {
    match unit {
        Unit::Ns => format!(r"{LIMIT}\s*{TIME}"),
        Unit::Ratio => format!(r"{LIMIT}\s*%"),
        Unit::Count => r"(?:[0-9]+\.?0*|\.0+)".to_owned(),
        Unit::Ops => LIMIT.to_owned(),
    }
}

const fn limit(unit: Unit) -> &'static str {
    match unit {
        Unit::Ns => "<= 500ms",
        Unit::Ratio => ">= 99.9%",
        Unit::Count | Unit::Ops => "<= 0",
    }
}
