//! Every dependency may be used under a licence from one short list.
//!
//! The expressions in the packages' manifests are evaluated, not compared: `MIT OR GPL-2.0` passes because MIT does,
//! `MIT AND GPL-2.0` does not.

use crate::metadata::Workspace;
use crate::trouble::{Result, Trouble};

/// Permissive licences: they ask for their own text to be kept, and nothing of us.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // Data (the certificates of authorities), not code.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Names every package whose licence is not allowed.
pub(crate) fn check() -> Result<String> {
    let packages = Workspace::with_dependencies()?.packages;
    let troubles: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let about = format!("{} {}", package.name, package.version);
            match &package.license {
                Some(expression) if is_allowed(expression) => None,
                Some(expression) => Some(format!("{about}: {expression}")),
                None if package.has_license_file => {
                    Some(format!("{about}: a licence file without an expression"))
                }
                None => Some(format!("{about}: no licence")),
            }
        })
        .collect();
    match troubles.is_empty() {
        true => Ok(format!("{} packages", packages.len())),
        false => {
            Err(Trouble(format!("licences that are not allowed:\n  {}", troubles.join("\n  "))))
        }
    }
}

/// Evaluates an SPDX expression; `/` is how old manifests wrote OR. AND binds closer than OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let allowed = either(&mut rest);
    // Words that are left over make it no expression that we understand.
    allowed && rest.is_empty()
}

fn either(words: &mut &[&str]) -> bool {
    let mut allowed = both(words);
    while take(words, "OR") {
        allowed |= both(words);
    }
    allowed
}

fn both(words: &mut &[&str]) -> bool {
    let mut allowed = one(words);
    while take(words, "AND") {
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut &[&str]) -> bool {
    if take(words, "(") {
        let allowed = either(words);
        return take(words, ")") && allowed;
    }
    let Some((name, rest)) = words.split_first() else { return false };
    *words = rest;
    let mut licence = (*name).to_owned();
    if take(words, "WITH") {
        let Some((exception, rest)) = words.split_first() else { return false };
        *words = rest;
        licence = format!("{licence} WITH {exception}");
    }
    ALLOWED.contains(&licence.as_str())
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn an_expression_is_allowed_when_a_choice_of_allowed_licences_satisfies_it() {
        for (expression, allowed) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT AND GPL-3.0", false),
            ("Unlicense/MIT", true),
            ("(MIT OR GPL-3.0) AND ISC", true),
            ("MIT OR GPL-3.0 AND LGPL-3.0", true),
            ("(MIT OR GPL-3.0) AND LGPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0 WITH Classpath-exception-2.0", false),
            ("MIT ISC", false),
            ("(MIT", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression), allowed, "{expression}");
        }
    }
}
