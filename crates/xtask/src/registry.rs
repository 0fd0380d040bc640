//! Apicurio Registry, in memory; its API in the form that Confluent's clients speak is below `/apis/ccompat/v7`.

use std::path::{Path, PathBuf};

use crate::http;
use crate::java;
use crate::maven::{self, Part};
use crate::supervisor::Service;
use crate::trouble::Result;

/// Where Confluent's clients find it.
pub(crate) fn url(authority: &str) -> String {
    format!("http://{authority}/apis/ccompat/v7")
}

/// Where its own clients (Debezium's converter) find it.
pub(crate) fn native_url(authority: &str) -> String {
    format!("http://{authority}/apis/registry/v2")
}

pub(crate) fn service(directory: &Path, port: u16, log: PathBuf) -> Result<Service> {
    let jar = maven::file_ending(Part::Registry, "-runner.jar")?;
    let arguments = [
        // Started often and never for long: quick to start counts for more than quick to run.
        "-XX:TieredStopAtLevel=1".to_owned(),
        "-XX:+UseSerialGC".to_owned(),
        "-Dquarkus.http.host=127.0.0.1".to_owned(),
        format!("-Dquarkus.http.port={port}"),
        "-jar".to_owned(),
        jar.display().to_string(),
    ];
    Ok(Service {
        name: "registry".to_owned(),
        words: java::server(256, directory, &arguments)?,
        environment: vec![],
        log,
        end: "KILL",
    })
}

pub(crate) fn answers(authority: &str) -> bool {
    http::get(authority, "/apis/ccompat/v7/subjects").is_ok()
}
