//! Looks for all that would keep the sink from starting, or weaken what it promises, without changing anything.
//!
//! Whether the cluster lets us write a topic or use our transactional id cannot be asked without doing it, and using the
//! id would shut out a running connector; a missing right of that kind is told by its code at the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connector::Finding;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::Metadata;
use tokio::net::TcpStream;

use crate::error::Error;
use crate::manage;
use crate::position::{Contents, RECORD_BYTES_MAX};
use crate::reader::{Reader, blocking};
use crate::settings::{Role, Settings};
use crate::topics::{Purpose, Shape};
use crate::watch::Watch;
use crate::{Config, Tls};

const CONNECT: Duration = Duration::from_secs(5);
/// Topics asked for in one request.
const ASKED: usize = 200;
/// Names shown of many.
const SHOWN: usize = 5;

/// A topic that the connector will write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub topic: String,
    /// Its messages carry keys.
    pub keyed: bool,
}

type Settled = BTreeMap<String, String>;

/// All that can be known before the start. Never waits longer than about 20 s for a cluster that does not answer.
pub async fn check(config: &Config, name: &str, targets: &[Target]) -> Vec<Finding> {
    let mut config = config.clone();
    config.deadline_ms = config.deadline_ms.min(10_000);
    let settings = match Settings::new(name, config) {
        Ok(settings) => settings,
        Err(errors) => {
            let found = |error: crate::ConfigError| {
                Finding::error("config", error.to_string(), "correct it in the [sink] table")
            };
            return errors.into_iter().map(found).collect();
        }
    };
    let mut findings = Vec::new();
    if let Some(tls) = settings.config.encryption() {
        findings.extend(files(tls));
    }
    let brokers = brokers(&settings.config.brokers).await;
    let nobody = brokers.len() == settings.config.brokers.len();
    findings.extend(brokers);
    if nobody || findings.iter().any(|finding| finding.code == "tls-file") {
        return findings;
    }
    match Cluster::connect(&settings).await {
        Ok(cluster) => findings.extend(cluster.check(targets).await),
        Err(error) => findings.push(failed(error)),
    }
    findings
}

fn files(tls: &Tls) -> Vec<Finding> {
    let files = [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)];
    let unreadable = files.into_iter().filter_map(|(key, file)| {
        let file = file.as_ref()?;
        let error = std::fs::File::open(file).err()?;
        let problem = format!("the file of tls.{key}, {}, cannot be read: {error}", file.display());
        Some(Finding::error("tls-file", problem, format!("correct tls.{key} in the [sink] table")))
    });
    unreadable.collect()
}

/// Those of the configured brokers that take no connection.
async fn brokers(addresses: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in addresses {
        let problem = match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", CONNECT.as_secs()),
        };
        let problem = format!("the broker {address} cannot be reached: {problem}");
        let mend = "start it, or correct brokers in the [sink] table";
        findings.push(Finding::error("brokers-unreachable", problem, mend));
    }
    if findings.len() < addresses.len() {
        for finding in &mut findings {
            finding.severity = connector::Severity::Warning;
        }
    }
    findings
}

/// An error as the finding that `run` would stop with.
fn failed(error: Error) -> Finding {
    let mend = match &error {
        Error::Unreachable { problem: Some(problem), .. } => match problem.name() {
            "not-authenticated" => {
                "correct sasl in the [sink] table, or make the user on the brokers"
            }
            "tls-failed" => {
                "correct tls in the [sink] table: the authority must be the brokers' own"
            }
            _ => "see that brokers and tls in the [sink] table fit the listener that they name",
        },
        _ => "see the broker's log",
    };
    let problem = error.to_string();
    let failure = error.failing("checking the brokers");
    Finding::error(failure.code, problem, mend)
}

struct Cluster {
    settings: Settings,
    admin: Arc<AdminClient<Watch>>,
    reader: Arc<Reader>,
    metadata: Metadata,
}

impl Cluster {
    async fn connect(settings: &Settings) -> Result<Self, Error> {
        let made = settings.clone();
        let (reader, metadata) = blocking(move || {
            let reader = Reader::new(&made)?;
            let metadata = reader.metadata(None)?;
            Ok((reader, metadata))
        })
        .await?;
        let admin = settings.client(Role::Admin).create_with_context(Watch::default())?;
        Ok(Self {
            settings: settings.clone(),
            admin: Arc::new(admin),
            reader: Arc::new(reader),
            metadata,
        })
    }

