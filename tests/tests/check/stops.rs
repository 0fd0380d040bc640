//! Positions that cannot be gone on from: each stops with its code before anything is written, `check` says so too, and the
//! command that `explain` names mends it.

use std::time::Duration;

use e2e::Result;
use e2e::connector::Running;
use e2e::server::Server;
use e2e::stack::Stack;
use e2e::topics::Topics;
use tokio::time::sleep;

use crate::broken::explained;
use crate::rig::{Rig, harmless};

const AT_MOST: Duration = Duration::from_secs(60);

fn told(result: Result<()>) {
    result.unwrap_or_else(|error| panic!("{}", e2e::chain(&error)));
}

/// Runs until a new row is in Kafka, then ends in peace.
async fn run_once(rig: &Rig, id: u32) -> Result<()> {
    let mut running = rig.start()?;
    following(rig, &mut running).await?;
    rig.admin(&format!("INSERT INTO orders VALUES ({id}, 'run');")).await?;
    for _ in 0..300 {
        if rig.has(id).await? {
            return running.stop().await;
        }
        alive(&mut running)?;
        sleep(Duration::from_millis(100)).await;
    }
    Err(format!("the row does not arrive\n{}", running.tail()).into())
}

/// Waits until a session reads the slot.
async fn following(rig: &Rig, running: &mut Running) -> Result<()> {
    let sql = "SELECT 1 FROM pg_replication_slots WHERE active AND NOT temporary AND database = current_database()";
    for _ in 0..300 {
        if rig.database.one(sql).await?.is_some() {
            return Ok(());
        }
        alive(running)?;
        sleep(Duration::from_millis(100)).await;
    }
    Err(format!("nothing is followed\n{}", running.tail()).into())
}

fn alive(running: &mut Running) -> Result<()> {
    match running.ended()? {
        Some(status) => {
            Err(format!("the connector ended with {status}\n{}", running.tail()).into())
        }
        None => Ok(()),
    }
}

/// A run stops with `code`, says what it names, and leaves the database and all data as they were.
async fn stops(rig: &Rig, code: &str, names: &[String]) -> Result<()> {
    let before = rig.footprint().await?;
    let mut running = rig.start()?;
    let status = running.wait(AT_MOST).await?;
    let log = running.log().join("\n");
    harmless(&log)?;
    let last = running.log().pop().unwrap_or_default();
    let last: serde_json::Value = serde_json::from_str(&last).unwrap_or_default();
    let said = last["message"].as_str().unwrap_or_default();
    if status.code() != Some(1)
        || last["code"] != code
        || last["mend"].as_str().is_none_or(str::is_empty)
        || !names.iter().all(|name| said.contains(name))
    {
        return Err(
            format!("{code} with {names:?} was expected, {status}\n{}", running.tail()).into()
        );
    }
    let after = rig.footprint().await?;
    if before.database != after.database || before.records() != after.records() {
        return Err(format!("the stop changed something:\n{before:#?}\n{after:#?}").into());
    }
    let told = rig.check().await?;
    if told.status != 1 || !told.errors().contains(&code) {
        return Err(
            format!("`check` does not know that `run` stops with {code}:\n{}", told.out).into()
        );
    }
    Ok(())
}

/// `reset` is what `explain` names; behind it a run begins anew and follows again.
async fn reset_mends(rig: &Rig, code: &str, id: u32) -> Result<()> {
    let explained = explained(code).await?;
    if !explained.contains("`afterimage reset FILE`") {
        return Err(format!("another mend of {code}: {explained}").into());
    }
    let told = rig.call("reset", &["--yes"]).await?;
    if told.status != 0 {
        return Err(format!("`reset` failed: {told:#?}").into());
    }
    run_once(rig, id).await
}

