//! Kafka Connect's REST interface, as far as running Debezium needs it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Result;
use crate::database::Database;
use crate::stack::Stack;

#[derive(Debug, Clone)]
pub struct Connect {
    url: String,
    client: reqwest::Client,
}

impl Connect {
    pub fn of(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), client: reqwest::Client::new() }
    }

    /// Starts Debezium on a database, with Avro and names as Apicurio's converter makes them in Confluent's mode.
    pub async fn start(
        &self,
        stack: &Stack,
        database: &Database,
        name: &str,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let config: tokio_postgres::Config = stack.postgres.parse()?;
        let host = match config.get_hosts() {
            [tokio_postgres::config::Host::Tcp(host), ..] => host.clone(),
            _ => return Err("the address of PostgreSQL has no host".into()),
        };
        let password =
            String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned();
        let mut body = json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "topic.prefix": name,
            "database.hostname": host,
            "database.port": config.get_ports().first().unwrap_or(&5432).to_string(),
            "database.user": config.get_user().unwrap_or_default(),
            "database.password": password,
            "database.dbname": database.name,
            "plugin.name": "pgoutput",
            "slot.name": name,
            "publication.name": format!("{name}_p"),
            "publication.autocreate.mode": "filtered",
            "table.include.list": format!("public\\..*,{}", crate::sentinel::TABLE.replace('.', "\\.")),
            "schema.name.adjustment.mode": "avro",
            "topic.creation.default.partitions": "1",
            "topic.creation.default.replication.factor": "1",
            "errors.max.retries": "0",
        });
        for (setting, value) in settings {
            body[*setting] = (*value).into();
        }
        let request = self.client.put(format!("{}/connectors/{name}/config", self.url));
        let response = request.json(&body).send().await?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(format!("Connect refuses the connector: {}", response.text().await?).into())
        }
    }

    /// An error when the task has failed, with what it says.
    pub async fn check(&self, name: &str) -> Result<()> {
        let answer =
            self.client.get(format!("{}/connectors/{name}/status", self.url)).send().await?;
        let status: Value = answer.json().await?;
        for part in status["tasks"].as_array().into_iter().flatten().chain([&status["connector"]]) {
            if part["state"] == "FAILED" {
                let trace = part["trace"].as_str().unwrap_or_default();
                let lines = trace.lines().filter(|line| !line.trim_start().starts_with("at "));
                return Err(
                    format!("Debezium failed: {}", lines.collect::<Vec<_>>().join(" | ")).into()
                );
            }
        }
        Ok(())
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        self.client.delete(format!("{}/connectors/{name}", self.url)).send().await?;
        // Its task lets go of the slot a moment later.
        sleep(Duration::from_secs(1)).await;
        Ok(())
    }
}
