//! The captured tables as a sink will meet them.

use change::TableName;
use connector::Failure;

use crate::catalog;
use crate::schema::build;
use crate::source::PostgresSource;
use crate::types::TypeCatalog;

impl PostgresSource {
    /// The tables that the configuration captures now, and whether their messages will have keys. Changes nothing.
    pub async fn captured(&mut self) -> Result<Vec<(TableName, bool)>, Failure> {
        let settings = self.settings.clone();
        let client = self.query().await?;
        let captured = catalog::captured(client, &settings).await?;
        let oids: Vec<u64> = captured.values().map(|id| id.object).collect();
        let mut types = TypeCatalog::default();
        let tables = catalog::describe(client, &oids, &mut types).await?;
        let keyed = tables.into_iter().map(|table| {
            let built = build(&table.relation(), Some(&table), None, &types, &settings);
            (table.name, !built.table.key.is_empty())
        });
        Ok(keyed.collect())
    }
}
