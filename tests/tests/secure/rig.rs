//! A connector on a database of its own, and what a consumer has of it.

use std::collections::BTreeMap;

use e2e::Result;
use e2e::connector::Connector;
use e2e::database::Database;
use e2e::registry::Registry;
use e2e::secure::Secure;
use e2e::sentinel::Sentinel;
use e2e::stack::{Stack, fresh_name};
use e2e::topics::{Isolation, Topics};

pub(crate) struct Rig {
    pub(crate) name: String,
    pub(crate) stack: Stack,
    pub(crate) secure: Secure,
    pub(crate) database: Database,
    pub(crate) connector: Connector,
    pub(crate) sentinel: Sentinel,
}

impl Rig {
    /// A table of three rows; `options` in TOML, in which `{..}` are addresses.
    pub(crate) async fn new(stem: &str, options: &str) -> Result<Self> {
        let (stack, secure) = (Stack::from_environment()?, Secure::from_environment()?);
        let name = fresh_name(stem);
        let database = Database::create(&stack, &name).await?;
        database
            .run("CREATE TABLE orders (id int PRIMARY KEY, note varchar(20));\nINSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'c');")
            .await?;
        let sentinel = Sentinel::create(&stack, &database, &name, false).await?;
        let port = stack.postgres.rsplit(':').next().and_then(|rest| rest.split('/').next());
        let mut options = options.to_owned();
        for (word, by) in [
            ("{name}", name.as_str()),
            ("{postgres_port}", port.unwrap_or_default()),
            ("{ca}", &secure.ca.display().to_string()),
            ("{certificate}", &secure.certificate.display().to_string()),
            ("{key}", &secure.key.display().to_string()),
            ("{kafka_tls}", &secure.kafka_tls),
            ("{kafka_sasl}", &secure.kafka_sasl),
            ("{kafka_sasl_tls}", &secure.kafka_sasl_tls),
            ("{user}", &secure.user),
        ] {
            options = options.replace(word, by);
        }
        let connector = Connector::new(&stack, &name, &database.url, &toml::from_str(&options)?)?;
        Ok(Self { name, stack, secure, database, connector, sentinel })
    }

    /// How often each row was told by which operation, as `c 4`.
    pub(crate) async fn told(&self) -> Result<BTreeMap<String, u32>> {
        let topic = format!("{}.public.orders", self.name);
        let mut registry = Registry::of(&self.stack.registry);
        let mut told = BTreeMap::new();
        for record in Topics::of(&self.stack.kafka).read(&topic, Isolation::ReadCommitted).await? {
            let decoded = registry.decode(record).await?;
            let Some(value) = decoded.value else { continue };
            let what = format!("{} {}", value["op"].as_str().unwrap_or("?"), value["after"]["id"]);
            *told.entry(what).or_default() += 1;
        }
        Ok(told)
    }

    /// Positions stored so far.
    pub(crate) async fn positions(&self) -> Result<usize> {
        let topic = format!("__afterimage.{}", self.name);
        let records = Topics::of(&self.stack.kafka).read(&topic, Isolation::ReadCommitted).await?;
        Ok(records.iter().filter(|record| record.key.as_deref() == Some(b"position")).count())
    }

    pub(crate) async fn clean(self) -> Result<()> {
        let topics = Topics::of(&self.stack.kafka);
        topics.delete(&format!("{}.", self.name)).await?;
        topics.delete(&format!("__afterimage.{}", self.name)).await?;
        self.database.drop_it().await
    }
}

/// Each of these once.
pub(crate) fn once(told: &[&str]) -> BTreeMap<String, u32> {
    told.iter().map(|what| ((*what).to_owned(), 1)).collect()
}

pub(crate) fn passed(result: Result<()>) {
    result.unwrap_or_else(|error| panic!("{}", e2e::chain(&error)));
}
