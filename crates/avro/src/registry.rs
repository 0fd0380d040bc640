use std::future::Future;
use std::pin::Pin;

/// Knows schemas by number.
pub trait Registry: Send + Sync {
    /// The id of the schema under this subject, registered when it is new.
    fn id<'a>(&'a self, subject: &'a str, schema: &'a str) -> Id<'a>;

    /// The text of the schema with this id; None: there is no such id.
    fn text(&self, id: u32) -> SchemaText<'_>;
}

pub type Id<'a> = Pin<Box<dyn Future<Output = Result<u32, RegistryError>> + Send + 'a>>;
pub type SchemaText<'a> =
    Pin<Box<dyn Future<Output = Result<Option<String>, RegistryError>> + Send + 'a>>;

/// Why a registry gave no id.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct RegistryError {
    /// `schema-incompatible`, `registry-unauthorized`, ..
    pub code: &'static str,
    /// Asking again later may help.
    pub transient: bool,
    /// What happened, with the registry's own words where it said some.
    pub problem: String,
}

impl RegistryError {
    pub fn definite(code: &'static str, problem: impl Into<String>) -> Self {
        Self { code, transient: false, problem: problem.into() }
    }

    pub fn transient(code: &'static str, problem: impl Into<String>) -> Self {
        Self { code, transient: true, problem: problem.into() }
    }
}
