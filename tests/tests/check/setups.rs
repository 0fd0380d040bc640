//! The broken setups.

use std::time::Duration;

use e2e::Result;
use e2e::gate::Gate;
use e2e::server::Server;
use e2e::stack::Stack;
use tokio::time::sleep;

use crate::broken::{Case, Mend, check, check_all, explained};
use crate::rig::{CANARY, Rig, statements};

fn told(result: Result<()>) {
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
async fn a_broker_that_cannot_be_reached_or_entered_is_named() {
    check_all(vec![
        Case {
            what: "nobody listens at the broker's address",
            options: "sink.brokers = ['127.0.0.1:1']",
            code: "brokers-unreachable",
            names: &["127.0.0.1:1", "refused"],
            mend: Mend::Options("brokers", "sink.brokers = ['{kafka}']"),
            ..Case::default()
        },
        Case {
            what: "the broker's host has no address",
            options: "sink.brokers = ['nowhere.invalid:9092']",
            code: "brokers-unreachable",
            names: &["nowhere.invalid:9092"],
            mend: Mend::Options("brokers", "sink.brokers = ['{kafka}']"),
            ..Case::default()
        },
        Case {
            what: "one of two brokers is down",
            options: "sink.brokers = ['127.0.0.1:1', '{kafka}']",
            severity: "warning",
            code: "brokers-unreachable",
            names: &["127.0.0.1:1"],
            mend: Mend::Options("brokers", "sink.brokers = ['{kafka}']"),
            ..Case::default()
        },
        Case {
            what: "the password is another (SCRAM)",
            options: "sink.brokers = ['{kafka_sasl}']\nsink.sasl = { mechanism = 'SCRAM-SHA-512', username = '{user}', password = '${env:E2E_WRONG}' }",
            code: "not-authenticated",
            names: &["{kafka_sasl}"],
            mend: Mend::Options("sasl", "sink.sasl.password = '${env:E2E_SASL_PASSWORD}'"),
            ..Case::default()
        },
        Case {
            what: "the password is another (PLAIN)",
            options: "sink.brokers = ['{kafka_sasl}']\nsink.sasl = { mechanism = 'PLAIN', username = '{user}', password = '${env:E2E_WRONG}' }",
            code: "not-authenticated",
            names: &["{kafka_sasl}"],
            mend: Mend::Options("sasl", "sink.sasl.password = '${env:E2E_SASL_PASSWORD}'"),
            ..Case::default()
        },
        Case {
            what: "the certificate's issuer is unknown",
            options: "sink.brokers = ['{kafka_tls}']\nsink.tls = {}",
            code: "tls-failed",
            names: &["{kafka_tls}", "certificate"],
            mend: Mend::Options("authority", "sink.tls.ca = '{ca}'"),
            ..Case::default()
        },
        Case {
            what: "the file with the certificates is not there",
            options: "sink.brokers = ['{kafka_tls}']\nsink.tls = { ca = '/nowhere/ca.pem' }",
            code: "tls-file",
            names: &["/nowhere/ca.pem"],
            mend: Mend::Options("tls.ca", "sink.tls.ca = '{ca}'"),
            ..Case::default()
        },
        Case {
            what: "the topics are not there and may not be made",
            options: "sink.topics.create = false",
            code: "topic-missing",
            names: &["__afterimage.{name}", "{name}.public.orders"],
            mend: Mend::Options("create = true", "sink.topics.create = true"),
            ..Case::default()
        },
        Case {
            what: "more copies than there are brokers",
            options: "sink.topics.replication_factor = 3",
            code: "topic-missing",
            names: &["{name}.public.orders"],
            mend: Mend::Options("replication_factor", "sink.topics.replication_factor = 1"),
            ..Case::default()
        },
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_brokers_rules_forbid_is_named() {
    told(forbidden().await);
}

async fn forbidden() -> Result<()> {
    let mut rig = Rig::new("check_acl").await?;
    let Some(limited) = rig.secure.limited.clone() else {
        println!("skipped: the broker has no user without rights");
        return rig.clean().await;
    };
    rig.set("E2E_LIMITED_PASSWORD", &limited.password);
    rig.configure(&format!(
        "sink.brokers = ['{{kafka_sasl}}']\nsink.sasl = {{ mechanism = 'SCRAM-SHA-256', username = '{}', password = '${{env:E2E_LIMITED_PASSWORD}}' }}",
        limited.user
    ))?;
    let told = rig.check().await?;
    let finding = told.find("error", "not-authorized", &[format!("__afterimage.{}", rig.name)])?;
    println!("{finding:?}");
    explained("not-authorized").await?;
    // What the run needs, and no more.
    let kafka = rig.stack.kafka.clone();
    let own = ["--topic", &format!("{}.", rig.name), "--resource-pattern-type", "prefixed"];
    limited
        .allow(&kafka, &own, &["Create", "Write", "Read", "Describe", "DescribeConfigs"])
        .await?;
    let position = format!("__afterimage.{}", rig.name);
    let position = ["--topic", position.as_str()];
    limited
        .allow(&kafka, &position, &["Create", "Write", "Read", "Describe", "DescribeConfigs"])
        .await?;
    limited.allow(&kafka, &["--cluster"], &["DescribeConfigs"]).await?;
    let told = rig.check().await?;
    if told.status != 0 {
        return Err(format!("with the rights that it needs:\n{}", told.out).into());
    }
    rig.clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_cannot_be_reached_or_entered_is_named() {
    told(registries().await);
}

async fn registries() -> Result<()> {
    let mut rig = Rig::new("check_registry").await?;
    let address = rig.stack.registry.clone();
    let (server, path) = address.trim_start_matches("http://").split_once('/').ok_or("a path")?;
    let gate = Gate::to(server, Some("Basic dXNlcjpzZXNhbWU=")).await?;
    rig.set("E2E_RIGHT", "sesame");
    let at = format!("http://127.0.0.1:{}", gate.port);
    let mend = |options: &str| -> Mend {
        Mend::Options("url", Box::leak(options.to_owned().into_boxed_str()))
    };
    let sound = format!("format.registry = '{address}'");
    // Options, the gate's own answer, code, words.
    let cases = [
        (
            "format.registry = 'http://127.0.0.1:1'".to_owned(),
            None,
            "registry-unavailable",
            "refused",
        ),
        (
            format!("format.registry = '{at}/elsewhere'"),
            Some("404 Not Found"),
            "registry-not-found",
            "404",
        ),
        (
            format!("format.registry = '{at}/{path}'"),
            Some("302 Found\r\nlocation: http://other.invalid/"),
            "registry-redirect",
            "other.invalid",
        ),
        (format!("format.registry = '{at}/{path}'"), Some("200 OK"), "registry-answer", "url"),
        (
            format!("format.registry = '{at}/{path}'"),
            Some("503 Service Unavailable"),
            "registry-unavailable",
            "503",
        ),
        (format!("format.registry = '{at}/{path}'"), None, "registry-unauthorized", "401"),
    ];
    for (options, answer, code, word) in cases {
        gate.answer(answer);
        let case = Case {
            options: Box::leak(options.into_boxed_str()),
            code,
            names: Box::leak(Box::new([word])),
            mend: if code == "registry-unauthorized" {
                Mend::Says("user and password")
            } else {
                mend(&sound)
            },
            ..Case::default()
        };
        check(&mut rig, &case)
            .await
            .map_err(|error| format!("{code}, {word}: {}", e2e::chain(&error)))?;
    }
    // A wrong password, then the right one.
    rig.connector.configuration["format"].as_table_mut().ok_or("a table")?.remove("registry");
    let case = Case {
        options: Box::leak(
            format!("format.registry = {{ url = '{at}/{path}', user = 'user', password = '${{env:E2E_WRONG}}' }}")
                .into_boxed_str(),
        ),
        code: "registry-unauthorized",
        names: &["401"],
        mend: Mend::Options("user and password", "format.registry.password = '${env:E2E_RIGHT}'"),
        ..Case::default()
    };
    check(&mut rig, &case).await?;
    rig.clean().await
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
    rig.configure("source.tabels = ['public.*']\nsource.password = '${env:E2E_UNSET}'\nsink.sasl = { mechanism = 'PLIAN', username = 'u', password = '${env:E2E_WRONG}' }\nformat.kind = 'avor'")?;
    let told = rig.check().await?;
    assert_eq!(told.status, 2, "{}{}", told.out, told.err);
    for words in [
        "source.tabels: unknown option; did you mean `tables`?",
        "source.password: the environment variable E2E_UNSET is not set",
        "did you mean `PLAIN`?",
        "format.kind: unknown kind `avor`; did you mean `avro`?",
    ] {
        assert!(told.err.contains(words), "{words}: {}", told.err);
    }
    // Names that are no patterns.
    let mut rig = {
        rig.clean().await?;
        Rig::new("check_patterns").await?
    };
    rig.configure(
        "source.tables = ['orders', 'public.']\nsource.exclude_columns = ['public.orders']",
    )?;
    let told = rig.check().await?;
    assert_eq!(told.status, 2, "{}{}", told.out, told.err);
    for option in
        ["source.tables[0]: write schema.table", "source.tables[1]", "source.exclude_columns[0]"]
    {
        assert!(told.err.contains(option), "{option}: {}", told.err);
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
