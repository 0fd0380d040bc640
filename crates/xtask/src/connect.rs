//! Kafka Connect with Debezium's PostgreSQL connector and the registry's Avro converter: the oracle of the tests, and the
//! peer of the benchmarks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::http;
use crate::java;
use crate::maven::{self, Part};
use crate::supervisor::Service;
use crate::trouble::{Doing, Result};

/// Writes the worker's configuration below `directory` and says how to run it.
pub(crate) fn service(
    directory: &Path,
    port: u16,
    kafka: &str,
    registry: &str,
    exactly_once: bool,
    log: PathBuf,
) -> Result<Service> {
    fs::create_dir_all(directory).doing(directory.display())?;
    let properties = directory.join("worker.properties");
    fs::write(&properties, worker(port, kafka, registry, exactly_once)?)
        .doing(properties.display())?;
    let arguments = [
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info".to_owned(),
        "-cp".to_owned(),
        maven::class_path(Part::Kafka)?,
        "org.apache.kafka.connect.cli.ConnectDistributed".to_owned(),
        properties.display().to_string(),
    ];
    Ok(Service {
        name: "connect".to_owned(),
        words: java::server(1024, directory, &arguments)?,
        environment: vec![],
        log,
        end: "KILL",
    })
}

/// Whether the worker answers and has found both plugins.
pub(crate) fn answers(authority: &str) -> bool {
    http::get(authority, "/connector-plugins").is_ok_and(|body| body.contains("PostgresConnector"))
}

fn worker(port: u16, kafka: &str, registry: &str, exactly_once: bool) -> Result<String> {
    let plugins = [Part::Debezium, Part::Converter]
        .map(maven::plugin_path)
        .into_iter()
        .collect::<Result<Vec<String>>>()?;
    let mut text = format!(
        "bootstrap.servers={kafka}\n\
         group.id=connect\n\
         listeners=http://127.0.0.1:{port}\n\
         rest.advertised.host.name=127.0.0.1\n\
         offset.storage.topic=connect-offsets\n\
         config.storage.topic=connect-configs\n\
         status.storage.topic=connect-status\n\
         offset.storage.replication.factor=1\n\
         config.storage.replication.factor=1\n\
         status.storage.replication.factor=1\n\
         offset.storage.partitions=1\n\
         status.storage.partitions=1\n\
         connector.client.config.override.policy=All\n\
         plugin.path={}\n",
        plugins.join(",")
    );
    for side in ["key", "value"] {
        text += &format!(
            "{side}.converter=io.apicurio.registry.utils.converter.AvroConverter\n\
             {side}.converter.apicurio.registry.url={registry}\n\
             {side}.converter.apicurio.registry.auto-register=true\n\
             {side}.converter.apicurio.registry.find-latest=true\n\
             {side}.converter.apicurio.registry.as-confluent=true\n\
             {side}.converter.apicurio.registry.headers.enabled=false\n"
        );
    }
    if exactly_once {
        text += "exactly.once.source.support=enabled\n";
    }
    Ok(text)
}
