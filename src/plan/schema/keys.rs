//! Maps of keys as the parser reads them, with what each key takes and means.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::leaves::{LEAVES, example};
use super::shapes::{ITEM, Shape, required, shape};
use super::texts::text;

/// The schema of the keys that `T` reads at the end of `path`. `place` is where they stand, for
/// their meaning; `refine` adds what types do not say.
pub(super) fn keys<T: DeserializeOwned>(
    place: &str,
    path: &[&str],
    refine: &dyn Fn(&str, &mut Value),
) -> Value {
    let Some(Shape::Keys(names)) = shape::<T>(path) else {
        return Value::Bool(true);
    };
    let mut properties = Map::new();
    for name in names {
        let inner = format!("{place}.{name}");
        let path = [path, &[name]].concat();
        let mut value = described(value::<T>(&inner, &path, refine), text(&inner));
        refine(&inner, &mut value);
        properties.insert((*name).to_owned(), value);
    }
    let needed = required::<T>(path, |key| given::<T>(&[path, &[key]].concat()));
    let mut schema = json!({
        "type": "object", "additionalProperties": false, "properties": properties
    });
    if !needed.is_empty() {
        schema["required"] = json!(needed);
    }
    schema
}

/// The schema of what `T` reads at the end of `path`.
fn value<T: DeserializeOwned>(
    place: &str,
    path: &[&str],
    refine: &dyn Fn(&str, &mut Value),
) -> Value {
    match shape::<T>(path) {
        Some(Shape::Keys(_)) => keys::<T>(place, path, refine),
        Some(Shape::Words(words)) => json!({"enum": words}),
        Some(Shape::Text) => reference("text"),
        Some(Shape::Flag) => json!({"type": "boolean"}),
        Some(Shape::Whole) => json!({"type": "integer", "minimum": 0}),
        Some(Shape::Signed) => json!({"type": "integer"}),
        Some(Shape::Number) => json!({"type": "number"}),
        Some(Shape::List) => {
            let items = value::<T>(place, &[path, &[ITEM]].concat(), refine);
            json!({"type": "array", "items": items})
        }
        Some(Shape::Map) => json!({"type": "object", "additionalProperties": reference("text")}),
        Some(Shape::Leaf(asked)) => match definition(&asked) {
            Some(name) => reference(name),
            None => Value::Bool(true),
        },
        None => Value::Bool(true),
    }
}

/// Something that `T` takes at the end of `path`.
fn given<T: DeserializeOwned>(path: &[&str]) -> Value {
    match shape::<T>(path) {
        Some(Shape::Words(words)) => json!(words.first()),
        Some(Shape::Flag) => json!(true),
        Some(Shape::Whole | Shape::Signed | Shape::Number) => json!(1),
        Some(Shape::List) => json!([]),
        Some(Shape::Map | Shape::Keys(_)) => json!({}),
        Some(Shape::Leaf(asked)) => example(definition(&asked).unwrap_or_default()),
        Some(Shape::Text) | None => json!("x"),
    }
}

fn definition(asked: &str) -> Option<&'static str> {
    let known = LEAVES.iter().find(|(words, _)| *words == asked);
    known.map(|(_, name)| *name)
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// With what it means.
pub(super) fn described(mut schema: Value, text: Option<&str>) -> Value {
    if let (Some(text), Some(map)) = (text, schema.as_object_mut()) {
        map.insert("description".to_owned(), json!(text));
    }
    schema
}
