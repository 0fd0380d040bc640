//! A look at the changes from now on, which leaves nothing behind.
//!
//! The slot is temporary: it goes with its session. A publication cannot be temporary, so one that is made for a look
//! has the server's time in its name, is dropped at the end, and one that stayed behind a crash is dropped by the next
//! look a day later.
//!
//! Publishing a table changes what the server allows on it: without a replica identity its UPDATE and DELETE fail. A
//! look must not do that to anybody, so such tables are left out.

use std::collections::BTreeMap;

use change::{TableId, TableName};
use connector::Failure;
use postgres_replication::quote::quote_identifier;

use crate::client::Client;
use crate::config::{Config, ConfigError, Settings};
use crate::failure::Doing;
use crate::source::PostgresSource;
use crate::{catalog, publication};

const DOING: &str = "preparing a look at the changes";
const PREFIX: &str = "afterimage_tail_";
const LEFTOVER_SECONDS: u64 = 24 * 60 * 60;

/// The publication of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// An existing one.
    Given,
    /// Made when the source is opened.
    Made,
}

impl PostgresSource {
    /// A source of changes from now on, without a slot that stays. `publication`: an existing one to read; else one is
    /// made of the tables that the user owns, and [`end_tail`](Self::end_tail) drops it.
    pub fn tail(
        config: &Config,
        publication: Option<&str>,
    ) -> Result<PostgresSource, Vec<ConfigError>> {
        let mut settings = Settings::new("tail", config)?;
        settings.temporary = true;
        settings.slot_prefix = format!("{PREFIX}{:08x}", rand::random::<u32>());
        let look = match publication {
            Some(publication) => {
                settings.publication = publication.to_owned();
                settings.manage_publication = false;
                Look::Given
            }
            None => Look::Made,
        };
        let mut source = PostgresSource::with(settings);
        source.look = Some(look);
        Ok(source)
    }

    /// Drops the publication that was made for the look.
    pub async fn end_tail(&mut self) -> Result<(), Failure> {
        self.held = None;
        if self.look == Some(Look::Made) && self.publication.starts_with(PREFIX) {
            let publication = self.publication.clone();
            drop_publication(self.query().await?, &publication).await?;
        }
        Ok(())
    }

    /// Clears what earlier looks left, and names this one's publication.
    pub(crate) async fn begin_tail(&mut self) -> Result<(), Failure> {
        if self.look != Some(Look::Made) {
            return Ok(());
        }
        let sql = "SELECT pubname, extract(epoch FROM now())::bigint AS now FROM pg_publication p \
                     WHERE pubname LIKE 'afterimage\\_tail\\_%' AND pg_has_role(pubowner, 'USAGE') \
                   UNION ALL SELECT '', extract(epoch FROM now())::bigint";
        let client = self.query().await?;
        let rows = client.query(sql, &[]).await.doing(DOING)?;
        let mut now = 0;
        for row in rows.iter() {
            now = row.get("now").and_then(|text| text.parse().ok()).unwrap_or(0);
            let name = row.get("pubname").unwrap_or_default();
            if made_at(name).is_some_and(|made| made + LEFTOVER_SECONDS < now) {
                drop_publication(client, name).await?;
            }
        }
        self.publication = format!("{PREFIX}{now:x}_{:08x}", rand::random::<u32>());
        Ok(())
    }

    /// The tables that a look can have: those of the given publication, or those that may be published.
    pub(crate) async fn tail_tables(
        &mut self,
        mut tables: BTreeMap<TableName, TableId>,
    ) -> Result<BTreeMap<TableName, TableId>, Failure> {
        match self.look {
            Some(Look::Given) => {
                let name = self.publication.clone();
                let found = publication::read(self.query().await?, &name).await?;
                if let Some(found) = found.filter(|found| !found.all_tables) {
                    tables.retain(|name, _| found.tables.contains(name));
                }
            }
            Some(Look::Made) => {
                let oids: Vec<u64> = tables.values().map(|id| id.object).collect();
                let mut types = self.types.clone();
                let client = self.query().await?;
                let described = catalog::describe(client, &oids, &mut types).await?;
                let owned = catalog::owned(client, &oids).await?;
                let fit: Vec<u64> = described
                    .iter()
                    .filter(|table| table.has_identity() && owned.contains(&table.id.object))
                    .map(|table| table.id.object)
                    .collect();
                tables.retain(|name, id| {
                    let fits = fit.contains(&id.object);
                    if !fits {
                        tracing::warn!(table = %name, "left out: not owned, or without a replica identity");
                    }
                    fits
                });
            }
            None => {}
        }
        Ok(tables)
    }
}

/// When the publication of this name was made, in seconds since 1970; None: it is none of a look.
fn made_at(publication: &str) -> Option<u64> {
    let (time, _) = publication.strip_prefix(PREFIX)?.split_once('_')?;
    u64::from_str_radix(time, 16).ok()
}

async fn drop_publication(client: &mut Client, name: &str) -> Result<(), Failure> {
    let name = quote_identifier(name).doing(DOING)?;
    client
        .simple(&format!("DROP PUBLICATION IF EXISTS {name}"))
        .await
        .doing("dropping a look's publication")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_publications_of_looks_have_a_time() {
        assert_eq!(made_at("afterimage_tail_6923b2c0_0123abcd"), Some(0x6923_b2c0));
        assert_eq!(made_at("afterimage_tail_x_0123abcd"), None);
        assert_eq!(made_at("afterimage_shop"), None);
        assert_eq!(made_at("afterimage_tail_6923b2c0"), None);
    }
}
