//! Test programs: compiled together, run apart.
//!
//! Cargo chooses the features of a shared library by the packages it is asked for. Asked first for all packages but the
//! end-to-end tests and then for those alone, it would compile half of the libraries a second time. So it is asked once, for
//! everything, and the programs it names are run here.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::metadata;
use crate::program;
use crate::stack::Addresses;
use crate::trouble::{Doing, Result, Trouble};

/// One compiled test program.
pub(crate) struct TestProgram {
    /// The package's directory, in which tests expect to run.
    package: PathBuf,
    /// The library, program or file that it tests.
    target: String,
    executable: PathBuf,
}

/// Compiles every test of the workspace, in profile dev.
pub(crate) fn compile() -> Result<Vec<TestProgram>> {
    let output = metadata::cargo()
        .args(["test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .doing("cargo test --no-run")?;
    if !output.status.success() {
        return Err(Trouble(format!("cargo test --no-run ended with {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(test_program).collect())
}

/// What a line of cargo's says, when it tells of a finished test program.
fn test_program(line: &str) -> Option<TestProgram> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    Some(TestProgram {
        package: Path::new(message["manifest_path"].as_str()?).parent()?.to_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        executable: PathBuf::from(message["executable"].as_str()?),
    })
}

impl TestProgram {
    /// Whether it needs servers: whether it belongs to the crate of the end-to-end scenarios.
    pub(crate) fn is_end_to_end(&self, root: &Path) -> bool {
        self.package == root.join("tests")
    }
}

/// Runs `programs` one after the other, all of them even when one fails; their own output is the report.
pub(crate) fn run<'a>(
    programs: impl IntoIterator<Item = &'a TestProgram>,
    arguments: &[String],
    environment: &Addresses,
) -> Result<()> {
    let mut failed = Vec::new();
    for one in programs {
        let package = one.package.file_name().unwrap_or_default().to_string_lossy();
        println!("\n   Running {} ({package})", one.target);
        let status = program::bound(&one.executable)
            .args(arguments)
            .current_dir(&one.package)
            .env("CARGO_MANIFEST_DIR", &one.package)
            .envs(environment)
            .stdin(Stdio::null())
            .status()
            .doing(&one.target)?;
        if !status.success() {
            failed.push(format!("{} ({package})", one.target));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Trouble(format!("failed: {}", failed.join(", ")))) }
}

/// Runs the examples in the documentation of all crates.
pub(crate) fn examples() -> Result<()> {
    let status = metadata::cargo()
        .args(["test", "--workspace", "--doc", "--quiet"])
        .status()
        .doing("cargo test --doc")?;
    if status.success() {
        Ok(())
    } else {
        Err(Trouble(format!("the documentation's examples: {status}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_test_programs_are_taken_from_what_cargo_says() {
        let good = r#"{"reason":"compiler-artifact","manifest_path":"/r/tests/Cargo.toml","target":{"name":"e2e"},"profile":{"test":true},"executable":"/t/e2e-1"}"#;
        for (line, taken) in [
            (good.to_owned(), true),
            (good.replace("\"test\":true", "\"test\":false"), false),
            (good.replace("compiler-artifact", "build-finished"), false),
            (good.replace("\"/t/e2e-1\"", "null"), false),
            ("running 3 tests".to_owned(), false),
        ] {
            assert_eq!(test_program(&line).is_some(), taken, "{line}");
        }
        let program = test_program(good).unwrap();
        assert!(program.is_end_to_end(Path::new("/r")));
        assert!(!program.is_end_to_end(Path::new("/r/tests")));
    }
}
