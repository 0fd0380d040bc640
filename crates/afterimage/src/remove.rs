use crate::cli::{Logs, Remove, Reset};
use crate::report::Trouble;

pub(crate) fn reset(_reset: &Reset, _logs: &Logs) -> Result<(), Trouble> {
    Err(connector::Failure::definite(
        "usage",
        "forgetting the position",
        "this mode is not there yet",
    )
    .into())
}

pub(crate) fn drop(_remove: &Remove, _logs: &Logs) -> Result<(), Trouble> {
    Err(connector::Failure::definite("usage", "removing", "this mode is not there yet").into())
}
