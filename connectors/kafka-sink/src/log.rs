//! The sink without the question where messages come from: transactions, their position, their end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connector::{Checkpoint, Failure, FailureKind, Open, Position, Resume};
use message::{Message, Topic, TopicIndex, TopicKind};
use rdkafka::message::Header;
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::{Error, Key};
use crate::meters::{Meters, TopicMeters};
use crate::owner::Owner;
use crate::partition::partition;
use crate::position::{
    self, CLAIM, ClaimRecord, Contents, POSITION, Place, SOURCE, SourceRecord, TopicRecord,
};
use crate::producer::{Producer, Record};
use crate::reader::{self, Reader};
use crate::settings::{RECORD_OVERHEAD_BYTES, Settings};
use crate::stamp::Stamp;
use crate::topics::{Purpose, Topics};
use crate::watch;

pub(crate) struct Log<P> {
    pub(crate) settings: Settings,
    pub(crate) owner: Owner,
    pub(crate) state: State,
    pub(crate) topics: Topics,
    /// The topics were compared with what is stored, once in this process's life.
    pub(crate) audited: bool,
    pub(crate) contents: Contents<P>,
    /// Records to be written before the next position, by their keys.
    pending: BTreeMap<String, Vec<u8>>,
    /// By the pipeline's index.
    routes: Vec<Route>,
    meters: Meters,
}

/// What can be done with the producer.
pub(crate) enum State {
    /// Nothing before `recover`.
    Lost,
    Ready(Producer),
    /// A transaction is open.
    Open(Producer, Stamp),
}

struct Route {
    topic: Arc<str>,
    /// What decides the partition of messages without a key, and names the topic in errors.
    subject: String,
    partitions: i32,
    key_schema: Option<u32>,
    meters: TopicMeters,
}

impl<P: Position> Log<P> {
    pub(crate) fn new(settings: Settings, instance: Uuid) -> Self {
        Self {
            owner: Owner::new(&settings, instance),
            topics: Topics::new(&settings),
            settings,
            state: State::Lost,
            audited: false,
            contents: Contents::default(),
            pending: BTreeMap::new(),
            routes: Vec::new(),
            meters: Meters::new(),
        }
    }

    /// Drops the producer with all that it may have in flight, and what was to be stored with it.
    pub(crate) fn lose(&mut self) {
        self.state = State::Lost;
        self.pending.clear();
        self.routes.clear();
    }

    /// Passes the error on as a failure; after it only `recover` helps.
    pub(crate) fn fail(&mut self, error: Error, doing: &'static str) -> Failure {
        self.owner.suspect(&error);
        self.lose();
        let mut failure = error.failing(doing);
        // Credentials that never worked will not; ones that did may only be out of order for a while.
        if self.owner.is_fresh() && matches!(failure.code, "not-authenticated" | "tls-failed") {
            failure.kind = FailureKind::Definite;
        }
        failure
    }

    /// The registry's numbers that stand in the keys written so far, by topic.
    pub(crate) fn key_schemas(&self) -> impl Iterator<Item = (&str, u32)> {
        let topics = self.contents.topics.values();
        topics.filter_map(|topic| Some((topic.name.as_str(), topic.key_schema?)))
    }

    /// Learns where messages of the topics go, making those that are missing.
    pub(crate) async fn know(&mut self, topics: &[Topic]) -> Result<(), Error> {
        for topic in topics.iter().skip(self.routes.len()) {
            let (State::Ready(producer) | State::Open(producer, _)) = &self.state else {
                return Err(Error::Lost);
            };
            // Only a row's last message may stand for those before it.
            let purpose = match topic.kind {
                TopicKind::Table(_) if topic.keyed => Purpose::Keyed,
                _ => Purpose::Keyless,
            };
            let stored = self.contents.topics.get(&*topic.name);
            let count = stored.map(|topic| topic.partitions);
            let partitions = self.topics.ensure(producer, &topic.name, purpose, count).await?;
            if stored.is_none() {
                let record =
                    TopicRecord { name: topic.name.to_string(), partitions, key_schema: None };
                let key = position::topic_key(&record.name);
                self.pending.insert(key.clone(), position::encode(&key, &record)?);
                self.contents.topics.insert(record.name.clone(), record);
            }
            let subject = match &topic.kind {
                TopicKind::Table(table) => table.to_string(),
                TopicKind::Transaction | TopicKind::Message => topic.name.to_string(),
            };
            let meters = TopicMeters::new(&topic.name);
            let topic = Arc::clone(&topic.name);
            self.routes.push(Route { topic, subject, partitions, key_schema: None, meters });
        }
        Ok(())
    }

