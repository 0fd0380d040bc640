//! Begins again from what is stored, in the only order that is safe.
//!
//! 1. Look whether another instance took over; then a new producer, whose init shuts out older ones and ends what they
//!    left open. Only then is anything read.
//! 2. The position topic is read to its end, and a claim is committed at once.
//! 3. Without a stored place in the log, target topics must hold nothing of ours; a fresh process also compares their
//!    ends with the stored sequence, and their partitions with the stored numbers.
//!
//! A stop that rests on what was read is preceded by a commit of ours: who was shut out meanwhile fails there, instead of
//! stopping over what is no longer true. With an empty position topic the targets are looked at before anything is
//! written, since a claim makes it no longer empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::{Failure, Position, Stored};

use crate::error::Error;
use crate::log::{Log, State};
use crate::position::{Contents, Damage};
use crate::reader::{self, Reader, Tail, blocking};
use crate::sink::Clock;
use crate::topics::Purpose;

/// Partitions whose ends are compared, at most.
const AUDITED: usize = 64;

const CONNECTING: &str = "connecting to Kafka";
const READING: &str = "reading the stored position";
const CLAIMING: &str = "claiming the connector's position";
const AUDITING: &str = "comparing the topics with the stored position";

impl<P: Position> Log<P> {
    pub(crate) async fn recover(&mut self, clock: Clock) -> Result<Option<Stored<P>>, Failure> {
        self.lose();
        self.topics.forget();
        let reader = Reader::open(&self.settings).await;
        let reader = reader.map_err(|error| self.fail(error, CONNECTING))?;
        let recovered = self.recover_with(&reader, clock).await;
        reader::close(reader);
        recovered
    }

    async fn recover_with(
        &mut self,
        reader: &Arc<Reader>,
        clock: Clock,
    ) -> Result<Option<Stored<P>>, Failure> {
        let topics = self.connect(reader).await.map_err(|error| self.fail(error, CONNECTING))?;
        let read = self.read(reader).await.map_err(|error| self.fail(error, READING))?;
        if let Err(damage) = read {
            let (topic, problem) = (self.settings.position_topic(), damage.to_string());
            return Err(self.stop(Error::Corrupt { topic, problem }, READING).await);
        }
        let stored = self.contents.stored();
        // The engine's from here on.
        self.contents.tables.clear();
        let known = self.contents.place.as_ref().map(|place| (place.incarnation, place.sequence));
        let done = self.contents.place.as_ref().is_some_and(|place| place.done.is_some());
        let mut tails = None;
        if known.is_none() {
            let found = self.tails(reader, &topics, clock).await;
            let found = found.map_err(|error| self.fail(error, AUDITING))?;
            if let Some(orphan) = orphan(&found, None) {
                return Err(self.stop(orphan, AUDITING).await);
            }
            tails = Some(found);
        }
        self.claim().await.map_err(|error| self.fail(error, CLAIMING))?;
        if !self.audited
            && let Err(error) = self.counts(&topics)
        {
            return Err(self.fail(error, AUDITING));
        }
        if let Some((incarnation, sequence)) = known
            && (!self.audited || !done)
        {
            let found = match tails {
                Some(found) => found,
                None => {
                    let found = self.tails(reader, &topics, clock).await;
                    found.map_err(|error| self.fail(error, AUDITING))?
                }
            };
            // Without transactions data is acknowledged before its position is written.
            let allowed = sequence + u64::from(!self.settings.is_exactly_once());
            let wrong = match done {
                false => orphan(&found, Some(incarnation)),
                true => behind(&found, incarnation, allowed),
            };
            if let Some(error) = wrong {
                return Err(self.stop(error, AUDITING).await);
            }
        }
        self.audited = true;
        tracing::info!(
            position_topic = self.settings.position_topic(),
            sequence = known.map_or(0, |(_, sequence)| sequence),
            "the stored position was read and claimed"
        );
        Ok(stored)
    }

