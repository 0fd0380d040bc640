//! What the database's catalog says of tables and types.

use std::collections::{BTreeMap, HashSet};

use change::{TableId, TableName};
use connector::Failure;
use postgres_replication::pgoutput::ReplicaIdentity;
use xxhash_rust::xxh3::xxh3_64;

use crate::client::{Client, Row, Rows, SessionError};
use crate::config::Settings;
use crate::failure::{Doing, Stop};
use crate::schema::{CatalogColumn, CatalogTable};
use crate::types::{TypeCatalog, TypeClass, TypeInfo};

const DOING: &str = "reading the catalog";

/// Ordinary tables and roots of partitioned ones, that are logged and are nobody's but the user's. The storage of a
/// partitioned table is that of its leaves.
const TABLES: &str = "\
    SELECT c.oid, n.nspname, c.relname, c.relkind, c.relreplident, c.relfilenode, \
      CASE c.relkind WHEN 'p' THEN (SELECT string_agg(l.oid || ':' || l.relfilenode, ',' ORDER BY l.oid) \
        FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid WHERE p.isleaf) END AS leaves \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'";

const USER_TABLES: &str = " AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
    AND n.nspname !~ '^pg_' ORDER BY n.nspname, c.relname";

const COLUMNS: &str = "\
    SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attgenerated <> '' AS generated, \
      a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS required, \
      pg_get_expr(d.adbin, d.adrelid) AS expression \
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

const INDEXES: &str = "\
    SELECT i.indrelid, i.indexrelid, i.indisprimary, i.indisreplident, a.attname, \
      bool_and(a.attnotnull) OVER (PARTITION BY i.indexrelid) AND i.indisvalid AND i.indimmediate \
        AND i.indpred IS NULL AND i.indexprs IS NULL AS usable \
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid \
      CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place) \
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
    WHERE i.indrelid = ANY($1::oid[]) AND i.indisunique AND k.place <= i.indnkeyatts \
    ORDER BY i.indrelid, x.relname, k.place";

const TYPES: &str = "\
    WITH RECURSIVE t AS ( \
      SELECT oid, typname, typtype, typbasetype, typtypmod, typelem, typdelim, typcategory FROM pg_type \
        WHERE oid = ANY($1::oid[]) \
      UNION SELECT p.oid, p.typname, p.typtype, p.typbasetype, p.typtypmod, p.typelem, p.typdelim, p.typcategory \
        FROM t JOIN pg_type p ON (t.typtype = 'd' AND p.oid = t.typbasetype) \
          OR (t.typcategory = 'A' AND p.oid = t.typelem)) \
    SELECT t.*, (SELECT json_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid) AS labels \
    FROM t";

/// The captured tables as they are now.
pub(crate) async fn captured(
    client: &mut Client,
    settings: &Settings,
) -> Result<BTreeMap<TableName, TableId>, Failure> {
    let rows = client.query(&format!("{TABLES}{USER_TABLES}"), &[]).await.doing(DOING)?;
    let mut tables = BTreeMap::new();
    for row in rows.iter() {
        let name = name(&row).doing(DOING)?;
        if settings.captures(&name.schema, &name.table) {
            tables.insert(name, id(&row).doing(DOING)?);
        }
    }
    Ok(tables)
}

/// The tables of these object numbers that exist, with all that the log does not say of them. Their types are known to
/// `types` afterwards.
pub(crate) async fn describe(
    client: &mut Client,
    oids: &[u64],
    types: &mut TypeCatalog,
) -> Result<Vec<CatalogTable>, Failure> {
    let list = array(oids);
    let parameters = [Some(list.as_str())];
    let found = client
        .query(&format!("{TABLES} AND c.oid = ANY($1::oid[])"), &parameters)
        .await
        .doing(DOING)?;
    let columns = client.query(COLUMNS, &parameters).await.doing(DOING)?;
    let indexes = client.query(INDEXES, &parameters).await.doing(DOING)?;
    let mut tables = found.iter().map(|row| table(&row)).collect::<Result<Vec<_>, Failure>>()?;
    for row in columns.iter() {
        let owner: u64 = number(&row, "attrelid").doing(DOING)?;
        if let Some(table) = tables.iter_mut().find(|table| table.id.object == owner) {
            table.columns.push(column(&row).doing(DOING)?);
        }
    }
    for table in &mut tables {
        add_indexes(table, &indexes).doing(DOING)?;
    }
    let all: Vec<u32> =
        tables.iter().flat_map(|table| table.columns.iter().map(|column| column.type_id)).collect();
    load_types(client, &all, types).await?;
    Ok(tables)
}

