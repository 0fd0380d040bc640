//! Broken setups of the database, and of everything at once.

use std::time::Duration;

use e2e::Result;
use e2e::server::Server;
use e2e::stack::Stack;
use tokio::time::sleep;

use crate::broken::{Case, Mend, check, check_all, explained};
use crate::rig::{CANARY, Rig, statements};

pub(crate) fn told(result: Result<()>) {
    result.unwrap_or_else(|error| panic!("{}", e2e::chain(&error)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_reached_or_entered_is_named() {
    const SOUND: &str = "source.url = 'postgres://{name}@{postgres}/{name}'";
    check_all(vec![
        Case {
            what: "nobody listens at the address",
            options: "source.url = 'postgres://{name}@127.0.0.1:1/{name}'",
            code: "connection",
            names: &["127.0.0.1:1", "refused"],
            mend: Mend::Options("url", SOUND),
            ..Case::default()
        },
        Case {
            what: "the host has no address",
            options: "source.url = 'postgres://{name}@nowhere.invalid/{name}'",
            code: "connection",
            names: &["nowhere.invalid"],
            mend: Mend::Options("url", SOUND),
            ..Case::default()
        },
        Case {
            what: "the password is another",
            options: "source.password = '${env:E2E_WRONG}'",
            code: "connect",
            names: &["password", "{name}"],
            mend: Mend::Options("password", "source.password = '${env:E2E_POSTGRES_PASSWORD}'"),
            ..Case::default()
        },
        Case {
            what: "the database is not there",
            options: "source.url = 'postgres://{name}@{postgres}/{name}_nowhere'",
            code: "connect",
            names: &["{name}_nowhere", "does not exist"],
            mend: Mend::Options("url", SOUND),
            ..Case::default()
        },
        Case {
            what: "the certificate's issuer is unknown",
            options: "source.tls = 'verify-full'",
            code: "connect",
            names: &["certificate", "{postgres}"],
            mend: Mend::Options("ca", "source.ca = '{ca}'"),
            ..Case::default()
        },
        Case {
            what: "the certificate is for another name",
            options: "source.tls = 'verify-full'\nsource.ca = '{ca}'\nsource.url = 'postgres://{name}@127.1:{postgres_port}/{name}'",
            code: "connect",
            names: &["certificate", "127.1"],
            mend: Mend::Options("url", SOUND),
            ..Case::default()
        },
        Case {
            what: "the file with the certificates is not there",
            options: "source.tls = 'verify-full'\nsource.ca = '/nowhere/ca.pem'",
            code: "connect",
            names: &["/nowhere/ca.pem"],
            mend: Mend::Options("ca", "source.ca = '{ca}'"),
            ..Case::default()
        },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_table_or_publication_is_named_with_its_statement() {
    check_all(vec![
        Case {
            what: "no table matches",
            options: "source.tables = ['public.nothing']",
            code: "no-tables",
            names: &["public.nothing"],
            mend: Mend::Options("pattern", "source.tables = ['public.orders']"),
            ..Case::default()
        },
        Case {
            what: "one of several patterns matches nothing",
            options: "source.tables = ['public.*', 'archive.*']",
            severity: "warning",
            code: "no-tables",
            names: &["archive.*"],
            mend: Mend::Options("correct", "source.tables = ['public.*']"),
        ..Case::default()
        },
        Case {
            what: "a table without an identity",
            sql: "CREATE TABLE visits (page text);\nALTER TABLE visits OWNER TO {name};",
            severity: "warning",
            code: "no-identity",
            names: &["visits"],
            ..Case::default()
        },
        Case {
            what: "a table whose identity is switched off",
            sql: "ALTER TABLE orders REPLICA IDENTITY NOTHING;",
            severity: "warning",
            code: "no-identity",
            names: &["orders"],
            ..Case::default()
        },
        Case {
            what: "the user may not replicate",
            sql: "ALTER ROLE {name} NOREPLICATION;",
            code: "rights",
            names: &["{name}", "REPLICATION"],
            ..Case::default()
        },
        Case {
            what: "a table that the user may not read",
            sql: "CREATE TABLE \"Secret Things\" (id int PRIMARY KEY);\nCREATE PUBLICATION afterimage_{name} FOR ALL TABLES WITH (publish_via_partition_root);",
            code: "rights",
            names: &["Secret Things", "{name}"],
            ..Case::default()
        },
        Case {
            what: "a schema that the user may not use",
            sql: "CREATE SCHEMA \"Inner\";\nCREATE TABLE \"Inner\".t (id int PRIMARY KEY);\nGRANT SELECT ON \"Inner\".t TO {name};\nCREATE PUBLICATION afterimage_{name} FOR ALL TABLES WITH (publish_via_partition_root);",
            options: "source.tables = ['public.*', 'Inner.*']",
            code: "rights",
            names: &["Inner", "{name}"],
            ..Case::default()
        },
        Case {
            what: "a publication that the user may not make",
            sql: "CREATE TABLE theirs (id int PRIMARY KEY);\nGRANT SELECT ON theirs TO {name};",
            code: "publication",
            names: &["afterimage_{name}", "theirs"],
            ..Case::default()
        },
        Case {
            what: "a publication that lacks a table",
            sql: "CREATE TABLE items (id int PRIMARY KEY);\nGRANT SELECT ON items TO {name};\nCREATE PUBLICATION afterimage_{name} FOR TABLE orders WITH (publish_via_partition_root);",
            options: "source.manage_publication = false",
            code: "publication",
            names: &["afterimage_{name}", "items"],
            ..Case::default()
        },
        Case {
            what: "a publication that lacks updates and partitions",
            sql: "CREATE PUBLICATION afterimage_{name} FOR TABLE orders WITH (publish = 'insert');",
            options: "source.manage_publication = false",
            code: "publication",
            names: &["afterimage_{name}"],
            ..Case::default()
        },
        Case {
            what: "a slot of another plug-in",
            sql: "SELECT pg_create_logical_replication_slot('afterimage_{name}_0123abcd', 'test_decoding');",
            code: "slot-unusable",
            names: &["afterimage_{name}_0123abcd", "test_decoding"],
            ..Case::default()
        },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_filters_is_named_with_its_statement() {
    let stack = Stack::from_environment().expect("servers");
    let admin = e2e::database::connect(&stack.postgres_admin.parse().expect("an address")).await;
    let admin = admin.expect("a session");
    let version = e2e::database::text_rows(&admin, "SHOW server_version_num").await;
    if version.expect("an answer")[0][0].as_deref() < Some("150000") {
        println!("skipped: row filters came with PostgreSQL 15");
        return;
    }
    check_all(vec![
        Case {
            what: "a publication with a row filter",
            sql: "CREATE PUBLICATION afterimage_{name} FOR TABLE orders WHERE (id > 5) WITH (publish_via_partition_root);",
            code: "publication",
            names: &["afterimage_{name}", "orders", "row filter"],
            ..Case::default()
        },
        Case {
            what: "a publication with a list of columns",
            sql: "CREATE PUBLICATION afterimage_{name} FOR TABLE orders (id) WITH (publish_via_partition_root);",
            code: "publication",
            names: &["afterimage_{name}", "orders", "list of columns"],
            ..Case::default()
        },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_set_up_for_it_is_named_with_its_statements() {
    told(unprepared().await);
}

async fn unprepared() -> Result<()> {
    let mut server = Server::start("wal_level = replica\nmax_replication_slots = 1\nmax_wal_senders = 1\nmax_slot_wal_keep_size = 16MB\nmin_wal_size = 32MB\nmax_wal_size = 32MB").await?;
    let stack = server.stack(&Stack::from_environment()?).await?;
    let mut rig = Rig::on(&stack, "check_server").await?;
    check(
        &mut rig,
        &Case {
            what: "TLS is wanted of a server without it",
            options: "source.tls = 'require'",
            code: "connect",
            names: &["TLS", "{postgres}"],
            mend: Mend::Says("tls"),
            ..Case::default()
        },
    )
    .await?;
    rig.configure("source.tls = 'disable'")?;
    let told = rig.check().await?;
    let mut mends = Vec::new();
    for (code, names) in
        [("wal-level", "replica"), ("no-slots", "slots"), ("no-senders", "sessions")]
    {
        mends.push(told.find("error", code, &[names.to_owned()])?.mend);
        explained(code).await?;
    }
    if told.errors().len() != mends.len() {
        return Err(format!("others were found too:\n{}", told.out).into());
    }
    for mend in mends {
        rig.admin(&statements(&mend)).await?;
    }
    server.stop().await?;
    server.resume().await?;
    let mut rig = rig.again().await?;
    let told = rig.check().await?;
    if told.status != 0 {
        return Err(format!("not mended:\n{}", told.out).into());
    }
    lost_slot(&mut rig).await?;
    rig.clean().await
}

/// A slot of ours whose log the server has removed.
async fn lost_slot(rig: &mut Rig) -> Result<()> {
    rig.admin(
        "SELECT pg_create_logical_replication_slot('afterimage_{name}_0123abcd', 'pgoutput');",
    )
    .await?;
    for _ in 0..60 {
        rig.admin("CREATE TABLE IF NOT EXISTS filling (t text);\nINSERT INTO filling SELECT repeat('x', 1000) FROM generate_series(1, 10000);\nSELECT pg_switch_wal();\nCHECKPOINT;").await?;
        let lost = rig.database.one("SELECT wal_status FROM pg_replication_slots").await?;
        if lost.as_deref() == Some("lost") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    rig.admin("DROP TABLE filling;").await?;
    check(
        rig,
        &Case {
            what: "a slot that was invalidated",
            code: "gap",
            names: &["afterimage_{name}_0123abcd"],
            ..Case::default()
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_wrong_is_told_in_one_run() {
    told(all_at_once().await);
}

async fn all_at_once() -> Result<()> {
    let mut rig = Rig::new("check_all").await?;
    // Three servers that are not there.
    rig.configure("source.url = 'postgres://{name}@127.0.0.1:1/{name}'\nsink.brokers = ['127.0.0.1:2']\nformat.registry = 'http://127.0.0.1:3'")?;
    let told = rig.check().await?;
    let mut errors = told.errors();
    errors.sort_unstable();
    assert_eq!(
        errors,
        ["brokers-unreachable", "connection", "registry-unavailable"],
        "{}",
        told.out
    );
    // A database with many faults; each has a mend of its own.
    rig.configure("source.url = 'postgres://{name}@{postgres}/{name}'\nsink.brokers = ['{kafka}']\nformat.registry = '{registry}'")?;
    rig.admin("ALTER ROLE {name} NOREPLICATION;\nCREATE TABLE theirs (id int PRIMARY KEY);\nSELECT pg_create_logical_replication_slot('afterimage_{name}_0123abcd', 'test_decoding');").await?;
    let told = rig.check().await?;
    let mut errors = told.errors();
    errors.sort_unstable();
    assert_eq!(errors, ["publication", "rights", "rights", "slot-unusable"], "{}", told.out);
    for finding in told.findings.iter().filter(|finding| finding.severity == "error") {
        rig.admin(&statements(&finding.mend)).await?;
    }
    let told = rig.check().await?;
    assert_eq!(told.status, 0, "{}", told.out);
    // A file with many mistakes: no server is asked.
    rig.configure("source.tabels = ['public.*']\nsource.tables = ['orders', 'public.']\nsource.exclude = ['orders']\nsource.password = '${env:E2E_UNSET}'\nsink.sasl = { mechanism = 'PLIAN', username = 'u', password = '${env:E2E_WRONG}' }\nformat.kind = 'avor'")?;
    let told = rig.check().await?;
    assert_eq!(told.status, 2, "{}{}", told.out, told.err);
    for words in [
        "source.tabels: unknown option; did you mean `tables`?",
        "source.tables[0]: write schema.table",
        "source.tables[1]: ",
        "source.exclude[0]: ",
        "source.password: the environment variable E2E_UNSET is not set",
        "did you mean `PLAIN`?",
        "format.kind: unknown kind `avor`; did you mean `avro`?",
    ] {
        assert!(told.err.contains(words), "{words}: {}", told.err);
    }
    rig.clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_the_file_is_missed_but_not_shown() {
    told(inline().await);
}

async fn inline() -> Result<()> {
    let mut rig = Rig::new("check_inline").await?;
    rig.configure(&format!("source.password = '{CANARY}-{{name}}'"))?;
    let told = rig.check().await?;
    told.find("warning", "inline-secret", &["source.password".to_owned(), "env:NAME".to_owned()])?;
    assert_eq!(told.status, 0, "{}", told.out);
    rig.clean().await
}