    /// Opens a transaction unless one is open, with a new producer if the last one's past is in doubt.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        let producer = match std::mem::replace(&mut self.state, State::Lost) {
            State::Lost => return Err(Error::Lost),
            State::Ready(producer) if producer.is_finished() => {
                drop(producer);
                self.renew().await?
            }
            State::Ready(producer) => producer,
            State::Open(producer, stamp) => {
                self.state = State::Open(producer, stamp);
                return Ok(());
            }
        };
        producer.begin(self.settings.deadline()).await?;
        let (sequence, incarnation, epoch) = match &self.contents.place {
            Some(place) => (place.sequence + 1, place.incarnation, place.epoch),
            None => (1, 1, 0),
        };
        let stamp = Stamp::new(&self.settings.name, incarnation, sequence, epoch);
        self.state = State::Open(producer, stamp);
        Ok(())
    }

    async fn renew(&mut self) -> Result<Producer, Error> {
        let reader = Reader::open(&self.settings).await?;
        self.owner.look(&reader).await?;
        let producer = self.owner.init(&self.settings).await?;
        self.owner.confirm(&reader).await?;
        reader::close(reader);
        self.meters.renewals.increment(1);
        tracing::info!("the producer was renewed, since its last commit was repeated");
        Ok(producer)
    }

    /// Queues messages of the open transaction. `key_schema`: the registry's number in a topic's keys.
    pub(crate) async fn send<'a>(
        &mut self,
        messages: impl Iterator<Item = Message<'a>>,
        mut key_schema: impl FnMut(TopicIndex) -> Option<u32>,
    ) -> Result<(), Error> {
        let mut last = None;
        for message in messages {
            if last != Some(message.topic) {
                last = Some(message.topic);
                self.keep_key_schema(message.topic, key_schema(message.topic))?;
            }
            let State::Open(producer, stamp) = &mut self.state else { return Err(Error::Lost) };
            let route = &self.routes[message.topic];
            let bytes = size(&message);
            let limit = self.settings.config.record_bytes_max as usize;
            if bytes + stamp.size() > limit {
                let (subject, key) = (route.subject.clone(), Key::new(message.key));
                return Err(Error::RecordTooLarge { subject, bytes, limit, key });
            }
            let partitions = match message.every_partition {
                true => 0..route.partitions,
                false => {
                    let partitioner = self.settings.config.partitioner;
                    let key = message.key;
                    let chosen = partition(partitioner, key, &route.subject, route.partitions);
                    chosen..chosen + 1
                }
            };
            for partition in partitions {
                let record = record(&route.topic, stamp, &message, partition);
                producer.send(record, self.settings.deadline()).await?;
                route.meters.count(bytes);
            }
        }
        if let State::Open(producer, _) = &self.state {
            self.meters.queue_bytes.set(producer.queued_bytes() as f64);
            producer.intact()?;
        }
        Ok(())
    }

    /// Stores the number of a key's schema when it is not the stored one: an unchanged key keeps it after a restart.
    fn keep_key_schema(&mut self, topic: TopicIndex, id: Option<u32>) -> Result<(), Error> {
        let route = &mut self.routes[topic];
        if id.is_none() || route.key_schema == id {
            return Ok(());
        }
        route.key_schema = id;
        if let Some(record) = self.contents.topics.get_mut(&*route.topic)
            && record.key_schema != id
        {
            record.key_schema = id;
            let key = position::topic_key(&record.name);
            self.pending.insert(key.clone(), position::encode(&key, record)?);
        }
        Ok(())
    }

    /// Makes the open transaction, or an empty one, and the checkpoint durable together.
    pub(crate) async fn commit(&mut self, checkpoint: &Checkpoint<P>) -> Result<(), Error> {
        self.change(checkpoint)?;
        let identity = position::identity_hash(&checkpoint.identity);
        let (done, open) = match &checkpoint.at {
            Some(Resume { from, open }) => (Some(from.clone()), open.clone()),
            None => (None, None),
        };
        let epoch = self.contents.place.as_ref().map_or(0, |place| place.epoch);
        self.store(epoch, identity, done, open).await?;
        self.contents.source = Some(SourceRecord {
            identity: (*checkpoint.identity).clone(),
            intent: checkpoint.intent,
        });
        self.topics.relax();
        Ok(())
    }

    fn change(&mut self, checkpoint: &Checkpoint<P>) -> Result<(), Error> {
        let known = self.contents.source.as_ref().is_some_and(|source| {
            source.intent == checkpoint.intent && source.identity == *checkpoint.identity
        });
        if !known {
            let source = SourceRecord {
                identity: (*checkpoint.identity).clone(),
                intent: checkpoint.intent,
            };
            self.pending.insert(SOURCE.to_owned(), position::encode(SOURCE, &source)?);
        }
        for table in &checkpoint.changed {
            let key = position::table_key(&table.name);
            let value = position::encode(&key, table)?;
            self.pending.insert(key, value);
        }
        Ok(())
    }

    /// Says in the position topic that this instance writes from now on, and where it goes on.
    pub(crate) async fn claim(&mut self) -> Result<(), Error> {
        let (epoch, identity, done, open) = match &self.contents.place {
            Some(place) => {
                (place.epoch + 1, place.identity, place.done.clone(), place.open.clone())
            }
            None => {
                let source = self.contents.source.as_ref();
                let identity = source.map(|source| position::identity_hash(&source.identity));
                (1, identity.unwrap_or_else(position::no_identity), None, None)
            }
        };
        let claim = ClaimRecord { instance: self.owner.instance, epoch };
        self.pending.insert(CLAIM.to_owned(), position::encode(CLAIM, &claim)?);
        self.store(epoch, identity, done, open).await?;
        self.contents.claim = Some(claim);
        Ok(())
    }

    /// Proves that nobody has shut us out, by a transaction that says nothing new.
    pub(crate) async fn prove(&mut self) -> Result<(), Error> {
        let epoch = self.contents.place.as_ref().map_or(0, |place| place.epoch);
        let claim = ClaimRecord { instance: self.owner.instance, epoch };
        self.begin().await?;
        self.put(CLAIM.as_bytes(), Some(&position::encode(CLAIM, &claim)?)).await?;
        self.end().await
    }

    /// Forgets what stands under `keys` and begins at `place`, in one transaction.
    pub(crate) async fn replace(
        &mut self,
        keys: BTreeSet<Vec<u8>>,
        place: Place<P>,
    ) -> Result<(), Error> {
        self.contents = Contents { place: Some(place.clone()), ..Contents::default() };
        self.begin().await?;
        for key in keys {
            self.put(&key, None).await?;
        }
        let value = position::encode(POSITION, &place)?;
        self.put(POSITION.as_bytes(), Some(&value)).await?;
        self.end().await
    }

    async fn store(
        &mut self,
        epoch: u64,
        identity: u64,
        done: Option<P>,
        open: Option<Open>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        self.begin().await?;
        let State::Open(producer, stamp) = &mut self.state else { return Err(Error::Lost) };
        let (sequence, incarnation) = (stamp.sequence, stamp.incarnation);
        if !self.settings.is_exactly_once() {
            // Without a transaction only the order of acknowledgements binds the position to the data.
            producer.settle(self.settings.deadline()).await?;
        }
        let place = Place { sequence, incarnation, epoch, identity, done, open };
        for (key, value) in std::mem::take(&mut self.pending) {
            self.put(key.as_bytes(), Some(&value)).await?;
        }
        let value = position::encode(POSITION, &place)?;
        self.put(POSITION.as_bytes(), Some(&value)).await?;
        self.end().await?;
        self.contents.place = Some(place);
        self.meters.transactions.increment(1);
        self.meters.commit_seconds.record(started.elapsed().as_secs_f64());
        Ok(())
    }

    async fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        let State::Open(producer, stamp) = &mut self.state else { return Err(Error::Lost) };
        let limit = position::RECORD_BYTES_MAX as usize - RECORD_OVERHEAD_BYTES;
        let bytes = key.len() + value.map_or(0, <[u8]>::len);
        if bytes > limit {
            let (subject, key) = (self.settings.position_topic(), Key::new(Some(key)));
            return Err(Error::RecordTooLarge { subject, bytes, limit, key });
        }
        let topic = self.settings.position_topic();
        let mut record = Record::with_opaque_to(&topic, watch::POSITION)
            .partition(0)
            .key(key)
            .headers(position::headers(stamp, self.owner.instance));
        record.payload = value;
        producer.send(record, self.settings.deadline()).await
    }

    async fn end(&mut self) -> Result<(), Error> {
        let State::Open(producer, _) = &mut self.state else { return Err(Error::Lost) };
        let committed = producer.commit(self.settings.deadline()).await?;
        if committed.repeated {
            tracing::warn!("a connection was lost or a request repeated: the producer is finished");
        }
        self.owner.committed(producer.watch().position_offset());
        self.meters.queue_bytes.set(0.0);
        if let State::Open(producer, _) = std::mem::replace(&mut self.state, State::Lost) {
            self.state = State::Ready(producer);
        }
        Ok(())
    }
}

/// Bytes of key, value and header.
fn size(message: &Message<'_>) -> usize {
    let part = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let header = message.header.map_or(0, |(name, value)| name.len() + value.len());
    part(message.key) + part(message.value) + header
}

fn record<'a>(topic: &'a str, stamp: &Stamp, message: &Message<'a>, partition: i32) -> Record<'a> {
    let mut headers = stamp.headers(1);
    if let Some((name, value)) = message.header {
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    let mut record =
        Record::with_opaque_to(topic, watch::DATA).partition(partition).headers(headers);
    record.key = message.key;
    record.payload = message.value;
    record
}

#[cfg(test)]
mod tests;
