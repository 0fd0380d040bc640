//! Which crate may use which. Arrows point down only.
//!
//! ```text
//!   afterimage
//!       |----------------------+--------------------+-----------------+
//!   *-source                 *-sink            schema-registry      engine <--- sim
//!       |                      |                    |                 |
//!   protocol crate          message <------------- avro               |
//!       |                      |                                      |
//!       +----> connector <-----+--------------------------------------+
//!                  |           |
//!                change <------+
//! ```
//! A registry's failures are the contract's too, so schema-registry also uses connector.
//!
//! So no connector knows another, the engine knows no vendor, and only connectors and the two programs reach the outside.

use std::fs;
use std::path::{Path, PathBuf};

use crate::metadata::{Package, Workspace};

/// Crates below `crates/`, and what of the workspace each may use.
const TABLE: [(&str, &[&str]); 10] = [
    ("change", &[]),
    ("connector", &["change"]),
    ("engine", &["connector", "change"]),
    ("message", &["change"]),
    ("avro", &["message", "change"]),
    ("postgres-replication", &[]),
    ("mysql-binlog", &[]),
    ("sim", &["engine", "connector", "change"]),
    ("xtask", &[]),
    (
        "afterimage",
        &[
            "engine",
            "message",
            "avro",
            "connector",
            "change",
            "schema-registry",
            "postgres-source",
            "mysql-source",
            "kafka-sink",
            "file-sink",
        ],
    ),
];

/// Crates below `connectors/`, by the end of their name.
const CONNECTORS: [(&str, &[&str]); 3] = [
    ("-source", &["connector", "change", "postgres-replication", "mysql-binlog"]),
    ("-sink", &["connector", "message", "change"]),
    ("schema-registry", &["avro", "message", "connector", "change"]),
];

/// Libraries that reach the outside; `tokio` is one of them but for those that use its time and channels.
const OUTSIDE: [&str; 13] = [
    "tokio",
    "rdkafka",
    "reqwest",
    "hyper",
    "axum",
    "rusqlite",
    "mysql_async",
    "tokio-postgres",
    "postgres",
    "tokio-rustls",
    "rustls",
    "socket2",
    "schema_registry_converter",
];
const TOKIO_FOR_TIME: [&str; 3] = ["connector", "engine", "sim"];

/// The same, as they would stand in the source of a crate that may not reach the outside.
const DOORS: [&str; 7] = [
    "std::net",
    "std::fs",
    "std::process",
    "tokio::net",
    "tokio::fs",
    "tokio::process",
    "tokio::signal",
];

pub(crate) fn check(workspace: &Workspace) -> Vec<String> {
    let members: Vec<&str> =
        workspace.packages.iter().map(|package| package.name.as_str()).collect();
    workspace
        .packages
        .iter()
        .flat_map(|package| check_package(package, &members, &workspace.root))
        .collect()
}

fn check_package(package: &Package, members: &[&str], root: &Path) -> Vec<String> {
    let name = package.name.as_str();
    let place = package.directory.strip_prefix(root).unwrap_or(&package.directory);
    // The end-to-end scenarios see everything from outside and may use anything.
    if place == Path::new("tests") {
        return Vec::new();
    }
    let Some(allowed) = allowed(name, place) else {
        return vec![format!("{name}: has no row in the table of who may use whom")];
    };
    let mut troubles = Vec::new();
    for dependency in &package.dependencies {
        let used = dependency.name.as_str();
        let ours = members.contains(&used);
        // A test may use any crate of the house that reaches nothing outside.
        let lent_to_tests =
            dependency.for_tests && TABLE.iter().any(|(row, _)| *row == used) && !is_program(used);
        if ours && !allowed.contains(&used) && !lent_to_tests {
            troubles.push(format!("{name} uses {used}: arrows point down only"));
        }
        let time_only = used == "tokio" && TOKIO_FOR_TIME.contains(&name);
        if is_pure(name, place) && OUTSIDE.contains(&used) && !time_only && !dependency.for_tests {
            troubles.push(format!(
                "{name} uses {used}: only connectors and programs reach the outside"
            ));
        }
    }
    if is_pure(name, place) {
        troubles.extend(doors(&package.directory.join("src"), root));
    }
    troubles
}

fn allowed(name: &str, place: &Path) -> Option<&'static [&'static str]> {
    if place.starts_with("connectors") {
        return CONNECTORS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, allowed)| *allowed);
    }
    TABLE.iter().find(|(row, _)| *row == name).map(|(_, allowed)| *allowed)
}

fn is_program(name: &str) -> bool {
    name == "afterimage" || name == "xtask"
}

fn is_pure(name: &str, place: &Path) -> bool {
    place.starts_with("crates") && !is_program(name)
}

/// Uses of the outside in the source, up to where a file's tests begin.
fn doors(directory: &Path, root: &Path) -> Vec<String> {
    let mut troubles = Vec::new();
    for path in rust_files(directory) {
        let tests =
            path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        let text =
            if tests { String::new() } else { fs::read_to_string(&path).unwrap_or_default() };
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for door in DOORS.iter().filter(|door| line.contains(*door)) {
                let file = path.strip_prefix(root).unwrap_or(&path).display();
                troubles.push(format!(
                    "{file} uses {door}: only connectors and programs reach the outside"
                ));
            }
        }
    }
    troubles
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    #[track_caller]
    fn check(directory: &str, uses: &[(&str, bool)], troubles: usize) {
        let dependencies = uses
            .iter()
            .map(|(name, for_tests)| Dependency { name: (*name).to_owned(), for_tests: *for_tests })
            .collect();
        let name = directory.rsplit('/').next().unwrap().to_owned();
        let directory = PathBuf::from("/nowhere").join(directory);
        let package = Package {
            name,
            version: String::new(),
            license: None,
            has_license_file: false,
            directory,
            roots: vec![],
            dependencies,
        };
        let members = [
            "change",
            "connector",
            "engine",
            "sim",
            "message",
            "kafka-sink",
            "postgres-source",
            "file-sink",
            "afterimage",
        ];
        let found = check_package(&package, &members, Path::new("/nowhere"));
        assert_eq!(found.len(), troubles, "{found:?}");
    }

    #[test]
    fn arrows_point_down() {
        check("crates/engine", &[("connector", false), ("change", false)], 0);
        check("crates/connector", &[("engine", false)], 1);
        check("crates/change", &[("serde", false)], 0);
        check("connectors/kafka-sink", &[("message", false), ("rdkafka", false)], 0);
        check("crates/afterimage", &[("kafka-sink", false), ("postgres-source", false)], 0);
    }

    #[test]
    fn no_connector_knows_another() {
        check("connectors/kafka-sink", &[("file-sink", false)], 1);
        check("connectors/kafka-sink", &[("postgres-source", true)], 1);
    }

    #[test]
    fn only_connectors_and_programs_reach_the_outside() {
        check("crates/message", &[("tokio", false)], 1);
        check("crates/engine", &[("tokio", false)], 0);
        check("crates/engine", &[("rdkafka", false)], 1);
        check("crates/afterimage", &[("axum", false)], 0);
    }

    #[test]
    fn a_test_may_borrow_a_crate_that_stays_inside() {
        check("connectors/kafka-sink", &[("sim", true)], 0);
        check("connectors/kafka-sink", &[("sim", false)], 1);
        check("crates/engine", &[("afterimage", true)], 1);
    }

    #[test]
    fn a_crate_without_a_row_is_told() {
        check("crates/newcomer", &[], 1);
    }
}
