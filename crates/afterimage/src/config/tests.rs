use std::env::VarError;
use std::io;

use super::*;

const SECRET: &str = "canary-4711";

fn lookup() -> Lookup<'static> {
    Lookup {
        env: &|name| match name {
            "PASSWORD" => Ok(SECRET.to_owned()),
            _ => Err(VarError::NotPresent),
        },
        file: &|_| Err(io::ErrorKind::NotFound.into()),
    }
}

const SOUND: &str = r#"
name = "shop"
[source]
kind = "postgres"
url = "postgres://cdc@127.0.0.1:5432/shop"
password = "${env:PASSWORD}"
tables = ["public.*"]
[sink]
kind = "kafka"
brokers = ["127.0.0.1:9092"]
[format]
kind = "avro"
registry = "http://127.0.0.1:8081"
"#;

/// The problems of a file, without the file's name.
fn problems(text: &str) -> Vec<String> {
    let found = match read("f", text, &lookup()) {
        Ok(config) => config.warnings,
        Err(problems) => problems.lines().collect(),
    };
    for line in &found {
        assert!(!line.contains(SECRET), "a secret is shown: {line}");
    }
    found.into_iter().map(|line| line.strip_prefix("f:").unwrap_or(&line).to_owned()).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(problems(text), expected);
}

/// Of the sound file with one piece replaced.
#[track_caller]
fn check_with(piece: &str, by: &str, expected: &[&str]) {
    assert!(SOUND.contains(piece), "{piece} is in the file");
    check(&SOUND.replace(piece, by), expected);
}

#[test]
fn a_sound_file_has_no_problems() {
    check(SOUND, &[]);
}

#[test]
fn all_problems_of_all_sections_are_told_at_once_with_their_lines() {
    check(
        r#"
nme = "shop"
[source]
kind = "postgres"
url = "postgres://cdc@127.0.0.1:5432/shop"
password = "${env:NOBODY}"
tabels = ["public.*"]
readers = "two"
copy = "initail"
[sink]
kind = "kafak"
[format]
kind = "json"
shape = 7
[http]
listen = "localhost"
[limits]
queue_bytes = 1
transaction_age_ms = -5
"#,
        &[
            "2:1: nme: unknown option; did you mean `name`?",
            "6:12: source.password: the environment variable NOBODY is not set",
            "7:1: source.tabels: unknown option; did you mean `tables`?",
            "8:1: source.readers: invalid type: string \"two\", expected a whole number from 1 to 255",
            "9:1: source.copy: `initail` is not known; did you mean `initial`?",
            "11:1: sink.kind: unknown kind `kafak`; did you mean `kafka`?",
            "14:1: format.shape: invalid type: integer `7`, expected a string",
            "16:1: http.listen: invalid socket address syntax",
            "18:1: limits.queue_bytes: 1 is out of bounds, 1048576 to 4294967295 are allowed",
            "19:1: limits.transaction_age_ms: -5 is out of bounds, 1 to 10000 are allowed",
        ],
    );
}

