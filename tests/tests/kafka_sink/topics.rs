//! Topics: how they are made, what goes where, and what the command line does with them.

use std::sync::Arc;
use std::time::Duration;

use change::{Column, Kind, Table, TableName};
use connector::{Finding, Severity, Sink};
use e2e::topics::Isolation;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use crate::rig::{At, Rig, at, broker, stored, target};

/// Partitions of three that Java's `Utils.toPositive(Utils.murmur2(key)) % 3` gives to `{"id":1}`, `{"id":2}` and
/// `{"id":21}`.
const JAVA: [i32; 3] = [0, 1, 0];

fn keyless() -> Table {
    Table {
        name: TableName::new("public", "logs"),
        columns: vec![
            Column::new("id", Kind::Int { bits: 32, signed: true }),
            Column::new("note", Kind::Text),
        ],
        key: vec![],
    }
}

/// One setting of a topic.
async fn setting(topic: &str, key: &str) -> String {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker()).create().expect("a client");
    let asked = [ResourceSpecifier::Topic(topic)];
    let answer = admin.describe_configs(&asked, &AdminOptions::new()).await.expect("answered");
    let resource = answer[0].as_ref().expect("a topic");
    resource.get(key).and_then(|entry| entry.value.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_as_configured_or_not_at_all() {
    let rig = Rig::new("sink_topics");
    let mut config = rig.config();
    config.topics.partitions = 5;
    let mut sink = rig.sink_with(config.clone());
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows(1..=50, "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    let orders = format!("{}.public.orders", rig.name);
    let position = format!("__afterimage.{}", rig.name);
    let listed = rig.topics.list(&orders).await.expect("listed");
    assert_eq!(listed[&orders].len(), 5);
    assert_eq!(rig.topics.list(&position).await.expect("listed")[&position].len(), 1);
    assert_eq!(setting(&orders, "cleanup.policy").await, "compact");
    assert_eq!(setting(&position, "cleanup.policy").await, "compact");
    assert_eq!(setting(&position, "max.message.bytes").await, "8388608");

    let other = Rig { orders: Arc::new(keyless()), ..Rig::new("sink_topics") };
    let mut sink = other.sink();
    sink.recover().await.expect("recovered");
    sink.write(&other.rows(1..=20, "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    assert_eq!(setting(&format!("{}.public.logs", other.name), "cleanup.policy").await, "delete");
    let records = other.records(Isolation::ReadCommitted).await;
    assert_eq!(records.len(), 20);
    assert!(records.iter().all(|record| record.partition == records[0].partition), "one partition");

    let forbidden = Rig::new("sink_topics");
    config.topics.create = false;
    let mut sink = forbidden.sink_with(config);
    let stopped = sink.recover().await.expect_err("no position topic");
    assert_eq!((stopped.code, stopped.is_definite()), ("topic-missing", true));
    rig.clean().await;
    other.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_stand_where_javas_clients_would_put_them() {
    let rig = Rig::new("sink_partitions");
    let mut sink = rig.sink();
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows([1, 2, 21], "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    let mut found: Vec<(String, i32)> = rig
        .records(Isolation::ReadCommitted)
        .await
        .into_iter()
        .map(|record| {
            (String::from_utf8(record.key.unwrap_or_default()).expect("text"), record.partition)
        })
        .collect();
    found.sort();
    let expected = [("{\"id\":1}", JAVA[0]), ("{\"id\":21}", JAVA[2]), ("{\"id\":2}", JAVA[1])];
    assert_eq!(found, expected.map(|(key, partition)| (key.to_owned(), partition)));
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_too_large_stops_with_its_table_and_key() {
    let rig = Rig::new("sink_large");
    let mut config = rig.config();
    config.record_bytes_max = 4096;
    let mut sink = rig.sink_with(config);
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows([1], "a")).await.expect("written");
    let stopped =
        sink.write(&rig.rows([77], &"secret ".repeat(1000))).await.expect_err("too large");
    assert_eq!((stopped.code, stopped.is_definite()), ("record-too-large", true));
    let text = stopped.source.to_string();
    assert!(text.contains("public.orders") && text.contains("{\"id\":77}"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(rig.records(Isolation::ReadCommitted).await, vec![]);
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_listed_and_dropped() {
    let rig = Rig::new("sink_drop");
    let mut sink = rig.sink();
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows([1], "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    let found = kafka_sink::peek::<At>(rig.config(), &rig.name).await.expect("read");
    assert_eq!(found, stored(1));
    sink.commit(&at(2)).await.expect("looking shuts out nobody");
    drop(sink);
    let listing = kafka_sink::list_topics(rig.config(), &rig.name).await.expect("listed");
    let (position, orders) =
        (format!("__afterimage.{}", rig.name), format!("{}.public.orders", rig.name));
    assert_eq!(listing.position.as_deref(), Some(position.as_str()));
    assert_eq!(listing.targets, std::slice::from_ref(&orders));
    let dropped = kafka_sink::drop_topics(rig.config(), &rig.name, true).await.expect("dropped");
    assert_eq!(dropped, [position, orders]);
    let left = async || kafka_sink::list_topics(rig.config(), &rig.name).await.expect("listed");
    while left().await != kafka_sink::Listing::default() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_changes_nothing_and_names_what_is_wrong() {
    let rig = Rig::new("sink_check");
    let topic = format!("{}.public.orders", rig.name);
    let found = kafka_sink::check(&rig.config(), &rig.name, &[target(&topic)]).await;
    let errors = |found: &[Finding]| -> Vec<&'static str> {
        let errors = found.iter().filter(|finding| finding.severity == Severity::Error);
        errors.map(|finding| finding.code).collect()
    };
    assert_eq!(errors(&found), [""; 0], "{found:?}");
    assert!(found.iter().any(|finding| finding.code == "topics-will-be-made"), "{found:?}");
    assert!(rig.topics.list(&rig.name).await.expect("listed").is_empty());
    assert!(
        rig.topics
            .list("__afterimage")
            .await
            .expect("listed")
            .keys()
            .all(|n| !n.ends_with(&rig.name))
    );

    let mut config = rig.config();
    config.topics.create = false;
    let found = kafka_sink::check(&config, &rig.name, &[target(&topic)]).await;
    assert_eq!(errors(&found), ["topic-missing"]);

    let mut config = rig.config();
    config.topics.replication_factor = 7;
    let found = kafka_sink::check(&config, &rig.name, &[target(&topic)]).await;
    assert_eq!(errors(&found), ["topic-missing", "topic-missing"], "{found:?}");

    let mut config = rig.config();
    config.brokers = vec!["127.0.0.1:1".to_owned()];
    let found = kafka_sink::check(&config, &rig.name, &[target(&topic)]).await;
    assert_eq!(errors(&found), ["brokers-unreachable"]);
    assert!(found[0].problem.contains("127.0.0.1:1"), "{found:?}");

    // A listener without encryption is asked for it.
    let mut config = rig.config();
    config.tls = Some(kafka_sink::Tls::default());
    let found = kafka_sink::check(&config, &rig.name, &[target(&topic)]).await;
    assert_eq!(errors(&found), ["tls-failed"], "{found:?}");
}
