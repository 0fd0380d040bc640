//! A place in the log, and a view of exactly what was committed before it.
//!
//! ```text
//!   control      publication completed, committed
//!   locks        BEGIN; LOCK .. IN ACCESS SHARE MODE ─────────────────────────────┐ held
//!   replication                 CREATE_REPLICATION_SLOT .. (SNAPSHOT 'export') ──┐│ snapshot exported
//!   readers                                    BEGIN; SET TRANSACTION SNAPSHOT; LOCK all tables
//!   locks                                                                         COMMIT
//! ```
//! The slot's consistent point and its snapshot belong together: a transaction is in the snapshot exactly when its
//! commit stands before that point in the log. Creating the slot waits for the transactions that run, so none of them
//! has written under an older publication.
//!
//! Why locks before the slot: a rewriting ALTER or a TRUNCATE is not seen through snapshots as rows are; a snapshot that
//! is older than it finds the table empty. From before the snapshot until every reader has locked every table there is
//! no moment in which one of them could happen, so the readers see the tables of the pin.

use std::sync::Arc;
use std::time::Duration;

use change::TableName;
use connector::{Failure, Pin, Pinned, TableState};
use postgres_replication::Lsn;
use postgres_replication::command::{CreateSlot, SlotSnapshot};
use postgres_replication::quote::quote_literal;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Client, Mode};
use crate::config::Settings;
use crate::failure::{Doing, Stop};
use crate::publication::qualified;
use crate::snapshot::{self, PostgresSnapshot, View};
use crate::source::{PostgresSource, Server, identify};
use crate::tail::Look;
use crate::{PostgresPosition, catalog, publication, session, slot};

const DOING: &str = "pinning a copy";
/// A slot that waits longer than this for others is explained, and again as often.
const WAIT_TOLD_EVERY: Duration = Duration::from_secs(10);

pub(crate) async fn pin(
    source: &mut PostgresSource,
    pin: Pin,
    stream: &[TableName],
    copy: &[TableState],
) -> Result<Pinned<PostgresPosition, PostgresSnapshot>, Failure> {
    let settings = Arc::clone(&source.settings);
    let publication = source.publication.clone();
    // a look reads a given publication as it is
    if source.look != Some(Look::Given) {
        publication::ensure(source.query().await?, &settings, &publication, stream).await?;
    }
    let locks = if copy.is_empty() { None } else { Some(lock(&settings, copy).await?) };
    let mut replication = session::connect(&settings, Mode::Replication).await?;
    let server = identify(&mut replication).await?;
    let wanted = wanted_slot(&settings, pin);
    let made = create_slot(source, &mut replication, &wanted).await?;
    let at = PostgresPosition { lsn: made.consistent_point, timeline: server.timeline };
    source.server = Some(Server { end: server.end.max(at.lsn), ..server });
    if matches!(pin, Pin::First(_)) {
        source.slot = Some(wanted.name.clone());
    }
    tracing::info!(slot = %wanted.name, at = %at.lsn, "the log is pinned");
    let mut pinned = Pinned { at, tables: Vec::new(), readers: Vec::new() };
    if let (Some(locks), Some(exported)) = (locks, &made.snapshot) {
        let mut sessions = Vec::new();
        for _ in 0..settings.readers {
            sessions.push(open_reader(&settings, exported, copy).await?);
        }
        let view =
            View { position: at, settings: Arc::clone(&settings), types: source.types.clone() };
        let (tables, readers) = snapshot::plan(view, sessions, copy).await?;
        pinned.tables = tables;
        pinned.readers = readers;
        locks.close().await.doing(DOING)?;
    }
    if settings.temporary {
        // the slot lives as long as this session, so the stream must go on in it
        source.held = Some(replication);
    } else {
        // a temporary slot goes with its session
        replication.close().await.doing(DOING)?;
    }
    Ok(pinned)
}

struct Wanted {
    name: String,
    temporary: bool,
    failover: bool,
}

fn wanted_slot(settings: &Settings, pin: Pin) -> Wanted {
    match pin {
        Pin::First(copy) => Wanted {
            name: slot::name_of(&settings.slot_prefix, copy),
            temporary: settings.temporary,
            failover: settings.failover && !settings.temporary,
        },
        Pin::Later => {
            let chance: u32 = rand::random();
            // not of the pattern of those that stay
            let name = format!("{}_pin_{chance:08x}", settings.slot_prefix);
            Wanted { name, temporary: true, failover: false }
        }
    }
}

