//! One section of the file becomes a connector's own `Config`, with every problem in it, not the first alone.
//!
//! Two passes. The JSON Schema of the type knows all names: it finds options that don't exist and options that are
//! missing. Serde knows all values: it stops at the first bad one, so that one is told, taken out, and serde asked again
//! until nothing new comes. Each round takes something out of a finite tree, so it ends.

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use super::document::{Document, join};
use super::problem::Problem;

/// Reads `table`, the content of the section at `path`. None when that has no meaning, because options are missing or
/// have no value; one that does not exist is only left out.
pub(crate) fn read<T: DeserializeOwned + JsonSchema>(
    document: &Document,
    path: &str,
    table: Value,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    read_beside(document, path, table, &[], problems)
}

/// The same, of a table from which the options `taken` were taken before.
pub(crate) fn read_beside<T: DeserializeOwned + JsonSchema>(
    document: &Document,
    path: &str,
    mut table: Value,
    taken: &[&str],
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    let mut names = Names { document, root: &schema, taken, problems, missing: Vec::new() };
    names.walk(&schema, &mut table, path);
    let mut missing = names.missing;
    let (sound, before) = (missing.is_empty(), problems.len());
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(table.clone()) {
            Ok(value) => return (sound && problems.len() == before).then_some(value),
            Err(error) => error,
        };
        let message = error.inner().to_string();
        let mut at = path.to_owned();
        push_path(&mut at, error.path());
        if let Some(field) =
            message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next())
        {
            let field = join(&at, field);
            if !missing.contains(&field) {
                problems.push(Problem::error(
                    document.place(&at),
                    &field,
                    "this option is missing".to_owned(),
                ));
                missing.push(field);
            }
        } else {
            problems.push(Problem::error(document.place(&at), &at, shown(document, &at, &message)));
        }
        match take(&mut table, error.path()) {
            Some(taken) => missing.push(join(path, &taken)),
            None => return None,
        }
    }
}

/// A message of serde's, without the value where the value is nobody's business.
fn shown(document: &Document, path: &str, message: &str) -> String {
    let message = in_plain_words(message);
    if message.starts_with("unknown field") {
        return message;
    }
    if document.hides(path) {
        return match message.rsplit_once(", expected ") {
            Some((_, expected)) => format!("{expected} is expected (the value is not shown)"),
            None => "this value is not accepted (it is not shown)".to_owned(),
        };
    }
    // "unknown variant `initail`, expected one of `initial`, `never`"
    let mut quoted = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown variant"), quoted.next()) {
        (true, Some(given)) => match nearest(given, quoted.clone()) {
            Some(near) => format!("`{given}` is not known; did you mean `{near}`?"),
            None => format!(
                "`{given}` is not known; known here: {}",
                quoted.collect::<Vec<_>>().join(", ")
            ),
        },
        _ => message,
    }
}