#[test]
fn each_mistake_is_told_with_its_place_and_what_is_meant() {
    check("name = \"shop\"\nname = \"shop\"\n", &["2:1: duplicate key"]);
    check_with(
        "name = \"shop\"",
        "name = \"-shop\"",
        &[
            "2:1: name: a name is 1 to 100 letters, digits, `.`, `_` or `-`, and begins with a letter or digit",
        ],
    );
    check_with(
        "[\"127.0.0.1:9092\"]",
        "[\"127.0.0.1:9092\", 7]",
        &["10:30: sink.brokers[1]: invalid type: integer `7`, expected a string"],
    );
    check_with(
        "kind = \"kafka\"",
        "kind = 7",
        &["9:1: sink.kind: a string is expected: kafka, file, stdout"],
    );
    check_with(
        "kind = \"kafka\"",
        "",
        &["8:2: sink.kind: this option is missing: kafka, file, stdout"],
    );
    check_with(
        "tables = [\"public.*\"]\n[sink]\nkind = \"kafka\"",
        "tables = [\"public.*\"]\n[sinks]\nkind = \"kafka\"",
        &["8:2: sinks: unknown option; did you mean `sink`?"],
    );
    check_with(
        "kind = \"avro\"",
        "kind = \"json\"",
        &[
            "13:1: format.registry: unknown option; known here: shape, transactions, truncate, absent, decimals, \
           specials, kind",
        ],
    );
    check_with(
        "kind = \"kafka\"\nbrokers = [\"127.0.0.1:9092\"]",
        "kind = \"stdout\"",
        &["11:1: format.kind: lines hold JSON: this sink needs format.kind = \"json\""],
    );
    check_with(
        "tables = [",
        "readers = 1e400\ntables = [",
        &["7:11: source.readers: a finite number is expected"],
    );
    check_with(
        "tables = [\"public.*\"]",
        "tables = [\"public.*\", \"orders\"]\nslot = \"Big\"",
        &[
            "7:23: source.tables[1]: write schema.table",
            "8:1: source.slot: a slot's name has at most 54 lower-case letters, digits and underscores",
        ],
    );
    check(
        r#"
name = "shop"
[source]
kind = "postgres"
url = "postgres://cdc@127.0.0.1:5432/shop"
slto = "shop"
tables = ["orders"]
[sink]
kind = "kafka"
brokers = []
filename = "shop"
[format]
kind = "avor"
"#,
        &[
            "6:1: source.slto: unknown option; did you mean `slot`?",
            "7:11: source.tables[0]: write schema.table",
            "10:1: sink.brokers: at least one host:port",
            "11:1: sink.filename: unknown option; known here: brokers, delivery, tls, sasl, topics, partitioner, \
             compression, record_bytes_max, transaction_timeout_ms, deadline_ms, kafka, kind",
            "13:1: format.kind: unknown kind `avor`; did you mean `avro`?",
        ],
    );
    check_with(
        "[sink]",
        "[sink.kafka]\n\"acks\" = \"1\"\n[sink]",
        &[
            "9:1: sink.kafka.acks: cannot be set here: acknowledgement by all replicas is what keeps a row",
        ],
    );
    check_with(
        "http://127",
        "ftp://127",
        &["13:1: format.registry: the registry's address begins with ftp, not with http or https"],
    );
    check_with(
        "[sink]",
        "[sink.sasl]\nmechanism = \"PLAIN\"\nusrname = \"x\"\n[sink]",
        &[
            "8:7: sink.sasl.password: this option is missing",
            "10:1: sink.sasl.usrname: unknown option; did you mean `username`?",
        ],
    );
    check_with(
        "registry = \"http://127.0.0.1:8081\"",
        "",
        &["11:2: format.registry: this option is missing: the schema registry's address"],
    );
    check_with(
        "registry = \"http://127.0.0.1:8081\"",
        "[format.registry]\nurl = \"http://127.0.0.1:8081\"\nusr = 1",
        &["15:1: format.registry.usr: unknown option; did you mean `user`?"],
    );
    check(
        "",
        &[
            " name: this option is missing",
            " source: this section is missing",
            " sink: this section is missing",
            " format: this section is missing",
        ],
    );
}

#[test]
fn a_secret_is_never_shown_and_is_missed_in_the_file_itself() {
    let outside = "a secret stands in the file; `${env:NAME}` or `${file:PATH}` keeps it out";
    let place = "password = \"${env:PASSWORD}\"";
    check_with(
        place,
        &format!("password = \"{SECRET}"),
        &["6:24: invalid basic string, expected `\"`"],
    );
    check_with(
        place,
        &format!("password = \"{SECRET}\""),
        &[&format!("6:12: source.password: {outside}")],
    );
    check_with("cdc@", &format!("cdc:{SECRET}@"), &[&format!("5:7: source.url: {outside}")]);
    check_with(
        place,
        "readers = \"${env:PASSWORD}\"",
        &["6:1: source.readers: a whole number from 1 to 255 is expected (the value is not shown)"],
    );
    check_with(
        place,
        "tls = \"${env:PASSWORD}\"",
        &[
            "6:1: source.tls: one of `disable`, `require`, `verify-ca`, `verify-full` is expected (the value is \
           not shown)",
        ],
    );
    check_with(
        place,
        "password = [\"${env:PASSWORD}\"]",
        &["6:1: source.password: a string is expected (the value is not shown)"],
    );
    check_with(
        "kind = \"kafka\"",
        "kind = \"${env:PASSWORD}\"",
        &["9:1: sink.kind: unknown kind; there is kafka, file, stdout"],
    );
}

#[test]
fn the_schema_of_the_file_accepts_what_is_read_and_knows_every_option() {
    let schema = schema();
    let postgres = &schema["properties"]["source"]["oneOf"][0]["properties"];
    for option in ["kind", "url", "tables", "copy", "readd"] {
        assert!(postgres.get(option).is_some(), "{option} is in the schema");
    }
    let text = schema.to_string();
    for reference in text.split("\"$ref\":\"#/$defs/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schema["$defs"].get(name).is_some(), "{name} is defined");
    }
}

#[test]
fn a_truncate_is_told_where_topics_take_it_or_not_at_all() {
    check_with(
        "kind = \"avro\"",
        "kind = \"avro\"\ntruncate = \"emit\"",
        &[
            "13:1: format.truncate: a TRUNCATE's message has no key, which compacted topics refuse: set \
           sink.topics.cleanup_policy = \"delete\"",
        ],
    );
    check_with(
        "[format]\nkind = \"avro\"",
        "topics = { cleanup_policy = \"delete\" }\n[format]\nkind = \"avro\"\ntruncate = \"emit\"",
        &[],
    );
    check_with(
        "tables = [\"public.*\"]",
        "tables = [\"public.*\"]\nreadd = \"truncate\"",
        &[
            "8:1: source.readd: only a TRUNCATE that is told makes a topic begin anew: set format.truncate = \
           \"emit\", with the shape `debezium`",
        ],
    );
}
