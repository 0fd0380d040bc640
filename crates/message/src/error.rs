use std::error::Error;
use std::fmt;
use std::sync::Arc;

use change::TableName;

use crate::conversion::Fault;
use crate::encoder::FieldFault;

/// Why messages could not be made.
#[derive(Debug)]
pub struct PipelineError {
    pub code: &'static str,
    /// Trying again may help (a registry that does not answer).
    pub transient: bool,
    pub doing: &'static str,
    pub source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.doing)
    }
}

impl Error for PipelineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// What stands behind a [`PipelineError`] of the pipeline's own. Names columns, never values.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error("{table}, column {field}: {fault}")]
    Field { table: TableName, field: Arc<str>, fault: Fault },
    #[error("{field}: {fault}")]
    Transaction { field: Arc<str>, fault: Fault },
    #[error(
        "{table}: the key changed, and the database did not send all of the new row; REPLICA IDENTITY FULL, or \
         its like, sends it"
    )]
    IncompleteKeyChange { table: TableName },
    #[error("{table}: a deleted row of a table without a key cannot be told as a plain row")]
    KeylessDelete { table: TableName },
    #[error("{table} was not prepared")]
    Unprepared { table: TableName },
    #[error("{table}: two columns become the field {field}")]
    Fields { table: TableName, field: Arc<str> },
    #[error("{one} and {other} would both be called {name}")]
    Collision { one: String, other: String, name: String },
}

impl PipelineError {
    pub fn definite(
        code: &'static str,
        doing: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { code, transient: false, doing, source: source.into() }
    }

    pub fn transient(
        code: &'static str,
        doing: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { code, transient: true, doing, source: source.into() }
    }

    pub(crate) fn from_fault(
        table: Option<&TableName>,
        FieldFault { fault, field }: FieldFault,
        doing: &'static str,
    ) -> Self {
        let code = match fault {
            Fault::Absent => "absent-value",
            Fault::Null => "null-value",
            Fault::Kind => "value-kind",
            Fault::Range => "value-range",
            Fault::Special | Fault::Elements => "unrepresentable",
        };
        let source = match table {
            Some(table) => EncodeError::Field { table: table.clone(), field, fault },
            None => EncodeError::Transaction { field, fault },
        };
        Self::definite(code, doing, source)
    }
}
