//! Broken setups of brokers and of the registry.

use e2e::Result;
use e2e::gate::Gate;

use crate::broken::{Case, Mend, check, check_all, explained};
use crate::rig::Rig;
use crate::setups::told;

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
