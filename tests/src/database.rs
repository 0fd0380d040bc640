//! A database of one test, reached with tokio-postgres: another client than the connector's own.

use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls, Row, SimpleQueryMessage};

use crate::Result;
use crate::stack::Stack;

/// A database that is there for one test and dropped by [`Database::drop_it`].
#[derive(Debug)]
pub struct Database {
    pub name: String,
    /// As the connector gets it.
    pub url: String,
    pub client: Client,
    admin: Config,
}

impl Database {
    /// Makes an empty database, owned by the connector's role, and logs in as that role.
    pub async fn create(stack: &Stack, name: &str) -> Result<Self> {
        let admin: Config = stack.postgres_admin.parse()?;
        let user: Config = stack.postgres.parse()?;
        let owner = user.get_user().ok_or("the address of PostgreSQL names no user")?.to_owned();
        let client = connect(&admin).await?;
        client.batch_execute(&format!("CREATE DATABASE \"{name}\" OWNER \"{owner}\"")).await?;
        let mut own = user.clone();
        own.dbname(name);
        let client = connect(&own).await?;
        let mut admin = admin;
        admin.dbname(name);
        Ok(Self { name: name.to_owned(), url: with_database(&stack.postgres, name), client, admin })
    }

    /// The same database with a new session, after its server was started again.
    pub async fn again(self) -> Result<Self> {
        Ok(Self { client: connect(&self.url.parse()?).await?, ..self })
    }

    /// A further session of the same role.
    pub async fn session(&self) -> Result<Client> {
        connect(&self.url.parse()?).await
    }

    /// A superuser's session in this database.
    pub async fn admin(&self) -> Result<Client> {
        connect(&self.admin).await
    }

    /// Runs statements one after the other, each in its own transaction unless they say otherwise.
    pub async fn run(&self, sql: &str) -> Result<()> {
        for statement in statements(sql) {
            run_one(&self.client, &statement).await?;
        }
        Ok(())
    }

    /// Every value of every row as the server prints it.
    pub async fn text_rows(&self, query: &str) -> Result<Vec<Vec<Option<String>>>> {
        text_rows(&self.client, query).await
    }

    pub async fn one(&self, query: &str) -> Result<Option<String>> {
        let rows = self.text_rows(query).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    pub async fn rows(&self, query: &str) -> Result<Vec<Row>> {
        Ok(self.client.query(query, &[]).await?)
    }

    /// The major version of the server.
    pub async fn version(&self) -> Result<u32> {
        let number = self.one("SHOW server_version_num").await?.ok_or("no version")?;
        Ok(number.parse::<u32>()? / 10_000)
    }

    /// Drops the slots of this database and the database, in whatever state they are.
    pub async fn drop_it(self) -> Result<()> {
        let mut elsewhere = self.admin.clone();
        elsewhere.dbname("postgres");
        let admin = connect(&elsewhere).await?;
        let slots = format!("FROM pg_replication_slots WHERE database = '{}'", self.name);
        admin
            .batch_execute(&format!(
                "SELECT pg_terminate_backend(active_pid) {slots} AND active_pid IS NOT NULL"
            ))
            .await?;
        for attempt in 0.. {
            let dropped = admin
                .batch_execute(&format!("SELECT pg_drop_replication_slot(slot_name) {slots}"))
                .await;
            match dropped {
                Ok(()) => break,
                // A terminated backend holds its slot a moment longer.
                Err(_) if attempt < 50 => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(error.into()),
            }
        }
        admin.batch_execute(&format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name)).await?;
        Ok(())
    }
}

/// A session whose texts do not depend on the server's settings.
pub async fn connect(config: &Config) -> Result<Client> {
    let mut config = config.clone();
    config.options("-c timezone=UTC -c datestyle=ISO,MDY -c intervalstyle=postgres");
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // An error here is the error of whatever is asked next.
        let _ = connection.await;
    });
    Ok(client)
}

pub async fn text_rows(client: &Client, query: &str) -> Result<Vec<Vec<Option<String>>>> {
    let messages = client.simple_query(query).await?;
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect())
}

async fn run_one(client: &Client, statement: &str) -> Result<()> {
    client.batch_execute(statement).await.map_err(|error| {
        let message = match error.as_db_error() {
            Some(error) => error.to_string(),
            None => error.to_string(),
        };
        format!("{message}\n  in: {statement}").into()
    })
}

/// Splits a script where a line ends with a semicolon outside of dollar quotes. (A simple query of several statements
/// would be one transaction.)
pub fn statements(sql: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut statement = String::new();
    for line in sql.lines() {
        if statement.is_empty() && (line.trim().is_empty() || line.starts_with("--")) {
            continue;
        }
        statement.push_str(line);
        statement.push('\n');
        let quoted = statement.matches("$$").count() % 2 == 1;
        if line.trim_end().ends_with(';') && !quoted {
            all.push(std::mem::take(&mut statement).trim().to_owned());
        }
    }
    if !statement.trim().is_empty() {
        all.push(statement.trim().to_owned());
    }
    all
}

/// The same server, another database.
fn with_database(url: &str, name: &str) -> String {
    match url.split_once("://").and_then(|(_, rest)| rest.find('/')) {
        Some(_) => {
            let at = url.rfind('/').expect("there is one behind the server");
            format!("{}/{name}", &url[..at])
        }
        None => format!("{}/{name}", url.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_a_semicolon_at_a_lines_end_outside_of_dollar_quotes() {
        let check = |sql: &str, expected: &[&str]| assert_eq!(statements(sql), expected);
        check("", &[]);
        check("a;", &["a;"]);
        check("a;\n\n-- note\nb\n", &["a;", "b"]);
        check("a\n;b;\nc;", &["a\n;b;", "c;"]);
        check("do $$\nbegin;\nend;\n$$;\nb;", &["do $$\nbegin;\nend;\n$$;", "b;"]);
    }
}
