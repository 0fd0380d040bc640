//! Rules for files: length, leftovers, what belongs to one machine only, module documentation, numbered decisions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::metadata::Workspace;
use crate::program;
use crate::trouble::Result;

/// A file that is longer is two files.
const LINES_MAX: usize = 600;

/// Leftovers. Written in two halves, so that this file has none.
const LEFTOVERS: [&str; 4] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("#[ign", "ore"),
];

/// Directories that stand on one machine; a path of theirs works nowhere else.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];

/// Where packages come from is the machine's own setting.
const REGISTRY_HOSTS: [&str; 9] = [
    concat!("static.crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("archive.ubuntu", ".com"),
    concat!("repo.maven", ".apache.org"),
    concat!("repo1.maven", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("quay", ".io"),
];

/// Every file that git tracks or would track.
pub(crate) fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let list = program::output(Command::new("git").current_dir(root).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]))?;
    Ok(list.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

pub(crate) fn check(workspace: &Workspace, files: &[PathBuf]) -> Vec<String> {
    let mut troubles = Vec::new();
    for file in files {
        // Binary files have no lines to look at; a file that is gone is about to be untracked.
        let Ok(text) = fs::read_to_string(workspace.root.join(file)) else { continue };
        troubles.extend(check_text(&file.display().to_string(), &text));
    }
    for root in workspace.packages.iter().flat_map(|package| &package.roots) {
        let text = fs::read_to_string(root).unwrap_or_default();
        if !text.trim_start().starts_with("//!") {
            let name = root.strip_prefix(&workspace.root).unwrap_or(root).display();
            troubles.push(format!("{name}: does not begin with the crate's documentation"));
        }
    }
    troubles.extend(check_decisions(files));
    troubles
}

fn check_text(name: &str, text: &str) -> Vec<String> {
    let mut troubles = Vec::new();
    let is_rust = name.ends_with(".rs");
    let lines = text.lines().count();
    if is_rust && lines > LINES_MAX {
        troubles.push(format!("{name}: {lines} lines, more than {LINES_MAX}"));
    }
    // Made by tools: the lock file names the index its versions come from.
    let made = name.ends_with(".lock");
    for (number, line) in text.lines().enumerate() {
        let here = format!("{name}:{}", number + 1);
        if is_rust {
            troubles.extend(
                LEFTOVERS
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{here}: {word} is left over")),
            );
        }
        if !made {
            troubles.extend(
                MACHINE_PATHS
                    .iter()
                    .filter(|path| has_path(line, path))
                    .map(|path| format!("{here}: a path below {path}")),
            );
            troubles.extend(
                REGISTRY_HOSTS
                    .iter()
                    .filter(|host| line.contains(*host))
                    .map(|host| format!("{here}: names {host}")),
            );
        }
    }
    troubles
}

/// Whether `path` begins a path in `line`, and is not the middle of one.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-}~)".contains(c))
    })
}

/// `docs/decisions/0001-title.md` and on, each number once.
fn check_decisions(files: &[PathBuf]) -> Vec<String> {
    let mut numbers = Vec::new();
    let mut troubles = Vec::new();
    for file in files.iter().filter(|file| file.starts_with("docs/decisions")) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        match name
            .split_once('-')
            .and_then(|(number, _)| (number.len() == 4).then(|| number.parse::<usize>().ok())?)
        {
            Some(number) => numbers.push(number),
            None if name == "README.md" => {}
            None => troubles.push(format!("{}: a decision is named NNNN-title.md", file.display())),
        }
    }
    numbers.sort_unstable();
    if let Some((at, number)) = numbers.iter().enumerate().find(|(at, number)| at + 1 != **number) {
        troubles.push(format!("docs/decisions: where {:04} should be, {number:04} is", at + 1));
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_one(name: &str, text: &str, troubles: usize) {
        let found = check_text(name, text);
        assert_eq!(found.len(), troubles, "{found:?}");
    }

    #[test]
    fn leftovers_are_told_in_rust_only() {
        check_one("a.rs", concat!("fn f() { todo", "!() }"), 1);
        check_one("a.md", concat!("write todo", "!() nowhere"), 0);
        check_one("a.rs", "fn f() {}", 0);
    }

    #[test]
    fn a_path_of_one_machine_is_told_and_a_relative_one_is_not() {
        check_one("a.md", concat!("see /wo", "rk/x"), 1);
        check_one("a.md", concat!("see net/wo", "rk/x"), 0);
        check_one("a.toml", concat!("x = \"/ho", "me/me\""), 1);
    }

    #[test]
    fn a_registry_is_named_nowhere_but_in_a_lock_file() {
        check_one("a.sh", concat!("curl https://deb.debian", ".org"), 1);
        check_one("Cargo.lock", concat!("index.crates", ".io"), 0);
    }

    #[test]
    fn a_long_file_is_told() {
        check_one("a.rs", &"\n".repeat(LINES_MAX), 0);
        check_one("a.rs", &"\n".repeat(LINES_MAX + 1), 1);
    }

    #[test]
    fn decisions_are_numbered_without_gaps() {
        let files = |names: &[&str]| {
            names.iter().map(|name| Path::new("docs/decisions").join(name)).collect::<Vec<_>>()
        };
        for (names, troubles) in [
            (&["0001-a.md", "0002-b.md"][..], 0),
            (&["0001-a.md", "0003-b.md"], 1),
            (&["0001-a.md", "0001-b.md"], 1),
            (&["README.md", "0001-a.md"], 0),
            (&["thoughts.md"], 1),
        ] {
            assert_eq!(check_decisions(&files(names)).len(), troubles, "{names:?}");
        }
    }
}
