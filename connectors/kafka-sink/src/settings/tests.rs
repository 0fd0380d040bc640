use super::*;

fn settings(name: &str, toml: &str) -> Result<Settings, Vec<ConfigError>> {
    Settings::new(name, toml::from_str(toml).unwrap())
}

#[test]
fn every_mistake_is_named_at_once() {
    let check = |name: &str, toml: &str, expected: &[&str]| {
        let paths: Vec<String> = match settings(name, toml) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| error.path).collect(),
        };
        assert_eq!(paths, expected, "{name} {toml}");
    };
    let brokers = "brokers = [\"127.0.0.1:9092\"]\n";
    let with = |more: &str| format!("{brokers}{more}");
    check("shop", brokers, &[]);
    check("a.b_c-9", brokers, &[]);
    check("", brokers, &["name"]);
    check("_shop", brokers, &["name"]);
    check("sh op", brokers, &["name"]);
    check(&"x".repeat(201), brokers, &["name"]);
    check("shop", "brokers = []", &["brokers"]);
    for broker in
        ["127.0.0.1", "127.0.0.1:", ":9092", "a b:1", "http://a:1", "a:99999", "a:0", "a:1,b:1"]
    {
        check("shop", &format!("brokers = [\"{broker}\"]"), &["brokers"]);
    }
    check("shop", "brokers = [\"[::1]:9092\", \"kafka.example:9092\"]", &[]);
    check("shop", &with("record_bytes_max = 100"), &["record_bytes_max"]);
    check("shop", &with("transaction_timeout_ms = 1000"), &["transaction_timeout_ms"]);
    check("shop", &with("deadline_ms = 1"), &["deadline_ms"]);
    check("shop", &with("topics = { partitions = 0 }"), &["topics.partitions"]);
    check("shop", &with("topics = { replication_factor = -2 }"), &["topics.replication_factor"]);
    check("shop", &with("tls = { cert = \"a\" }"), &["tls"]);
    check(
        "shop",
        &with("sasl = { mechanism = \"PLAIN\", username = \"\", password = \"x\" }"),
        &["sasl"],
    );
    check("shop", &with("kafka = { acks = \"1\" }"), &["kafka.acks"]);
    check("shop", &with("kafka = { \"linger.ms\" = \"20\" }"), &[]);
    check("shop", &with("kafka = { \"linger.millis\" = \"20\" }"), &["kafka.linger.millis"]);
    check("shop", &with("kafka = { \"linger.ms\" = \"long\" }"), &["kafka.linger.ms"]);
    check("", "brokers = []\ndeadline_ms = 1", &["name", "brokers", "deadline_ms"]);
}

#[test]
fn unknown_options_are_refused() {
    let refused = |toml: &str| toml::from_str::<Config>(toml).unwrap_err().message().to_owned();
    assert!(refused("brokers = []\nbroker = 1").contains("unknown field `broker`"));
    assert!(refused("brokers = []\ntopics = { partition = 1 }").contains("`partition`"));
    assert!(refused("brokers = []\nsasl = { mechanism = \"GSSAPI\" }").contains("GSSAPI"));
}

#[test]
fn what_exactly_once_rests_on_is_forced() {
    let check = |toml: &str, role: Role, key: &str, expected: Option<&str>| {
        let settings = settings("shop", toml).unwrap();
        assert_eq!(settings.client(role).get(key), expected, "{key} {toml}");
    };
    let exact = "brokers = [\"a:1\", \"b:2\"]";
    for (key, value) in [
        ("bootstrap.servers", "a:1,b:2"),
        ("transactional.id", "afterimage.shop"),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("max.in.flight", "5"),
        ("message.timeout.ms", "45000"),
        ("transaction.timeout.ms", "60000"),
        ("log.connection.close", "true"),
        ("compression.codec", "lz4"),
        ("security.protocol", "plaintext"),
    ] {
        check(exact, Role::Producer, key, Some(value));
    }
    check(exact, Role::Committed, "isolation.level", Some("read_committed"));
    check(exact, Role::Uncommitted, "isolation.level", Some("read_uncommitted"));
    check(exact, Role::Committed, "transactional.id", None);
    let lax = "brokers = [\"a:1\"]\ndelivery = \"at-least-once\"";
    check(lax, Role::Producer, "transactional.id", None);
    check(lax, Role::Producer, "enable.idempotence", Some("true"));
    let large = "brokers = [\"a:1\"]\nrecord_bytes_max = 33554432";
    check(large, Role::Producer, "queue.buffering.max.kbytes", Some("65537"));
    let secure = "brokers = [\"a:1\"]\n[tls]\nca = \"ca.pem\"\n[sasl]\nmechanism = \"SCRAM-SHA-512\"\n\
                  username = \"u\"\npassword = \"p\"";
    check(secure, Role::Admin, "security.protocol", Some("sasl_ssl"));
    check(secure, Role::Admin, "ssl.ca.location", Some("ca.pem"));
    check(secure, Role::Producer, "sasl.mechanism", Some("SCRAM-SHA-512"));
    let off = "brokers = [\"a:1\"]\ntls = { enabled = false }";
    check(off, Role::Producer, "security.protocol", Some("plaintext"));
}

#[test]
fn secrets_are_not_shown() {
    let toml =
        "brokers = [\"a:1\"]\n[sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword = \"hush\"";
    let settings = settings("shop", toml).unwrap();
    assert!(!format!("{settings:?} {:?}", settings.client(Role::Producer)).contains("hush"));
}
