use crate::cli::{Logs, Tail};
use crate::report::Trouble;

pub(crate) fn tail(_tail: &Tail, _logs: &Logs) -> Result<(), Trouble> {
    Err(connector::Failure::definite("usage", "following a database", "this mode is not there yet")
        .into())
}