    async fn check(self, targets: &[Target]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let broker = match self.broker().await {
            Ok(broker) => {
                findings.extend(self.judge_broker(&broker));
                broker
            }
            Err(finding) => {
                findings.push(*finding);
                Settled::new()
            }
        };
        let position = Target { topic: self.settings.position_topic(), keyed: true };
        let (present, missing): (Vec<_>, Vec<_>) =
            targets.iter().chain([&position]).partition(|target| self.partitions(target).is_some());
        findings.extend(self.present(&present).await);
        findings.extend(self.missing(&missing, &broker).await);
        findings.extend(self.stored().await);
        // Their ends wait for threads.
        let _ = blocking(move || {
            drop(self);
            Ok(())
        })
        .await;
        findings
    }

    fn partitions(&self, target: &Target) -> Option<usize> {
        let topic = self.metadata.topics().iter().find(|topic| topic.name() == target.topic)?;
        let known = topic.error().is_none();
        known.then(|| topic.partitions().len()).filter(|partitions| *partitions > 0)
    }

    /// The first broker's settings; they are expected to be equal on all.
    async fn broker(&self) -> Result<Settled, Box<Finding>> {
        let denied = |problem: String| {
            Box::new(Finding::warning(
                "not-authorized",
                format!(
                    "the brokers' settings cannot be read ({problem}), so they are not checked"
                ),
                "allow DescribeConfigs on the cluster for this user, or check by hand that \
                 transaction.partition.verification.enable is true on every broker",
            ))
        };
        let Some(broker) = self.metadata.brokers().first() else {
            return Err(denied("none is known".to_owned()));
        };
        let asked = [ResourceSpecifier::Broker(broker.id())];
        let answer = self.admin.describe_configs(&asked, &AdminOptions::new()).await;
        let answer = answer.map_err(|error| denied(Error::from(error).to_string()))?;
        match answer.into_iter().next() {
            Some(Ok(resource)) => Ok(settled(&resource)),
            Some(Err(code)) => Err(denied(code.to_string())),
            None => Err(denied("no answer".to_owned())),
        }
    }

    fn judge_broker(&self, broker: &Settled) -> Vec<Finding> {
        judge_broker(&self.settings, broker, self.metadata.brokers().len())
    }

