use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use avro::{Id, Registry, RegistryError, SchemaText};
use rand::RngExt;
use rand::rngs::StdRng;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::answer::{self, Body, Refusal, malformed};
use crate::cache::Cache;
use crate::config::{Config, ConfigError, Credentials, REQUEST_TIMEOUT};

/// Asks a registry, and remembers its answers.
#[derive(Debug)]
pub struct RegistryClient {
    base: Url,
    http: Client,
    credentials: Credentials,
    cache: Cache,
    rng: Mutex<StdRng>,
    patience: Duration,
}

/// How long one question is asked again before the connector starts anew from its stored position. Below the time that
/// a Kafka transaction may stay open, since one may be.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(3);

const JSON: &str = "application/vnd.schemaregistry.v1+json";
/// Confluent's number for a schema id that is not there.
const NO_SUCH_SCHEMA: u64 = 40403;

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct Text {
    schema: String,
}

impl RegistryClient {
    /// `rng` spreads the pauses between attempts.
    ///
    /// # Errors
    /// A configuration that cannot work, files of certificates included.
    pub fn new(config: &Config, rng: StdRng) -> Result<Self, ConfigError> {
        let base = config.address()?;
        Ok(Self {
            http: config.http(&base)?,
            credentials: config.credentials()?,
            base,
            cache: Cache::default(),
            rng: Mutex::new(rng),
            patience: PATIENCE,
        })
    }

    /// How long one question may be asked again.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The kinds of schemas that the registry takes.
    pub(crate) async fn types(&self) -> Result<Vec<String>, RegistryError> {
        let body = self.attempt(Method::GET, &["schemas", "types"], None).await;
        parse(&body.map_err(|refusal| refusal.error)?)
    }

    async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        if let Some(id) = self.cache.id(subject, schema) {
            return Ok(id);
        }
        let body = serde_json::json!({ "schema": schema }).to_string();
        let path = ["subjects", subject, "versions"];
        let answer = self.ask(Method::POST, &path, Some(&body)).await;
        let Registered { id } = parse(&answer.map_err(|refusal| refusal.error)?)?;
        self.cache.keep(subject, schema, id);
        Ok(id)
    }

    async fn look_up(&self, id: u32) -> Result<Option<String>, RegistryError> {
        match self.ask(Method::GET, &["schemas", "ids", &id.to_string()], None).await {
            Ok(body) => parse(&body).map(|Text { schema }| Some(schema)),
            Err(Refusal { number: NO_SUCH_SCHEMA, .. }) => Ok(None),
            Err(refusal) => Err(refusal.error),
        }
    }

    /// Asks until there is an answer or patience ends.
    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&str>,
    ) -> Result<Body, Refusal> {
        let deadline = Instant::now() + self.patience;
        let mut pause = PAUSE_FIRST;
        loop {
            let refusal = match self.attempt(method.clone(), path, body).await {
                Ok(body) => return Ok(body),
                Err(refusal) => refusal,
            };
            let wait = refusal.after.unwrap_or(pause).min(PAUSE_MAX).mul_f64(self.spread());
            if !refusal.error.transient || Instant::now() + wait >= deadline {
                return Err(refusal);
            }
            tracing::warn!(problem = %refusal.error, ?wait, "asking the schema registry again");
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
    }

    /// So that many connectors do not come back at one moment.
    fn spread(&self) -> f64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.5..=1.0)
    }

    async fn attempt(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&str>,
    ) -> Result<Body, Refusal> {
        let timeout = REQUEST_TIMEOUT.min(self.patience);
        let request = self.http.request(method, self.url(path)).timeout(timeout);
        let mut request = request.header(ACCEPT, JSON);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, JSON).body(body.to_owned());
        }
        match self.credentials.apply(request).send().await {
            Ok(response) => answer::read(response).await,
            Err(error) => Err(answer::unanswered(&error)),
        }
    }

    /// The base with these segments behind its own, each escaped.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("http and https addresses have a path")
            .pop_if_empty()
            .extend(path);
        url
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(body).map_err(|_| malformed("is not what was asked for"))
}

impl Registry for RegistryClient {
    fn id<'a>(&'a self, subject: &'a str, schema: &'a str) -> Id<'a> {
        Box::pin(self.register(subject, schema))
    }

    fn text(&self, id: u32) -> SchemaText<'_> {
        Box::pin(self.look_up(id))
    }
}
