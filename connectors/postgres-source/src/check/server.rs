//! The server's settings, the user's role, the slots that are there.

use connector::{Failure, Finding};
use postgres_replication::Lsn;

use crate::client::{Client, Rows};
use crate::config::Settings;
use crate::failure::Doing;
use crate::slot;

const DOING: &str = "checking the server";

/// What the user is.
#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) replication: bool,
    /// May make a publication in this database.
    pub(super) creates: bool,
}

pub(super) async fn role(
    client: &mut Client,
    findings: &mut Vec<Finding>,
) -> Result<Role, Failure> {
    let sql = "SELECT quote_ident(rolname) AS name, rolsuper, rolsuper OR rolreplication AS replication, \
                 has_database_privilege(current_database(), 'CREATE') AS creates \
               FROM pg_roles WHERE rolname = current_user";
    let rows = client.query(sql, &[]).await.doing(DOING)?;
    let is = |column| rows.get(0, column) == Some("t");
    let name = rows.get(0, "name").unwrap_or("(unknown)").to_owned();
    let mut replication = is("replication");
    if !replication && rds_replication(client).await? {
        replication = true;
    }
    if !replication {
        findings.push(Finding::error(
            "rights",
            format!("user {name} may not replicate"),
            format!("ALTER ROLE {name} REPLICATION;"),
        ));
    }
    if is("rolsuper") {
        findings.push(Finding::warning(
            "rights",
            format!("user {name} is a superuser, which is more than needed"),
            "CREATE ROLE afterimage LOGIN REPLICATION; GRANT SELECT ON the captured tables TO afterimage;",
        ));
    }
    Ok(Role { name, replication, creates: is("creates") })
}

/// Managed servers give the right through a role of their own.
async fn rds_replication(client: &mut Client) -> Result<bool, Failure> {
    let sql = "SELECT coalesce(bool_or(pg_has_role(oid, 'USAGE')), false) FROM pg_roles WHERE rolname = 'rds_replication'";
    let rows = client.query(sql, &[]).await.doing(DOING)?;
    Ok(rows.first().and_then(|row| row.at(0)) == Some("t"))
}

pub(super) async fn parameters(
    client: &mut Client,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let sql = "SELECT current_setting('wal_level') AS wal_level, \
                 current_setting('max_replication_slots') AS max_replication_slots, \
                 current_setting('max_wal_senders') AS max_wal_senders, \
                 current_setting('max_connections') AS max_connections, \
                 current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots) AS slots_free, \
                 (SELECT count(*) FROM pg_replication_slots WHERE starts_with(slot_name, $1 || '_')) AS slots_own, \
                 current_setting('max_wal_senders')::int \
                   - (SELECT count(*) FROM pg_stat_get_wal_senders()) AS senders_free, \
                 current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int \
                   - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS sessions_free, \
                 current_setting('max_slot_wal_keep_size') AS keep, \
                 (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout') AS sender_timeout_ms, \
                 coalesce((SELECT setting FROM pg_settings WHERE name = 'idle_replication_slot_timeout'), '0') AS idle, \
                 coalesce(current_setting('synchronized_standby_slots', true), '') AS synchronized, \
                 pg_is_in_recovery() AS standby";
    let rows = client.query(sql, &[Some(&settings.slot_prefix)]).await.doing(DOING)?;
    let version = client.server_version();
    let error = |code, problem: String, mend: &str| Finding::error(code, problem, mend);
    let raise = |setting: &str, missing: i64| {
        let enough = number(&rows, setting) + missing;
        format!("ALTER SYSTEM SET {setting} = {enough}; then restart the server")
    };
    if rows.get(0, "wal_level") != Some("logical") {
        let now = rows.get(0, "wal_level").unwrap_or("unknown");
        findings.push(error(
            "wal-level",
            format!("wal_level is {now}: the log does not hold what is needed"),
            "ALTER SYSTEM SET wal_level = logical; then restart the server",
        ));
    }
    // the slot that stays, and one for a later pin
    let needed = 2 - number(&rows, "slots_own").min(1);
    let slots = needed - number(&rows, "slots_free");
    if slots > 0 {
        let mend = raise("max_replication_slots", slots) + ", or drop a slot that nobody uses";
        let problem =
            format!("{needed} free replication slots are needed, and {slots} are missing");
        findings.push(error("no-slots", problem, &mend));
    }
    let senders = 2 - number(&rows, "senders_free");
    if senders > 0 {
        let problem = "fewer than 2 replication sessions are free";
        findings.push(error("no-senders", problem.into(), &raise("max_wal_senders", senders)));
    }
    // readers, locks, catalog, statements
    let sessions = settings.readers as i64 + 3;
    let missing = sessions - number(&rows, "sessions_free");
    if missing > 0 {
        let problem = format!("fewer than {sessions} sessions are free");
        let mend = raise("max_connections", missing) + ", or set fewer readers";
        findings.push(error("no-sessions", problem, &mend));
    }
    match rows.get(0, "keep") {
        Some("-1") => findings.push(Finding::warning(
            "wal-keep",
            "max_slot_wal_keep_size is unlimited: while the connector stands still the server's disk fills up",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '..GB'; SELECT pg_reload_conf(); with what you can spare",
        )),
        keep => findings.push(Finding::note(
            "wal-keep",
            format!(
                "the server keeps {} of log for a connector that stands still; beyond it the copy begins again",
                keep.unwrap_or("some")
            ),
        )),
    }
    if rows.get(0, "idle").is_some_and(|idle| idle != "0") {
        findings.push(Finding::warning(
            "idle-slot",
            "idle_replication_slot_timeout is set: a connector that stands still that long loses its slot",
            "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();",
        ));
    }
    if (1..10_000).contains(&number(&rows, "sender_timeout_ms")) {
        findings.push(Finding::warning(
            "sender-timeout",
            "wal_sender_timeout is below 10 s: a short pause of the network ends the stream",
            "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();",
        ));
    }
    let standby = rows.get(0, "standby") == Some("t");
    if standby && version < 160_000 {
        findings.push(error(
            "standby",
            "this server is a standby, and before version 16 only a primary can be followed".into(),
            "name the primary in url",
        ));
    } else if standby {
        findings.push(Finding::note(
            "standby",
            "this server is a standby: a new slot waits for the primary's activity",
        ));
    }
    if settings.failover && version < 170_000 {
        findings.push(error(
            "failover",
            "failover needs version 17".into(),
            "set failover = false",
        ));
    } else if settings.failover && rows.get(0, "synchronized") == Some("") {
        findings.push(Finding::warning(
            "failover",
            "synchronized_standby_slots is empty: changes may be read that a promoted standby does not have",
            "ALTER SYSTEM SET synchronized_standby_slots = '<the standby's slot>'; SELECT pg_reload_conf();",
        ));
    }
    open_transactions(client, findings).await
}

