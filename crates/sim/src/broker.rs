//! A broker with transactions, as far as Kafka's protocol matters here: one log, one transactional id, epochs.
//!
//! A request to end a transaction names an epoch but no transaction. So a late one ends whatever is open at that
//! epoch, unless a newer epoch has shut it out: that is the hole that the sink's rules go around.

use std::time::Duration;

use connector::{Checkpoint, Stored};
use tokio::time::Instant;

use crate::database::Lsn;
use crate::world::ProcessId;

#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    Message(Message),
    /// A source transaction has been told in full.
    End {
        transaction: String,
        events: u64,
    },
    Checkpoint(Box<Checkpoint<Lsn>>),
    Claim,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub table: String,
    pub kind: MessageKind,
    pub at: u64,
    pub transaction: String,
    pub columns: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum MessageKind {
    Read { key: u64, version: u64, large: u64 },
    Insert { key: u64, version: u64, large: u64 },
    Update { key: u64, version: u64, large: Option<u64> },
    Delete { key: u64, version: u64 },
    Truncate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug, Clone)]
pub struct Record {
    pub process: ProcessId,
    /// Numbers the broker's transactions.
    pub transaction: u64,
    pub fate: Fate,
    pub payload: Payload,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced;

#[derive(Debug, Default)]
pub struct Broker {
    pub log: Vec<Record>,
    epoch: u64,
    open_since: Option<Instant>,
    transaction: u64,
    last_was_committed: bool,
    /// What a recovery would find.
    pub stored: Stored<Lsn>,
}

const TIMEOUT: Duration = Duration::from_secs(60);

impl Broker {
    /// A new epoch: what was open is aborted, who was there is shut out.
    pub fn init(&mut self) -> u64 {
        self.end_open(Fate::Aborted);
        self.epoch += 1;
        self.epoch
    }

    pub fn produce(
        &mut self,
        epoch: u64,
        process: ProcessId,
        payloads: Vec<Payload>,
    ) -> Result<(), Fenced> {
        self.expire();
        if epoch != self.epoch {
            return Err(Fenced);
        }
        if self.open_since.is_none() {
            self.transaction += 1;
            self.open_since = Some(Instant::now());
        }
        let transaction = self.transaction;
        self.log.extend(payloads.into_iter().map(|payload| Record {
            process,
            transaction,
            fate: Fate::Open,
            payload,
        }));
        Ok(())
    }

    /// Commits whatever is open. Nothing is open and the last one was committed: a repeated request.
    pub fn commit(&mut self, epoch: u64) -> Result<(), Fenced> {
        self.expire();
        if epoch != self.epoch || (self.open_since.is_none() && !self.last_was_committed) {
            return Err(Fenced);
        }
        self.end_open(Fate::Committed);
        Ok(())
    }

    fn expire(&mut self) {
        if self.open_since.is_some_and(|since| since + TIMEOUT < Instant::now()) {
            self.init();
        }
    }

    fn end_open(&mut self, fate: Fate) {
        if self.open_since.take().is_none() {
            return;
        }
        self.last_was_committed = fate == Fate::Committed;
        let behind = self.log.iter().rposition(|record| record.transaction != self.transaction);
        for record in &mut self.log[behind.map_or(0, |index| index + 1)..] {
            record.fate = fate;
            if fate == Fate::Committed
                && let Payload::Checkpoint(checkpoint) = &record.payload
            {
                self.stored.apply(checkpoint);
            }
        }
    }

    pub fn committed(&self) -> impl Iterator<Item = &Record> {
        self.log.iter().filter(|record| record.fate == Fate::Committed)
    }
}
