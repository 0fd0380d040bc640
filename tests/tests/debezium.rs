//! The same tables, followed by Debezium and by us: equal schemas and equal messages, but for what is declared.

use std::time::Duration;

use e2e::Result;
use e2e::connector::Connector;
use e2e::database::Database;
use e2e::debezium::{self, Connect, DIFFERENCES, Found};
use e2e::registry::Registry;
use e2e::sentinel::{self, Sentinel};
use e2e::stack::{Stack, fresh_name};
use e2e::topics::{Isolation, Topics};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_those_of_debezium() {
    let stack = Stack::from_environment().unwrap_or_else(|error| panic!("{error}"));
    let found = both(&stack).await.unwrap_or_else(|error| panic!("{error}"));
    let mut undeclared = Vec::new();
    let mut used = vec![0_usize; DIFFERENCES.len()];
    for found in &found {
        match DIFFERENCES.iter().position(|difference| difference.covers(found)) {
            Some(index) => used[index] += 1,
            None => undeclared.push(found),
        }
    }
    for (difference, used) in DIFFERENCES.iter().zip(&used) {
        println!("{used:>5} x {} {}: {}", difference.topic, difference.place, difference.reason);
    }
    let told: Vec<String> = undeclared.iter().map(|found| told(found)).collect();
    assert!(told.is_empty(), "{} undeclared differences:\n{}", told.len(), told.join("\n"));
    let idle: Vec<_> = DIFFERENCES.iter().zip(&used).filter(|(_, used)| **used == 0).collect();
    assert!(idle.is_empty(), "declared, but not there any more: {idle:?}");
}

fn told(found: &Found) -> String {
    let short = |text: &str| {
        let cut: String = text.chars().take(300).collect();
        if cut.len() < text.len() { format!("{cut}..") } else { cut }
    };
    format!(
        "{} {}\n    theirs {}\n    ours   {}",
        found.topic,
        found.place,
        short(&found.theirs),
        short(&found.ours)
    )
}

async fn both(stack: &Stack) -> Result<Vec<Found>> {
    let connect = stack.connect.as_ref().ok_or(
        "AFTERIMAGE_STACK_CONNECT is not set: this test needs Kafka Connect, run `cargo xtask test`",
    )?;
    let connect = Connect::of(connect);
    let native =
        stack.registry_native.as_ref().ok_or("AFTERIMAGE_STACK_REGISTRY_NATIVE is not set")?;
    let (ours, theirs) = (fresh_name("ours"), fresh_name("theirs"));
    let database = Database::create(stack, &ours).await?;
    database.run(include_str!("../debezium/tables.sql")).await?;
    let mut sentinel = Sentinel::create(stack, &database, &ours, false).await?;
    let topics = Topics::of(&stack.kafka);
    let mut their_registry = Registry::of(native);

    let settings = [("provide.transaction.metadata", "true")];
    connect.start(stack, &database, &theirs, &settings).await?;
    let config = toml::from_str("source.unknown_types = \"omit\"\nformat.transactions = true")?;
    let connector = Connector::new(stack, &ours, &database.url, &config)?;
    let mut running = connector.start()?;
    sentinel.streaming(&database, &mut running).await?;
    wait_for_theirs(&connect, &topics, &mut their_registry, &theirs, &database, 0).await?;
    for (round, sql) in
        [include_str!("../debezium/changes.sql"), include_str!("../debezium/schema_changes.sql")]
            .into_iter()
            .enumerate()
    {
        database.run(sql).await?;
        sentinel.caught_up(&database, &mut running).await?;
        wait_for_theirs(&connect, &topics, &mut their_registry, &theirs, &database, round + 1)
            .await?;
    }
    running.stop().await?;
    connect.delete(&theirs).await?;
    let mut their_messages = debezium::read(&topics, &mut their_registry, &theirs).await?;
    let mut our_messages =
        debezium::read(&topics, &mut Registry::of(&stack.registry), &ours).await?;
    for messages in [&mut their_messages, &mut our_messages] {
        messages.remove(sentinel::TABLE);
    }
    let found = debezium::compare(&their_messages, &our_messages, &theirs, &ours);
    for name in [&ours, &theirs] {
        topics.delete(&format!("{name}.")).await?;
    }
    topics.delete(&format!("__afterimage.{ours}")).await?;
    database.drop_it().await?;
    Ok(found)
}

/// Waits until Debezium has told the sentinel's present row; at first (round 0) until it tells any change of it.
async fn wait_for_theirs(
    connect: &Connect,
    topics: &Topics,
    registry: &mut Registry,
    name: &str,
    database: &Database,
    round: usize,
) -> Result<()> {
    let topic = sentinel::topic(name);
    for _ in 0..120 {
        connect.check(name).await?;
        let wanted = database.one(&format!("SELECT n FROM {}", sentinel::TABLE)).await?;
        let wanted: i64 = wanted.ok_or("no sentinel")?.parse()?;
        if round == 0 {
            // A change of its own, which is no change of the number.
            database.client.batch_execute(&format!("UPDATE {} SET n = n", sentinel::TABLE)).await?;
        }
        let records = topics.read(&topic, Isolation::ReadCommitted).await?;
        let count = records.len();
        if let Some(last) = records.into_iter().next_back() {
            let decoded = registry.decode(last).await?;
            let said = decoded.value.and_then(|value| value["after"]["n"].as_i64());
            if said == Some(wanted) && (round > 0 || count > 1) {
                return Ok(());
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
    Err("Debezium does not catch up".into())
}
