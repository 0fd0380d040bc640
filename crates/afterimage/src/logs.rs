//! Logs go to standard error: text where a person reads, JSON where a machine does.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::{LogFormat, Logs};

/// Of other crates only what matters to an operator.
const DEFAULT: &str = "info";
/// Where a person waits for a result: what goes wrong is told at the end.
const QUIET: &str = "warn,engine=error";

/// The bars on the terminal, drawn below the log.
pub(crate) fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

#[derive(Debug, thiserror::Error)]
#[error("`{given}` is no log level: {problem}")]
pub(crate) struct LevelError {
    given: String,
    problem: String,
}

impl Logs {
    pub(crate) fn format(&self) -> LogFormat {
        self.log_format.unwrap_or(if io::stderr().is_terminal() {
            LogFormat::Text
        } else {
            LogFormat::Json
        })
    }

    pub(crate) fn start(&self, quiet: bool) -> Result<(), LevelError> {
        let fallback = if quiet { QUIET } else { DEFAULT };
        let given = self.log_level.as_deref().filter(|given| !given.is_empty()).unwrap_or(fallback);
        let filter = EnvFilter::try_new(given)
            .map_err(|error| LevelError { given: given.to_owned(), problem: error.to_string() })?;
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(AboveBars);
        match self.format() {
            LogFormat::Text => {
                builder.with_target(false).with_ansi(io::stderr().is_terminal()).init();
            }
            LogFormat::Json => builder.json().flatten_event(true).init(),
        }
        Ok(())
    }
}

/// Writes whole lines to standard error, and the bars below them again.
struct AboveBars;

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        AboveBars
    }
}

impl Write for AboveBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        bars().suspend(|| io::stderr().lock().write_all(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
