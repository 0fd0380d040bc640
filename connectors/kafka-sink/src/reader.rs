//! Reads what stands in topics: the position's, whole, and the ends of others.
//!
//! Everything here blocks and is called on a thread for it ([`blocking`]). A log is read up to the high watermark only
//! when the last stable offset has reached it: before, a transaction that has not ended hides what follows, and "there
//! is nothing more" would be a guess.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::Offset;
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::Error;
use crate::position::{self, Gathered, Raw};
use crate::settings::{Role, Settings};
use crate::stamp::Stamp;
use crate::watch::{Problem, Watch};

type Client = BaseConsumer<Watch>;

/// Between two questions whether an open transaction has ended.
const AGAIN: Duration = Duration::from_millis(10);
/// Of what the client tells between two attempts, as much is listened to.
const TOLD: usize = 32;
/// One attempt to reach the cluster; what goes wrong is told by the client meanwhile.
const ATTEMPT: Duration = Duration::from_secs(2);

pub(crate) struct Reader {
    committed: Client,
    uncommitted: Client,
    brokers: String,
    deadline: Duration,
}

/// The last committed record of a partition that this connector wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) stamp: Stamp,
}

/// Runs what blocks on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(job).await.unwrap_or(Err(Error::Hung))
}

/// Ends a reader's connections, which takes its time, elsewhere.
pub(crate) fn close(reader: Arc<Reader>) {
    drop(tokio::task::spawn_blocking(move || drop(reader)));
}

