//! The one error of the automation: a sentence for the person at the terminal.
//!
//! Nothing here decides by kind of error, so there is nothing but text: what was being done, then what went wrong.

use std::fmt;

pub(crate) type Result<T> = std::result::Result<T, Trouble>;

/// What was being done and why it failed, in words.
#[derive(Debug)]
pub(crate) struct Trouble(pub(crate) String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Trouble(text)
    }
}

impl From<&str> for Trouble {
    fn from(text: &str) -> Self {
        Trouble(text.to_owned())
    }
}

/// Adds what was being done to any error.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Trouble(format!("{what}: {error}")))
    }
}
