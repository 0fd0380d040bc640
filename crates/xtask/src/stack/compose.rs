//! The stack in containers, by the repository's own docker-compose.yml.
//!
//! Each stack is a project of its own name, with free ports handed in through the environment: the broker must be told the
//! port under which it is published, or its clients are sent to a wrong one. Kafka Connect is no part of the file; where it is
//! asked for, it runs as a plain process over the containers' ports.

use std::path::PathBuf;

use crate::maven;
use crate::program;
use crate::stack::{Addresses, Request, Site, preconditions, processes, variable};
use crate::steps::Steps;
use crate::trouble::Result;
use crate::{kafka, postgres, registry};

/// Whether a container engine with Compose answers.
pub(crate) fn engine_answers() -> bool {
    program::succeeds(&mut program::command(["docker", "info"]))
        && program::succeeds(&mut program::command(["docker", "compose", "version"]))
}

/// The containers up and healthy; the addresses as the other providers give them.
pub(crate) fn up(request: &Request, site: &Site, steps: Steps) -> Result<Addresses> {
    if !engine_answers() {
        return Err("no container engine with Compose answers here".into());
    }
    let version = request.postgres[0];
    if request.secure {
        steps.note("containers have no encrypted listeners: what needs them is left out (AFTERIMAGE_STACK=processes has them)");
    }
    if request.postgres.len() > 1 {
        steps.note(&format!(
            "containers: PostgreSQL {version} only (AFTERIMAGE_STACK=processes runs several)"
        ));
    }
    if request.connect {
        preconditions::ensure(&preconditions::of_stack(request), steps)?;
    }
    let (postgres_port, kafka_port, registry_port) = (site.port(), site.port(), site.port());
    let words = |verb: &[&str]| -> Vec<String> {
        let file = repository().join("docker-compose.yml").display().to_string();
        let project = format!("afterimage-{}", request.name);
        let base = ["docker", "compose", "--file", &file, "--project-name", &project];
        base.iter().chain(verb).map(|word| (*word).to_owned()).collect()
    };
    // Told before anything is started, so that a start that fails half way is cleared away too.
    site.control.at_end(&words(&["down", "--volumes", "--timeout", "2"]))?;
    steps.step("containers up and healthy", || {
        program::output(
            program::command(words(&["up", "--detach", "--wait", "postgres", "kafka", "registry"]))
                .env("POSTGRES_VERSION", version.to_string())
                .env("POSTGRES_PORT", postgres_port.to_string())
                .env("KAFKA_PORT", kafka_port.to_string())
                .env("REGISTRY_PORT", registry_port.to_string()),
        )
    })?;
    let kafka_address = format!("127.0.0.1:{kafka_port}");
    let registry_address = format!("127.0.0.1:{registry_port}");
    if !kafka::answers(&kafka_address) || !registry::answers(&registry_address) {
        return Err("the containers are healthy, but their published ports do not answer".into());
    }
    let url = |user: &str| {
        format!("postgres://{user}:{user}@127.0.0.1:{postgres_port}/{}", postgres::DATABASE)
    };
    let mut addresses = Addresses::new();
    for prefix in ["POSTGRES".to_owned(), format!("POSTGRES_{version}")] {
        addresses.insert(variable(&prefix), url("cdc"));
        addresses.insert(variable(&format!("{prefix}_ADMIN")), url("admin"));
        addresses.insert(variable(&format!("{prefix}_VERSION")), version.to_string());
    }
    let mut add = |what: &str, value: String| addresses.insert(variable(what), value);
    add("KAFKA", kafka_address.clone());
    add("KAFKA_VERSION", maven::KAFKA.to_owned());
    add("REGISTRY", registry::url(&registry_address));
    add("REGISTRY_NATIVE", registry::native_url(&registry_address));
    add("REGISTRY_VERSION", maven::REGISTRY.to_owned());
    if request.connect {
        maven::fetch(&[maven::Part::Kafka, maven::Part::Debezium, maven::Part::Converter])?;
        let connect =
            processes::connect_up(request, site, &kafka_address, &registry_address, steps)?;
        addresses.extend(connect.into_iter().map(|(what, value)| (variable(&what), value)));
    }
    Ok(addresses)
}

/// Where the repository is: this program is only ever built inside it.
pub(crate) fn repository() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).map(PathBuf::from).unwrap_or(own)
}
