//! Whether the publication sends every change of the tables, or can be made to.

use change::TableName;
use connector::{Failure, Finding};

use super::server::Role;
use crate::catalog;
use crate::client::Client;
use crate::config::Settings;
use crate::failure::Doing;
use crate::publication::{qualified, read, statements};
use crate::schema::CatalogTable;

const DOING: &str = "checking the publication";

pub(super) async fn publication(
    client: &mut Client,
    settings: &Settings,
    role: &Role,
    tables: &[CatalogTable],
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let name = &settings.publication;
    let found = read(client, name).await?;
    if let Some(found) = &found {
        for table in found
            .partial
            .iter()
            .filter(|partial| tables.iter().any(|table| table.name == **partial))
        {
            let quoted = qualified(table).doing(DOING)?;
            findings.push(Finding::error(
                "publication",
                format!("publication {name:?} has a row filter or a list of columns for {quoted}"),
                format!("ALTER PUBLICATION {name:?} DROP TABLE {quoted}; ALTER PUBLICATION {name:?} ADD TABLE {quoted};"),
            ));
        }
    }
    let names: Vec<TableName> = tables.iter().map(|table| table.name.clone()).collect();
    let statements = statements(name, found.as_ref(), &names).doing(DOING)?;
    if statements.is_empty() {
        return Ok(());
    }
    let statement = format!("{};", statements.join("; "));
    if !settings.manage_publication {
        let problem = format!("publication {name:?} does not send every change of the tables");
        findings.push(Finding::error("publication", problem, statement));
        return Ok(());
    }
    let oids: Vec<u64> = tables.iter().map(|table| table.id.object).collect();
    let owned = catalog::owned(client, &oids).await?;
    let all_owned = oids.iter().all(|oid| owned.contains(oid));
    let allowed = match &found {
        None => role.creates && all_owned,
        Some(_) => all_owned && owns(client, name).await?,
    };
    findings.push(if allowed {
        Finding::note("publication", format!("publication {name:?} will be made or completed"))
    } else {
        let problem = format!(
            "publication {name:?} is incomplete, and user {} may not change that",
            role.name
        );
        Finding::error("publication", problem, format!("as the owner of the tables: {statement}"))
    });
    Ok(())
}

async fn owns(client: &mut Client, name: &str) -> Result<bool, Failure> {
    let sql = "SELECT pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = $1";
    let rows = client.query(sql, &[Some(name)]).await.doing(DOING)?;
    Ok(rows.first().and_then(|row| row.at(0)) == Some("t"))
}
