//! One connector with all that it needs, what `check` says of it, and what it left anywhere.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;

use e2e::Result;
use e2e::connector::{Connector, Running, merge};
use e2e::database::{Database, connect, text_rows};
use e2e::registry::Registry;
use e2e::secure::Secure;
use e2e::stack::{Stack, fresh_name};
use e2e::topics::{Isolation, Topics};
use tokio::process::{Child, Command};
use tokio_postgres::Config;
use toml::Table;

/// Stands in every secret of these tests, and must stand nowhere else.
pub(crate) const CANARY: &str = "canary-7d1f";

/// A connector that `run` would start, until a case breaks it.
pub(crate) struct Rig {
    pub(crate) name: String,
    pub(crate) stack: Stack,
    pub(crate) database: Database,
    pub(crate) connector: Connector,
    pub(crate) secure: Secure,
    variables: Vec<(String, String)>,
}

/// What one finding says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: String,
    pub(crate) code: String,
    pub(crate) problem: String,
    pub(crate) mend: String,
}

/// How a call of the program ended.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) findings: Vec<Finding>,
}

/// What stands in the database and in the broker because of a connector, with all that `check` must not change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) database: Vec<Vec<Option<String>>>,
    /// Topics of this name, with the records in them.
    pub(crate) topics: BTreeMap<String, usize>,
}

impl Rig {
    /// A database of its own on the stack's server, owned by a role of its own.
    pub(crate) async fn new(stem: &str) -> Result<Self> {
        Self::on(&Stack::from_environment()?, stem).await
    }

    pub(crate) async fn on(stack: &Stack, stem: &str) -> Result<Self> {
        let name = fresh_name(stem);
        let admin = connect(&stack.postgres_admin.parse::<Config>()?).await?;
        let password = format!("{CANARY}-{name}");
        admin
            .batch_execute(&format!("CREATE ROLE {name} LOGIN REPLICATION PASSWORD '{password}'"))
            .await?;
        let server = stack.postgres.rsplit('@').next().ok_or("an address")?;
        let own =
            Stack { postgres: format!("postgres://{name}:{password}@{server}"), ..stack.clone() };
        let database = Database::create(&own, &name).await?;
        database
            .run("CREATE TABLE orders (id int PRIMARY KEY, note varchar(20));\nINSERT INTO orders VALUES (1, 'a'), (2, 'b');")
            .await?;
        let secure = Secure::from_environment()?;
        let variables = vec![
            ("E2E_WRONG".to_owned(), format!("{CANARY}-wrong")),
            ("E2E_SASL_PASSWORD".to_owned(), secure.password.clone()),
        ];
        let config =
            toml::from_str("source.tables = ['public.*']\nsink.topics.replication_factor = 1")?;
        let connector = Connector::new(&own, &name, &database.url, &config)?;
        Ok(Self { name, stack: own, database, connector, secure, variables })
    }

    /// New sessions, after the server was started again.
    pub(crate) async fn again(self) -> Result<Self> {
        Ok(Self { database: self.database.again().await?, ..self })
    }

    /// Sets options; `{name}` is the connector's.
    pub(crate) fn configure(&mut self, change: &str) -> Result<()> {
        let change: Table = toml::from_str(&self.fill(change))?;
        merge(&mut self.connector.configuration, &change);
        Ok(())
    }

