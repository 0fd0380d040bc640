//! The command line after the mode's name: options with and without a value, known by name.

use crate::trouble::{Result, Trouble};

/// The rest of a command line, taken apart option by option; what nobody took is an error.
pub(crate) struct Arguments(Vec<String>);

impl Arguments {
    pub(crate) fn of(words: impl IntoIterator<Item = String>) -> Self {
        Arguments(words.into_iter().collect())
    }

    /// Takes the first word when it is no option.
    pub(crate) fn word(&mut self) -> Option<String> {
        let is_word = self.0.first().is_some_and(|word| !word.starts_with("--"));
        is_word.then(|| self.0.remove(0))
    }

    /// Takes `--name`.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|word| word == name);
        at.map(|at| self.0.remove(at)).is_some()
    }

    /// Takes `--name VALUE` or `--name=VALUE`.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        if let Some(at) = self
            .0
            .iter()
            .position(|word| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
        {
            let word = self.0.remove(at);
            return Ok(word.split_once('=').map(|(_, value)| value.to_owned()));
        }
        let Some(at) = self.0.iter().position(|word| word == name) else { return Ok(None) };
        if at + 1 >= self.0.len() {
            return Err(Trouble(format!("{name} needs a value")));
        }
        self.0.remove(at);
        Ok(Some(self.0.remove(at)))
    }

    /// Takes everything after `--`: it is for somebody else.
    pub(crate) fn after_dashes(&mut self) -> Vec<String> {
        let Some(at) = self.0.iter().position(|word| word == "--") else { return Vec::new() };
        let rest = self.0.split_off(at + 1);
        self.0.pop();
        rest
    }

    /// Takes a number.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| Trouble(format!("{name} {text}: a whole number is needed")))
    }

    /// Refuses what is left.
    pub(crate) fn end(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some(word) => Err(Trouble(format!(
                "'{word}' is not understood here; 'cargo xtask help' lists what is"
            ))),
        }
    }
}