impl Reader {
    pub(crate) async fn open(settings: &Settings) -> Result<Arc<Self>, Error> {
        let settings = settings.clone();
        blocking(move || Self::new(&settings).map(Arc::new)).await
    }

    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let client = |role| settings.client(role).create_with_context(Watch::default());
        Ok(Self {
            committed: client(Role::Committed)?,
            uncommitted: client(Role::Uncommitted)?,
            brokers: settings.config.brokers.join(", "),
            deadline: settings.deadline(),
        })
    }

    /// Number of partitions of every topic whose name begins with `prefix`.
    pub(crate) fn topics(&self, prefix: &str) -> Result<BTreeMap<String, i32>, Error> {
        let metadata = self.metadata(None)?;
        let named = metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix));
        Ok(named
            .filter(|topic| topic.error().is_none())
            .map(|topic| (topic.name().to_owned(), count(topic.partitions().len())))
            .collect())
    }

    /// Number of partitions of one topic; None when it does not exist.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        partitions(&self.metadata(Some(topic))?, topic)
    }

    pub(crate) fn metadata(&self, topic: Option<&str>) -> Result<Metadata, Error> {
        let until = Instant::now() + self.deadline;
        let client = self.uncommitted.client();
        loop {
            // A client that was just made knows no broker yet and gives up at once.
            match client.fetch_metadata(topic, remaining(until).min(ATTEMPT)) {
                Ok(metadata) => return Ok(metadata),
                Err(error) if is_transport(&error) => {
                    let told = (0..TOLD).find(|_| self.uncommitted.poll(AGAIN).is_none());
                    tracing::debug!(events = told.unwrap_or(TOLD), "no broker answered yet");
                    let problem = self.uncommitted.context().problem();
                    let lasting = problem.as_ref().is_some_and(Problem::is_lasting);
                    if lasting || Instant::now() >= until {
                        return Err(Error::Unreachable { brokers: self.brokers.clone(), problem });
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The end of the log, whether or not what stands there was committed.
    pub(crate) fn high_watermark(&self, topic: &str, partition: i32) -> Result<i64, Error> {
        Ok(self.watermarks(&self.uncommitted, topic, partition)?.1)
    }

    /// Up to here all transactions have ended.
    pub(crate) fn stable(&self, topic: &str, partition: i32) -> Result<i64, Error> {
        Ok(self.watermarks(&self.committed, topic, partition)?.1)
    }

    fn watermarks(
        &self,
        client: &Client,
        topic: &str,
        partition: i32,
    ) -> Result<(i64, i64), Error> {
        let until = Instant::now() + self.deadline;
        loop {
            match client.client().fetch_watermarks(topic, partition, remaining(until)) {
                Ok(watermarks) => return Ok(watermarks),
                // Metadata spreads to the brokers at its own pace after a topic was made.
                Err(error)
                    if Instant::now() < until && (is_transport(&error) || is_new(&error)) =>
                {
                    client.poll(AGAIN);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// All committed records up to `end`.
    pub(crate) fn read_to(&self, topic: &str, end: i64) -> Result<Gathered, Error> {
        let mut gathered = Gathered::default();
        let low = self.wait_for(topic, end)?;
        if low < end {
            self.read_from(&self.committed, topic, low, |record| gathered.add(record))?;
        }
        Ok(gathered)
    }

    /// Waits until all transactions before `end` have ended. Returns where the log begins.
    pub(crate) fn wait_for(&self, topic: &str, end: i64) -> Result<i64, Error> {
        let until = Instant::now() + self.deadline;
        loop {
            let (low, stable) = self.watermarks(&self.committed, topic, 0)?;
            if stable >= end {
                return Ok(low);
            }
            if Instant::now() >= until {
                let missing = end - stable;
                return Err(Error::Unreadable { topic: topic.to_owned(), missing });
            }
            self.committed.poll(AGAIN);
        }
    }

    /// The first committed record at or behind `start` that another instance wrote, as far as transactions have ended.
    pub(crate) fn foreign(&self, topic: &str, start: i64, own: Uuid) -> Result<Option<Raw>, Error> {
        self.first_foreign(&self.committed, topic, start, own)
    }

    /// As [`foreign`](Self::foreign), also of transactions that have not ended or were aborted.
    pub(crate) fn undecided(
        &self,
        topic: &str,
        start: i64,
        own: Uuid,
    ) -> Result<Option<Raw>, Error> {
        self.first_foreign(&self.uncommitted, topic, start, own)
    }

    fn first_foreign(
        &self,
        client: &Client,
        topic: &str,
        start: i64,
        own: Uuid,
    ) -> Result<Option<Raw>, Error> {
        let mut first = None;
        self.read_from(client, topic, start, |record| {
            if record.instance != Some(own) && first.is_none() {
                first = Some(record);
            }
        })?;
        Ok(first)
    }

    fn read_from(
        &self,
        client: &Client,
        topic: &str,
        start: i64,
        mut take: impl FnMut(Raw),
    ) -> Result<(), Error> {
        let until = Instant::now() + self.deadline;
        self.follow(client, &[(topic.to_owned(), 0, start)], until, |message| {
            take(Raw {
                offset: message.offset(),
                key: message.key().unwrap_or_default().to_vec(),
                value: message.payload().map(<[u8]>::to_vec),
                instance: message.headers().and_then(position::instance),
            });
        })
    }

    /// Hands over every record from the given offsets to the present end of each partition.
    fn follow(
        &self,
        client: &Client,
        from: &[(String, i32, i64)],
        until: Instant,
        mut take: impl FnMut(&rdkafka::message::BorrowedMessage<'_>),
    ) -> Result<(), Error> {
        let mut assignment = TopicPartitionList::with_capacity(from.len());
        for (topic, partition, offset) in from {
            assignment.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        client.assign(&assignment)?;
        let mut open = from.len();
        let outcome = loop {
            if open == 0 {
                break Ok(());
            }
            if Instant::now() >= until {
                break Err(Error::Deadline);
            }
            match client.poll(remaining(until)) {
                None => {}
                Some(Ok(message)) => take(&message),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) if is_noise(&error) => {}
                Some(Err(error)) => break Err(error.into()),
            }
        };
        client.unassign()?;
        outcome
    }

    /// The last stamp of this connector in each of the partitions.
    pub(crate) fn tails(
        &self,
        connector: &str,
        partitions: &[(String, i32)],
    ) -> Result<Vec<Tail>, Error> {
        /// A transaction's last record is followed by its marker, and by aborted ones perhaps.
        const STEPS: [i64; 4] = [16, 1024, 65_536, i64::MAX];
        let until = Instant::now() + self.deadline;
        let mut tails: BTreeMap<(String, i32), Stamp> = BTreeMap::new();
        let mut ends = Vec::new();
        for (topic, partition) in partitions {
            let (low, stable) = self.watermarks(&self.committed, topic, *partition)?;
            if low < stable {
                ends.push((topic.clone(), *partition, low, stable));
            }
        }
        for step in STEPS {
            if ends.is_empty() {
                break;
            }
            let from: Vec<_> = ends
                .iter()
                .map(|(topic, partition, low, stable)| {
                    (topic.clone(), *partition, stable.saturating_sub(step).max(*low))
                })
                .collect();
            let mut seen = BTreeSet::new();
            self.follow(&self.committed, &from, until, |message| {
                let place = (message.topic().to_owned(), message.partition());
                if let Some(headers) = message.headers()
                    && let Some(stamp) = Stamp::of(connector, headers)
                {
                    tails.insert(place.clone(), stamp);
                }
                seen.insert(place);
            })?;
            // Any committed record will do: one without our stamp says that the end is not ours.
            ends.retain(|(topic, partition, low, stable)| {
                !seen.contains(&(topic.clone(), *partition)) && stable.saturating_sub(step) > *low
            });
        }
        Ok(tails
            .into_iter()
            .map(|((topic, partition), stamp)| Tail { topic, partition, stamp })
            .collect())
    }

    /// Of all partitions of the topics at most `most`: those written to last, by the records' timestamps.
    pub(crate) fn latest(
        &self,
        topics: &BTreeMap<String, i32>,
        now_ms: i64,
        most: usize,
    ) -> Result<Vec<(String, i32)>, Error> {
        const MINUTE_MS: i64 = 60_000;
        const AGES_MS: [i64; 5] =
            [MINUTE_MS, 10 * MINUTE_MS, 60 * MINUTE_MS, 24 * 60 * MINUTE_MS, i64::MAX];
        let all: Vec<(String, i32)> = topics
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(move |partition| (topic.clone(), partition)))
            .collect();
        if all.len() <= most {
            return Ok(all);
        }
        let mut found = Vec::new();
        for age_ms in AGES_MS {
            let since = now_ms.saturating_sub(age_ms).max(0);
            let mut asked = TopicPartitionList::with_capacity(all.len());
            for (topic, partition) in &all {
                asked.add_partition_offset(topic, *partition, Offset::Offset(since))?;
            }
            let answer = self.uncommitted.offsets_for_times(asked, self.deadline)?;
            for element in answer.elements() {
                let place = (element.topic().to_owned(), element.partition());
                if matches!(element.offset(), Offset::Offset(_)) && !found.contains(&place) {
                    found.push(place);
                }
            }
            if found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }
}

/// Number of partitions of `topic`; None when it does not exist.
pub(crate) fn partitions(metadata: &Metadata, topic: &str) -> Result<Option<i32>, Error> {
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(None);
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None if found.partitions().is_empty() => Ok(None),
        None => Ok(Some(count(found.partitions().len()))),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Ok(None)
        }
        Some(code) => Err(KafkaError::MetadataFetch(code).into()),
    }
}

fn count(partitions: usize) -> i32 {
    i32::try_from(partitions).unwrap_or(i32::MAX)
}

fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn is_transport(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
        )
    )
}

fn is_new(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

/// What a reader without a group need not mind, or the client mends by itself until the deadline.
fn is_noise(error: &KafkaError) -> bool {
    is_transport(error)
        || is_new(error)
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}