    /// A new producer, and the cluster's topics of this connector.
    async fn connect(&mut self, reader: &Arc<Reader>) -> Result<BTreeMap<String, i32>, Error> {
        let is_fresh = self.owner.is_fresh();
        self.owner.look(reader).await?;
        let producer = self.owner.init(&self.settings).await?;
        let position = self.settings.position_topic();
        let ensured = self.topics.ensure(&producer, &position, Purpose::Position, Some(1)).await;
        self.state = State::Ready(producer);
        ensured?;
        if !is_fresh {
            // What the engine still holds in memory is true only if nobody came between the look and the init.
            self.owner.confirm(reader).await?;
        }
        let (listing, prefix) = (Arc::clone(reader), format!("{}.", self.settings.name));
        let found = blocking(move || listing.topics(&prefix)).await?;
        self.topics.know(found.clone());
        Ok(found)
    }

    async fn read(&mut self, reader: &Arc<Reader>) -> Result<Result<(), Damage>, Error> {
        let records = self.owner.read(reader).await?;
        let together = self.settings.is_exactly_once();
        Ok(Contents::read(&records, together).map(|contents| self.contents = contents))
    }

    /// Proves that what was read is still true, then stops.
    async fn stop(&mut self, error: Error, doing: &'static str) -> Failure {
        match self.prove().await {
            Ok(()) => self.fail(error, doing),
            Err(unproven) => self.fail(unproven, CLAIMING),
        }
    }

    async fn tails(
        &self,
        reader: &Arc<Reader>,
        topics: &BTreeMap<String, i32>,
        clock: Clock,
    ) -> Result<Vec<Tail>, Error> {
        let (reader, topics) = (Arc::clone(reader), topics.clone());
        let (name, now_ms) = (Arc::clone(&self.settings.name), clock() / 1000);
        blocking(move || {
            let latest = reader.latest(&topics, now_ms, AUDITED)?;
            reader.tails(&name, &latest)
        })
        .await
    }

    fn counts(&self, topics: &BTreeMap<String, i32>) -> Result<(), Error> {
        for stored in self.contents.topics.values() {
            if let Some(found) = topics.get(&stored.name)
                && *found != stored.partitions
            {
                let (topic, stored) = (stored.name.clone(), stored.partitions);
                return Err(Error::PartitionsChanged { topic, found: *found, stored });
            }
        }
        Ok(())
    }
}

/// A record of this connector that no stored position knows of: of any incarnation if none is stored.
fn orphan(tails: &[Tail], incarnation: Option<u64>) -> Option<Error> {
    let ours = |tail: &&Tail| incarnation.is_none_or(|ours| ours == tail.stamp.incarnation);
    let tail = tails.iter().find(ours)?;
    let (topic, partition) = (tail.topic.clone(), tail.partition);
    Some(Error::Orphan { topic, partition, incarnation: tail.stamp.incarnation })
}

fn behind(tails: &[Tail], incarnation: u64, stored: u64) -> Option<Error> {
    let ahead =
        |tail: &&Tail| tail.stamp.incarnation == incarnation && tail.stamp.sequence > stored;
    let tail = tails.iter().find(ahead)?;
    let (topic, partition, found) = (tail.topic.clone(), tail.partition, tail.stamp.sequence);
    Some(Error::Behind { topic, partition, found, stored })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Stamp;

    fn tail(incarnation: u64, sequence: u64) -> Tail {
        let stamp = Stamp::new("shop", incarnation, sequence, 1);
        Tail { topic: "shop.public.orders".to_owned(), partition: 3, stamp }
    }

    #[test]
    fn records_without_a_position_are_orphans_of_their_incarnation() {
        let check = |tails: &[Tail], incarnation, expected: Option<u64>| {
            let found = orphan(tails, incarnation).map(|error| match error {
                Error::Orphan { incarnation, .. } => incarnation,
                other => panic!("{other}"),
            });
            assert_eq!(found, expected);
        };
        check(&[], None, None);
        check(&[tail(3, 9)], None, Some(3));
        check(&[tail(3, 9)], Some(4), None);
        check(&[tail(3, 9), tail(4, 1)], Some(4), Some(4));
    }

    #[test]
    fn a_sequence_above_the_stored_one_is_behind_in_its_incarnation() {
        let check = |tails: &[Tail], expected| {
            assert_eq!(behind(tails, 2, 10).is_some(), expected);
        };
        check(&[tail(2, 10)], false);
        check(&[tail(2, 10), tail(2, 11)], true);
        check(&[tail(1, 11)], false);
    }
}
