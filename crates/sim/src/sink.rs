//! A sink over the model broker, with the steps and the rules of the one for Kafka.
//!
//! ```text
//! recover   first init of a life: free           later: only if nobody else has claimed since the last one
//!           read what is stored, claim at once
//! commit    the position, then the end of the transaction; asked again when no answer comes
//!           answered at last: durable, but the first request may still arrive, so this producer is finished
//! ```

use std::time::Duration;

use change::{Batch, Cell, Change, Row, Value};
use connector::{Checkpoint, Failure, Sink, Stored};
use rand::RngExt;
use tokio::time::Instant;

use crate::broker::{Fate, Fenced, Message, MessageKind, Payload, Record};
use crate::database::Lsn;
use crate::mutant::Mutant;
use crate::world::{ProcessId, World};

/// Who has a new epoch claims within this time or drops out.
const CLAIM_WITHIN: Duration = Duration::from_secs(10);
/// So long may somebody else still claim.
const PATIENCE: Duration = Duration::from_secs(15);
const COMMIT_WITHIN: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub struct ModelSink {
    world: World,
    process: ProcessId,
    epoch: u64,
    /// The log's end behind the last init; None before the first.
    judged_from: Option<usize>,
    was_fenced: bool,
    /// A commit had to be repeated: take a new epoch before the next transaction.
    finished: bool,
}

impl ModelSink {
    pub fn new(world: &World, process: ProcessId) -> Self {
        Self {
            world: world.clone(),
            process,
            epoch: 0,
            judged_from: None,
            was_fenced: false,
            finished: false,
        }
    }

    async fn step(&self) {
        self.world.step(self.process).await;
    }

    /// Takes a new epoch, if nobody else has taken over, and claims.
    ///
    /// It looks before, so as not to disturb another owner, and again behind: one that came in between has told more
    /// than what this process holds in memory. Behind the init nothing of others is undecided any more.
    async fn take_over(&mut self) -> Result<Stored<Lsn>, Failure> {
        if let Some(from) = self.judged_from
            && !self.world.is(Mutant::FreeFencing)
        {
            self.look(from).await?;
        }
        self.step().await;
        self.world.trip(0.02, "taking a new epoch")?;
        let since = Instant::now();
        let (end, another) = {
            let mut state = self.world.lock();
            self.epoch = state.broker.init();
            let log = &state.broker.log;
            (log.len(), self.judged_from.is_some_and(|from| self.is_anothers(&log[from..])))
        };
        if another && !self.world.is(Mutant::FreeFencing) && !self.world.is(Mutant::LookedOnce) {
            return Err(owned_by_another());
        }
        self.judged_from = Some(end);
        self.was_fenced = false;
        self.finished = false;
        self.step().await;
        if self.world.lock().character.slow_claims {
            tokio::time::sleep(Duration::from_secs(6)).await;
        }
        self.world.trip(0.02, "reading the position")?;
        if since.elapsed() > CLAIM_WITHIN {
            return Err(Failure::transient("late", "claiming", "it took too long"));
        }
        // Read before the claim: one that commits shows that nobody came in between.
        let stored = self.world.lock().broker.stored.clone();
        self.step().await;
        self.produce(vec![Payload::Claim])?;
        self.end().await?;
        Ok(stored)
    }

    /// A producer whose commit had to be repeated takes no further transaction; a claim is one too.
    async fn begin(&mut self) -> Result<(), Failure> {
        while self.finished {
            self.take_over().await?;
        }
        Ok(())
    }

