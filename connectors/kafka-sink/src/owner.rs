//! Who may write: the newest producer of the connector's name, and among instances the one that claimed last.
//!
//! Kafka's epoch is the only lock. A fresh process takes it freely; before every later time an instance looks whether
//! another one has taken over, and stops if so: else two would shut each other out for ever. Taken over means: a
//! *committed* record of another instance behind the end that the position topic had after our own last init. The look
//! ends at the last stable offset, never at the high watermark, because our own dropped transaction may lie there until
//! the coordinator ends it. An undecided record of another instance is waited for; after having been shut out we look
//! for as long as whoever did it may need to claim, and only then try again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::error::Error;
use crate::position::{Gathered, Raw};
use crate::producer::Producer;
use crate::reader::{Reader, blocking};
use crate::settings::Settings;

const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) instance: Uuid,
    topic: String,
    claim_deadline: Duration,
    /// Everything of ours lies before; a committed record of another instance behind it means that it took over.
    floor: Option<i64>,
    /// Somebody was, or may have been, shut out in the name of this process.
    inited: bool,
    /// We were shut out, and do not know by whom.
    shut_out: bool,
}

impl Owner {
    pub(crate) fn new(settings: &Settings, instance: Uuid) -> Self {
        Self {
            instance,
            topic: settings.position_topic(),
            claim_deadline: settings.claim_deadline(),
            floor: None,
            inited: false,
            shut_out: false,
        }
    }

    /// Nobody was shut out in the name of this process yet.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.inited
    }

    pub(crate) fn suspect(&mut self, error: &Error) {
        self.shut_out |= error.is_fenced();
    }

    /// A record of ours was committed at `offset`: whoever takes over comes behind it.
    pub(crate) fn committed(&mut self, offset: i64) {
        self.floor = self.floor.max(Some(offset + 1));
    }

    /// Fails when another instance has taken over; returns when nobody has within the time they have for it.
    pub(crate) async fn look(&mut self, reader: &Arc<Reader>) -> Result<(), Error> {
        if !self.inited {
            // In case that the end cannot be asked for after the init.
            let (reader, topic) = (Arc::clone(reader), self.topic.clone());
            self.floor = blocking(move || end(&reader, &topic)).await?;
            return Ok(());
        }
        let floor = self.floor.unwrap_or_default();
        let until = Instant::now() + self.claim_deadline;
        loop {
            let (reader, topic) = (Arc::clone(reader), self.topic.clone());
            let own = self.instance;
            let seen = blocking(move || seen(&reader, &topic, floor, own)).await?;
            match seen {
                Seen::Committed(other) => return Err(Error::TakenOver(other)),
                Seen::Undecided if Instant::now() < until => {}
                Seen::Nobody if self.shut_out && Instant::now() < until => {}
                Seen::Undecided | Seen::Nobody => break,
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        self.shut_out = false;
        Ok(())
    }

    /// A new producer: every older one of this name is shut out, and what it left open is ended.
    pub(crate) async fn init(&mut self, settings: &Settings) -> Result<Producer, Error> {
        let made = settings.clone();
        let producer = blocking(move || Producer::new(&made)).await?;
        self.inited = true;
        if let Err(error) = producer.init(settings.deadline()).await {
            self.suspect(&error);
            return Err(error);
        }
        Ok(producer)
    }

    /// Reads all that is stored, after [`init`](Self::init). From here on a foreign record means a take-over.
    pub(crate) async fn read(&mut self, reader: &Arc<Reader>) -> Result<Gathered, Error> {
        let (asked, topic) = (Arc::clone(reader), self.topic.clone());
        let end = blocking(move || asked.high_watermark(&topic, 0)).await?;
        self.floor = Some(end);
        let (reader, topic) = (Arc::clone(reader), self.topic.clone());
        blocking(move || reader.read_to(&topic, end)).await
    }

    /// Makes sure that nobody wrote between the last look and the init that followed it.
    pub(crate) async fn confirm(&mut self, reader: &Arc<Reader>) -> Result<(), Error> {
        let floor = self.floor.unwrap_or_default();
        let (reader, topic, own) = (Arc::clone(reader), self.topic.clone(), self.instance);
        let (end, foreign) = blocking(move || {
            let end = reader.high_watermark(&topic, 0)?;
            reader.wait_for(&topic, end)?;
            Ok((end, reader.foreign(&topic, floor, own)?))
        })
        .await?;
        match foreign {
            Some(other) => Err(Error::TakenOver(named(&other))),
            None => {
                self.floor = Some(end);
                Ok(())
            }
        }
    }
}

enum Seen {
    Committed(String),
    Undecided,
    Nobody,
}

fn seen(reader: &Reader, topic: &str, floor: i64, own: Uuid) -> Result<Seen, Error> {
    let Some(end) = end(reader, topic)? else { return Ok(Seen::Nobody) };
    if let Some(other) = reader.foreign(topic, floor, own)? {
        return Ok(Seen::Committed(named(&other)));
    }
    let stable = reader.stable(topic, 0)?;
    if stable < end && reader.undecided(topic, stable.max(floor), own)?.is_some() {
        return Ok(Seen::Undecided);
    }
    Ok(Seen::Nobody)
}

/// The high watermark; None when there is no topic.
fn end(reader: &Reader, topic: &str) -> Result<Option<i64>, Error> {
    match reader.partitions(topic)? {
        Some(_) => reader.high_watermark(topic, 0).map(Some),
        None => Ok(None),
    }
}

fn named(other: &Raw) -> String {
    let instance = other.instance.map_or_else(|| "unknown".to_owned(), |other| other.to_string());
    format!("the position at offset {} (instance {instance})", other.offset)
}
