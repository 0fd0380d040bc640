use std::fmt;

/// One thing that a check before the start found, with what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// A short name in kebab-case; the same as the run-time stop's code where there is one.
    pub code: &'static str,
    /// What is wrong, in one sentence, with names but never with secrets or row values.
    pub problem: String,
    /// The statement, setting or command that mends it.
    pub mend: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing: what will be done, what it costs.
    Note,
    /// Runs, but a promise is weaker than it could be.
    Warning,
    /// `run` would not start.
    Error,
}

impl Finding {
    pub fn error(code: &'static str, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, problem: problem.into(), mend: mend.into() }
    }

    pub fn warning(
        code: &'static str,
        problem: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, code, problem: problem.into(), mend: mend.into() }
    }

    pub fn note(code: &'static str, problem: impl Into<String>) -> Self {
        Self { severity: Severity::Note, code, problem: problem.into(), mend: String::new() }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}
