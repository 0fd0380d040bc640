//! Starting Java programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program;
use crate::trouble::{Doing, Result};

/// The oldest Java that Kafka 4 runs on.
pub(crate) const VERSION_MIN: u32 = 17;

/// The machine's Java's major version, if there is one.
pub(crate) fn version() -> Option<u32> {
    let output = Command::new("java").arg("-version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let quoted = said.split('"').nth(1)?;
    quoted.split(['.', '-', '+']).next()?.parse().ok()
}

/// A command line for a server: `heap` in MiB, then whatever follows `java`. What it unpacks for itself goes below `directory`,
/// and so away with the stack.
pub(crate) fn server(heap: u32, directory: &Path, arguments: &[String]) -> Result<Vec<String>> {
    let temporary = directory.join("tmp");
    fs::create_dir_all(&temporary).doing(temporary.display())?;
    let mut words = program::dies_with_parent();
    words.push("java".to_owned());
    words.extend([format!("-Xmx{heap}m"), "-XX:+ExitOnOutOfMemoryError".to_owned()]);
    words.push(format!("-Djava.io.tmpdir={}", temporary.display()));
    words.extend_from_slice(arguments);
    Ok(words)
}

/// Runs a short tool to its end.
pub(crate) fn tool(class_path: &str, directory: &Path, arguments: &[&str]) -> Result<String> {
    // Compiling well costs a short-lived program more than it gains.
    program::output(
        Command::new("java")
            .current_dir(directory)
            .args([
                "-Xmx256m",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-Xshare:auto",
                "-cp",
                class_path,
            ])
            .args(arguments),
    )
}