    async fn present(&self, targets: &[&Target]) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut findings = Vec::new();
        for targets in targets.chunks(ASKED) {
            let asked: Vec<_> =
                targets.iter().map(|target| ResourceSpecifier::Topic(&target.topic)).collect();
            match self.admin.describe_configs(&asked, &AdminOptions::new()).await {
                Ok(answers) => {
                    for resource in answers.into_iter().flatten() {
                        if let OwnedResourceSpecifier::Topic(name) = &resource.specifier
                            && let Some(target) =
                                targets.iter().find(|target| target.topic == *name)
                        {
                            let copies = self.copies(name);
                            found.push(((*target).clone(), copies, settled(&resource)));
                        }
                    }
                }
                Err(error) => findings.push(failed(error.into())),
            }
        }
        findings.extend(judge_topics(&self.settings, &found));
        if let Some(partitions) = targets
            .iter()
            .find(|target| target.topic == self.settings.position_topic())
            .and_then(|target| self.partitions(target))
            && partitions != 1
        {
            let topic = self.settings.position_topic();
            let problem = format!("the position topic {topic} has {partitions} partitions");
            let mend = format!("delete {topic}; it is made again with one");
            findings.push(Finding::error("partitions-changed", problem, mend));
        }
        findings
    }

    /// The fewest copies of any partition.
    fn copies(&self, topic: &str) -> usize {
        let topic = self.metadata.topics().iter().find(|found| found.name() == topic);
        let partitions = topic.map(|topic| topic.partitions()).unwrap_or_default();
        let copies = partitions.iter().filter(|partition| partition.error().is_none());
        copies.map(|partition| partition.replicas().len()).min().unwrap_or(0)
    }

    async fn missing(&self, targets: &[&Target], broker: &Settled) -> Vec<Finding> {
        if targets.is_empty() {
            return Vec::new();
        }
        let rules = &self.settings.config.topics;
        if !rules.create {
            let problem = format!("{} do not exist and may not be made", some(targets));
            let mend = "make them, or set create = true in [sink.topics]";
            return vec![Finding::error("topic-missing", problem, mend)];
        }
        let mut findings = vec![self.will_make(targets, broker)];
        let options = AdminOptions::new().validate_only(true).operation_timeout(Some(CONNECT));
        for targets in targets.chunks(ASKED) {
            let shapes: Vec<_> =
                targets.iter().map(|target| (*target, self.shape(target))).collect();
            let topics: Vec<NewTopic<'_>> =
                shapes.iter().map(|(target, shape)| shape.topic(&target.topic)).collect();
            match self.admin.create_topics(&topics, &options).await {
                Ok(answers) => {
                    let refused = answers.into_iter().filter_map(Result::err);
                    findings.extend(refused.filter_map(|(topic, code)| refusal(&topic, code)));
                }
                Err(error) => findings.push(failed(error.into())),
            }
        }
        findings
    }

    fn shape(&self, target: &Target) -> Shape {
        let purpose = match target.keyed {
            _ if target.topic == self.settings.position_topic() => Purpose::Position,
            true => Purpose::Keyed,
            false => Purpose::Keyless,
        };
        Shape::new(&self.settings.config.topics, purpose, None)
    }

    fn will_make(&self, targets: &[&Target], broker: &Settled) -> Finding {
        let rules = &self.settings.config.topics;
        let or = |value: i32, setting: &str| match value {
            -1 => match broker.get(setting) {
                Some(value) => format!("{value} (the broker's {setting})"),
                None => format!("the broker's {setting}"),
            },
            value => value.to_string(),
        };
        let policy = match rules.cleanup_policy {
            Some(policy) => policy.name(),
            None => "compact with a key, delete without",
        };
        let problem = format!(
            "{} will be made: partitions {}, replication factor {}, cleanup policy {policy}",
            some(targets),
            or(rules.partitions, "num.partitions"),
            or(rules.replication_factor, "default.replication.factor"),
        );
        Finding::note("topics-will-be-made", problem)
    }

    /// What is stored can be read, and the topics are as they were.
    async fn stored(&self) -> Vec<Finding> {
        let (reader, settings) = (Arc::clone(&self.reader), self.settings.clone());
        let records = match blocking(move || manage::read(&reader, &settings)).await {
            Ok(Some(records)) => records,
            Ok(None) => return Vec::new(),
            Err(error) => return vec![failed(error)],
        };
        let contents = match Contents::<serde_json::Value>::read(&records, false) {
            Ok(contents) => contents,
            Err(damage) => {
                let problem = format!("{}: {damage}", self.settings.position_topic());
                let mend = "`afterimage reset` forgets the position and copies again";
                return vec![Finding::error("position-corrupt", problem, mend)];
            }
        };
        let changed = contents.topics.values().filter_map(|stored| {
            let target = Target { topic: stored.name.clone(), keyed: true };
            let found = i32::try_from(self.partitions(&target)?).ok()?;
            (found != stored.partitions).then(|| {
                let (topic, stored) = (stored.name.clone(), stored.partitions);
                let problem = Error::PartitionsChanged { topic, found, stored }.to_string();
                Finding::error(
                    "partitions-changed",
                    problem,
                    "recreate it with as many as before, or begin anew with `afterimage reset`",
                )
            })
        });
        changed.collect()
    }
}

fn settled(resource: &ConfigResource) -> Settled {
    let entries = resource.entries.iter();
    entries.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
}

fn number(settled: &Settled, key: &str) -> Option<i64> {
    settled.get(key)?.parse().ok()
}

fn judge_broker(settings: &Settings, broker: &Settled, brokers: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    if settings.is_exactly_once() {
        let verifies = "transaction.partition.verification.enable";
        match broker.get(verifies).map(String::as_str) {
            Some("true") => {}
            Some(_) => findings.push(Finding::error(
                "verification-off",
                format!("the brokers run with {verifies} = false: a late request can open a transaction that never ends"),
                format!("set {verifies} = true on every broker"),
            )),
            None => findings.push(Finding::error(
                "broker-version",
                format!("the brokers do not know {verifies}: they are older than Kafka 3.6"),
                "upgrade them, or set delivery = \"at-least-once\"",
            )),
        }
        let ours = i64::from(settings.config.transaction_timeout_ms);
        if let Some(most) = number(broker, "transaction.max.timeout.ms")
            && ours > most
        {
            findings.push(Finding::error(
                "transaction-timeout",
                format!("transaction_timeout_ms is {ours}, and the brokers' transaction.max.timeout.ms {most}"),
                format!("set transaction_timeout_ms = {most}"),
            ));
        }
        let log = "transaction.state.log";
        if number(broker, &format!("{log}.replication.factor")).is_some_and(|copies| copies < 3)
            || number(broker, &format!("{log}.min.isr")).is_some_and(|copies| copies < 2)
        {
            findings.push(Finding::warning(
                "few-copies",
                "the log of transactions has fewer than three copies or two in sync: losing a broker can lose the \
                 outcome of a commit",
                format!("{log}.replication.factor = 3 and {log}.min.isr = 2 on the brokers"),
            ));
        }
    }
    if brokers < 3 {
        findings.push(Finding::warning(
            "few-copies",
            format!("the cluster has {brokers} broker(s): a topic cannot have three copies"),
            "three brokers, for everything that must survive one",
        ));
    }
    if let Some(most) = number(broker, "message.max.bytes")
        && most < i64::from(settings.config.record_bytes_max)
        && settings.config.topics.create
    {
        let ours = settings.config.record_bytes_max;
        findings.push(Finding::warning(
            "record-too-large",
            format!(
                "topics are made with max.message.bytes = {most}, and records may have {ours} bytes"
            ),
            format!("set record_bytes_max = {most}, or raise message.max.bytes on the brokers"),
        ));
    }
    findings
}

