//! A registry that cannot answer for a while holds the position back and loses nothing; one that refuses a schema stops the
//! connector, in its own words.

use std::time::Duration;

use e2e::Result;
use e2e::connector::Running;
use e2e::gate::Gate;
use e2e::registry::Registry;
use e2e::stack::Stack;
use tokio::time::sleep;

use crate::rig::{Rig, once, passed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_registry_does_not_answer_the_position_stands_still() {
    passed(waiting().await);
}

async fn waiting() -> Result<()> {
    let registry = Stack::from_environment()?.registry;
    let (server, path) =
        registry.trim_start_matches("http://").split_once('/').ok_or("a registry with a path")?;
    let gate = Gate::to(server, None).await?;
    let url = format!("http://127.0.0.1:{}/{path}", gate.port);
    let mut rig = Rig::new("patience", &format!("format.registry = '{url}'")).await?;
    let mut running = rig.connector.start()?;
    rig.sentinel.streaming(&rig.database, &mut running).await?;
    let mut expected = vec!["r 1".to_owned(), "r 2".to_owned(), "r 3".to_owned()];
    for (column, answer) in [
        ("b", "503 Service Unavailable"),
        ("c", "429 Too Many Requests\r\nretry-after: 1"),
        ("d", "500 Internal Server Error"),
    ] {
        let id = expected.len() + 1;
        gate.answer(Some(answer));
        // A new schema, which must be asked for, in one transaction with rows of the known one.
        let sql = format!(
            "BEGIN; INSERT INTO orders VALUES ({id}, 'x'); ALTER TABLE orders ADD COLUMN {column} int; \
             INSERT INTO orders VALUES ({}, 'y'); COMMIT;",
            id + 1
        );
        rig.database.client.batch_execute(&sql).await?;
        asked_again(&gate, &mut running).await?;
        // What was committed before is stored by now; from here on nothing is.
        let (positions, told) = (rig.positions().await?, rig.told().await?);
        asked_again(&gate, &mut running).await?;
        assert_eq!(rig.positions().await?, positions, "{answer}: the position moved");
        assert_eq!(rig.told().await?, told, "{answer}: a part of the transaction is visible");
        gate.answer(None);
        expected.extend([format!("c {id}"), format!("c {}", id + 1)]);
        rig.sentinel.caught_up(&rig.database, &mut running).await?;
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert_eq!(rig.told().await?, once(&expected), "{answer}");
    }
    running.stop().await?;
    rig.clean().await
}

/// Waits for three more questions.
async fn asked_again(gate: &Gate, running: &mut Running) -> Result<()> {
    let (before, _) = gate.counts();
    for _ in 0..600 {
        if gate.counts().0 >= before + 3 {
            return Ok(());
        }
        if let Some(status) = running.ended()? {
            return Err(format!("the connector ended with {status}\n{}", running.tail()).into());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(format!("the registry is not asked again\n{}", running.tail()).into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_the_registry_refuses_stops_in_its_own_words() {
    passed(refused().await);
}

async fn refused() -> Result<()> {
    let mut rig = Rig::new("refused", "").await?;
    let mut running = rig.connector.start()?;
    rig.sentinel.streaming(&rig.database, &mut running).await?;
    rig.sentinel.caught_up(&rig.database, &mut running).await?;
    let subject = format!("{}.public.orders-value", rig.name);
    Registry::of(&rig.stack.registry).set_compatibility(&subject, "BACKWARD").await?;
    rig.database
        .run("INSERT INTO orders VALUES (4, 'd');\nALTER TABLE orders ALTER note TYPE int USING 0;\nINSERT INTO orders VALUES (5, 1);")
        .await?;
    let status = running.wait(Duration::from_secs(60)).await?;
    let last: serde_json::Value =
        serde_json::from_str(&running.log().pop().unwrap_or_default()).unwrap_or_default();
    assert!(
        status.code() == Some(1) && last["code"] == "schema-incompatible",
        "{}",
        running.tail()
    );
    let said = last["message"].as_str().unwrap_or_default();
    assert!(said.contains(&subject), "the subject: {said}");
    assert!(said.contains("(status 409)") || said.contains("(status 422)"), "{said}");
    assert!(said.to_lowercase().contains("incompatible"), "the registry's own words: {said}");
    assert_eq!(rig.told().await?, once(&["r 1", "r 2", "r 3", "c 4"]));
    // As `explain` says: loosened for this one version, it goes on where it stood.
    Registry::of(&rig.stack.registry).set_compatibility(&subject, "NONE").await?;
    let mut running = rig.connector.start()?;
    rig.sentinel.caught_up(&rig.database, &mut running).await?;
    running.stop().await?;
    assert_eq!(rig.told().await?, once(&["r 1", "r 2", "r 3", "c 4", "c 5"]));
    rig.clean().await
}
