//! What each answer of a registry leads to.

use std::time::Duration;

use avro::{Registry, RegistryError};
use connector::Severity;
use rand::SeedableRng;
use rand::rngs::StdRng;
use schema_registry::{Config, RegistryClient, check};
use serde_json::json;
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const SCHEMA: &str = r#"{"type":"string"}"#;

fn client(config: &Config) -> RegistryClient {
    RegistryClient::new(config, StdRng::seed_from_u64(1))
        .expect("the configuration is good")
        .with_patience(Duration::from_millis(300))
}

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

async fn ask(server: &MockServer) -> Result<u32, RegistryError> {
    client(&Config::new(server.uri())).id("shop.public.orders-value", SCHEMA).await
}

async fn asked(server: &MockServer) -> usize {
    server.received_requests().await.expect("requests are recorded").len()
}

fn words(number: u64, message: &str) -> serde_json::Value {
    json!({ "error_code": number, "message": message })
}

#[tokio::test]
async fn what_will_not_change_stops_at_once() {
    let check = async |answer: ResponseTemplate, code: &str, problem: &str| {
        let server = answering(answer).await;
        let error = ask(&server).await.expect_err("the answer is no id");
        assert_eq!((error.code, error.transient), (code, false), "{error}");
        assert_eq!(error.to_string(), problem);
        assert_eq!(asked(&server).await, 1, "{code} is asked once");
    };
    let status = ResponseTemplate::new;
    check(
        status(409).set_body_json(words(409, "Schema being registered is incompatible\nreader")),
        "schema-incompatible",
        "the registry does not take the schema (status 409): Schema being registered is incompatible reader",
    )
    .await;
    check(
        status(422).set_body_json(words(42201, "Invalid schema")),
        "schema-incompatible",
        "the registry does not take the schema (status 422): Invalid schema",
    )
    .await;
    check(
        status(401),
        "registry-unauthorized",
        "the registry refuses our credentials (status 401)",
    )
    .await;
    check(
        status(403).set_body_json(words(40301, "no write")),
        "registry-unauthorized",
        "the registry refuses our credentials (status 403): no write",
    )
    .await;
    check(
        status(404).set_body_string("<html>"),
        "registry-not-found",
        "the registry knows no such path; its url may need one (status 404)",
    )
    .await;
    check(
        status(302).insert_header("location", "http://elsewhere/login"),
        "registry-redirect",
        "the registry sends us to http://elsewhere/login (status 302)",
    )
    .await;
    check(status(415), "registry-refused", "the registry refuses the request (status 415)").await;
    for body in ["<html>hello</html>", "{}", r#"{"id":-1}"#, r#"{"id":"7"}"#, ""] {
        check(
            status(200).set_body_string(body),
            "registry-answer",
            "the registry's answer is not what was asked for; something else may stand at its url",
        )
        .await;
    }
    check(
        status(200).set_body_bytes(vec![b' '; (16 << 20) + 1]),
        "registry-answer",
        "the registry's answer is longer than any schema; something else may stand at its url",
    )
    .await;
    let long = "x".repeat(2000);
    let server = answering(status(409).set_body_json(words(409, &long))).await;
    let error = ask(&server).await.expect_err("the answer is no id");
    assert!(error.to_string().len() < 800, "the registry's words are bounded");
}

#[tokio::test]
async fn what_may_pass_is_asked_again_until_patience_ends() {
    for status in [408, 429, 500, 502, 503, 504, 599] {
        let server = answering(ResponseTemplate::new(status)).await;
        let error = ask(&server).await.expect_err("the answer is no id");
        assert_eq!((error.code, error.transient), ("registry-unavailable", true), "{status}");
        assert!(asked(&server).await > 1, "{status} is asked again");
    }
}

#[tokio::test]
async fn what_passes_is_forgotten() {
    for status in [429, 503] {
        let server = MockServer::start().await;
        let busy = Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(status).insert_header("retry-after", "0"));
        busy.up_to_n_times(2).mount(&server).await;
        let good = Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "id": 7 })));
        good.mount(&server).await;
        assert_eq!(ask(&server).await.expect("the third answer is an id"), 7);
        assert_eq!(asked(&server).await, 3);
    }
}

#[tokio::test]
async fn a_silent_or_absent_registry_is_transient() {
    let late = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    let server = answering(late).await;
    let registry = client(&Config::new(server.uri()));
    // The request's own time-out ends it.
    let waiting = tokio::time::timeout(Duration::from_secs(30), registry.id("s", SCHEMA));
    let error = waiting.await.expect("the wait is bounded").expect_err("there is no answer");
    assert_eq!((error.code, error.transient), ("registry-unavailable", true), "{error}");
    assert!(error.to_string().starts_with("the registry did not answer in time"), "{error}");

    let error = client(&Config::new("http://127.0.0.1:1")).id("s", SCHEMA).await;
    let error = error.expect_err("nobody listens");
    assert_eq!((error.code, error.transient), ("registry-unavailable", true), "{error}");
    assert!(error.to_string().starts_with("the registry cannot be reached: "), "{error}");
}