/// Serde names Rust's types where it expects them.
fn in_plain_words(message: &str) -> String {
    const WORDS: [(&str, &str); 9] = [
        ("string or map", "a string"),
        ("a boolean", "true or false"),
        ("a nonzero u8", "a whole number from 1 to 255"),
        ("a nonzero u16", "a whole number from 1 to 65535"),
        ("u8", "a whole number from 0 to 255"),
        ("u16", "a whole number from 0 to 65535"),
        ("u32", "a whole number from 0 to 4294967295"),
        ("i32", "a whole number"),
        ("i64", "a whole number"),
    ];
    let Some((before, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let word = WORDS.iter().find(|(word, _)| *word == expected);
    format!("{before}, expected {}", word.map_or(expected, |(_, plain)| plain))
}

fn push_path(text: &mut String, path: &Path) {
    for segment in path {
        match segment {
            Segment::Map { key } => *text = join(text, key),
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
}

/// Removes the value at `path`, or what holds it where it is not there. None: there is nothing left to take.
fn take(table: &mut Value, path: &Path) -> Option<String> {
    let mut segments: Vec<&Segment> = path
        .iter()
        .filter(|segment| matches!(segment, Segment::Map { .. } | Segment::Seq { .. }))
        .collect();
    while let Some(last) = segments.pop() {
        let holder = segments.iter().try_fold(&mut *table, |value, segment| match segment {
            Segment::Map { key } => value.get_mut(key),
            Segment::Seq { index } => value.get_mut(index),
            Segment::Enum { .. } | Segment::Unknown => Some(value),
        });
        let taken = match (holder, last) {
            (Some(Value::Object(map)), Segment::Map { key }) => map.remove(key).is_some(),
            (Some(Value::Array(items)), Segment::Seq { index }) if *index < items.len() => {
                items.remove(*index);
                true
            }
            _ => false,
        };
        if taken {
            let mut text = String::new();
            for segment in segments.into_iter().chain([last]) {
                match segment {
                    Segment::Map { key } => text = join(&text, key),
                    _ => text.push_str("[]"),
                }
            }
            return Some(text);
        }
    }
    None
}

/// Looks for names that don't exist and names that are not there.
struct Names<'a> {
    document: &'a Document,
    root: &'a Value,
    /// Known in the section, though not to its type.
    taken: &'a [&'a str],
    problems: &'a mut Vec<Problem>,
    missing: Vec<String>,
}

impl Names<'_> {
    fn walk(&mut self, schema: &Value, value: &mut Value, path: &str) {
        let Some(schema) = self.resolve(schema, value) else { return };
        match value {
            Value::Object(map) => self.object(&schema, map, path),
            Value::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.walk(schema, item, &format!("{path}[{index}]"));
                    }
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, schema: &Value, map: &mut Map<String, Value>, path: &str) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        let taken = std::mem::take(&mut self.taken);
        let mut meant = Vec::new();
        if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
            let known = || properties.keys().map(String::as_str).chain(taken.iter().copied());
            let unknown: Vec<_> =
                map.keys().filter(|key| !properties.contains_key(*key)).cloned().collect();
            for key in unknown {
                map.remove(&key);
                meant.extend(nearest(&key, known()));
                let path = join(path, &key);
                let message = unknown_option(&key, known());
                self.problems.push(Problem::error(self.document.place(&path), &path, message));
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str).filter(|name| !map.contains_key(*name)) {
            let field = join(path, name);
            // One that was misspelt, or could not be expanded, was named already.
            let told = self.problems.iter().any(|problem| problem.fatal && problem.path == field);
            if !told && !meant.contains(&name) {
                let message = "this option is missing".to_owned();
                self.problems.push(Problem::error(self.document.place(path), &field, message));
            }
            self.missing.push(field);
        }
        for (name, schema) in properties {
            if let Some(value) = map.get_mut(name) {
                self.walk(schema, value, &join(path, name));
            }
        }
    }

    /// The schema that speaks of this value: references followed, and of alternatives the only one of its type.
    fn resolve(&self, schema: &Value, value: &Value) -> Option<Value> {
        let mut schema = schema;
        // A reference leads on at most once for each definition.
        for _ in 0..64 {
            if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
                schema = self.root.pointer(reference.strip_prefix('#')?)?;
                continue;
            }
            let alternatives =
                ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array());
            let Some(alternatives) = alternatives else { return Some(schema.clone()) };
            let mut fitting = alternatives
                .iter()
                .filter_map(|alternative| self.resolve(alternative, value))
                .filter(|alternative| is_of_type(alternative, value));
            let first = fitting.next()?;
            return fitting.next().is_none().then_some(first);
        }
        None
    }
}

fn is_of_type(schema: &Value, value: &Value) -> bool {
    let name = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        _ => return true,
    };
    match schema.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(any)) => any.iter().any(|one| one == name),
        _ => true,
    }
}

/// What to say of a name that does not exist among those that do.
pub(crate) fn unknown_option<'n>(
    name: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("unknown option; did you mean `{near}`?"),
        None => format!("unknown option; known here: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len().max(name.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
