//! What every code of a stop or a finding means, and what mends it.
//!
//! A code names one situation, whoever meets it: the same word stands in the log, in a check's finding, in the metrics
//! and here. Transient ones are tried again by `run` itself; they are explained because somebody reads them in a log.

mod database;
mod messages;
mod process;
mod sink;

/// One code, as `afterimage explain` tells it.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) code: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) mend: &'static str,
}

const fn code(code: &'static str, meaning: &'static str, mend: &'static str) -> Code {
    Code { code, meaning, mend }
}

const BEGIN_ANEW: &str = "`afterimage reset FILE` forgets the position and drops the slots; the next run copies all \
    tables again";
const BY_ITSELF: &str =
    "nothing, if it passes: the connector tries again by itself, from the stored position";

pub(crate) fn find(code: &str) -> Option<&'static Code> {
    all().find(|known| known.code == code)
}

/// Of the process and its position first, then of the database, the messages, and the sink.
pub(crate) fn all() -> impl Iterator<Item = &'static Code> {
    [process::CODES, database::CODES, messages::CODES, sink::CODES].into_iter().flatten()
}

#[cfg(test)]
mod tests;
