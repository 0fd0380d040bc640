use std::path::{Path, PathBuf};

use connector::Finding;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::offsets;
use crate::output::Output;

/// Lines of JSON appended to a file, at least once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The file that lines are appended to; made when missing. Its directory must exist.
    pub path: PathBuf,
    /// The SQLite file that holds the position (default: the path with `.position` appended).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<PathBuf>,
}

/// Lines of JSON on standard output, at least once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdoutConfig {
    /// The SQLite file that holds the position (default: the connector's name with `.position` appended, in the
    /// working directory).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<PathBuf>,
}

impl FileConfig {
    pub fn position(&self) -> PathBuf {
        self.position.clone().unwrap_or_else(|| beside(&self.path))
    }
}

impl StdoutConfig {
    pub fn position(&self, name: &str) -> PathBuf {
        self.position.clone().unwrap_or_else(|| beside(Path::new(name)))
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".position");
    name.into()
}

/// What would keep a run from starting. Makes no file and changes none.
pub fn check(output: Option<&Path>, position: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mend = "make the directory, or give the user of this process the right to write there";
    if let Some(path) = output
        && let Err(error) = Output::probe(path)
    {
        let problem = format!("{} cannot be written: {error}", path.display());
        findings.push(Finding::error("output-unwritable", problem, mend));
    }
    if let Err(error) = Output::probe(position) {
        let problem = format!("{} cannot be written: {error}", position.display());
        findings.push(Finding::error("position-unwritable", problem, mend));
    } else if let Err(error) = offsets::probe(position) {
        let mut problem = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            problem = format!("{problem}: {source}");
        }
        findings.push(Finding::error(error.code(), problem, error.mend()));
    }
    findings
}
