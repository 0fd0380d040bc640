//! One TOML file describes a connector: each section is owned by the part it configures, and composed here.
//!
//! ```text
//! text --document--> values and places --section--> postgres_source::Config, kafka_sink::Config, ..
//!          |  ${env:..}, ${file:..}       |  names by JSON Schema, values by serde
//!          +--------- problems -----------+--> all of them at once, each with its line
//! ```
//! `kind` is taken out of a section first and chooses the type that reads the rest: an internally tagged enum could
//! neither deny unknown options nor say where one stands.

mod bounded;
mod document;
mod expand;
mod kinds;
mod problem;
mod schema;
mod section;

use std::path::Path;

use serde_json::Value;

pub(crate) use expand::{Lookup, outside};
pub(crate) use kinds::{
    CopyMode, Copying, Encoding, Format, Http, Limits, Name, Readd, Sink, Source,
};
pub(crate) use problem::Problems;
pub(crate) use schema::schema;
pub(crate) use section::nearest;

use document::Document;
use problem::Problem;

/// A whole configuration file, sound in itself. What it names may still be missing: `check` asks the servers.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) name: Name,
    pub(crate) source: Source,
    pub(crate) copying: Copying,
    pub(crate) sink: Sink,
    pub(crate) format: Format,
    pub(crate) http: Option<Http>,
    pub(crate) limits: Limits,
    /// What is allowed but unwise, as `file:line:column: path: message`.
    pub(crate) warnings: Vec<String>,
}

/// Reads a file, with all that the environment and other files put into it.
pub(crate) fn load(path: &Path) -> Result<Config, Problems> {
    let file = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot be read: {error}");
            return Err(Problems { file, problems: vec![Problem::error(None, "", message)] });
        }
    };
    read(&file, &text, &outside())
}

pub(crate) fn read(file: &str, text: &str, lookup: &Lookup<'_>) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let mut document = document::parse(text, lookup, &mut problems);
    let document = &mut document;
    // What a file with broken syntax lacks or holds cannot be told.
    if problems.iter().any(|problem| problem.fatal && problem.path.is_empty()) {
        return Err(Problems { file: file.to_owned(), problems });
    }

    let name = required(document, "name", &mut problems)
        .and_then(|value| section::read(document, "name", value, &mut problems));
    let source = required(document, "source", &mut problems)
        .and_then(|table| kinds::source(document, table, &mut problems));
    let sink = required(document, "sink", &mut problems)
        .and_then(|table| kinds::sink(document, table, &mut problems));
    let format = required(document, "format", &mut problems)
        .and_then(|table| kinds::format(document, table, &mut problems));
    let http =
        document.take("http").map(|table| section::read(document, "http", table, &mut problems));
    let limits = document.take("limits").unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let limits = section::read(document, "limits", limits, &mut problems);
    unknown_sections(document, &mut problems);

    // Also of a file that is refused already: all that is wrong is told at once.
    let followed = source.as_ref().map(|(source, copying)| (source, copying));
    kinds::mistakes(
        document,
        name.as_ref(),
        followed,
        sink.as_ref(),
        format.as_ref(),
        &mut problems,
    );
    problems.sort_by_key(|problem| problem.place);
    let problems = Problems { file: file.to_owned(), problems };
    match (name, source, sink, format, http, limits) {
        (Some(name), Some((source, copying)), Some(sink), Some(format), http, Some(limits))
            if problems.are_warnings() =>
        {
            let (http, warnings) = (http.flatten(), problems.lines().collect());
            Ok(Config { name, source, copying, sink, format, http, limits, warnings })
        }
        _ => Err(problems),
    }
}

const SECTIONS: [&str; 6] = ["name", "source", "sink", "format", "http", "limits"];

fn required(
    document: &mut Document,
    section: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<Value> {
    let found = document.take(section);
    // Of a name that could not be expanded the reason was told, of a misspelt one it will be.
    let told = problems.iter().any(|problem| problem.fatal && problem.path == section)
        || document
            .root
            .keys()
            .any(|key| section::nearest(key, SECTIONS.into_iter()) == Some(section));
    if found.is_none() && !told {
        let what =
            if section == "name" { "this option is missing" } else { "this section is missing" };
        problems.push(Problem::error(None, section, what.to_owned()));
    }
    found
}

fn unknown_sections(document: &Document, problems: &mut Vec<Problem>) {
    for key in document.root.keys() {
        let message = section::unknown_option(key, SECTIONS.into_iter());
        problems.push(Problem::error(document.place(key), key, message));
    }
}

#[cfg(test)]
mod tests;
