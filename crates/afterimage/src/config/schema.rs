//! The JSON Schema of the whole file, put together from those of its sections.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::kinds::{Copying, FORMATS, Http, Limits, Messages, Name, SINKS, SOURCES};

/// The schema, in draft 2020-12. A string may hold `${env:NAME}` and `${file:PATH}` wherever a string is expected.
pub(crate) fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let of = &mut generator;
    let source = kinds(&SOURCES, |_| {
        let mut source = part::<postgres_source::Config>(of);
        if let Value::Object(copying) = part::<Copying>(of)["properties"].take()
            && let Some(Value::Object(properties)) = source.get_mut("properties")
        {
            properties.extend(copying);
        }
        source
    });
    let sink = kinds(&SINKS, |kind| match kind {
        "kafka" => part::<kafka_sink::Config>(of),
        "file" => part::<file_sink::FileConfig>(of),
        _ => part::<file_sink::StdoutConfig>(of),
    });
    let format = kinds(&FORMATS, |kind| {
        let mut messages = part::<Messages>(of);
        if kind == "avro" {
            let registry = part::<schema_registry::Config>(of);
            messages["properties"]["registry"] = json!({
                "description": "The schema registry's address, or a table with address, authentication and TLS.",
                "anyOf": [{ "type": "string" }, registry],
            });
            messages["required"] = json!(["registry"]);
        }
        messages
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Afterimage connector",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "source", "sink", "format"],
        "properties": {
            "name": part::<Name>(of),
            "source": source,
            "sink": sink,
            "format": format,
            "http": part::<Http>(of),
            "limits": part::<Limits>(of),
        },
        "$defs": Value::Object(generator.take_definitions(true)),
    })
}

/// The schema of one part, in place; what it refers to goes to the definitions.
fn part<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

/// One of several kinds, each with its own options.
fn kinds(names: &[&str], mut of: impl FnMut(&str) -> Value) -> Value {
    let alternatives = names.iter().map(|name| {
        let mut schema = of(name);
        let kind = json!({ "description": "Which kind this section is of.", "const": name });
        let mut properties = Map::from_iter([("kind".to_owned(), kind)]);
        if let Some(Value::Object(own)) = schema.get_mut("properties").map(Value::take) {
            properties.extend(own);
        }
        schema["properties"] = Value::Object(properties);
        let mut required = vec![json!("kind")];
        if let Some(Value::Array(own)) = schema.get_mut("required").map(Value::take) {
            required.extend(own);
        }
        schema["required"] = Value::Array(required);
        schema
    });
    json!({ "oneOf": alternatives.collect::<Vec<_>>() })
}
