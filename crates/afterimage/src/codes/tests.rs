use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Where a code is the first text behind one of these, or behind `=>` in a function that chooses one.
const MAKERS: [&str; 11] = [
    "Failure::definite(",
    "Failure::transient(",
    "Finding::error(",
    "Finding::warning(",
    "Finding::note(",
    "PipelineError::definite(",
    "PipelineError::transient(",
    "RegistryError::definite(",
    "RegistryError::transient(",
    // What checks call theirs.
    "(error(",
    " finding(",
];
const CHOOSERS: [&str; 3] = ["fn code(", "fn kind(&self) -> (FailureKind", "let code = match"];

#[test]
fn every_code_is_explained_once() {
    let mut seen = BTreeSet::new();
    for Code { code, meaning, mend } in all() {
        assert!(seen.insert(code), "{code} stands twice");
        assert!(is_code(code), "{code}");
        assert!(meaning.ends_with('.') && !mend.ends_with('.') && !mend.is_empty(), "{code}");
    }
}

#[test]
fn every_code_that_a_connector_uses_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut used: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in
        ["connectors", "crates/engine", "crates/message", "crates/avro", "crates/afterimage"]
    {
        sources(&root.join(folder), &mut |path, text| {
            for code in codes(text) {
                used.insert(code.to_owned(), path.to_owned());
            }
        });
    }
    assert!(used.len() > 40, "the codes were found: {}", used.len());
    let unexplained: Vec<_> = used.iter().filter(|(code, _)| find(code).is_none()).collect();
    assert!(unexplained.is_empty(), "not explained: {unexplained:#?}");
}

/// `AFTERIMAGE_BLESS=1` writes the page.
#[test]
fn the_page_of_codes_is_this_table() {
    let mut page = String::from(
        "# Codes\n\nEvery stop, retry and finding of a check has a code. `afterimage explain CODE` prints what stands here.\n\n\
         | code | what it means | what mends it |\n|---|---|---|\n",
    );
    let cell = |text: &str| text.replace('|', "\\|");
    for Code { code, meaning, mend } in all() {
        page += &format!("| `{code}` | {} | {} |\n", cell(meaning), cell(mend));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/codes.md");
    if std::env::var_os("AFTERIMAGE_BLESS").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/codes.md is not what `codes` says: AFTERIMAGE_BLESS=1 writes it"
    );
}

fn sources(folder: &Path, see: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("the workspace is here") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "tests" {
            sources(&path, see);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).expect("sources are text");
            see(&path, text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
        }
    }
}

fn codes(text: &str) -> Vec<&str> {
    let mut codes = Vec::new();
    for maker in MAKERS {
        for rest in text.split(maker).skip(1) {
            codes.extend(
                rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()),
            );
        }
    }
    for chooser in CHOOSERS {
        for rest in text.split(chooser).skip(1) {
            // To the end of the function, or of the statement.
            let body = rest.split("\n    }\n").next().unwrap_or_default();
            for line in body.lines().map(str::trim) {
                let after = line.split("=> ").nth(1).unwrap_or(line);
                let after = after.trim_start_matches(['(', '{', ' ']);
                let after =
                    after.trim_start_matches("Definite, ").trim_start_matches("Transient, ");
                codes.extend(after.strip_prefix('"').and_then(|rest| rest.split('"').next()));
            }
        }
    }
    codes.retain(|code| is_code(code));
    codes
}

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
