//! Other programs, run to their end: output on success, the tail of what they said on failure.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::trouble::{Doing, Result, Trouble};

/// The lines of a failed program's output that are worth repeating.
const TAIL_LINES: usize = 25;

/// A command from its words.
pub(crate) fn command<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Command {
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().expect("a command has a first word"));
    command.args(words);
    command
}

/// Words before a program that the kernel is to kill when the thread that made it ends; none where there is no such thing.
pub(crate) fn dies_with_parent() -> Vec<String> {
    let words = ["setpriv", "--pdeathsig", "KILL"].map(str::to_owned).to_vec();
    if find("setpriv").is_some() { words } else { Vec::new() }
}

/// A command that does not outlive us: for what runs long.
pub(crate) fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut words: Vec<OsString> = dies_with_parent().into_iter().map(OsString::from).collect();
    words.push(program.as_ref().to_owned());
    command(words)
}

/// Runs `command` without input; its standard output, or an error with the tail of all it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().doing(name(command))?;
    checked(command, output)
}

/// Like [`output`], with `input` on standard input.
pub(crate) fn output_of_input(command: &mut Command, input: &str) -> Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().doing(name(command))?;
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    // A program that ends without reading all of it is judged by its exit status, not by our broken pipe.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().doing(name(command))?;
    checked(command, output)
}

/// Whether `command` runs and ends with success; all output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Where `program` stands in the search path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn checked(command: &Command, output: Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let said = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    Err(Trouble(format!("{} ended with {}\n{}", name(command), output.status, tail(&said))))
}

/// The program's own name, without its path and without those that only prepare for it.
fn name(command: &Command) -> String {
    const BEFORE: [&str; 6] = ["setpriv", "--pdeathsig", "KILL", "sudo", "-n", "env"];
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy);
    let program =
        words.into_iter().find(|word| !BEFORE.contains(&word.as_ref()) && !word.contains('='));
    program.as_deref().and_then(|word| word.rsplit('/').next()).unwrap_or_default().to_owned()
}
