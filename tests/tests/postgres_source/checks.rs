use std::time::Duration;

use connector::{CopyState, Resume, Snapshot};
use postgres_source::{Config, PostgresSource};

use crate::rig::{Fixture, code, first, follow, read_all};

#[tokio::test]
async fn a_look_at_changes_leaves_nothing_behind() {
    let mut db = Fixture::new("tail").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE keyless (id int)").await;
    let mut source = PostgresSource::tail(&db.config(""), None).unwrap();
    let (kept, pinned) = first(&mut source, false).await;
    assert_eq!(kept.stored.tables.len(), 1, "a table without identity would refuse updates");
    db.run("INSERT INTO t VALUES (1); INSERT INTO keyless VALUES (1); UPDATE keyless SET id = 2")
        .await;
    let end = db.end_of_log().await;
    let streamed =
        follow(&mut source, &kept, Resume { from: pinned.at, open: None }, Some(end)).await;
    assert_eq!(streamed.events, ["t c 1"]);
    source.end_tail().await.unwrap();
    drop(source);
    let left = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())";
    for _ in 0..100 {
        if db.value(left).await == "0" {
            db.finish().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("something stayed");
}

#[tokio::test]
async fn a_check_names_what_is_missing_with_what_mends_it() {
    let mut db = Fixture::new("check").await;
    db.run("CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE keyless (id int); CREATE VIEW v AS SELECT 1 AS a").await;
    db.run("CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)")
        .await;
    let role = format!("poor_{}", db.database);
    db.run(&format!("CREATE ROLE {role} LOGIN PASSWORD 'poor'")).await;
    let as_poor = {
        let (_, rest) = db.url.split_once('@').unwrap();
        format!("postgres://{role}:poor@{rest}")
    };
    let codes = |findings: &[connector::Finding]| -> Vec<String> {
        let mut codes: Vec<String> =
            findings.iter().map(|f| format!("{} {}", f.severity, f.code)).collect();
        codes.sort();
        codes.dedup();
        codes
    };
    let poor = Config::new(&as_poor, &["public.*", "nothing.*"]);
    let findings = postgres_source::check(&poor, "check").await;
    let found = codes(&findings);
    for expected in [
        "error rights",
        "error publication",
        "warning no-identity",
        "warning no-tables",
        "note generated-columns",
        "note not-logged",
    ] {
        assert!(found.contains(&expected.to_owned()), "{expected} of {findings:#?}");
    }
    assert!(
        findings.iter().any(|f| f.mend == format!("ALTER ROLE {role} REPLICATION;")),
        "{findings:#?}"
    );
    assert!(findings.iter().any(|f| f.mend.starts_with("GRANT SELECT ON")), "{findings:#?}");
    // what the check says mends it, and run begins
    db.run(&format!(
        "ALTER ROLE {role} REPLICATION; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ))
    .await;
    let statement = findings.iter().find(|f| f.code == "publication").unwrap().mend.clone();
    db.run(statement.strip_prefix("as the owner of the tables: ").unwrap()).await;
    let findings = postgres_source::check(&poor, "check").await;
    assert!(!codes(&findings).iter().any(|code| code.starts_with("error")), "{findings:#?}");
    let poor = Config::new(&as_poor, &["public.*"]);
    let mut source = PostgresSource::new("check", &poor).unwrap();
    let (kept, pinned) = first(&mut source, true).await;
    db.run("INSERT INTO good VALUES (1)").await;
    assert!(read_all(pinned.readers).await.is_empty());
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    assert_eq!(streamed.events, ["good c 1"]);
    drop(source);
    let left = postgres_source::drop_all(&poor, "check").await.unwrap();
    assert_eq!((left.slots.len(), left.publication), (1, None), "the publication is not ours");
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.finish().await;
}

/// What is taken out of the publication is noticed: a newer server says nothing.
#[tokio::test]
async fn a_table_taken_out_of_the_publication_stops_the_stream() {
    let mut db = Fixture::new("publication").await;
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut source = db.source("");
    let (mut kept, _) = first(&mut source, false).await;
    kept.stored.tables.values_mut().for_each(|state| state.copy.state = CopyState::Finished);
    db.run(&format!("ALTER PUBLICATION afterimage_{} DROP TABLE t", db.database)).await;
    db.run("INSERT INTO t VALUES (1)").await;
    let streamed = follow(&mut source, &kept, kept.at(), None).await;
    assert_eq!(code(&streamed.stopped), Some("gap"));
    assert!(streamed.batches.is_empty());
    db.finish().await;
}

/// A policy must not make a copy shorter.
#[tokio::test]
async fn row_security_is_an_error_and_not_a_shorter_copy() {
    let mut db = Fixture::new("policy").await;
    let role = format!("seen_{}", db.database);
    db.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)").await;
    db.run("ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id = 1)").await;
    db.run(&format!(
        "CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'x'; GRANT SELECT ON t TO {role}"
    ))
    .await;
    db.run("CREATE PUBLICATION p FOR TABLE t WITH (publish_via_partition_root = true)").await;
    let (_, rest) = db.url.split_once('@').unwrap();
    let text = format!(
        r#"{{"url": "postgres://{role}:x@{rest}", "tables": ["public.*"], "publication": "p"}}"#
    );
    let config: Config = serde_json::from_str(&text).unwrap();
    let mut source = PostgresSource::new(&db.database, &config).unwrap();
    let (_, pinned) = first(&mut source, true).await;
    let mut stopped = None;
    for mut reader in pinned.readers {
        loop {
            match reader.next().await {
                Ok(Some((batch, _))) => assert!(batch.is_empty(), "nothing of the table"),
                Ok(None) => break,
                Err(failure) => {
                    stopped = Some(failure.code);
                    break;
                }
            }
        }
    }
    assert_eq!(stopped, Some("rights"));
    drop(source);
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.finish().await;
}
