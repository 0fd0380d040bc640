use std::time::Duration;

use connector::{Mark, Open, Resume, Source, TableState, durable, outlet};
use postgres_replication::Lsn;
use postgres_source::{PostgresPosition, PostgresSource};
use tokio::time::timeout;

use crate::rig::{Fixture, PATIENCE, code, events, first, follow, wait_active};

/// A cut at every mark of a large transaction: what was sent before and what is sent after are the transaction.
#[tokio::test]
async fn a_transaction_cut_anywhere_goes_on_behind_what_was_sent() {
    let mut db = Fixture::new("cut").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY)")
        .await;
    let mut source = db.source(r#", "exclude": ["public.other"], "manage_publication": false"#);
    let publication = format!("afterimage_{}", db.database);
    db.run(&format!(
        "CREATE PUBLICATION {publication} FOR ALL TABLES WITH (publish_via_partition_root = true)"
    ))
    .await;
    let (mut kept, _) = first(&mut source, false).await;
    db.run("INSERT INTO t VALUES (-1, 'before')").await;
    db.run(
        "BEGIN; INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 2000) i; INSERT INTO other VALUES (1); \
         UPDATE t SET id = -id - 10 WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0; COMMIT",
    )
    .await;
    db.run("INSERT INTO t VALUES (-2, 'after')").await;
    let end = db.end_of_log().await;
    let whole = follow(&mut source, &kept, kept.at(), Some(end)).await;
    assert!(whole.stopped.is_ok(), "{:?}", whole.stopped);
    assert!(whole.events.len() > 2400, "{}", whole.events.len());
    let mut from = kept.at().from;
    let mut sent = 0;
    let mut cuts = 0;
    for (batch, mark) in &whole.batches {
        sent += batch.len();
        let open = match mark {
            Mark::Commit(position) => {
                from = *position;
                continue;
            }
            Mark::Within(open) => open.clone(),
        };
        cuts += 1;
        kept.stored.at = Some(from);
        kept.stored.open = Some(open.clone());
        let mut source = db.source(r#", "exclude": ["public.other"], "manage_publication": false"#);
        source.open(Some(&kept.stored)).await.unwrap();
        let rest = follow(&mut source, &kept, kept.at(), Some(end)).await;
        assert!(rest.stopped.is_ok(), "{:?}", rest.stopped);
        assert_eq!(rest.events, whole.events[sent..], "cut {open:?}");
        // a hash that does not fit stops before anything is sent
        let wrong = Open { hash: open.hash ^ 1, ..open };
        let stopped =
            follow(&mut source, &kept, Resume { from, open: Some(wrong) }, Some(end)).await;
        assert_eq!(code(&stopped.stopped), Some("replay-mismatch"));
        assert!(stopped.events.is_empty());
    }
    assert!(cuts > 2, "{cuts}");
    db.finish().await;
}

#[tokio::test]
async fn only_what_is_durable_is_confirmed() {
    let mut db = Fixture::new("durable").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut source = db.source("");
    let (kept, pinned) = first(&mut source, false).await;
    let confirmed =
        "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()";
    let (out, mut queue) = outlet(1 << 20);
    let (sender, durable) = durable(pinned.at);
    let tables = kept.tables();
    db.run("INSERT INTO t VALUES (1)").await;
    let body = async {
        let item = queue.recv().await.unwrap();
        assert_eq!(events(&item.batch), ["t c 1"]);
        let Mark::Commit(first) = item.mark else { panic!("a commit") };
        tokio::time::sleep(Duration::from_secs(7)).await;
        let now: Lsn = db.value(confirmed).await.parse().unwrap();
        assert_eq!(now, pinned.at.lsn, "nothing is durable yet");
        sender.set(first);
        tokio::time::sleep(Duration::from_secs(7)).await;
        let now: Lsn = db.value(confirmed).await.parse().unwrap();
        assert_eq!(now, first.lsn);
        // an idle stretch of log is told too
        db.run(
            "CREATE TABLE elsewhere (id int); INSERT INTO elsewhere SELECT generate_series(1, 100)",
        )
        .await;
        let end = db.end_of_log().await;
        loop {
            let item = queue.recv().await.unwrap();
            assert!(item.batch.is_empty());
            let Mark::Commit(position) = item.mark else { panic!("a commit") };
            if position.lsn >= end {
                break;
            }
        }
    };
    tokio::select! {
        stopped = source.stream(kept.at(), &tables, None, out, durable) => panic!("{stopped:?}"),
        done = timeout(PATIENCE, body) => done.expect("in time"),
    }
    db.finish().await;
}

#[tokio::test]
async fn a_position_that_the_server_cannot_serve_is_refused() {
    let mut db = Fixture::new("gap").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut source = db.source("");
    let (kept, pinned) = first(&mut source, false).await;
    drop(source);
    let mut source = db.source("");
    let opened = source.open(Some(&kept.stored)).await;
    assert!(opened.is_ok(), "{opened:?}");
    // no position, but a slot
    assert_eq!(code(&source.open(None).await), Some("orphan"));
    let mut intent = kept.stored.clone();
    intent.at = None;
    assert!(
        source.open(Some(&intent)).await.is_ok(),
        "the slot of a stored intent is none of a stranger"
    );
    // a position of another server, of another time
    let mut other = kept.stored.clone();
    other.identity.0.insert("system_identifier".into(), "1".into());
    assert_eq!(code(&source.open(Some(&other)).await), Some("diverged"));
    let mut ahead = kept.stored.clone();
    ahead.at = Some(PostgresPosition { lsn: Lsn(pinned.at.lsn.0 + (1 << 40)), timeline: 1 });
    assert_eq!(code(&source.open(Some(&ahead)).await), Some("diverged"));
    let mut line = kept.stored.clone();
    line.at = Some(PostgresPosition { timeline: 9, ..pinned.at });
    assert_eq!(code(&source.open(Some(&line)).await), Some("diverged"));
    let mut renamed = db.source(r#", "slot": "another""#);
    assert_eq!(code(&renamed.open(Some(&kept.stored)).await), Some("slot-renamed"));
    // somebody else moved the slot
    db.run("INSERT INTO t VALUES (1)").await;
    let slot = db
        .value("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
        .await;
    db.run(&format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_insert_lsn())"))
        .await;
    assert_eq!(code(&source.open(Some(&kept.stored)).await), Some("gap"));
    // it is gone
    source.forget(kept.stored.intent.unwrap()).await.unwrap();
    assert_eq!(code(&source.open(Some(&kept.stored)).await), Some("gap"));
    assert!(source.open(None).await.is_ok());
    db.finish().await;
}

#[tokio::test]
async fn an_old_session_of_ours_gives_way_and_a_strangers_does_not() {
    let mut db = Fixture::new("busy").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut old = db.source("");
    let (kept, pinned) = first(&mut old, false).await;
    let tables = kept.tables();
    let hold =
        |mut source: PostgresSource, kept: Resume<PostgresPosition>, tables: Vec<TableState>| {
            tokio::spawn(async move {
                let (out, _queue) = outlet(1 << 20);
                let (_sender, durable) = durable(kept.from);
                source.stream(kept, &tables, None, out, durable).await
            })
        };
    let held = hold(old, kept.at(), tables.clone());
    wait_active(&mut db).await;
    let mut new = db.source("");
    new.open(Some(&kept.stored)).await.unwrap();
    db.run("INSERT INTO t VALUES (1)").await;
    let end = db.end_of_log().await;
    let streamed = follow(&mut new, &kept, kept.at(), Some(end)).await;
    assert_eq!(streamed.events, ["t c 1"]);
    let ended = timeout(PATIENCE, held).await.expect("in time").unwrap();
    assert!(ended.is_err_and(|failure| !failure.is_definite()));
    // a connector of another name with the same slot
    let slot = format!("afterimage_{}", db.database);
    let publication = slot.clone();
    let config = db.config(&format!(r#", "slot": "{slot}", "publication": "{publication}""#));
    let mut stranger = PostgresSource::new("stranger", &config).unwrap();
    stranger.open(Some(&kept.stored)).await.unwrap();
    let held = hold(stranger, Resume { from: pinned.at, open: None }, tables);
    wait_active(&mut db).await;
    let streamed = follow(&mut new, &kept, kept.at(), Some(end)).await;
    assert_eq!(code(&streamed.stopped), Some("slot-in-use"));
    held.abort();
    db.finish().await;
}