#[tokio::test]
async fn a_question_is_asked_once() {
    let server = answering(ResponseTemplate::new(200).set_body_json(json!({ "id": 7 }))).await;
    let registry = client(&Config::new(server.uri()));
    for _ in 0..3 {
        assert_eq!(registry.id("a", SCHEMA).await.expect("there is an id"), 7);
        assert_eq!(registry.id("b", SCHEMA).await.expect("there is an id"), 7);
    }
    assert_eq!(registry.id("a", "\"int\"").await.expect("there is an id"), 7);
    assert_eq!(asked(&server).await, 3);
}

#[tokio::test]
async fn the_request_is_what_registries_take() {
    let server = MockServer::start().await;
    let check = async |base: &str, subject: &str, expected: &str| {
        let id = json!({ "id": 1 });
        Mock::given(method("POST"))
            .and(path(expected))
            .and(header("content-type", "application/vnd.schemaregistry.v1+json"))
            .and(body_json(json!({ "schema": SCHEMA })))
            .respond_with(ResponseTemplate::new(200).set_body_json(id))
            .mount(&server)
            .await;
        let registry = client(&Config::new(format!("{}{base}", server.uri())));
        registry.id(subject, SCHEMA).await.expect("the request matches");
    };
    check("", "s-key", "/subjects/s-key/versions").await;
    check("/", "s-key", "/subjects/s-key/versions").await;
    check("/apis/ccompat/v7", "s", "/apis/ccompat/v7/subjects/s/versions").await;
    check("/apis/ccompat/v7/", "s", "/apis/ccompat/v7/subjects/s/versions").await;
    check("", "a/b?c%d e", "/subjects/a%2Fb%3Fc%25d%20e/versions").await;
}

#[tokio::test]
async fn credentials_go_along() {
    let check = async |config: &dyn Fn(Config) -> Config, expected: Option<&str>| {
        let server = answering(ResponseTemplate::new(200).set_body_json(json!({ "id": 1 }))).await;
        let config = config(Config::new(server.uri()));
        client(&config).id("s", SCHEMA).await.expect("there is an id");
        let requests = server.received_requests().await.expect("requests are recorded");
        let sent = requests[0].headers.get("authorization").map(|value| value.to_str().unwrap());
        assert_eq!(sent, expected);
    };
    check(&|config| config, None).await;
    let basic = |config| Config {
        user: Some("Aladdin".into()),
        password: Some("open sesame".into()),
        ..config
    };
    check(&basic, Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")).await;
    let bearer = |config| Config { token: Some("a.b.c".into()), ..config };
    check(&bearer, Some("Bearer a.b.c")).await;
}

#[tokio::test]
async fn a_schema_is_looked_up_by_its_id() {
    let server = MockServer::start().await;
    let answer = async |id: u32, answer: ResponseTemplate| {
        Mock::given(method("GET"))
            .and(path(format!("/schemas/ids/{id}")))
            .respond_with(answer)
            .mount(&server)
            .await;
    };
    answer(1, ResponseTemplate::new(200).set_body_json(json!({ "schema": SCHEMA }))).await;
    answer(2, ResponseTemplate::new(404).set_body_json(words(40403, "Schema not found"))).await;
    answer(3, ResponseTemplate::new(404)).await;
    let registry = client(&Config::new(server.uri()));
    assert_eq!(registry.text(1).await.expect("there is an answer").as_deref(), Some(SCHEMA));
    assert_eq!(registry.text(2).await.expect("there is an answer"), None);
    // A path that does not exist says nothing of the id.
    assert_eq!(registry.text(3).await.expect_err("no registry is here").code, "registry-not-found");
}

#[tokio::test]
async fn a_check_names_what_is_wrong_and_how_to_mend_it() {
    let check = async |answer: Option<ResponseTemplate>, expected: Option<(&str, &str)>| {
        let server = MockServer::start().await;
        if let Some(answer) = answer {
            Mock::given(path("/schemas/types")).respond_with(answer).mount(&server).await;
        }
        let findings = check(&Config::new(server.uri())).await;
        let found = findings.first().map(|finding| (finding.code, &*finding.mend));
        assert_eq!(found, expected);
        assert!(findings.iter().all(|finding| finding.severity == Severity::Error));
    };
    let status = ResponseTemplate::new;
    check(Some(status(200).set_body_json(json!(["JSON", "AVRO"]))), None).await;
    check(
        Some(status(200).set_body_json(json!(["JSON"]))),
        Some((
            "registry-answer",
            "enable AVRO in the registry, or use `kind = \"json\"` in [format]",
        )),
    )
    .await;
    check(
        Some(status(401)),
        Some(("registry-unauthorized", "set user and password, or token, in [format.registry]")),
    )
    .await;
    check(
        None,
        Some((
            "registry-not-found",
            "set url in [format.registry] to the registry's Confluent-compatible interface, such as \
             http://host:8080/apis/ccompat/v7",
        )),
    )
    .await;
    let findings = schema_registry::check(&Config::new("http://127.0.0.1:1")).await;
    assert_eq!(findings[0].code, "registry-unavailable");
    let findings = schema_registry::check(&Config::new("registry")).await;
    assert_eq!(findings[0].code, "registry-config");
}
