use std::process::ExitCode;

/// How the process ends, for supervisors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    /// A definite stop, or a check that found errors.
    Failed,
    /// The command line or the configuration file is wrong. The same number as clap's.
    Usage,
    /// Another process has taken over this connector: restarting this one would fence that one.
    Fenced,
}

/// A defect of this program (EX_SOFTWARE).
pub(crate) const PANICKED: i32 = 70;

impl Exit {
    /// Of a stop with this code.
    pub(crate) fn of(code: &str) -> Self {
        match code {
            "fenced" => Exit::Fenced,
            "configuration" | "usage" => Exit::Usage,
            // Whoever read our output has seen enough.
            "output-closed" => Exit::Done,
            _ => Exit::Failed,
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Fenced => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.number().into()
    }
}