/// `found`: each topic with its copies and its settings.
fn judge_topics(settings: &Settings, found: &[(Target, usize, Settled)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let position = settings.position_topic();
    let named = |which: &dyn Fn(&Target, usize, &Settled) -> bool| -> Vec<&Target> {
        let matching = found.iter().filter(|(target, copies, of)| which(target, *copies, of));
        matching.map(|(target, ..)| target).collect()
    };
    let policy = |of: &Settled| of.get("cleanup.policy").cloned().unwrap_or_default();
    let few = named(&|_, copies, of| {
        copies < 3 || number(of, "min.insync.replicas").is_some_and(|least| least < 2)
    });
    if !few.is_empty() {
        let problem = format!(
            "{} have fewer than three copies or need fewer than two in sync: losing a broker can lose records",
            some(&few)
        );
        let mend = "a replication factor of 3 and min.insync.replicas = 2";
        findings.push(Finding::warning("few-copies", problem, mend));
    }
    let compacted = named(&|target, _, of| !target.keyed && policy(of).contains("compact"));
    if !compacted.is_empty() {
        let problem = format!("{} are compacted, but their tables have no key", some(&compacted));
        let mend = "set cleanup.policy=delete on these topics, or give the tables a primary key";
        findings.push(Finding::error("keyless-compacted", problem, mend));
    }
    let forgetful = named(&|target, _, of| target.topic == position && policy(of) != "compact");
    if !forgetful.is_empty() {
        let problem =
            format!("the position topic {position} is not only compacted: it would be forgotten");
        let mend = format!("set cleanup.policy=compact on {position}");
        findings.push(Finding::error("position-policy", problem, mend));
    }
    let small = named(&|target, _, of| {
        let ours = match target.topic == position {
            true => i64::from(RECORD_BYTES_MAX),
            false => i64::from(settings.config.record_bytes_max),
        };
        number(of, "max.message.bytes").is_some_and(|most| most < ours)
    });
    if !small.is_empty() {
        let problem = format!("{} take smaller records than may be sent", some(&small));
        let mend = format!(
            "set max.message.bytes to record_bytes_max ({}) or more; on {position} to {RECORD_BYTES_MAX}",
            settings.config.record_bytes_max
        );
        findings.push(Finding::warning("record-too-large", problem, mend));
    }
    findings
}

fn refusal(topic: &str, code: RDKafkaErrorCode) -> Option<Finding> {
    let problem = format!("the topic {topic} cannot be made: {code}");
    let finding = |code, mend: &str| Some(Finding::error(code, problem.clone(), mend));
    match code {
        // Made by somebody else since we looked.
        RDKafkaErrorCode::TopicAlreadyExists => None,
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => finding(
            "not-authorized",
            "allow Create on the topic or the cluster for this user, or make the topic",
        ),
        RDKafkaErrorCode::InvalidReplicationFactor => finding(
            "topic-missing",
            "set replication_factor in [sink.topics] to the number of brokers or fewer",
        ),
        _ => finding("topic-missing", "make the topic, or change [sink.topics]"),
    }
}

/// `topic a`, `topics a, b`, `7 topics (a, b, c, d, e, ..)`
fn some(targets: &[&Target]) -> String {
    let names: Vec<&str> = targets.iter().take(SHOWN).map(|target| target.topic.as_str()).collect();
    let names = names.join(", ");
    match targets.len() {
        1 => format!("topic {names}"),
        count if count <= SHOWN => format!("topics {names}"),
        count => format!("{count} topics ({names}, ..)"),
    }
}

#[cfg(test)]
mod tests;