/// Making a slot waits for them.
async fn open_transactions(
    client: &mut Client,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let sql = "SELECT 'process ' || pid AS who, date_trunc('second', now() - xact_start)::text AS age \
                 FROM pg_stat_activity WHERE xact_start < now() - interval '1 minute' AND backend_xid IS NOT NULL \
               UNION ALL SELECT 'prepared transaction ' || quote_literal(gid), \
                 date_trunc('second', now() - prepared)::text FROM pg_prepared_xacts";
    let rows = client.query(sql, &[]).await.doing(DOING)?;
    for row in rows.iter() {
        let text = |column| row.get(column).unwrap_or_default();
        findings.push(Finding::note(
            "open-transaction",
            format!(
                "{} has a transaction open for {}: making the slot waits for its end",
                text("who"),
                text("age")
            ),
        ));
    }
    Ok(())
}

pub(super) async fn slots(
    client: &mut Client,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    for found in slot::list(client).await? {
        let name = &found.slot_name;
        if !slot::is_ours(&settings.slot_prefix, name) {
            continue;
        }
        let drop = format!("SELECT pg_drop_replication_slot('{name}'); then `afterimage reset`");
        if let Some(why) = found.unusable(&settings.target.database) {
            findings.push(Finding::error(
                "slot-unusable",
                format!("slot {name} cannot be read: {why}"),
                drop,
            ));
        } else if let Some(why) = found.lost() {
            findings.push(Finding::error(
                "gap",
                format!("slot {name} was invalidated: {why}"),
                drop,
            ));
        } else if let Some(pid) = found.active_pid {
            findings.push(Finding::warning(
                "slot-in-use",
                format!("slot {name} is in use by process {pid}: the connector seems to run"),
                "stop it before another is started",
            ));
        } else {
            let at = found.confirmed_flush_lsn.unwrap_or(Lsn::ZERO);
            findings
                .push(Finding::note("slot", format!("slot {name} is there, confirmed up to {at}")));
        }
    }
    Ok(())
}

fn number(rows: &Rows, column: &str) -> i64 {
    rows.get(0, column).and_then(|text| text.parse().ok()).unwrap_or(0)
}
