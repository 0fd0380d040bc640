//! The publication: which tables' changes the server sends.
//!
//! It is made and completed here when the rights allow it, always *before* a slot is created: creating a slot waits
//! for the transactions that run, so none of them wrote into a table that the publication did not have yet.

use std::collections::BTreeSet;

use change::TableName;
use connector::Failure;
use postgres_replication::quote::{ZeroByte, quote_identifier, quote_literal};

use crate::client::{Client, SessionError};
use crate::config::Settings;
use crate::failure::{Doing, Stop};

const DOING: &str = "preparing the publication";

/// What the server says of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) all_tables: bool,
    pub(crate) via_root: bool,
    /// insert, update, delete and truncate: all of them.
    pub(crate) all_operations: bool,
    pub(crate) tables: BTreeSet<TableName>,
    /// Tables that are published in part: a row filter or a list of columns.
    pub(crate) partial: Vec<TableName>,
}

pub(crate) async fn read(client: &mut Client, name: &str) -> Result<Option<Publication>, Failure> {
    let sql = "SELECT puballtables, pubviaroot, pubinsert AND pubupdate AND pubdelete AND pubtruncate AS all_operations \
               FROM pg_publication WHERE pubname = $1";
    let rows = client.query(sql, &[Some(name)]).await.doing(DOING)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut publication = Publication {
        all_tables: row.get("puballtables") == Some("t"),
        via_root: row.get("pubviaroot") == Some("t"),
        all_operations: row.get("all_operations") == Some("t"),
        tables: BTreeSet::new(),
        partial: Vec::new(),
    };
    let sql = "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = $1";
    let rows = client.query(sql, &[Some(name)]).await.doing(DOING)?;
    for row in rows.iter() {
        let (schema, table) = (row.at(0).unwrap_or_default(), row.at(1).unwrap_or_default());
        publication.tables.insert(TableName::new(schema, table));
    }
    // filters and lists came with version 15
    if client.server_version() >= 150_000 {
        let sql = "SELECT n.nspname, c.relname FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid \
                     JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE p.pubname = $1 AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)";
        let rows = client.query(sql, &[Some(name)]).await.doing(DOING)?;
        publication.partial.extend(rows.iter().map(|row| {
            TableName::new(row.at(0).unwrap_or_default(), row.at(1).unwrap_or_default())
        }));
    }
    Ok(Some(publication))
}

/// The statements that make the publication send every change of the tables; none: it does.
pub(crate) fn statements(
    name: &str,
    publication: Option<&Publication>,
    tables: &[TableName],
) -> Result<Vec<String>, ZeroByte> {
    const OPTIONS: &str =
        "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";
    let quoted = quote_identifier(name)?;
    let Some(publication) = publication else {
        let tables =
            if tables.is_empty() { String::new() } else { format!(" FOR TABLE {}", list(tables)?) };
        return Ok(vec![format!("CREATE PUBLICATION {quoted}{tables} WITH ({OPTIONS})")]);
    };
    let mut statements = Vec::new();
    if !publication.via_root || !publication.all_operations {
        statements.push(format!("ALTER PUBLICATION {quoted} SET ({OPTIONS})"));
    }
    let missing: Vec<TableName> =
        tables.iter().filter(|table| !publication.tables.contains(*table)).cloned().collect();
    if !missing.is_empty() && !publication.all_tables {
        statements.push(format!("ALTER PUBLICATION {quoted} ADD TABLE {}", list(&missing)?));
    }
    Ok(statements)
}

fn list(tables: &[TableName]) -> Result<String, ZeroByte> {
    let names = tables.iter().map(qualified).collect::<Result<Vec<_>, _>>()?;
    Ok(names.join(", "))
}

/// `"schema"."table"`
pub(crate) fn qualified(table: &TableName) -> Result<String, ZeroByte> {
    Ok(format!("{}.{}", quote_identifier(&table.schema)?, quote_identifier(&table.table)?))
}

/// Makes or completes the publication.
pub(crate) async fn ensure(
    client: &mut Client,
    settings: &Settings,
    name: &str,
    tables: &[TableName],
) -> Result<(), Failure> {
    let publication = read(client, name).await?;
    let statements = statements(name, publication.as_ref(), tables).doing(DOING)?;
    if statements.is_empty() {
        return Ok(());
    }
    let refused = || {
        let publication = name.to_owned();
        Stop::Publication { publication, statement: format!("{};", statements.join("; ")) }
            .failure(DOING)
    };
    if !settings.manage_publication {
        return Err(refused());
    }
    for statement in &statements {
        match client.simple(statement).await {
            Ok(_) => tracing::info!(statement, "the publication was changed"),
            Err(SessionError::Server(error)) if error.code == "42501" => return Err(refused()),
            Err(error) => return Err(error).doing(DOING),
        }
    }
    if publication.is_none() {
        let comment = quote_literal("made by afterimage").doing(DOING)?;
        let name = quote_identifier(name).doing(DOING)?;
        client.simple(&format!("COMMENT ON PUBLICATION {name} IS {comment}")).await.doing(DOING)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_add_what_is_missing_and_nothing_else() {
        let t = |table: &str| TableName::new("public", table);
        let complete = Publication {
            all_tables: false,
            via_root: true,
            all_operations: true,
            tables: [t("a"), t("b")].into(),
            partial: vec![],
        };
        let check = |publication: Option<&Publication>, tables: &[TableName], expected: &[&str]| {
            assert_eq!(statements("p\"q", publication, tables).unwrap(), expected);
        };
        let options =
            "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";
        check(
            None,
            &[t("a"), t("B.c")],
            &[&format!(
                "CREATE PUBLICATION \"p\"\"q\" FOR TABLE \"public\".\"a\", \"public\".\"B.c\" WITH ({options})"
            )],
        );
        check(Some(&complete), &[t("a")], &[]);
        check(
            Some(&complete),
            &[t("c"), t("a")],
            &["ALTER PUBLICATION \"p\"\"q\" ADD TABLE \"public\".\"c\""],
        );
        let all = Publication { all_tables: true, ..complete.clone() };
        check(Some(&all), &[t("c")], &[]);
        let leaves = Publication { via_root: false, ..complete.clone() };
        check(
            Some(&leaves),
            &[t("a")],
            &[&format!("ALTER PUBLICATION \"p\"\"q\" SET ({options})")],
        );
    }
}
