//! Copy and stream over every kind of link, read back over a plain one.

use e2e::Result;
use e2e::gate::Gate;
use e2e::stack::Stack;

use crate::rig::{Rig, once, passed};

const CASES: [(&str, &str); 6] = [
    (
        "verify-full; SASL over TLS, SCRAM-SHA-512",
        "source.tls = 'verify-full'\nsource.ca = '{ca}'\n[sink]\nbrokers = ['{kafka_sasl_tls}']\ntls = { ca = '{ca}' }\n\
         sasl = { mechanism = 'SCRAM-SHA-512', username = '{user}', password = '${env:E2E_SASL_PASSWORD}' }",
    ),
    (
        "verify-full by name; TLS with a certificate of ours",
        "source.tls = 'verify-full'\nsource.ca = '{ca}'\nsource.url = 'postgres://cdc@localhost:{postgres_port}/{name}'\n\
         [sink]\nbrokers = ['{kafka_tls}']\ntls = { ca = '{ca}', cert = '{certificate}', key = '{key}' }",
    ),
    (
        "verify-ca; SASL in the clear, SCRAM-SHA-256",
        "source.tls = 'verify-ca'\nsource.ca = '{ca}'\n[sink]\nbrokers = ['{kafka_sasl}']\n\
         sasl = { mechanism = 'SCRAM-SHA-256', username = '{user}', password = '${env:E2E_SASL_PASSWORD}' }",
    ),
    (
        "require; SASL in the clear, PLAIN",
        "source.tls = 'require'\n[sink]\nbrokers = ['{kafka_sasl}']\n\
         sasl = { mechanism = 'PLAIN', username = '{user}', password = '${env:E2E_SASL_PASSWORD}' }",
    ),
    (
        "a client's certificate for the database too; SASL over TLS, PLAIN",
        "source.tls = 'verify-full'\nsource.ca = '{ca}'\nsource.cert = '{certificate}'\nsource.key = '{key}'\n\
         [sink]\nbrokers = ['{kafka_sasl_tls}']\ntls = { ca = '{ca}' }\n\
         sasl = { mechanism = 'PLAIN', username = '{user}', password = '${env:E2E_SASL_PASSWORD}' }",
    ),
    (
        "at least once; TLS without a certificate of ours",
        "source.tls = 'verify-full'\nsource.ca = '{ca}'\n\
         [sink]\nbrokers = ['{kafka_tls}']\ntls = { ca = '{ca}' }\ndelivery = 'at-least-once'",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_and_stream_pass_over_every_link() {
    let mut failures = Vec::new();
    for (what, options) in CASES {
        match over(options, true).await {
            Ok(()) => println!("{what}: ok"),
            Err(error) => failures.push(format!("{what}: {}", e2e::chain(&error))),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_behind_a_password_or_a_token_is_used() {
    for (wanted, login) in [
        ("Basic dXNlcjpzZXNhbWU=", "user = 'user', password = '${env:E2E_REGISTRY}'"),
        ("Bearer sesame", "token = '${env:E2E_REGISTRY}'"),
    ] {
        passed(behind(wanted, login).await);
    }
}

async fn behind(wanted: &str, login: &str) -> Result<()> {
    let registry = Stack::from_environment()?.registry;
    let (server, path) =
        registry.trim_start_matches("http://").split_once('/').ok_or("a registry with a path")?;
    let gate = Gate::to(server, Some(wanted)).await?;
    let url = format!("http://127.0.0.1:{}/{path}", gate.port);
    over(&format!("format.registry = {{ url = '{url}', {login} }}"), false).await?;
    let (asked, answered) = gate.counts();
    assert!(asked > 0 && asked == answered, "{asked} questions, {answered} of them let through");
    Ok(())
}

async fn over(options: &str, encrypted: bool) -> Result<()> {
    let mut rig = Rig::new("secure", options).await?;
    let variables = [
        ("E2E_SASL_PASSWORD", rig.secure.password.clone()),
        ("E2E_REGISTRY", "sesame".to_owned()),
        ("RUST_LOG", "trace".to_owned()),
    ];
    let mut running = rig.connector.start_with(&variables)?;
    rig.sentinel.streaming(&rig.database, &mut running).await?;
    rig.database
        .run("INSERT INTO orders VALUES (4, 'canary-row');\nUPDATE orders SET note = 'x' WHERE id = 1;")
        .await?;
    rig.sentinel.caught_up(&rig.database, &mut running).await?;
    let sessions = rig
        .database
        .text_rows(
            "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
             WHERE datname = current_database() AND application_name ~ 'afterimage'",
        )
        .await?;
    let expected = if encrypted { "t" } else { "f" };
    assert_eq!(
        sessions,
        [[Some(expected.to_owned())]],
        "sessions of the connector that are encrypted"
    );
    let log = running.log();
    running.stop().await?;
    // Also as basic authentication sends them; nor what is in a row, in its text or in bytes.
    for word in [
        rig.secure.password.as_str(),
        "sesame",
        "dXNlcjpzZXNhbWU",
        "canary-row",
        "99, 97, 110, 97, 114, 121",
    ] {
        let shown = log.iter().find(|line| line.contains(word));
        assert!(shown.is_none(), "{word} is in the log: {shown:?}");
    }
    assert!(log.iter().any(|line| line.contains("TRACE")), "everything was logged");
    assert_eq!(rig.told().await?, once(&["r 1", "r 2", "r 3", "c 4", "u 1"]));
    rig.clean().await
}
