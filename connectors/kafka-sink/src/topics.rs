//! Which topics there are, with how many partitions, and making those that are missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

use crate::CleanupPolicy;
use crate::error::Error;
use crate::producer::Producer;
use crate::settings::{Role, Settings};
use crate::watch::Watch;

/// What is known of the cluster's topics; asked for once each, through the producer.
pub(crate) struct Topics {
    settings: Settings,
    /// Makes topics; kept while there are some to make.
    admin: Option<Arc<AdminClient<Watch>>>,
    idle: bool,
    known: BTreeMap<String, i32>,
}

/// A topic that is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Position,
    /// Messages with keys.
    Keyed,
    Keyless,
}

impl Topics {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), admin: None, idle: true, known: BTreeMap::new() }
    }

    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }

    /// Lets the admin client go when it has not been used since the last call.
    pub(crate) fn relax(&mut self) {
        if self.idle {
            self.let_go();
        }
        self.idle = true;
    }

    /// The admin client's end waits for its thread.
    fn let_go(&mut self) {
        if let Some(admin) = self.admin.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn_blocking(move || drop(admin)));
        }
    }

    pub(crate) fn know(&mut self, topics: BTreeMap<String, i32>) {
        self.known.extend(topics);
    }

    /// Number of partitions of `topic`, made if it is missing and may be made. `stored`: how many it had when rows were
    /// last sent to it.
    pub(crate) async fn ensure(
        &mut self,
        producer: &Producer,
        topic: &str,
        purpose: Purpose,
        stored: Option<i32>,
    ) -> Result<i32, Error> {
        if let Some(partitions) = self.known.get(topic) {
            return Ok(*partitions);
        }
        let deadline = self.settings.deadline();
        let partitions = match producer.partitions(topic, deadline).await? {
            Some(partitions) => partitions,
            None => {
                self.make(topic, purpose, stored).await?;
                self.wait_for(producer, topic).await?
            }
        };
        if let Some(stored) = stored
            && stored != partitions
        {
            let topic = topic.to_owned();
            return Err(Error::PartitionsChanged { topic, found: partitions, stored });
        }
        self.known.insert(topic.to_owned(), partitions);
        Ok(partitions)
    }

    async fn make(
        &mut self,
        topic: &str,
        purpose: Purpose,
        stored: Option<i32>,
    ) -> Result<(), Error> {
        self.idle = false;
        let rules = &self.settings.config.topics;
        if !rules.create {
            return Err(Error::TopicMissing { topic: topic.to_owned() });
        }
        let shape = Shape::new(rules, purpose, stored);
        let policy = shape.policy();
        let (partitions, replicas) = (shape.partitions, shape.replicas);
        let admin = self.admin()?;
        let options = AdminOptions::new()
            .operation_timeout(Some(self.settings.deadline()))
            .request_timeout(Some(self.settings.deadline()));
        let made = admin.create_topics(&[shape.topic(topic)], &options).await?;
        match made.into_iter().next() {
            Some(Ok(_)) => {
                tracing::info!(topic, partitions, replicas, cleanup_policy = policy, "topic made");
            }
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {}
            Some(Err((_, code))) => {
                return Err(match code {
                    RDKafkaErrorCode::OperationTimedOut
                    | RDKafkaErrorCode::RequestTimedOut
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::NotController
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                        KafkaError::AdminOp(code).into()
                    }
                    code => Error::TopicRefused { topic: topic.to_owned(), code },
                });
            }
            None => return Err(Error::Hung),
        }
        Ok(())
    }

    /// Making returns when the controller knows the topic; the broker that is asked next may learn of it later.
    async fn wait_for(&self, producer: &Producer, topic: &str) -> Result<i32, Error> {
        let deadline = self.settings.deadline();
        let until = Instant::now() + deadline;
        loop {
            if let Some(partitions) = producer.partitions(topic, deadline).await? {
                return Ok(partitions);
            }
            if Instant::now() >= until {
                return Err(Error::Deadline);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    fn admin(&mut self) -> Result<Arc<AdminClient<Watch>>, Error> {
        if let Some(admin) = &self.admin {
            return Ok(Arc::clone(admin));
        }
        let client = self.settings.client(Role::Admin);
        let admin = Arc::new(client.create_with_context(Watch::default())?);
        self.admin = Some(Arc::clone(&admin));
        Ok(admin)
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// How a topic is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) partitions: i32,
    pub(crate) replicas: i32,
    settings: Vec<(&'static str, &'static str)>,
}

impl Shape {
    pub(crate) fn new(rules: &crate::TopicRules, purpose: Purpose, stored: Option<i32>) -> Self {
        let replicas = rules.replication_factor;
        if purpose == Purpose::Position {
            // One partition, so that nobody else's open transaction can hide our record; small segments and an eager
            // cleaner, so that a start reads little.
            let settings = vec![
                ("cleanup.policy", "compact"),
                ("segment.bytes", "16777216"),
                ("min.cleanable.dirty.ratio", "0.1"),
                ("max.compaction.lag.ms", "600000"),
                ("max.message.bytes", "8388608"),
                ("retention.ms", "-1"),
                ("retention.bytes", "-1"),
            ];
            return Self { partitions: 1, replicas, settings };
        }
        let default = match purpose {
            Purpose::Keyed => CleanupPolicy::Compact,
            Purpose::Keyless | Purpose::Position => CleanupPolicy::Delete,
        };
        let policy = rules.cleanup_policy.unwrap_or(default);
        let partitions = stored.unwrap_or(rules.partitions);
        Self { partitions, replicas, settings: vec![("cleanup.policy", policy.name())] }
    }

    fn policy(&self) -> &'static str {
        self.settings[0].1
    }

    pub(crate) fn topic<'a>(&self, name: &'a str) -> NewTopic<'a> {
        let topic = NewTopic::new(name, self.partitions, TopicReplication::Fixed(self.replicas));
        self.settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicRules;

    #[test]
    fn topics_are_made_as_configured() {
        let check = |rules: &TopicRules, purpose, stored, partitions, policy| {
            let shape = Shape::new(rules, purpose, stored);
            assert_eq!((shape.partitions, shape.policy()), (partitions, policy));
        };
        let plain = TopicRules::default();
        check(&plain, Purpose::Keyed, None, -1, "compact");
        check(&plain, Purpose::Keyless, None, -1, "delete");
        check(&plain, Purpose::Keyed, Some(4), 4, "compact");
        let both = TopicRules {
            partitions: 6,
            cleanup_policy: Some(CleanupPolicy::CompactDelete),
            ..TopicRules::default()
        };
        check(&both, Purpose::Keyless, None, 6, "compact,delete");
        check(&both, Purpose::Position, None, 1, "compact");
    }
}
