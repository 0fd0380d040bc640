//! The stack in containers, by the repository's own docker-compose.yml.

use crate::program;
use crate::stack::{Addresses, Request, Site};
use crate::steps::Steps;
use crate::trouble::Result;

/// Whether a container engine with Compose answers.
pub(crate) fn engine_answers() -> bool {
    program::succeeds(&mut program::command(["docker", "info"]))
        && program::succeeds(&mut program::command(["docker", "compose", "version"]))
}

pub(crate) fn up(_request: &Request, _site: &Site, _steps: Steps) -> Result<Addresses> {
    Err("not yet".into())
}