    /// Somebody else's committed record since our last init: he is the owner. One that is not decided yet, and after
    /// having been fenced also one that is not there yet, is waited for.
    async fn look(&self, from: usize) -> Result<(), Failure> {
        let since = Instant::now();
        let patience =
            if self.world.is(Mutant::HastyJudgement) { Duration::from_secs(2) } else { PATIENCE };
        loop {
            self.step().await;
            let (committed, undecided) = {
                let state = self.world.lock();
                let records = &state.broker.log[from..];
                let open =
                    |record: &Record| record.process != self.process && record.fate == Fate::Open;
                (self.is_anothers(records), records.iter().any(open))
            };
            if committed {
                return Err(owned_by_another());
            }
            let end = self.world.lock().broker.log.iter().any(|record| record.fate == Fate::Open);
            if end && self.world.is(Mutant::LooksToTheEnd) {
                if since.elapsed() > CLAIM_WITHIN {
                    let why = "its end was not reached";
                    return Err(Failure::definite("position-unreadable", "looking", why));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            if since.elapsed() > patience || !(undecided || self.was_fenced) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn is_anothers(&self, records: &[Record]) -> bool {
        let by = |record: &Record| record.process != self.process;
        records.iter().any(|record| by(record) && record.fate == Fate::Committed)
    }

    fn produce(&mut self, payloads: Vec<Payload>) -> Result<(), Failure> {
        let mut state = self.world.lock();
        if state.failing > 0 {
            state.failing -= 1;
            return Err(Failure::transient("link", "producing", "the connection was lost"));
        }
        let produced = state.broker.produce(self.epoch, self.process, payloads);
        drop(state);
        produced.map_err(|Fenced| self.fenced())
    }

    fn fenced(&mut self) -> Failure {
        self.was_fenced = true;
        Failure::transient("shut-out", "writing", "there is a newer epoch")
    }

    /// Ends the transaction. A request may be lost, its answer too, or it may arrive much later.
    async fn end(&mut self) -> Result<(), Failure> {
        let since = Instant::now();
        loop {
            self.step().await;
            let fault = {
                let mut state = self.world.lock();
                let is_faulty = state.faults && state.rng.random_bool(0.05);
                is_faulty.then(|| state.rng.random_range(0..3))
            };
            let outcome = match fault {
                None => Some(self.world.lock().broker.commit(self.epoch)),
                Some(0) => None,
                Some(1) => self.world.lock().broker.commit(self.epoch).err().map(Err),
                Some(_) => {
                    self.arrives_later();
                    None
                }
            };
            self.step().await;
            match outcome {
                Some(Ok(())) => return Ok(()),
                Some(Err(Fenced)) => return Err(self.fenced()),
                None => {}
            }
            self.finished = !self.world.is(Mutant::ProducerReused);
            if since.elapsed() > COMMIT_WITHIN {
                return Err(Failure::transient("timeout", "committing", "no answer"));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    fn arrives_later(&self) {
        let (world, epoch) = (self.world.clone(), self.epoch);
        let delay = Duration::from_millis(world.lock().rng.random_range(100..20_000));
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // Nobody is left to hear the answer.
            let _ = world.lock().broker.commit(epoch);
        });
    }
}

impl Sink for ModelSink {
    type Position = Lsn;

    async fn recover(&mut self) -> Result<Option<Stored<Lsn>>, Failure> {
        let stored = self.take_over().await?;
        self.step().await;
        Ok(Some(stored))
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        self.begin().await?;
        self.step().await;
        self.world.trip(0.004, "producing")?;
        let mut payloads: Vec<Payload> = batch.events().map(|event| message(&event)).collect();
        for transaction in batch.transactions() {
            if let Some(end) = transaction.end() {
                let transaction = transaction.id().into();
                payloads.push(Payload::End { transaction, events: end.events() });
            }
        }
        self.produce(payloads)?;
        self.step().await;
        self.world.trip(0.004, "producing")
    }

    async fn commit(&mut self, checkpoint: &Checkpoint<Lsn>) -> Result<(), Failure> {
        self.begin().await?;
        self.step().await;
        self.produce(vec![Payload::Checkpoint(Box::new(checkpoint.clone()))])?;
        self.end().await
    }
}

fn owned_by_another() -> Failure {
    Failure::definite("fenced", "looking for the owner", "it is another")
}

fn message(event: &change::Event<'_>) -> Payload {
    let kind = match event.change {
        Change::Read(row) => MessageKind::Read {
            key: cell(row, 0).unwrap_or_default(),
            version: cell(row, 1).unwrap_or_default(),
            large: cell(row, 2).unwrap_or_default(),
        },
        Change::Insert(row) => MessageKind::Insert {
            key: cell(row, 0).unwrap_or_default(),
            version: cell(row, 1).unwrap_or_default(),
            large: cell(row, 2).unwrap_or_default(),
        },
        Change::Update { after, .. } => MessageKind::Update {
            key: cell(after, 0).unwrap_or_default(),
            version: cell(after, 1).unwrap_or_default(),
            large: cell(after, 2),
        },
        Change::Delete(row) => MessageKind::Delete {
            key: cell(row, 0).unwrap_or_default(),
            version: cell(row, 1).unwrap_or_default(),
        },
        Change::Truncate | Change::Message(_) => MessageKind::Truncate,
    };
    Payload::Message(Message {
        table: event.table.name.table.to_string(),
        kind,
        at: event.at,
        transaction: event.transaction.id().into(),
        columns: event.table.columns.len(),
    })
}

fn cell(row: Row<'_>, index: usize) -> Option<u64> {
    match row.cell(index) {
        Cell::Value(Value::UInt(value)) => Some(value),
        Cell::Value(Value::Int(value)) => u64::try_from(value).ok(),
        _ => None,
    }
}
