//! A failure, told once: its code, what was being done, the whole chain of causes, and the step that mends it.

use std::error::Error;
use std::io::{self, Write};
use std::panic::PanicHookInfo;

use connector::Failure;

use crate::cli::LogFormat;
use crate::codes;
use crate::config::Problems;
use crate::exit::{Exit, PANICKED};
use crate::logs::LevelError;

/// Why a mode ended badly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Configuration(#[from] Problems),
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error(transparent)]
    Level(#[from] LevelError),
    /// Said already, in the mode's own form.
    #[error("told")]
    Told(Exit),
}

impl Trouble {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Trouble::Configuration(_) | Trouble::Level(_) => Exit::Usage,
            Trouble::Failure(failure) => Exit::of(failure.code),
            Trouble::Told(exit) => *exit,
        }
    }

    pub(crate) fn tell(&self, format: LogFormat) {
        match self {
            Trouble::Configuration(problems) => {
                for problem in problems.lines() {
                    line(format, "configuration", &problem, None);
                }
            }
            Trouble::Level(error) => line(format, "usage", &error.to_string(), None),
            Trouble::Failure(failure) if Exit::of(failure.code) == Exit::Done => {}
            Trouble::Failure(failure) => {
                let mend = codes::find(failure.code).map(|code| code.mend);
                line(format, failure.code, &chain(failure), mend);
            }
            Trouble::Told(_) => {}
        }
    }
}

/// `doing: what went wrong: why`, without what a layer repeats of the one below.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

fn line(format: LogFormat, code: &str, error: &str, mend: Option<&str>) {
    let text = match format {
        LogFormat::Text => {
            let mend = mend.map_or_else(String::new, |mend| format!("\n  to mend it: {mend}"));
            format!("error[{code}]: {error}{mend}\n")
        }
        LogFormat::Json => {
            let mut line = serde_json::json!({ "level": "ERROR", "code": code, "message": error });
            if let Some(mend) = mend {
                line["mend"] = mend.into();
            }
            format!("{line}\n")
        }
    };
    complain(&text);
}

/// Writes to standard error. Nobody may be reading any more; the exit status still tells.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a mode's result to standard output. Whoever closed it has seen enough.
pub(crate) fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// From now on a panic on any thread is told in one line, without a backtrace, and ends the process: what is stored
/// decides how it goes on.
pub(crate) fn end_on_panic(format: LogFormat) {
    std::panic::set_hook(Box::new(move |info| {
        line(format, "panic", &place(info), codes::find("panic").map(|code| code.mend));
        std::process::exit(PANICKED);
    }));
}

/// A formatted message may quote a row; a literal cannot.
fn place(info: &PanicHookInfo<'_>) -> String {
    let place =
        info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    match info.payload().downcast_ref::<&'static str>() {
        Some(message) => format!("defect{place}: {message}"),
        None => format!("defect{place}"),
    }
}
