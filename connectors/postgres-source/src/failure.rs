//! Every stop of this source, with its code, and how they become the contract's [`Failure`].

use std::time::Duration;

use change::TableName;
use connector::Failure;
use postgres_replication::Lsn;
use postgres_replication::command::CommandError;
use postgres_replication::quote::ZeroByte;

use crate::client::{ConnectError, SessionError};
use crate::transaction::LogError;

/// What stops the source, or makes it begin again. The codes are explained on the crate's page.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    #[error("this server is of version {version}; PostgreSQL 14 is the oldest that can be read")]
    ServerTooOld { version: u32 },
    #[error("{what} is {now:?}, and the stored position is of {stored:?}")]
    OtherServer { what: &'static str, stored: String, now: String },
    #[error(
        "the stored position {stored} is ahead of the server's log, which ends at {now}: the server was restored \
         from an older backup, or is another one; `afterimage reset` begins again with a new copy"
    )]
    AheadOfServer { stored: Lsn, now: Lsn },
    #[error(
        "the server was promoted at {switched}, before the stored position {stored}: it never had the changes in \
         between; `afterimage reset` begins again with a new copy"
    )]
    TimelineSwitched { stored: Lsn, switched: Lsn },
    #[error(
        "the stored position is on timeline {stored}, which is no ancestor of the server's timeline {now}"
    )]
    OtherTimeline { stored: u32, now: u32 },
    #[error(
        "slot {slot:?} does not exist any more: changes were lost; `afterimage reset` begins again with a new copy"
    )]
    SlotMissing { slot: String },
    #[error(
        "slot {slot:?} was invalidated ({why}): changes were lost; `afterimage reset` begins again with a new copy"
    )]
    SlotLost { slot: String, why: String },
    #[error(
        "slot {slot:?} has been confirmed up to {confirmed} by somebody else, beyond the stored position {stored}: \
         changes were lost; `afterimage reset` begins again with a new copy"
    )]
    SlotAdvanced { slot: String, confirmed: Lsn, stored: Lsn },
    #[error("slot {slot:?} cannot be read: {why}; drop it, then `afterimage reset`")]
    SlotUnusable { slot: String, why: String },
    #[error(
        "slot {slot:?} is in use by process {pid} {holder}; end that process, or give this connector another slot"
    )]
    SlotInUse { slot: String, pid: i64, holder: String },
    #[error("slots exist without a stored position: {}; `afterimage drop` removes them", slots.join(", "))]
    Orphan { slots: Vec<String> },
    #[error(
        "option slot is {now:?}, and the stored position belongs to {stored:?}; set it back, or `afterimage reset`"
    )]
    SlotRenamed { stored: String, now: String },
    #[error("publication {publication:?} is not ready; run: {statement}")]
    Publication { publication: String, statement: String },
    #[error(
        "publication {publication:?} was changed: changes of captured tables were lost; run: {statement} \
         then `afterimage reset`"
    )]
    PublicationChanged { publication: String, statement: String },
    #[error("table {0} cannot be found")]
    TableMissing(TableName),
    #[error("table {0} was dropped and made again: its topic holds rows of the old one")]
    TableRecreated(TableName),
    #[error("the replication slot that was made has no {0}")]
    SlotAnswer(&'static str),
    #[error("the log")]
    Log(#[from] LogError),
    #[error(
        "the server asked for {end} for {asked_for:?}, which the sink has not stored: it is stopping"
    )]
    ServerStopping { end: Lsn, asked_for: Duration },
    #[error("the server ended the stream")]
    StreamEnded,
    #[error("the catalog did not answer within {0:?}")]
    CatalogTimeout(Duration),
    #[error("a value of the catalog makes no sense: {0}")]
    Catalog(&'static str),
    #[error("a temporary slot cannot be returned to: it ended with its session")]
    TemporarySlot,
}

impl Stop {
    fn code(&self) -> &'static str {
        match self {
            Stop::ServerTooOld { .. } => "server-too-old",
            Stop::OtherServer { .. }
            | Stop::AheadOfServer { .. }
            | Stop::TimelineSwitched { .. }
            | Stop::OtherTimeline { .. }
            | Stop::Log(LogError::BehindPosition { .. }) => "diverged",
            Stop::SlotMissing { .. }
            | Stop::SlotLost { .. }
            | Stop::SlotAdvanced { .. }
            | Stop::PublicationChanged { .. } => "gap",
            Stop::SlotUnusable { .. } => "slot-unusable",
            Stop::SlotInUse { .. } => "slot-in-use",
            Stop::Orphan { .. } => "orphan",
            Stop::SlotRenamed { .. } => "slot-renamed",
            Stop::Publication { .. } => "publication",
            Stop::TableMissing(_) => "table-missing",
            Stop::TableRecreated(_) => "table-has-history",
            Stop::Log(
                LogError::OtherTransaction { .. }
                | LogError::OtherRows { .. }
                | LogError::StoredTransaction(_),
            ) => "replay-mismatch",
            Stop::Log(_) => "undecodable",
            Stop::SlotAnswer(_) | Stop::Catalog(_) => "protocol",
            Stop::ServerStopping { .. } => "server-stopping",
            Stop::StreamEnded => "stream-ended",
            Stop::CatalogTimeout(_) => "connection",
            Stop::TemporarySlot => "temporary-slot",
        }
    }

    pub(crate) fn failure(self, doing: &'static str) -> Failure {
        let transient = matches!(
            self,
            Stop::ServerStopping { .. } | Stop::StreamEnded | Stop::CatalogTimeout(_)
        );
        let code = self.code();
        if transient {
            Failure::transient(code, doing, self)
        } else {
            Failure::definite(code, doing, self)
        }
    }
}

/// Says what was being done when a lower layer failed.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, Failure>;
}

impl<T> Doing<T> for Result<T, Stop> {
    fn doing(self, doing: &'static str) -> Result<T, Failure> {
        self.map_err(|stop| stop.failure(doing))
    }
}

impl<T> Doing<T> for Result<T, LogError> {
    fn doing(self, doing: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Stop::from(error).failure(doing))
    }
}

impl<T> Doing<T> for Result<T, ConnectError> {
    fn doing(self, doing: &'static str) -> Result<T, Failure> {
        self.map_err(|error| {
            if error.is_transient() {
                Failure::transient("connection", doing, error)
            } else {
                Failure::definite("connect", doing, error)
            }
        })
    }
}

impl<T> Doing<T> for Result<T, SessionError> {
    fn doing(self, doing: &'static str) -> Result<T, Failure> {
        self.map_err(|error| {
            if error.is_transient() {
                return Failure::transient("connection", doing, error);
            }
            let code = match error.code() {
                Some("42501") => "rights",
                Some(_) => "refused",
                None => "protocol",
            };
            Failure::definite(code, doing, error)
        })
    }
}

impl<T> Doing<T> for Result<T, CommandError> {
    fn doing(self, doing: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::definite("config", doing, error))
    }
}

impl<T> Doing<T> for Result<T, ZeroByte> {
    fn doing(self, doing: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::definite("config", doing, error))
    }
}