fn slot(footprint: &crate::rig::Footprint) -> Result<String> {
    let slots = footprint.names("slot");
    let [slot] = slots[..] else { return Err(format!("one slot was expected: {slots:?}").into()) };
    Ok(slot.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_slot_is_a_gap() {
    told(
        async {
            let rig = Rig::new("stop_dropped").await?;
            run_once(&rig, 10).await?;
            let slot = slot(&rig.footprint().await?)?;
            rig.admin(&format!("SELECT pg_drop_replication_slot('{slot}');")).await?;
            stops(&rig, "gap", std::slice::from_ref(&slot)).await?;
            reset_mends(&rig, "gap", 11).await?;
            rig.clean().await
        }
        .await,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_was_made_again_is_a_gap() {
    told(
        async {
            let rig = Rig::new("stop_recreated").await?;
            run_once(&rig, 10).await?;
            let slot = slot(&rig.footprint().await?)?;
            rig.admin(&format!(
            "SELECT pg_drop_replication_slot('{slot}');\nINSERT INTO orders VALUES (20, 'lost');\n\
             SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput');"
        ))
        .await?;
            stops(&rig, "gap", std::slice::from_ref(&slot)).await?;
            reset_mends(&rig, "gap", 11).await?;
            rig.clean().await
        }
        .await,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_of_another_plug_in_under_our_name_cannot_be_used() {
    told(async {
        let rig = Rig::new("stop_plugin").await?;
        run_once(&rig, 10).await?;
        let slot = slot(&rig.footprint().await?)?;
        rig.admin(&format!(
            "SELECT pg_drop_replication_slot('{slot}');\nSELECT pg_create_logical_replication_slot('{slot}', 'test_decoding');"
        ))
        .await?;
        stops(&rig, "slot-unusable", &[slot.clone(), "test_decoding".to_owned()]).await?;
        reset_mends(&rig, "slot-unusable", 11).await?;
        rig.clean().await
    }
    .await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_without_a_position_is_an_orphan() {
    told(
        async {
            let rig = Rig::new("stop_orphan").await?;
            run_once(&rig, 10).await?;
            let slot = slot(&rig.footprint().await?)?;
            Topics::of(&rig.stack.kafka).delete(&format!("__afterimage.{}", rig.name)).await?;
            let topic = format!("{}.public.orders", rig.name);
            stops(&rig, "orphan", &[topic]).await?;
            let told = rig.check().await?;
            told.find("error", "orphan", &[slot])?;
            reset_mends(&rig, "orphan", 11).await?;
            rig.clean().await
        }
        .await,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_somebody_else_reads_is_in_use() {
    told(
        async {
            let rig = Rig::new("stop_in_use").await?;
            run_once(&rig, 10).await?;
            let slot = slot(&rig.footprint().await?)?;
            let mut holder = rig.hold(&slot).await?;
            let wanted =
                format!("SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{slot}'");
            let mut pid = None;
            for _ in 0..100 {
                pid = rig.database.one(&wanted).await?;
                if pid.is_some() {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
            let pid = pid.ok_or("nobody holds the slot")?;
            let before = rig.footprint().await?;
            let mut running = rig.start()?;
            let status = running.wait(AT_MOST).await?;
            let log = running.log().join("\n");
            harmless(&log)?;
            assert!(
                status.code() == Some(1) && log.contains("slot-in-use") && log.contains(&pid),
                "{log}"
            );
            assert_eq!(rig.footprint().await?.database, before.database);
            holder.kill().await?;
            run_once(&rig, 11).await?;
            rig.clean().await
        }
        .await,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_at_the_same_address_is_diverged() {
    told(another_server().await);
}

async fn another_server() -> Result<()> {
    const SETTINGS: &str = "wal_level = logical";
    let mut right = Server::start(SETTINGS).await?;
    let stack = right.stack(&Stack::from_environment()?).await?;
    let rig = Rig::on(&stack, "stop_other").await?;
    run_once(&rig, 10).await?;
    let wrong = {
        // The same roles, database, table and publication on a cluster of its own.
        let mut wrong = Server::start(SETTINGS).await?;
        let stack = wrong.stack(&Stack::from_environment()?).await?;
        rig.twin(&stack).await?;
        right.stop().await?;
        wrong.stand_in_for(&right).await?;
        wrong
    };
    let rig = rig.again().await?;
    stops(&rig, "diverged", &["system_identifier".to_owned()]).await?;
    assert!(explained("diverged").await?.contains("right server"));
    drop(wrong);
    right.resume().await?;
    let rig = rig.again().await?;
    run_once(&rig, 11).await?;
    rig.clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_and_drop_take_what_they_say_and_only_when_told() {
    told(removal().await);
}

async fn removal() -> Result<()> {
    let rig = Rig::new("stop_removal").await?;
    run_once(&rig, 10).await?;
    let before = rig.footprint().await?;
    let slot = slot(&before)?;
    let position = format!("__afterimage.{}", rig.name);
    let publication = format!("afterimage_{}", rig.name);
    // Nobody can be asked: nothing goes, but what would is shown.
    for (verb, arguments, shown) in [
        ("reset", &[][..], &[&slot, &position][..]),
        ("drop", &[], &[&slot, &position, &publication]),
        ("drop", &["--topics"], &[&slot, &format!("{}.public.orders", rig.name)]),
    ] {
        let told = rig.call(verb, arguments).await?;
        assert_eq!(told.status, 2, "{told:#?}");
        assert!(shown.iter().all(|what| told.out.contains(what.as_str())), "{verb}: {}", told.out);
        assert_eq!(rig.footprint().await?, before, "{verb}");
    }
    // A connector that runs is not robbed.
    let mut running = rig.start()?;
    following(&rig, &mut running).await?;
    for verb in ["reset", "drop"] {
        let told = rig.call(verb, &["--yes"]).await?;
        assert!(told.status == 1 && told.err.contains("slot-in-use"), "{verb}: {told:#?}");
    }
    running.stop().await?;
    // Reset: the slot goes, what was written and the publication stay, the next run copies again.
    let told = rig.call("reset", &["--yes"]).await?;
    assert_eq!(told.status, 0, "{told:#?}");
    let after = rig.footprint().await?;
    assert_eq!(after.names("slot"), Vec::<&str>::new());
    assert_eq!(
        (after.names("publication"), after.records()),
        (vec![publication.as_str()], before.records())
    );
    run_once(&rig, 11).await?;
    let rows = 4;
    assert_eq!(rig.footprint().await?.records(), before.records() + rows);
    // Drop: all that the connector made goes, what it wrote stays until that is wanted too.
    let told = rig.call("drop", &["--yes"]).await?;
    assert_eq!(told.status, 0, "{told:#?}");
    let after = rig.footprint().await?;
    assert_eq!((after.names("slot").len(), after.names("publication").len()), (0, 0));
    assert!(!after.topics.contains_key(&position) && after.records() == before.records() + rows);
    let told = rig.call("drop", &["--yes", "--topics"]).await?;
    assert_eq!(told.status, 0, "{told:#?}");
    assert!(rig.footprint().await?.topics.is_empty());
    let told = rig.call("drop", &["--yes", "--topics"]).await?;
    assert!(told.status == 0 && told.out.contains("nothing is left"), "{told:#?}");
    rig.clean().await
}