    /// An environment variable for the connector.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.variables.push((variable.to_owned(), value.to_owned()));
    }

    /// `{name}` is the name of connector, role and database; the others are addresses.
    pub(crate) fn fill(&self, text: &str) -> String {
        let server = self.stack.postgres.rsplit('@').next().unwrap_or_default();
        let server = server.split('/').next().unwrap_or_default();
        let port = server.rsplit(':').next().unwrap_or_default();
        let mut text = text.replace("{name}", &self.name);
        for (word, by) in [
            ("{postgres}", server),
            ("{postgres_port}", port),
            ("{ca}", &self.secure.ca.display().to_string()),
            ("{kafka}", &self.stack.kafka),
            ("{kafka_tls}", &self.secure.kafka_tls),
            ("{kafka_sasl}", &self.secure.kafka_sasl),
            ("{kafka_sasl_tls}", &self.secure.kafka_sasl_tls),
            ("{user}", &self.secure.user),
            ("{registry}", &self.stack.registry),
        ] {
            text = text.replace(word, by);
        }
        text
    }

    /// Statements of a superuser in the connector's database.
    pub(crate) async fn admin(&self, sql: &str) -> Result<()> {
        let admin = self.database.admin().await?;
        let sql = self.fill(sql);
        for statement in e2e::database::statements(&sql) {
            let done = admin.batch_execute(&statement).await;
            done.map_err(|error| format!("{}: in {statement}", e2e::chain(&error.into())))?;
        }
        Ok(())
    }

    /// Calls the program, logging everything.
    pub(crate) async fn call(&self, verb: &str, arguments: &[&str]) -> Result<Told> {
        let mut command = self.connector.command(verb)?;
        command
            .args(arguments)
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await;
        let output = output.map_err(|_| format!("`{verb}` does not end"))??;
        Told::of(&output)
    }

    /// The connector, running.
    pub(crate) fn start(&self) -> Result<Running> {
        self.connector.start()
    }

    /// Another client that reads a slot: PostgreSQL's own.
    pub(crate) async fn hold(&self, slot: &str) -> Result<Child> {
        let programs = std::env::var("AFTERIMAGE_STACK_POSTGRES_PROGRAMS")
            .map_err(|_| "AFTERIMAGE_STACK_POSTGRES_PROGRAMS is not set: a client is needed")?;
        let publication = format!("publication_names=afterimage_{}", self.name);
        Ok(Command::new(format!("{programs}/pg_recvlogical"))
            .args([
                "-d",
                &self.database.url,
                "-S",
                slot,
                "--start",
                "-f",
                "-",
                "-o",
                "proto_version=1",
            ])
            .args(["-o", &publication])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?)
    }

    /// The same role, database, table and publication on another server.
    pub(crate) async fn twin(&self, stack: &Stack) -> Result<()> {
        let Self { name, .. } = self;
        let own = self.database.url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        let (login, _) = own.ok_or("an address")?;
        let (_, password) = login.split_once(':').ok_or("a password")?;
        let admin = connect(&stack.postgres_admin.parse::<Config>()?).await?;
        admin
            .batch_execute(&format!("CREATE ROLE {name} LOGIN REPLICATION PASSWORD '{password}'"))
            .await?;
        let server = stack.postgres.rsplit('@').next().ok_or("an address")?;
        let own = Stack { postgres: format!("postgres://{login}@{server}"), ..stack.clone() };
        let twin = Database::create(&own, name).await?;
        twin.run("CREATE TABLE orders (id int PRIMARY KEY, note varchar(20));").await?;
        let publication = format!("CREATE PUBLICATION afterimage_{name} FOR TABLE orders");
        Ok(twin.client.batch_execute(&publication).await?)
    }

    /// What `check` says; it must leave everything as it was.
    pub(crate) async fn check(&self) -> Result<Told> {
        let before = self.footprint().await?;
        let told = self.call("check", &[]).await?;
        let after = self.footprint().await?;
        if before != after {
            return Err(format!("`check` changed something:\n{before:#?}\n{after:#?}").into());
        }
        let is_right = match told.status {
            0 => told.errors().is_empty() && told.out.contains("run would start"),
            1 => !told.errors().is_empty() && told.out.contains("run would not start"),
            2 => told.out.is_empty(),
            _ => false,
        };
        if is_right {
            Ok(told)
        } else {
            Err(format!("verdict and status differ:\n{told:#?}").into())
        }
    }

    pub(crate) async fn footprint(&self) -> Result<Footprint> {
        let admin = self.database.admin().await?;
        let database = text_rows(
            &admin,
            "SELECT 'slot', slot_name, plugin, restart_lsn::text, confirmed_flush_lsn::text \
               FROM pg_replication_slots WHERE database = current_database() \
             UNION ALL SELECT 'publication', pubname, pg_get_userbyid(pubowner), to_json(p)::text, \
               obj_description(oid, 'pg_publication') FROM pg_publication p \
             UNION ALL SELECT 'published', prpubid::text, prrelid::text, NULL, NULL FROM pg_publication_rel \
             UNION ALL SELECT 'table', n.nspname, c.relname, c.relreplident::text, c.relacl::text \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 1, 2, 3, 4",
        )
        .await?;
        let all = Topics::of(&self.stack.kafka);
        let mut topics = BTreeMap::new();
        for prefix in [format!("{}.", self.name), format!("__afterimage.{}", self.name)] {
            for topic in all.list(&prefix).await?.into_keys() {
                topics.insert(topic, 0);
            }
            for record in all.read(&prefix, Isolation::ReadUncommitted).await? {
                *topics.entry(record.topic).or_default() += 1;
            }
        }
        Ok(Footprint { database, topics })
    }

    /// Whether a record of this row is in its topic for everybody to read.
    pub(crate) async fn has(&self, id: u32) -> Result<bool> {
        let topic = format!("{}.public.orders", self.name);
        let mut registry = Registry::of(&self.stack.registry);
        for record in Topics::of(&self.stack.kafka).read(&topic, Isolation::ReadCommitted).await? {
            let decoded = registry.decode(record).await?;
            if decoded.value.is_some_and(|value| value["after"]["id"] == id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes everything away.
    pub(crate) async fn clean(self) -> Result<()> {
        let topics = Topics::of(&self.stack.kafka);
        topics.delete(&format!("{}.", self.name)).await?;
        topics.delete(&format!("__afterimage.{}", self.name)).await?;
        let admin = connect(&self.stack.postgres_admin.parse::<Config>()?).await?;
        self.database.drop_it().await?;
        Ok(admin.batch_execute(&format!("DROP ROLE {}", self.name)).await?)
    }
}

impl Footprint {
    /// Names of this kind: slot, publication.
    pub(crate) fn names(&self, kind: &str) -> Vec<&str> {
        let of_kind = self.database.iter().filter(|row| row[0].as_deref() == Some(kind));
        of_kind.filter_map(|row| row[1].as_deref()).collect()
    }

    /// Records in the tables' own topics.
    pub(crate) fn records(&self) -> usize {
        let targets = self.topics.iter().filter(|(topic, _)| !topic.starts_with("__"));
        targets.map(|(_, records)| records).sum()
    }
}

impl Told {
    fn of(output: &Output) -> Result<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        harmless(&out)?;
        harmless(&err)?;
        let status = output.status.code().ok_or("ended by a signal")?;
        let findings = findings(&out);
        Ok(Self { status, out, err, findings })
    }

    pub(crate) fn errors(&self) -> Vec<&str> {
        let errors = self.findings.iter().filter(|finding| finding.severity == "error");
        errors.map(|finding| finding.code.as_str()).collect()
    }

    /// The finding of this severity and code that says all of this.
    pub(crate) fn find(&self, severity: &str, code: &str, words: &[String]) -> Result<Finding> {
        let found = self.findings.iter().find(|finding| {
            let text = format!("{} {}", finding.problem, finding.mend);
            finding.severity == severity
                && finding.code == code
                && words.iter().all(|word| text.contains(word))
        });
        let missing = || {
            format!("no {severity}[{code}] that says {words:?} in\n{}{}", self.out, last(&self.err))
        };
        found.cloned().ok_or_else(|| missing().into())
    }
}

fn last(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// No defect, and nothing that must not be seen.
pub(crate) fn harmless(text: &str) -> Result<()> {
    // Secrets, also as basic authentication sends them, and every word that a panic writes.
    for word in [
        CANARY,
        "Y2FuYXJ5LTdkMWY",
        "connector-secret",
        "panicked",
        "stack backtrace",
        "\"panic\"",
        "[panic]",
    ] {
        if let Some(line) = text.lines().find(|line| line.contains(word)) {
            return Err(format!("{word} is in the output: {line}").into());
        }
    }
    Ok(())
}

fn findings(out: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut in_mend = false;
    for line in out.lines() {
        if let Some(mend) = line.strip_prefix("  to mend it: ") {
            in_mend = true;
            findings.last_mut().expect("a finding came before").mend = mend.to_owned();
        } else if let Some(more) = line.strip_prefix("    ") {
            let last = findings.last_mut().expect("a finding came before");
            let text = if in_mend { &mut last.mend } else { &mut last.problem };
            text.push('\n');
            text.push_str(more);
        } else if let Some((severity, rest)) = line.split_once('[')
            && let Some((code, problem)) = rest.split_once("]: ")
        {
            in_mend = false;
            let [severity, code, problem] = [severity, code, problem].map(str::to_owned);
            findings.push(Finding { severity, code, problem, mend: String::new() });
        }
    }
    findings
}

/// The statements of a mend, as a person takes them out of it: of two ways the last, without who runs it and what comes after.
pub(crate) fn statements(mend: &str) -> String {
    let mend = mend.split_once("of the tables: ").map_or(mend, |(_, statements)| statements);
    let mend = mend.rsplit("; or ").next().unwrap_or(mend);
    let mend = mend.split("; then ").next().unwrap_or(mend);
    mend.replace("; ", ";\n")
}
