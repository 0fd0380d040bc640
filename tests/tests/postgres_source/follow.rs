use connector::{Mark, Stopped};
use postgres_replication::Lsn;
use postgres_source::PostgresPosition;

use crate::rig::{Fixture, first, follow};

#[tokio::test]
async fn changes_arrive_as_they_were_committed() {
    let mut db = Fixture::new("changes").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL, n numeric(10,2)); CREATE TABLE keyless (a int)").await;
    let mut source = db.source("");
    let (kept, pinned) = first(&mut source, false).await;
    db.run("INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', NULL)").await;
    db.run("BEGIN; UPDATE t SET v = 'c' WHERE id = 1; UPDATE t SET id = 3 WHERE id = 2; DELETE FROM t WHERE id = 1; COMMIT").await;
    db.run("BEGIN; INSERT INTO t VALUES (9, 'gone', 0); ROLLBACK").await;
    db.run("INSERT INTO keyless VALUES (7); TRUNCATE t").await;
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    assert!(matches!(streamed.stopped, Ok(Stopped::Reached)), "{:?}", streamed.stopped);
    let decimal = |cents: &[u8]| format!("Decimal(Finite {{ unscaled: {cents:?}, scale: 2 }})");
    let expected = [
        format!("t c 1|a|{}", decimal(&[0, 150])),
        "t c 2|b|null".to_owned(),
        format!("t u 1|c|{}", decimal(&[0, 150])),
        "t u 2|-|- > 3|b|null".to_owned(),
        "t d 1|-|-".to_owned(),
        "keyless c 7".to_owned(),
        "t t".to_owned(),
    ];
    assert_eq!(streamed.events, expected);
    let (_, last) = streamed.batches.last().unwrap();
    assert_eq!(*last, Mark::Commit(PostgresPosition { lsn: end, timeline: 1 }));
    assert!(pinned.at.lsn < end);
    // nothing was confirmed beyond what is durable
    let confirmed: Lsn = db.value("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()").await.parse().unwrap();
    assert_eq!(confirmed, pinned.at.lsn);
    db.finish().await;
}

#[tokio::test]
async fn the_catalog_ahead_of_the_log_loses_no_row() {
    let mut db = Fixture::new("schema").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL DEFAULT 'x', n int)").await;
    let mut source = db.source("");
    let (kept, _) = first(&mut source, false).await;
    db.run("INSERT INTO t VALUES (1, 'a', NULL)").await;
    db.run("ALTER TABLE t ADD COLUMN w int NOT NULL DEFAULT 5").await;
    db.run("INSERT INTO t VALUES (2, 'b', NULL)").await;
    db.run("ALTER TABLE t DROP COLUMN v").await;
    db.run("INSERT INTO t VALUES (3, NULL, 6)").await;
    db.run("ALTER TABLE t RENAME COLUMN w TO ww; ALTER TABLE t ALTER COLUMN ww TYPE text USING 'seven'").await;
    db.run("UPDATE t SET n = 1; ALTER TABLE t ALTER COLUMN n SET NOT NULL").await;
    db.run("INSERT INTO t VALUES (4, 2, 'eight')").await;
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    let expected = [
        "t c 1|a|null",
        "t c 2|b|null|5",
        "t c 3|null|6",
        "t u 1|1|seven",
        "t u 2|1|seven",
        "t u 3|1|seven",
        "t c 4|2|eight",
    ];
    assert!(streamed.stopped.is_ok(), "{:?}", streamed.stopped);
    assert_eq!(streamed.events, expected);
    // versions as the log had them: what the catalog says later is required only where both agree
    let mut versions = Vec::new();
    for (batch, _) in &streamed.batches {
        for table in batch.tables() {
            let columns: Vec<String> = table
                .columns
                .iter()
                .map(|c| format!("{}{}", c.name, if c.nullable { "" } else { "!" }))
                .collect();
            if versions.last() != Some(&columns.join(" ")) {
                versions.push(columns.join(" "));
            }
        }
    }
    assert_eq!(versions.first().map(String::as_str), Some("id! v n"));
    assert_eq!(versions.last().map(String::as_str), Some("id! n! ww!"));
    db.finish().await;
}

#[tokio::test]
async fn large_values_that_did_not_change_are_absent_unless_the_identity_is_full() {
    let mut db = Fixture::new("toast").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY, big text, n int); ALTER TABLE t ALTER big SET STORAGE EXTERNAL").await;
    let mut source = db.source("");
    let (kept, _) = first(&mut source, false).await;
    db.run("INSERT INTO t VALUES (1, repeat('x', 9000), 1); UPDATE t SET n = 2").await;
    db.run("ALTER TABLE t REPLICA IDENTITY FULL; UPDATE t SET n = 3").await;
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    let big = "x".repeat(9000);
    let expected =
        [format!("t c 1|{big}|1"), "t u 1|-|2".into(), format!("t u 1|{big}|2 > 1|{big}|3")];
    assert!(streamed.events == expected, "{} events", streamed.events.len());
    db.finish().await;
}

#[tokio::test]
async fn a_new_table_ends_the_stream_between_transactions() {
    let mut db = Fixture::new("added").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut source = db.source("");
    let (kept, _) = first(&mut source, false).await;
    db.run("INSERT INTO t VALUES (1); CREATE TABLE u (id int PRIMARY KEY)").await;
    let streamed = follow(&mut source, &kept, kept.at(), None).await;
    assert!(matches!(streamed.stopped, Ok(Stopped::TablesChanged)), "{:?}", streamed.stopped);
    assert_eq!(streamed.events, ["t c 1"]);
    db.finish().await;
}
