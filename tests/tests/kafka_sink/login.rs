//! Encrypted listeners and those that ask who we are.

use connector::{Finding, Severity, Sink};
use kafka_sink::{Config, Mechanism, Sasl, Tls};

use crate::rig::{Rig, at, stored};

fn variable(name: &str) -> String {
    let name = format!("AFTERIMAGE_STACK_{name}");
    std::env::var(&name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need secure listeners, run `cargo xtask test`")
    })
}

fn config(rig: &Rig, listener: &str, tls: Option<Tls>, sasl: Option<Sasl>) -> Config {
    let mut config = rig.config();
    config.brokers = vec![variable(listener)];
    config.tls = tls;
    config.sasl = sasl;
    config
}

fn sasl(mechanism: Mechanism, password: &str) -> Option<Sasl> {
    let username = variable("KAFKA_SASL_USER");
    Some(Sasl { mechanism, username, password: password.to_owned().into() })
}

fn trusted() -> Option<Tls> {
    Some(Tls { ca: Some(variable("TLS_CA").into()), ..Tls::default() })
}

fn errors(findings: &[Finding]) -> Vec<&'static str> {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_log_in_works() {
    let password = variable("KAFKA_SASL_PASSWORD");
    let shown = Tls {
        cert: Some(variable("TLS_CLIENT_CERTIFICATE").into()),
        key: Some(variable("TLS_CLIENT_KEY").into()),
        ..trusted().expect("set")
    };
    let ways = [
        ("KAFKA_SASL", None, sasl(Mechanism::Plain, &password)),
        ("KAFKA_SASL", None, sasl(Mechanism::ScramSha256, &password)),
        ("KAFKA_SASL", None, sasl(Mechanism::ScramSha512, &password)),
        ("KAFKA_TLS", trusted(), None),
        ("KAFKA_TLS", Some(shown), None),
        ("KAFKA_SASL_TLS", trusted(), sasl(Mechanism::Plain, &password)),
        ("KAFKA_SASL_TLS", trusted(), sasl(Mechanism::ScramSha512, &password)),
    ];
    let rig = Rig::new("sink_login");
    for (position, (listener, tls, sasl)) in (1..).zip(ways) {
        let config = config(&rig, listener, tls, sasl);
        let found = kafka_sink::check(&config, &rig.name, &[]).await;
        assert_eq!(errors(&found), [""; 0], "{position}: {found:?}");
        let mut sink = rig.sink_with(config);
        sink.recover().await.expect("recovered");
        sink.write(&rig.rows([1], "a")).await.expect("written");
        sink.commit(&at(position)).await.expect("committed");
    }
    assert_eq!(rig.sink().recover().await.expect("recovered"), stored(7));
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_let_in_is_told_why() {
    let rig = Rig::new("sink_refused");
    let foreign = variable("TLS_CLIENT_CERTIFICATE");
    let ways = [
        ("KAFKA_SASL", None, sasl(Mechanism::Plain, "hush-hush"), "not-authenticated"),
        ("KAFKA_SASL", None, sasl(Mechanism::ScramSha256, "hush-hush"), "not-authenticated"),
        (
            "KAFKA_SASL_TLS",
            trusted(),
            sasl(Mechanism::ScramSha512, "hush-hush"),
            "not-authenticated",
        ),
        // Its authority is not the one that this file names.
        ("KAFKA_TLS", Some(Tls { ca: Some(foreign.into()), ..Tls::default() }), None, "tls-failed"),
        ("KAFKA", trusted(), None, "tls-failed"),
    ];
    for (listener, tls, sasl, code) in ways {
        let config = config(&rig, listener, tls, sasl);
        let found = kafka_sink::check(&config, &rig.name, &[]).await;
        assert_eq!(errors(&found), [code], "{listener}: {found:?}");
        assert!(!format!("{found:?}").contains("hush"), "{found:?}");
        let stopped = rig.sink_with(config).recover().await.expect_err("refused");
        assert_eq!((stopped.code, stopped.is_definite()), (code, true), "{listener}");
        assert!(!format!("{stopped:?}").contains("hush"), "{stopped:?}");
    }
}
