use std::error::Error;
use std::fmt;

/// Why a part of the connector cannot go on, and whether trying again can help.
///
/// The contract asks no more: everything that failed is thrown away, so nobody needs to know how to patch it up.
/// Display is `doing: source` without the chain; the binary prints code, chain and the mending step.
#[derive(Debug)]
pub struct Failure {
    pub kind: FailureKind,
    /// A short name in kebab-case, documented with its mending step: `gap`, `slot-in-use`.
    pub code: &'static str,
    pub doing: &'static str,
    pub source: Box<dyn Error + Send + Sync>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Start again from the stored position, after a pause.
    Transient,
    /// Stop: trying again gives the same, or would write something wrong.
    Definite,
}

impl Failure {
    pub fn transient(
        code: &'static str,
        doing: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind: FailureKind::Transient, code, doing, source: source.into() }
    }

    pub fn definite(
        code: &'static str,
        doing: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind: FailureKind::Definite, code, doing, source: source.into() }
    }

    pub fn is_definite(&self) -> bool {
        self.kind == FailureKind::Definite
    }

    /// Definite stops that rest on what was read of the stored position or the source's state. A process that was
    /// fenced meanwhile may have read what is no longer true, so before such a stop the engine proves that it
    /// still owns the position: it commits one.
    pub fn rests_on_what_was_read(&self) -> bool {
        const READ: [&str; 7] = [
            "orphan",
            "position-behind",
            "gap",
            "diverged",
            "replay-mismatch",
            "position-corrupt",
            "slot-in-use",
        ];
        self.is_definite() && READ.contains(&self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.doing)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