/// Looks up those of the types that are not known yet, with all they are made of.
pub(crate) async fn load_types(
    client: &mut Client,
    oids: &[u32],
    types: &mut TypeCatalog,
) -> Result<(), Failure> {
    let mut missing: Vec<u64> =
        oids.iter().filter(|oid| !types.knows(**oid)).map(|oid| u64::from(*oid)).collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let rows = client.query(TYPES, &[Some(&array(&missing))]).await.doing(DOING)?;
    for row in rows.iter() {
        let (oid, info) = type_info(&row).doing(DOING)?;
        types.insert(oid, info);
    }
    Ok(())
}

/// Those of the tables that the user may publish.
pub(crate) async fn owned(client: &mut Client, oids: &[u64]) -> Result<HashSet<u64>, Failure> {
    let sql =
        "SELECT oid FROM pg_class WHERE oid = ANY($1::oid[]) AND pg_has_role(relowner, 'USAGE')";
    let rows = client.query(sql, &[Some(&array(oids))]).await.doing(DOING)?;
    Ok(rows.iter().filter_map(|row| row.at(0)?.parse().ok()).collect())
}

pub(crate) fn array(oids: &[u64]) -> String {
    let oids: Vec<String> = oids.iter().map(u64::to_string).collect();
    format!("{{{}}}", oids.join(","))
}

fn value<'a>(row: &Row<'a>, column: &'static str) -> Result<&'a str, SessionError> {
    row.value(column)
}

fn number<N: std::str::FromStr>(row: &Row<'_>, column: &'static str) -> Result<N, Stop> {
    row.get(column).and_then(|text| text.parse().ok()).ok_or(Stop::Catalog(column))
}

fn flag(row: &Row<'_>, column: &'static str) -> bool {
    row.get(column) == Some("t")
}

fn name(row: &Row<'_>) -> Result<TableName, SessionError> {
    Ok(TableName::new(value(row, "nspname")?, value(row, "relname")?))
}

fn id(row: &Row<'_>) -> Result<TableId, Stop> {
    let storage = match row.get("leaves") {
        Some(leaves) => xxh3_64(leaves.as_bytes()),
        None => number(row, "relfilenode")?,
    };
    Ok(TableId { object: number(row, "oid")?, storage })
}

fn table(row: &Row<'_>) -> Result<CatalogTable, Failure> {
    Ok(CatalogTable {
        name: name(row).doing(DOING)?,
        id: id(row).doing(DOING)?,
        partitioned: row.get("relkind") == Some("p"),
        replica_identity: match row.get("relreplident") {
            Some("f") => ReplicaIdentity::Full,
            Some("i") => ReplicaIdentity::Index,
            Some("n") => ReplicaIdentity::Nothing,
            _ => ReplicaIdentity::Default,
        },
        columns: Vec::new(),
        primary_key: Vec::new(),
        identity_index: Vec::new(),
        unique_index: Vec::new(),
    })
}

fn column(row: &Row<'_>) -> Result<CatalogColumn, Stop> {
    let generated = flag(row, "generated");
    let default = match row.get("expression") {
        Some(expression) if !generated => default_of(expression),
        _ => None,
    };
    Ok(CatalogColumn {
        name: row.get("attname").ok_or(Stop::Catalog("attname"))?.to_owned(),
        type_id: number(row, "atttypid")?,
        modifier: number(row, "atttypmod")?,
        not_null: flag(row, "required"),
        generated,
        default,
    })
}

/// A constant is `123`, `true` or `'text'`, with any casts behind it; a function's result is computed. What else there is
/// (null, an operation, an array) says nothing that a schema could show. The keywords for users stand for themselves, as in
/// Debezium's schemas.
fn default_of(expression: &str) -> Option<change::Default> {
    let literal = |text: &str| Some(change::Default::Literal(text.into()));
    let is_cast = |rest: &str| {
        rest.is_empty()
            || (rest.starts_with("::") && !rest.contains(['\'', '+', '*', '/', '|', '<', '>', '=']))
    };
    if let Some(body) = expression.strip_prefix('\'') {
        let mut text = String::new();
        let mut rest = body;
        while let Some((part, tail)) = rest.split_once('\'') {
            text.push_str(part);
            match tail.strip_prefix('\'') {
                Some(tail) => {
                    text.push('\'');
                    rest = tail;
                }
                None if is_cast(tail) => return literal(&text),
                None => break,
            }
        }
        return None;
    }
    let (front, casts) = expression.split_at(expression.find("::").unwrap_or(expression.len()));
    let front = front.strip_prefix('(').and_then(|front| front.strip_suffix(')')).unwrap_or(front);
    let is_number = front.parse::<f64>().is_ok() && front.bytes().any(|byte| byte.is_ascii_digit());
    match front {
        _ if is_call(expression) => Some(change::Default::Computed),
        _ if !is_cast(casts) => None,
        "true" | "false" | "CURRENT_USER" | "CURRENT_ROLE" | "SESSION_USER" | "USER" => {
            literal(front)
        }
        _ if is_number => literal(front),
        _ if front.starts_with("CURRENT_") || front.starts_with("LOCALTIME") => {
            Some(change::Default::Computed)
        }
        _ => None,
    }
}

