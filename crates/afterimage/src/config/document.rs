//! The configuration file as a tree of plain values, with the place of each in the file.
//!
//! Serde alone stops at the first error and forgets where it was; so the file is parsed once into values and places,
//! strings are expanded, and each section is then read from the values. Problems are found by path and told by place.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::expand::{self, Lookup};
use super::problem::{Place, Problem};

#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: Map<String, Value>,
    places: BTreeMap<String, Place>,
    /// Paths whose value must never be shown.
    hidden: BTreeSet<String>,
}

/// Reads the text of a file. Problems of syntax and of expansion are added to `problems`; what could be read is there.
pub(crate) fn parse(text: &str, lookup: &Lookup<'_>, problems: &mut Vec<Problem>) -> Document {
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        // Only the message: the error's own display quotes the line, which may hold a secret.
        let place = error.span().map(|span| lines.place(span.start));
        problems.push(Problem::error(place, "", error.message().to_owned()));
    }
    let mut reader =
        Reader { lines, lookup, problems, places: BTreeMap::new(), hidden: BTreeSet::new() };
    let root = reader.table(table.get_ref(), "");
    let Reader { places, hidden, .. } = reader;
    Document { root, places, hidden }
}

impl Document {
    /// The nearest place known: of the path itself, or of what holds it.
    pub(crate) fn place(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Whether a message about this path could repeat a value that must not be shown.
    pub(crate) fn hides(&self, path: &str) -> bool {
        self.hidden.iter().any(|hidden| {
            let rest = hidden.strip_prefix(path);
            rest.is_some_and(|rest| {
                path.is_empty() || rest.is_empty() || rest.starts_with(['.', '['])
            })
        })
    }

    pub(crate) fn take(&mut self, section: &str) -> Option<Value> {
        self.root.remove(section)
    }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

struct Reader<'a> {
    lines: Lines<'a>,
    lookup: &'a Lookup<'a>,
    problems: &'a mut Vec<Problem>,
    places: BTreeMap<String, Place>,
    hidden: BTreeSet<String>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Map<String, Value> {
        let mut map = Map::new();
        for (key, value) in table {
            let path = join(path, key.get_ref());
            self.places.insert(path.clone(), self.lines.place(key.span().start));
            if let Some(value) = self.value(value, &path) {
                map.insert(key.get_ref().to_string(), value);
            }
        }
        map
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) -> Option<Value> {
        let place = self.lines.place(value.span().start);
        let problem = |message: &str| Problem::error(Some(place), path, message.to_owned());
        match value.get_ref() {
            DeValue::String(text) => return self.string(text, place, path),
            DeValue::Boolean(value) => return Some(Value::Bool(*value)),
            DeValue::Integer(integer) => {
                let digits = integer.as_str().replace('_', "");
                match i64::from_str_radix(&digits, integer.radix()) {
                    Ok(number) => return Some(number.into()),
                    Err(_) => self.problems.push(problem("this number does not fit into 64 bits")),
                }
            }
            DeValue::Float(float) => {
                let number =
                    float.as_str().replace('_', "").parse().ok().and_then(Number::from_f64);
                match number {
                    Some(number) => return Some(number.into()),
                    None => self.problems.push(problem("a finite number is expected")),
                }
            }
            DeValue::Datetime(datetime) => return Some(Value::String(datetime.to_string())),
            DeValue::Array(array) => {
                let mut values = Vec::new();
                for (index, value) in array.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.places.insert(path.clone(), self.lines.place(value.span().start));
                    values.extend(self.value(value, &path));
                }
                return Some(Value::Array(values));
            }
            DeValue::Table(table) => return Some(Value::Object(self.table(table, path))),
        }
        None
    }

    fn string(&mut self, text: &str, place: Place, path: &str) -> Option<Value> {
        let expanded = match expand::expand(text, self.lookup) {
            Ok(expanded) => expanded,
            Err(errors) => {
                let errors = errors.into_iter();
                self.problems.extend(
                    errors.map(|error| Problem::error(Some(place), path, error.to_string())),
                );
                return None;
            }
        };
        let named = is_secret_name(path) && !text.is_empty();
        let in_url = has_password(&expanded.text);
        if expanded.from_outside || named || in_url {
            self.hidden.insert(path.to_owned());
        }
        if !expanded.from_outside && (named || in_url) {
            let message =
                "a secret stands in the file; `${env:NAME}` or `${file:PATH}` keeps it out";
            self.problems.push(Problem::warning(Some(place), path, message.to_owned()));
        }
        Some(Value::String(expanded.text))
    }
}

fn is_secret_name(path: &str) -> bool {
    ["password", "token", "secret", "passphrase"].iter().any(|name| path.ends_with(name))
}

/// `scheme://user:password@host`
fn has_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// Offsets into a text as lines and columns, both from 1; columns count characters.
struct Lines<'a> {
    text: &'a str,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text }
    }

    fn place(&self, offset: usize) -> Place {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count();
        Place { line, column }
    }
}
