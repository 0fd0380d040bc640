//! Where the servers are: addresses in the environment, as `cargo xtask test` sets them.

use crate::Result;

/// Addresses of one PostgreSQL, one Kafka and one registry, and of Kafka Connect where it runs.
#[derive(Debug, Clone)]
pub struct Stack {
    /// As the connector logs in: may replicate and own databases, is no superuser.
    pub postgres: String,
    /// As a superuser.
    pub postgres_admin: String,
    pub kafka: String,
    /// Confluent's API.
    pub registry: String,
    /// Apicurio's own API: the numbers that its converter writes are looked up here.
    pub registry_native: Option<String>,
    pub connect: Option<String>,
}

impl Stack {
    /// An error in one line where no stack is: a test must never pass because it did not run.
    pub fn from_environment() -> Result<Self> {
        let needed = |name: &str| {
            optional(name).ok_or_else(|| {
                format!(
                    "{PREFIX}{name} is not set: these tests need servers, run `cargo xtask test`"
                )
            })
        };
        let postgres = needed("POSTGRES")?;
        Ok(Self {
            postgres_admin: optional("POSTGRES_ADMIN").unwrap_or_else(|| postgres.clone()),
            postgres,
            kafka: needed("KAFKA")?,
            registry: needed("REGISTRY")?,
            registry_native: optional("REGISTRY_NATIVE"),
            connect: optional("CONNECT"),
        })
    }
}

const PREFIX: &str = "AFTERIMAGE_STACK_";

fn optional(name: &str) -> Option<String> {
    std::env::var(format!("{PREFIX}{name}")).ok().filter(|value| !value.is_empty())
}

/// The connector's program.
pub fn program() -> Result<std::path::PathBuf> {
    match std::env::var_os("AFTERIMAGE_BIN") {
        Some(path) => Ok(path.into()),
        None => Err("AFTERIMAGE_BIN is not set: run `cargo xtask test`".into()),
    }
}

/// A name that no other test and no earlier run has, valid for databases, topics and connectors.
pub fn fresh_name(stem: &str) -> String {
    let stem: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .take(30)
        .collect();
    format!("{stem}_{:08x}", rand::random::<u32>())
}
