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
        "correct what the message names in [source]; pg_hba.conf needs a line for the database and, up to \
         PostgreSQL's own rules, for replication",
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
];
