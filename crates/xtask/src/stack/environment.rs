//! Servers that somebody else runs: their addresses are in the environment, and nothing is started.

use crate::stack::{Addresses, variable};
use crate::trouble::{Result, Trouble};

/// Decides between the other two providers.
pub(crate) const CHOICE: &str = "AFTERIMAGE_STACK";
const NEEDED: [&str; 3] = ["POSTGRES", "KAFKA", "REGISTRY"];

/// Whether any of the addresses is given.
pub(crate) fn is_given() -> bool {
    NEEDED.iter().any(|what| std::env::var_os(variable(what)).is_some())
}

/// All variables of the stack; some, but not all of the needed ones, is an error.
pub(crate) fn addresses() -> Result<Addresses> {
    let missing: Vec<String> = NEEDED
        .iter()
        .map(|what| variable(what))
        .filter(|name| std::env::var_os(name).is_none())
        .collect();
    if !missing.is_empty() {
        return Err(Trouble(format!("also needed in the environment: {}", missing.join(", "))));
    }
    Ok(std::env::vars().filter(|(name, _)| name.starts_with(&variable(""))).collect())
}
