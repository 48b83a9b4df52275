//! The schema knows all that the parser knows.

use serde_json::Value;

use super::super::{Plan, VERBS};
use super::keys::keys;
use super::shapes::{ITEM, Shape, shape};
use super::{leaves, plan_schema, texts};
use crate::fault::{FaultSpec, MANUALS, SELECTOR_WORDS};
use crate::measure::{Assertion, METRICS, PREDICATES};

/// Every value below, with the place at which it stands.
fn each<'a>(value: &'a Value, place: &str, see: &mut dyn FnMut(&str, &'a Value)) {
    see(place, value);
    let inner = |key: &str| format!("{place}/{key}");
    for (key, value) in value.as_object().into_iter().flatten() {
        each(value, &inner(key), see);
    }
    for (at, value) in value.as_array().into_iter().flatten().enumerate() {
        each(value, &inner(&at.to_string()), see);
    }
}

#[test]
fn every_verb_key_and_value_has_a_description_and_nothing_is_left_open() {
    let schema = plan_schema();
    let mut keys = 0;
    each(&schema, "", &mut |place, value| {
        let is_key = place
            .rsplit_once('/')
            .is_some_and(|(owner, _)| owner.ends_with("/properties"));
        let is_own = is_key && !place.contains("/oneOf/") && !place.contains("/allOf/");
        if !is_own {
            return;
        }
        keys += 1;
        assert_ne!(*value, Value::Bool(true), "{place} takes anything");
        let nested = [
            "/cluster/properties/config/",
            "/at/",
            "/torn/",
            "/strobe/",
            "_chunks/",
            "/snapshot/",
            "/restore/",
        ];
        let is_told = value["description"].is_string()
            || nested.iter().any(|part| place.contains(part))
            || place.starts_with("/$defs/drawn_duration/");
        assert!(
            is_told,
            "{place} has no description: add it to schema/texts.rs"
        );
    });
    assert!(keys > 150, "{keys}");
}

#[test]
fn every_reference_leads_somewhere_and_every_map_is_closed() {
    let schema = plan_schema();
    each(&schema, "", &mut |place, value| {
        if let Some(target) = value["$ref"].as_str() {
            let name = target.strip_prefix("#/$defs/").unwrap();
            assert!(schema["$defs"].get(name).is_some(), "{place}: {target}");
        }
        if value["type"] == "object" && value.get("properties").is_some() {
            let closed = value["additionalProperties"] == Value::Bool(false)
                || place.contains("/allOf/")
                || place.ends_with("/config");
            assert!(closed, "{place} takes any key");
        }
    });
}

#[test]
fn every_word_of_the_registries_is_in_it() {
    let schema = plan_schema();
    let text = schema.to_string();
    let verbs = FaultSpec::NAMES
        .iter()
        .chain(VERBS.iter().map(|(verb, _)| verb));
    for verb in verbs {
        assert!(
            schema["$defs"]["step"]["properties"][verb].is_object(),
            "{verb}"
        );
        assert!(schema["$defs"][verb].is_object(), "{verb}");
    }
    for metric in METRICS {
        assert!(
            text.contains(&format!("`{}`: ", metric.name)),
            "{}",
            metric.name
        );
    }
    for (name, ..) in PREDICATES {
        let known = Assertion::parse(name).is_ok();
        assert_eq!(text.contains(&format!("`{name}`: ")), known, "{name}");
    }
    for (word, _) in SELECTOR_WORDS {
        assert!(
            schema["$defs"]["nodes"].to_string().contains(word),
            "{word}"
        );
    }
}

/// What the parser reads by a visitor of its own has a definition; a new visitor fails here.
#[test]
fn every_leaf_of_a_fault_is_known() {
    fn look(path: &[&str]) {
        match shape::<FaultSpec>(path) {
            Some(Shape::Keys(names)) => {
                names
                    .iter()
                    .for_each(|name| look(&[path, &[name]].concat()));
            }
            Some(Shape::List) => look(&[path, &[ITEM]].concat()),
            Some(Shape::Leaf(asked)) => {
                let mut known = leaves::LEAVES.iter();
                assert!(
                    known.any(|(words, _)| *words == asked),
                    "{path:?}: `{asked}` has no definition in schema/leaves.rs"
                );
            }
            Some(_) => {}
            None => panic!("{path:?} is read by nobody"),
        }
    }
    FaultSpec::NAMES.iter().for_each(|verb| look(&[verb]));
}

#[test]
fn every_text_stands_at_a_key_that_is_there() {
    let schema = plan_schema();
    let verbs: Vec<&str> = VERBS.iter().map(|(verb, _)| *verb).collect();
    for place in texts::places() {
        let (first, rest) = place.split_once('.').unwrap_or((place, ""));
        let mut here = match first {
            "fault" => &schema["$defs"]["pause"]["anyOf"][1],
            _ if verbs.contains(&first) => {
                let verb = &schema["$defs"][first];
                if verb["anyOf"].is_array() {
                    &verb["anyOf"][1]
                } else {
                    verb
                }
            }
            _ => &schema["properties"][first],
        };
        for key in rest.split('.').filter(|key| !key.is_empty()) {
            let inner = &here["properties"][key];
            here = if inner["items"]["properties"].is_object() {
                &inner["items"]
            } else {
                inner
            };
        }
        assert!(here.is_object(), "{place} is no key of the schema");
    }
}

/// What the manual calls required is what the parser misses.
#[test]
fn required_parameters_are_those_of_the_manuals() {
    for manual in MANUALS {
        let schema = keys::<FaultSpec>(manual.verb, &[manual.verb], &|_, _| {});
        let mut manuals = manual.parameters.iter();
        let told: Vec<&str> = manuals
            .by_ref()
            .filter(|[name, _, default, _]| *default == "required" && !name.contains(' '))
            .map(|[name, ..]| *name)
            .collect();
        let mut needed: Vec<&str> = schema["required"]
            .as_array()
            .map(|keys| keys.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        needed.sort_by_key(|key| told.iter().position(|known| known == key));
        assert_eq!(needed, told, "{}", manual.verb);
        let plan = format!(
            "version: 1\nname: p\ncluster: {{nodes: 5}}\nsteps:\n  - {}\n",
            manual.example
        );
        assert!(Plan::parse("p", &plan).is_ok(), "{}", manual.verb);
    }
}
