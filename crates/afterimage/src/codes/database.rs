//! Codes of the database.

use super::{BEGIN_ANEW, BY_ITSELF, Code, code};

pub(super) const CODES: &[Code] = &[
    code(
        "connection",
        "The database cannot be reached, or the connection was lost.",
        "nothing, if it passes; else see that the server runs and that host, port and firewall are right",
    ),
    code(
        "connect",
        "The database refuses this connection: user, password, database, certificate or pg_hba.conf.",
        "correct what the message names in [source]; the server's pg_hba.conf needs a line for this user and database",
    ),
    code(
        "rights",
        "The user lacks a right.",
        "`afterimage check FILE` prints the GRANT that is missing",
    ),
    code(
        "refused",
        "The server refused a statement; its own words are in the message.",
        "`afterimage check FILE` says what is missing",
    ),
    code(
        "protocol",
        "The server answered what its protocol does not allow.",
        "report the message to the project",
    ),
    code(
        "undecodable",
        "The log holds what cannot be decoded. It is never skipped.",
        "report the message to the project; it names no values",
    ),
    code("server-too-old", "The server is older than PostgreSQL 14.", "upgrade the server"),
    code(
        "server-stopping",
        "The server is shutting down and waits for what cannot be stored now. It is left alone until it is back.",
        BY_ITSELF,
    ),
    code("stream-ended", "The server ended the stream of changes.", BY_ITSELF),
    code(
        "slot-in-use",
        "Another process reads the replication slot. Its process number and address are in the message.",
        "stop the other process (`SELECT pg_terminate_backend(PID)`), or give this connector another source.slot",
    ),
    code(
        "slot-unusable",
        "The replication slot is of another plugin, another database, or of another kind.",
        "drop it with `SELECT pg_drop_replication_slot('NAME')`, or set another source.slot; then `afterimage reset FILE`",
    ),
    code(
        "slot-renamed",
        "source.slot was changed, and the stored position belongs to the old one.",
        "set source.slot back; or `afterimage reset FILE`, which copies all tables again",
    ),
    code(
        "temporary-slot",
        "The connection was lost, and with it the slot that a look at changes from now on lives by.",
        "start again",
    ),
    code(
        "publication",
        "The publication is missing or does not hold what is to be captured, and may not be changed.",
        "run the statement in the message as the tables' owner, or set source.manage_publication = true",
    ),
    code("table-missing", "A table cannot be found.", "correct source.tables, or make the table"),
    code(
        "not-open",
        "The source was used before it was opened: a defect of this program.",
        BEGIN_ANEW,
    ),
    code(
        "wal-level",
        "The server's log does not hold what is needed to follow it.",
        "ALTER SYSTEM SET wal_level = logical, then restart the server",
    ),
    code(
        "no-slots",
        "Too few replication slots are free: one that stays, and one for copying tables added later.",
        "raise max_replication_slots and restart the server, or drop a slot that nobody uses",
    ),
    code(
        "no-senders",
        "Too few replication sessions are free.",
        "raise max_wal_senders and restart the server",
    ),
    code(
        "no-sessions",
        "Too few sessions are free for the readers of a copy and the connector's own.",
        "raise max_connections and restart the server, or set fewer source.readers",
    ),
    code(
        "wal-keep",
        "What the server keeps for a connector that stands still: without a bound its disk fills up, with one the slot is lost behind it.",
        "set max_slot_wal_keep_size to what you can spare, and watch afterimage_lag_seconds",
    ),
    code(
        "idle-slot",
        "The server drops slots that stand idle for a while.",
        "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();",
    ),
    code(
        "sender-timeout",
        "The server ends a stream after a short pause of the network.",
        "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();",
    ),
    code(
        "standby",
        "The server is a standby. Before PostgreSQL 16 only a primary can be followed; later ones take longer to begin.",
        "name the primary in source.url",
    ),
    code(
        "failover",
        "Slots that survive a failover need PostgreSQL 17, and a standby that is waited for.",
        "set synchronized_standby_slots on the server, or source.failover = false",
    ),
    code(
        "open-transaction",
        "A transaction has been open for long: making the slot waits for its end.",
        "end the transaction, if it was forgotten",
    ),
    code("slot", "The connector's slot as it stands.", "nothing"),
    code(
        "tls",
        "The connection to the database is not encrypted, or nobody verifies to whom it is.",
        "set source.tls = \"verify-full\", and source.ca where the certificate is not publicly known",
    ),
    code(
        "no-tables",
        "No table matches a pattern of source.tables. Names are compared as they are stored.",
        "correct the pattern",
    ),
    code(
        "not-logged",
        "Views, foreign and unlogged tables are not in the log, and are left out.",
        "ALTER TABLE .. SET LOGGED, or nothing",
    ),
    code(
        "no-identity",
        "A table has no replica identity: once it is published, the server refuses its UPDATE and DELETE.",
        "ALTER TABLE .. ADD PRIMARY KEY, or ALTER TABLE .. REPLICA IDENTITY FULL",
    ),
    code(
        "key",
        "What the messages of a table are keyed by is not its primary key.",
        "ALTER TABLE .. REPLICA IDENTITY DEFAULT, if the primary key is to be it",
    ),
    code("generated-columns", "Generated columns are not in the log, and are left out.", "nothing"),
    code(
        "unknown-types",
        "Columns have types that messages have no form for.",
        "source.unknown_types: their text, or leave them out",
    ),
    code(
        "absent-values",
        "An update that leaves a large value as it was does not send it; messages hold a mark in its place.",
        "ALTER TABLE .. REPLICA IDENTITY FULL makes the server send it",
    ),
];
