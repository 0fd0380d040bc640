//! `${env:NAME}` and `${file:PATH}` in strings: how secrets stay out of the configuration file. `$${` is a literal
//! `${`; any other `$` stands for itself.

use std::env::VarError;
use std::io;

/// A file with a secret is small; anything longer is another file.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Where values come from.
pub(crate) struct Lookup<'a> {
    pub(crate) env: &'a dyn Fn(&str) -> Result<String, VarError>,
    pub(crate) file: &'a dyn Fn(&str) -> io::Result<Vec<u8>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// Part of it came from the environment or a file.
    pub(crate) from_outside: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("the environment variable {0} is not set")]
    Unset(String),
    #[error("the environment variable {0} is not UTF-8")]
    NotText(String),
    #[error("the file {path} cannot be read: {source}")]
    File { path: String, source: io::Error },
    #[error("the file {0} is not UTF-8 text of at most 64 KiB")]
    FileNotText(String),
    #[error("`${{` without `}}`; a literal `${{` is written `$${{`")]
    Unclosed,
    #[error(
        "`${{{0}}}` is neither `${{env:NAME}}` nor `${{file:PATH}}`; a literal `${{` is written `$${{`"
    )]
    Unknown(String),
}

/// Reads the process's environment and the file system. Relative paths begin at the working directory.
pub(crate) fn outside() -> Lookup<'static> {
    Lookup { env: &|name| std::env::var(name), file: &|path| std::fs::read(path) }
}

pub(crate) fn expand(text: &str, lookup: &Lookup<'_>) -> Result<Expanded, Vec<ExpandError>> {
    let mut expanded = Expanded { text: String::with_capacity(text.len()), from_outside: false };
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            expanded.text.push_str(before);
            expanded.text.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        expanded.text.push_str(&rest[..at]);
        let Some((inside, after)) = rest[at + 2..].split_once('}') else {
            errors.push(ExpandError::Unclosed);
            break;
        };
        match value(inside, lookup) {
            Ok(value) => expanded.text.push_str(&value),
            Err(error) => errors.push(error),
        }
        expanded.from_outside = true;
        rest = after;
    }
    expanded.text.push_str(rest);
    if errors.is_empty() { Ok(expanded) } else { Err(errors) }
}

fn value(inside: &str, lookup: &Lookup<'_>) -> Result<String, ExpandError> {
    if let Some(name) = inside.strip_prefix("env:") {
        return (lookup.env)(name).map_err(|error| match error {
            VarError::NotPresent => ExpandError::Unset(name.to_owned()),
            VarError::NotUnicode(_) => ExpandError::NotText(name.to_owned()),
        });
    }
    if let Some(path) = inside.strip_prefix("file:") {
        let bytes = (lookup.file)(path)
            .map_err(|source| ExpandError::File { path: path.to_owned(), source })?;
        let text = (bytes.len() <= FILE_BYTES_MAX).then(|| String::from_utf8(bytes).ok()).flatten();
        let mut text = text.ok_or_else(|| ExpandError::FileNotText(path.to_owned()))?;
        // Editors end a file with a line's end; a secret has none.
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        return Ok(text);
    }
    Err(ExpandError::Unknown(inside.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, bool), &[&str]>) {
        let lookup = Lookup {
            env: &|name| match name {
                "USER" => Ok("ann".to_owned()),
                "EMPTY" => Ok(String::new()),
                "SIGNS" => Ok("a${env:USER}$$".to_owned()),
                _ => Err(VarError::NotPresent),
            },
            file: &|path| match path {
                "/run/password" => Ok(b"p w\r\n".to_vec()),
                "binary" => Ok(vec![0xff]),
                "long" => Ok(vec![b'a'; FILE_BYTES_MAX + 1]),
                _ => Err(io::ErrorKind::NotFound.into()),
            },
        };
        let found = expand(text, &lookup);
        match expected {
            Ok((text, from_outside)) => {
                let expected = Expanded { text: text.to_owned(), from_outside };
                assert_eq!(found.expect("it expands"), expected);
            }
            Err(expected) => {
                let errors = found.expect_err("it does not expand");
                let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                assert_eq!(errors, expected, "{text}");
            }
        }
    }

    #[test]
    fn names_and_paths_are_replaced_by_what_they_hold() {
        check("plain", Ok(("plain", false)));
        check("", Ok(("", false)));
        check("${env:USER}", Ok(("ann", true)));
        check("${env:EMPTY}", Ok(("", true)));
        check("<${env:USER}:${file:/run/password}>", Ok(("<ann:p w>", true)));
        check("${env:SIGNS}", Ok(("a${env:USER}$$", true)));
    }

    #[test]
    fn other_dollars_stand_for_themselves() {
        check("a$b $1 $$ $", Ok(("a$b $1 $$ $", false)));
        check("$${env:USER}", Ok(("${env:USER}", false)));
        check("$$${env:USER}", Ok(("$${env:USER}", false)));
        check("}{$}", Ok(("}{$}", false)));
    }

    #[test]
    fn every_missing_thing_is_named() {
        check(
            "${env:A}${env:B}",
            Err(&[
                "the environment variable A is not set",
                "the environment variable B is not set",
            ]),
        );
        check("${file:none}", Err(&["the file none cannot be read: entity not found"]));
        check("${file:binary}", Err(&["the file binary is not UTF-8 text of at most 64 KiB"]));
        check("${file:long}", Err(&["the file long is not UTF-8 text of at most 64 KiB"]));
        check("a ${env:USER", Err(&["`${` without `}`; a literal `${` is written `$${`"]));
        check(
            "${USER}",
            Err(&[
                "`${USER}` is neither `${env:NAME}` nor `${file:PATH}`; a literal `${` is written `$${`",
            ]),
        );
    }
}
