use std::fmt;

/// Line and column in the file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// One thing that is wrong with the file. Names options, never secret values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) fatal: bool,
    pub(crate) place: Option<Place>,
    /// `source.tables[0]`; empty: the file itself.
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn error(place: Option<Place>, path: &str, message: String) -> Self {
        Self { fatal: true, place, path: path.to_owned(), message }
    }

    pub(crate) fn warning(place: Option<Place>, path: &str, message: String) -> Self {
        Self { fatal: false, ..Self::error(place, path, message) }
    }
}

/// A problem with the name of its file: `shop.toml:3:1: source.tabels: unknown option`.
struct InFile<'a> {
    file: &'a str,
    problem: &'a Problem,
}

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { place, path, message, .. } = self.problem;
        f.write_str(self.file)?;
        if let Some(Place { line, column }) = place {
            write!(f, ":{line}:{column}")?;
        }
        if !path.is_empty() {
            write!(f, ": {path}")?;
        }
        write!(f, ": {message}")
    }
}

/// All that is wrong with a file, in the file's order.
#[derive(Debug)]
pub(crate) struct Problems {
    pub(crate) file: String,
    pub(crate) problems: Vec<Problem>,
}

impl Problems {
    pub(crate) fn are_warnings(&self) -> bool {
        self.problems.iter().all(|problem| !problem.fatal)
    }

    /// Those that are errors, if there are any, else the warnings.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let fatal = !self.are_warnings();
        let shown = self.problems.iter().filter(move |problem| problem.fatal == fatal);
        shown.map(|problem| InFile { file: &self.file, problem }.to_string())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Problems {}
