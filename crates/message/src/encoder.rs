use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::PipelineError;
use crate::conversion::{Fault, Scratch};
use crate::schema::{Part, Schema};
use crate::scope::Scope;

/// Turns records into bytes.
pub trait Encoder: Send {
    /// Names of schemas and fields must be those that Avro allows.
    fn adjusts_names(&self) -> bool {
        false
    }

    /// Compiles a record's plan. The only place where an encoder may wait.
    fn prepare<'a>(&'a mut self, request: Request<'a>) -> Prepare<'a>;

    /// Appends the record that `plan` makes of `scope`.
    ///
    /// # Errors
    /// The field whose value has no place in the record. What was appended before is the caller's to cut off.
    fn encode(
        &self,
        plan: PlanId,
        scope: &Scope<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), FieldFault>;
}

/// Names a plan of the encoder that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanId(pub usize);

pub type Prepare<'a> = Pin<Box<dyn Future<Output = Result<Prepared, PipelineError>> + Send + 'a>>;

/// A record whose plan is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub topic: &'a str,
    pub role: Role,
    pub schema: &'a Schema,
    /// What the record's own fields are of.
    pub part: Part,
    /// The schema id that stored keys of this topic carry.
    pub pinned: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Key,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    pub plan: PlanId,
    /// The schema's number in a registry, where the format has one.
    pub schema_id: Option<u32>,
}

/// Which field could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    pub fault: Fault,
    pub field: Arc<str>,
}
