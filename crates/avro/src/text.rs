//! A schema as JSON text, equal to what Avro's Java library prints of the schema that Connect's Avro converters make.
//!
//! - A record's full name is its Connect name, split at the last dot; the namespace is left out where the enclosing
//!   record has the same. A record that was defined already is named, relative to the namespace around it.
//! - What Avro has no words for follows as attributes: `connect.doc`, `connect.version`, `connect.parameters`,
//!   `connect.default`, `connect.name`, `connect.type`; a decimal has `scale` and `precision` (64 when not declared)
//!   before them and `logicalType` behind.
//! - An optional type is `["null", T]` with default null; with a default of its own it is `[T, "null"]`.

use std::collections::HashSet;

use message::{DECIMAL, Field, Form, Literal, Schema};

/// The schema's text.
pub fn render(schema: &Schema) -> String {
    let mut renderer = Renderer { out: String::new(), defined: HashSet::new() };
    renderer.schema(schema, None);
    renderer.out
}

struct Renderer<'s> {
    out: String,
    defined: HashSet<&'s str>,
}

impl<'s> Renderer<'s> {
    fn schema(&mut self, schema: &'s Schema, space: Option<&str>) {
        match (schema.optional, &schema.default) {
            (false, _) => self.present(schema, space),
            (true, None) => {
                self.out.push_str("[\"null\",");
                self.present(schema, space);
                self.out.push(']');
            }
            (true, Some(_)) => {
                self.out.push('[');
                self.present(schema, space);
                self.out.push_str(",\"null\"]");
            }
        }
    }

    fn present(&mut self, schema: &'s Schema, space: Option<&str>) {
        let form = match &schema.form {
            Form::Struct(fields) => return self.record(schema, fields, space),
            Form::Array(element) => {
                self.out.push_str("{\"type\":\"array\",\"items\":");
                self.schema(element, space);
                self.attributes(schema);
                self.out.push('}');
                return;
            }
            Form::Int16 | Form::Int32 => "int",
            Form::Int64 => "long",
            Form::Float32 => "float",
            Form::Float64 => "double",
            Form::Boolean => "boolean",
            Form::String => "string",
            Form::Bytes => "bytes",
        };
        let start = self.out.len();
        self.out.push_str("{\"type\":\"");
        self.out.push_str(form);
        self.out.push('"');
        let bare = self.out.len();
        self.attributes(schema);
        if self.out.len() == bare {
            self.out.truncate(start);
            self.string(form);
        } else {
            self.out.push('}');
        }
    }

    fn record(&mut self, schema: &'s Schema, fields: &'s [Field], space: Option<&str>) {
        let full = schema.name.as_deref().unwrap_or(UNNAMED);
        let (own_space, name) = split(full);
        if !self.defined.insert(full) {
            let qualified = if own_space == space { name } else { full };
            return self.string(qualified);
        }
        self.out.push_str("{\"type\":\"record\",\"name\":");
        self.string(name);
        if own_space != space {
            self.out.push_str(",\"namespace\":");
            self.string(own_space.unwrap_or(""));
        }
        self.out.push_str(",\"fields\":[");
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.field(field, own_space);
        }
        self.out.push(']');
        self.attributes(schema);
        self.out.push('}');
    }

    fn field(&mut self, field: &'s Field, space: Option<&str>) {
        self.out.push_str("{\"name\":");
        self.string(&field.name);
        self.out.push_str(",\"type\":");
        self.schema(&field.schema, space);
        match &field.schema.default {
            Some(default) => {
                self.out.push_str(",\"default\":");
                self.literal(default);
            }
            None if field.schema.optional => self.out.push_str(",\"default\":null"),
            None => {}
        }
        self.out.push('}');
    }

    fn attributes(&mut self, schema: &Schema) {
        let parameter = |wanted: &str| {
            schema.parameters.iter().find(|(name, _)| *name == wanted).map(|(_, value)| &**value)
        };
        let decimal = schema.name.as_deref() == Some(DECIMAL);
        if decimal {
            self.out.push_str(",\"scale\":");
            self.out.push_str(parameter("scale").unwrap_or("0"));
            self.out.push_str(",\"precision\":");
            self.out.push_str(parameter("connect.decimal.precision").unwrap_or("64"));
        }
        if let Some(doc) = schema.doc {
            self.attribute("connect.doc", doc);
        }
        if let Some(version) = schema.version {
            self.out.push_str(",\"connect.version\":");
            self.out.push_str(&version.to_string());
        }
        if !schema.parameters.is_empty() {
            self.out.push_str(",\"connect.parameters\":{");
            for (index, (name, value)) in schema.parameters.iter().enumerate() {
                if index > 0 {
                    self.out.push(',');
                }
                self.string(name);
                self.out.push(':');
                self.string(value);
            }
            self.out.push('}');
        }
        if let Some(default) = &schema.default {
            self.out.push_str(",\"connect.default\":");
            self.literal(default);
        }
        if let Some(name) = &schema.name {
            self.attribute("connect.name", name);
        }
        if schema.form == Form::Int16 {
            self.attribute("connect.type", "int16");
        }
        if decimal {
            self.attribute("logicalType", "decimal");
        }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(',');
        self.string(name);
        self.out.push(':');
        self.string(value);
    }

    fn literal(&mut self, literal: &Literal) {
        match literal {
            Literal::Null => self.out.push_str("null"),
            Literal::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Literal::Int(value) => self.out.push_str(&value.to_string()),
            Literal::Float32(value) => self.json(value),
            Literal::Float64(value) => self.json(value),
            Literal::Text(text) => self.string(text),
            // Avro writes the bytes of a default as the characters of the same numbers.
            Literal::Bytes(bytes) => {
                let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                self.string(&text);
            }
            Literal::Array(elements) => {
                self.out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.literal(element);
                }
                self.out.push(']');
            }
            // No struct has a default: a default's fields would have to be named.
            Literal::Struct(_) => self.out.push_str("null"),
        }
    }

    fn string(&mut self, text: &str) {
        self.json(text);
    }

    fn json<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        let text = serde_json::to_string(value).expect("numbers and texts are always JSON");
        self.out.push_str(&text);
    }
}

/// What the converters call a record without a name.
const UNNAMED: &str = "io.confluent.connect.avro.ConnectDefault";

fn split(full: &str) -> (Option<&str>, &str) {
    match full.rsplit_once('.') {
        Some((space, name)) => (Some(space), name),
        None => (None, full),
    }
}
