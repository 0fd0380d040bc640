use avro::RegistryError;
use connector::Finding;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::{Config, ConfigError, RegistryClient};

/// What would keep schemas from being registered, found by asking once and writing nothing.
pub async fn check(config: &Config) -> Vec<Finding> {
    // Chance only spreads pauses between attempts, and a check makes one.
    let client = match RegistryClient::new(config, StdRng::seed_from_u64(0)) {
        Ok(client) => client,
        Err(error) => return vec![misconfigured(&error)],
    };
    match client.types().await {
        Ok(types) if types.iter().any(|name| name == "AVRO") => Vec::new(),
        Ok(_) => vec![Finding::error(
            "registry-answer",
            "the schema registry does not take Avro schemas",
            "enable AVRO in the registry, or use `kind = \"json\"` in [format]",
        )],
        Err(error) => vec![unanswered(&error)],
    }
}

fn misconfigured(error: &ConfigError) -> Finding {
    let problem = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let option = match error {
        ConfigError::Url
        | ConfigError::Scheme { .. }
        | ConfigError::CredentialsInUrl
        | ConfigError::Query => "url",
        ConfigError::HalfBasic | ConfigError::TwoWays => "user, password, token",
        ConfigError::HalfIdentity
        | ConfigError::File { .. }
        | ConfigError::Pem { .. }
        | ConfigError::Client { .. } => "tls",
    };
    Finding::error("registry-config", problem, format!("set {option} in [format.registry]"))
}

fn unanswered(error: &RegistryError) -> Finding {
    let mend = match error.code {
        "registry-unauthorized" => "set user and password, or token, in [format.registry]",
        "registry-tls" => "set ca in [format.registry.tls] to the registry's certificate authority",
        "registry-redirect" | "registry-not-found" | "registry-answer" => {
            "set url in [format.registry] to the registry's Confluent-compatible interface, such as \
             http://host:8080/apis/ccompat/v7"
        }
        _ => "start the registry, or set url in [format.registry] to where it is",
    };
    Finding::error(error.code, error.problem.clone(), mend)
}