/// `name(..)`, also with a cast behind it.
fn is_call(expression: &str) -> bool {
    let end = expression.find('(').unwrap_or(0);
    let (name, rest) = expression.split_at(end);
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.\"$".contains(&byte));
    is_name && rest.contains(')')
}

fn add_indexes(table: &mut CatalogTable, indexes: &Rows) -> Result<(), Stop> {
    let mut first_usable = None;
    for row in indexes.iter() {
        if number::<u64>(&row, "indrelid")? != table.id.object {
            continue;
        }
        let column = row.get("attname").ok_or(Stop::Catalog("attname"))?.to_owned();
        if flag(&row, "indisreplident") {
            table.identity_index.push(column.clone());
        }
        if flag(&row, "indisprimary") {
            table.primary_key.push(column);
        } else if flag(&row, "usable") {
            let index: u64 = number(&row, "indexrelid")?;
            if *first_usable.get_or_insert(index) == index {
                table.unique_index.push(column);
            }
        }
    }
    Ok(())
}

fn type_info(row: &Row<'_>) -> Result<(u32, TypeInfo), Stop> {
    let name = row.get("typname").ok_or(Stop::Catalog("typname"))?;
    let class = match (row.get("typtype"), row.get("typcategory")) {
        (Some("d"), _) => TypeClass::Domain {
            base: number(row, "typbasetype")?,
            modifier: number(row, "typtypmod")?,
        },
        (Some("e"), _) => {
            let labels = row.get("labels").unwrap_or("[]");
            let labels: Vec<Box<str>> =
                serde_json::from_str(labels).map_err(|_| Stop::Catalog("an enum's labels"))?;
            TypeClass::Enum(labels.into())
        }
        (Some("b"), Some("A")) => TypeClass::Array {
            element: number(row, "typelem")?,
            delimiter: row.get("typdelim").and_then(|text| text.bytes().next()).unwrap_or(b','),
        },
        (Some("b"), _) => TypeClass::Base,
        _ => TypeClass::Other,
    };
    Ok((number(row, "oid")?, TypeInfo { name: name.into(), class }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_a_literal_only_when_it_is_the_same_for_every_row() {
        let literal = |text: &str| Some(change::Default::Literal(text.into()));
        let computed = || Some(change::Default::Computed);
        let cases = [
            ("1", literal("1")),
            ("'-1'::integer", literal("-1")),
            ("(-1)", literal("-1")),
            ("1.50", literal("1.50")),
            ("true", literal("true")),
            ("'it''s'::character varying", literal("it's")),
            ("'a'::text", literal("a")),
            ("''::text", literal("")),
            ("'x'::character varying(10)", literal("x")),
            ("'{1,2}'::integer[]", literal("{1,2}")),
            ("'ok'::public.mood", literal("ok")),
            ("NULL::character varying", None),
            ("nextval('t_id_seq'::regclass)", computed()),
            ("now()", computed()),
            ("CURRENT_TIMESTAMP", computed()),
            ("('a'::text || 'b'::text)", None),
            ("'a'::text || 'b'::text", None),
            ("(1 + 2)", None),
            ("ARRAY[1, 2]", None),
            ("CURRENT_USER", literal("CURRENT_USER")),
            ("CURRENT_DATE", computed()),
            ("LOCALTIMESTAMP(3)", computed()),
            ("lower('ABC'::text)", computed()),
            ("(now() AT TIME ZONE 'utc'::text)", None),
            ("(1.5)::integer", literal("1.5")),
            ("gen_random_uuid()", computed()),
        ];
        for (expression, expected) in cases {
            assert_eq!(default_of(expression), expected, "{expression}");
        }
    }
}