struct Made {
    consistent_point: Lsn,
    snapshot: Option<String>,
}

/// Creates the slot, and says what it waits for.
async fn create_slot(
    source: &mut PostgresSource,
    replication: &mut Client,
    wanted: &Wanted,
) -> Result<Made, Failure> {
    let doing = "creating a replication slot";
    let command = CreateSlot {
        name: &wanted.name,
        temporary: wanted.temporary,
        snapshot: SlotSnapshot::Export,
        failover: wanted.failover,
    };
    let command = command.command(replication.server_version()).doing(doing)?;
    let pid = replication.process_id();
    let mut tick = interval(WAIT_TOLD_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let created = replication.simple_one(&command);
    tokio::pin!(created);
    let rows = loop {
        tokio::select! {
            rows = &mut created => break rows.doing(doing)?,
            _ = tick.tick() => tell_blockers(source, pid).await,
        }
    };
    let row = rows.first().ok_or_else(|| Stop::SlotAnswer("row").failure(doing))?;
    let point = row.get("consistent_point").and_then(|text| text.parse().ok());
    Ok(Made {
        consistent_point: point
            .ok_or_else(|| Stop::SlotAnswer("consistent point").failure(doing))?,
        snapshot: row.get("snapshot_name").map(str::to_owned),
    })
}

/// Says which transactions the slot waits for. A failure here is not the slot's.
async fn tell_blockers(source: &mut PostgresSource, pid: Option<u32>) {
    let sql = "SELECT pid::text, coalesce(usename, '') AS who, coalesce(application_name, '') AS application, \
                 date_trunc('second', now() - xact_start)::text AS age FROM pg_stat_activity \
               WHERE pid = ANY(pg_blocking_pids($1::int)) \
               UNION ALL SELECT 'prepared transaction ' || gid, owner::text, '', \
                 date_trunc('second', now() - prepared)::text FROM pg_prepared_xacts";
    let (Some(pid), Ok(client)) = (pid, source.query().await) else { return };
    let Ok(rows) = client.query(sql, &[Some(&pid.to_string())]).await else { return };
    for row in rows.iter() {
        let text = |column| row.get(column).unwrap_or("");
        tracing::warn!(
            process = text("pid"),
            user = text("who"),
            application = text("application"),
            open_for = text("age"),
            "the replication slot waits for a transaction that is still open"
        );
    }
    if rows.is_empty() {
        tracing::warn!("the replication slot waits for transactions that are still open");
    }
}

/// Locks all tables to be copied against rewriting.
async fn lock(settings: &Settings, copy: &[TableState]) -> Result<Client, Failure> {
    let doing = "locking the tables of the copy";
    let mut client = session::connect(settings, Mode::Query).await?;
    client.simple("BEGIN").await.doing(doing)?;
    client.simple(&lock_statement(copy).doing(doing)?).await.doing(doing)?;
    Ok(client)
}

/// A partitioned table is locked with its partitions.
fn lock_statement(copy: &[TableState]) -> Result<String, postgres_replication::quote::ZeroByte> {
    let names = copy.iter().map(|state| qualified(&state.name)).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", ")))
}

/// A session that sees the exported snapshot and has locked everything.
async fn open_reader(
    settings: &Settings,
    exported: &str,
    copy: &[TableState],
) -> Result<Client, Failure> {
    let doing = "importing the snapshot of the pin";
    let mut client = session::connect(settings, Mode::Query).await?;
    let exported = quote_literal(exported).doing(doing)?;
    let begin = format!(
        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {exported}"
    );
    client.simple(&begin).await.doing(doing)?;
    client.simple(&lock_statement(copy).doing(doing)?).await.doing(doing)?;
    Ok(client)
}

/// The tables of the copy as the catalog has them, in the order asked for.
pub(crate) async fn describe(
    client: &mut Client,
    types: &mut crate::types::TypeCatalog,
    settings: &Settings,
    copy: &[TableState],
) -> Result<Vec<crate::schema::CatalogTable>, Failure> {
    let now = catalog::captured(client, settings).await?;
    let mut oids = Vec::with_capacity(copy.len());
    for state in copy {
        let missing = || Stop::TableMissing(state.name.clone()).failure(DOING);
        oids.push(now.get(&state.name).ok_or_else(missing)?.object);
    }
    let mut found = catalog::describe(client, &oids, types).await?;
    found.sort_by_key(|table| oids.iter().position(|oid| *oid == table.id.object));
    Ok(found)
}
