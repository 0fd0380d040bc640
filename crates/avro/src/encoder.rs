//! The encoder: subjects, ids and plans.
//!
//! **Keys keep their id.** A key's bytes begin with its schema's id, and the partition is a hash of those bytes: a
//! registry that gave the same key another id would move every row to another partition. So where keys were written
//! before, under an id that the pipeline was told, and the registry now answers another one, the registry is asked what
//! the known id stands for: the same schema, then the known id stays; another schema, then the key really changed and
//! takes the new id; nothing, then nobody can say, and the connector stops (`key-schema-changed`).

use std::sync::Arc;

use message::{
    Encoder, FieldFault, PipelineError, PlanId, Prepare, Prepared, Request, Role, Scope, Scratch,
};

use crate::plan::Plan;
use crate::registry::{Registry, RegistryError};
use crate::text::render;

/// Encodes records as Avro in Confluent's framing.
pub struct AvroEncoder {
    registry: Arc<dyn Registry>,
    plans: Vec<Framed>,
}

impl std::fmt::Debug for AvroEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AvroEncoder").field("plans", &self.plans.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Framed {
    header: [u8; 5],
    plan: Plan,
}

impl AvroEncoder {
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self { registry, plans: Vec::new() }
    }

    async fn id(&self, request: &Request<'_>, text: &str) -> Result<u32, PipelineError> {
        let suffix = match request.role {
            Role::Key => "key",
            Role::Value => "value",
        };
        let subject = format!("{}-{suffix}", request.topic);
        let id = self.registry.id(&subject, text).await.map_err(registering)?;
        let Some(pinned) = request.pinned.filter(|pinned| *pinned != id) else { return Ok(id) };
        match self.registry.text(pinned).await.map_err(registering)? {
            Some(known) if same(&known, text) => Ok(pinned),
            Some(_) => Ok(id),
            None => {
                let source = KeySchemaChanged { subject, pinned, id };
                Err(PipelineError::definite("key-schema-changed", REGISTERING, source))
            }
        }
    }
}

/// The registry no longer knows the id of stored keys.
#[derive(Debug, thiserror::Error)]
#[error(
    "keys of {subject} carry the schema id {pinned}, which the registry does not know; it would now be {id}, and keys \
     would move to other partitions"
)]
struct KeySchemaChanged {
    subject: String,
    pinned: u32,
    id: u32,
}

const REGISTERING: &str = "registering a schema";

fn registering(error: RegistryError) -> PipelineError {
    let RegistryError { code, transient, .. } = error;
    PipelineError { code, transient, doing: REGISTERING, source: Box::new(error) }
}

/// Whether two texts are the same JSON.
fn same(one: &str, other: &str) -> bool {
    let parse = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || parse(one).is_some_and(|one| Some(one) == parse(other))
}

impl Encoder for AvroEncoder {
    fn adjusts_names(&self) -> bool {
        true
    }

    fn prepare<'a>(&'a mut self, request: Request<'a>) -> Prepare<'a> {
        Box::pin(async move {
            let text = render(request.schema);
            let id = self.id(&request, &text).await?;
            let mut header = [0; 5];
            header[1..].copy_from_slice(&id.to_be_bytes());
            self.plans.push(Framed { header, plan: Plan::compile(request.schema, request.part) });
            Ok(Prepared { plan: PlanId(self.plans.len() - 1), schema_id: Some(id) })
        })
    }

    fn encode(
        &self,
        plan: PlanId,
        scope: &Scope<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), FieldFault> {
        let framed = &self.plans[plan.0];
        out.extend_from_slice(&framed.header);
        framed.plan.write(scope, scratch, out)
    }
}
