//! The rules of the house that no compiler knows: which crate may use which, and how files look.
//!
//! Everything that breaks a rule is listed at once, each with the rule.

use crate::arguments::Arguments;
use crate::metadata::Workspace;
use crate::trouble::{Result, Trouble};

mod arrows;
mod compose;
mod files;

pub(crate) const USAGE: &str =
    "  tidy                                  check which crate uses which, and the rules for files";

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    arguments.end()?;
    println!("{}", check()?);
    Ok(())
}

/// All rules; a summary, or everything that breaks one.
pub(crate) fn check() -> Result<String> {
    let workspace = Workspace::members()?;
    let files = files::tracked(&workspace.root)?;
    let mut troubles = arrows::check(&workspace);
    troubles.extend(files::check(&workspace, &files));
    troubles.extend(compose::check(&workspace.root));
    match troubles.len() {
        0 => Ok(format!("{} crates, {} files", workspace.packages.len(), files.len())),
        count => Err(Trouble(format!("{count} rules are broken:\n  {}", troubles.join("\n  ")))),
    }
}
