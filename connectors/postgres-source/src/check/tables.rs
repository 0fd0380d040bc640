//! The captured tables: rights, keys, what their rows may lack.

use connector::{Failure, Finding};
use postgres_replication::pgoutput::ReplicaIdentity;

use crate::catalog;
use crate::client::Client;
use crate::config::Settings;
use crate::failure::Doing;
use crate::publication::qualified;
use crate::schema::{CatalogTable, build};
use crate::types::{TypeCatalog, is_unknown};

const DOING: &str = "checking the tables";

pub(super) async fn tables(
    client: &mut Client,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) -> Result<Vec<CatalogTable>, Failure> {
    let captured = catalog::captured(client, settings).await?;
    if captured.is_empty() {
        let patterns: Vec<String> = settings.tables.iter().map(ToString::to_string).collect();
        findings.push(Finding::error(
            "no-tables",
            format!("no table of the database matches {}", list(&patterns)),
            "correct the patterns; names are compared as they are stored, in lower case unless quoted",
        ));
        return Ok(Vec::new());
    }
    for pattern in &settings.tables {
        if !captured.keys().any(|name| pattern.matches(&name.schema, &name.table)) {
            findings.push(Finding::warning(
                "no-tables",
                format!("no table matches the pattern {pattern}"),
                "correct or remove it",
            ));
        }
    }
    let oids: Vec<u64> = captured.values().map(|id| id.object).collect();
    let mut types = TypeCatalog::default();
    let tables = catalog::describe(client, &oids, &mut types).await?;
    rights(client, &oids, findings).await?;
    others(client, settings, findings).await?;
    let large = large_values(client, &oids).await?;
    let mut absent = Vec::new();
    for table in &tables {
        let name = qualified(&table.name).doing(DOING)?;
        identity(table, &name, client.server_version(), findings);
        columns(table, &name, &types, settings, findings);
        if table.replica_identity != ReplicaIdentity::Full && large.contains(&table.id.object) {
            absent.push(name);
        }
    }
    if !absent.is_empty() {
        findings.push(Finding::note(
            "absent-values",
            format!(
                "an update that leaves a large value as it was does not send it, in {}; \
                 ALTER TABLE .. REPLICA IDENTITY FULL makes the server send it",
                list(&absent)
            ),
        ));
    }
    Ok(tables)
}

fn identity(table: &CatalogTable, name: &str, version: u32, findings: &mut Vec<Finding>) {
    if !table.has_identity() {
        findings.push(Finding::warning(
            "no-identity",
            format!("{name} has no replica identity: once published, the server refuses its UPDATE and DELETE"),
            format!("ALTER TABLE {name} ADD PRIMARY KEY (..); or ALTER TABLE {name} REPLICA IDENTITY FULL;"),
        ));
    }
    let generated = table.columns.iter().any(|column| column.generated);
    if generated && version >= 180_000 && table.replica_identity == ReplicaIdentity::Full {
        findings.push(Finding::warning(
            "no-identity",
            format!("{name} has generated columns and REPLICA IDENTITY FULL: the server refuses its UPDATE and DELETE"),
            format!("ALTER TABLE {name} REPLICA IDENTITY DEFAULT;"),
        ));
    }
    let key: Vec<&String> =
        table.primary_key.iter().filter(|column| !table.identity_index.contains(column)).collect();
    if table.replica_identity == ReplicaIdentity::Index && !key.is_empty() {
        findings.push(Finding::note(
            "key",
            format!("messages of {name} are keyed by its replica identity, which does not hold its primary key"),
        ));
    }
}

