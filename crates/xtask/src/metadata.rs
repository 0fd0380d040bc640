//! What cargo knows of the workspace.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::program;
use crate::trouble::{Doing, Result};

/// `cargo metadata`, read.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) has_license_file: bool,
    pub(crate) directory: PathBuf,
    /// The roots of its libraries and programs.
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) dependencies: Vec<Dependency>,
}

pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) for_tests: bool,
}

impl Workspace {
    /// The members alone.
    pub(crate) fn members() -> Result<Workspace> {
        Workspace::read(&["--no-deps"])
    }

    /// The members and everything that they are built with.
    pub(crate) fn with_dependencies() -> Result<Workspace> {
        Workspace::read(&[])
    }

    fn read(arguments: &[&str]) -> Result<Workspace> {
        let text =
            program::output(cargo().args(["metadata", "--format-version", "1"]).args(arguments))?;
        let metadata: Value = serde_json::from_str(&text).doing("cargo metadata")?;
        Ok(Workspace {
            root: path(&metadata["workspace_root"]),
            target: path(&metadata["target_directory"]),
            packages: elements(&metadata["packages"]).map(package).collect(),
        })
    }
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    program::bound(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn package(value: &Value) -> Package {
    let manifest = path(&value["manifest_path"]);
    let is_root =
        |target: &&Value| elements(&target["kind"]).any(|kind| kind == "lib" || kind == "bin");
    Package {
        name: text(&value["name"]),
        version: text(&value["version"]),
        license: value["license"].as_str().map(str::to_owned),
        has_license_file: value["license_file"].is_string(),
        directory: manifest.parent().map(PathBuf::from).unwrap_or_default(),
        roots: elements(&value["targets"])
            .filter(is_root)
            .map(|target| path(&target["src_path"]))
            .collect(),
        dependencies: elements(&value["dependencies"])
            .map(|one| Dependency { name: text(&one["name"]), for_tests: one["kind"] == "dev" })
            .collect(),
    }
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn path(value: &Value) -> PathBuf {
    PathBuf::from(text(value))
}