fn columns(
    table: &CatalogTable,
    name: &str,
    types: &TypeCatalog,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) {
    let generated: Vec<String> = table
        .columns
        .iter()
        .filter(|column| column.generated)
        .map(|column| column.name.clone())
        .collect();
    if !generated.is_empty() {
        findings.push(Finding::note(
            "generated-columns",
            format!(
                "generated columns are not in the log and are left out: {} of {name}",
                list(&generated)
            ),
        ));
    }
    let unknown: Vec<String> = table
        .columns
        .iter()
        .filter(|column| is_unknown(&types.resolve(column.type_id, column.modifier).kind))
        .map(|column| column.name.clone())
        .collect();
    if !unknown.is_empty() {
        findings.push(Finding::note(
            "unknown-types",
            format!("columns of types without a form of their own, see option unknown_types: {} of {name}", list(&unknown)),
        ));
    }
    let captured = build(&table.relation(), Some(table), None, types, settings);
    let key = captured.table.key.iter().map(|index| &captured.table.columns[*index]);
    for column in
        key.filter(|column| settings.excludes(&table.name.schema, &table.name.table, &column.name))
    {
        findings.push(Finding::warning(
            "key",
            format!("column {} of {name} is part of the key and is not left out", column.name),
            "remove it from exclude",
        ));
    }
}

/// What cannot be read.
async fn rights(
    client: &mut Client,
    oids: &[u64],
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let sql = "SELECT quote_ident(n.nspname) AS schema, c.oid::regclass::text AS name, quote_ident(current_user) AS who, \
                 has_schema_privilege(n.oid, 'USAGE') AS usage, has_table_privilege(c.oid, 'SELECT') AS readable \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.oid = ANY($1::oid[]) \
                 AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))";
    let rows = client.query(sql, &[Some(&catalog::array(oids))]).await.doing(DOING)?;
    let mut schemas = Vec::new();
    for row in rows.iter() {
        let text = |column| row.get(column).unwrap_or_default();
        if row.get("usage") != Some("t") && !schemas.contains(&text("schema").to_owned()) {
            schemas.push(text("schema").to_owned());
            findings.push(Finding::error(
                "rights",
                format!("user {} may not use schema {}", text("who"), text("schema")),
                format!("GRANT USAGE ON SCHEMA {} TO {};", text("schema"), text("who")),
            ));
        }
        if row.get("readable") != Some("t") {
            findings.push(Finding::error(
                "rights",
                format!("user {} may not read {}", text("who"), text("name")),
                format!("GRANT SELECT ON {} TO {};", text("name"), text("who")),
            ));
        }
    }
    Ok(())
}

/// What matches and is not logged as a table: views, unlogged and foreign tables, single partitions.
async fn others(
    client: &mut Client,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let sql = "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE (c.relkind IN ('v', 'm', 'f') OR (c.relkind IN ('r', 'p') AND c.relpersistence = 'u')) \
                 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    let rows = client.query(sql, &[]).await.doing(DOING)?;
    let names: Vec<String> = rows
        .iter()
        .filter_map(|row| Some((row.at(0)?, row.at(1)?)))
        .filter(|(schema, table)| settings.captures(schema, table))
        .map(|(schema, table)| format!("{schema}.{table}"))
        .collect();
    if !names.is_empty() {
        findings.push(Finding::note(
            "not-logged",
            format!(
                "views, foreign and unlogged tables are not in the log and are left out: {}",
                list(&names)
            ),
        ));
    }
    Ok(())
}

/// Tables with columns whose values may be stored out of line.
async fn large_values(client: &mut Client, oids: &[u64]) -> Result<Vec<u64>, Failure> {
    let sql = "SELECT DISTINCT attrelid FROM pg_attribute WHERE attrelid = ANY($1::oid[]) AND attnum > 0 \
               AND NOT attisdropped AND attgenerated = '' AND attstorage IN ('x', 'e', 'm') \
               AND NOT (atttypid IN (1042, 1043) AND atttypmod BETWEEN 0 AND 500) AND NOT (atttypid = 1700 AND atttypmod > 0)";
    let rows = client.query(sql, &[Some(&catalog::array(oids))]).await.doing(DOING)?;
    Ok(rows.iter().filter_map(|row| row.at(0)?.parse().ok()).collect())
}

/// At most ten names, and how many more.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
