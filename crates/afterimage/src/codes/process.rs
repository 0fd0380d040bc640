//! Codes of the process, the position and the engine.

use super::{BEGIN_ANEW, BY_ITSELF, Code, code};

pub(super) const CODES: &[Code] = &[
    code(
        "configuration",
        "The configuration file has mistakes. Each is named with its line.",
        "correct the lines; `afterimage schema` prints all options",
    ),
    code(
        "config",
        "An option has a value that its part of the connector cannot use.",
        "correct the option that the message names",
    ),
    code(
        "usage",
        "The command line has a mistake.",
        "`afterimage help` lists the commands and their options",
    ),
    code(
        "inline-secret",
        "A password or token stands in the configuration file, where copies, backups and reviews show it.",
        "write `${env:NAME}` or `${file:PATH}` in its place",
    ),
    code(
        "http",
        "The address for metrics and health cannot be opened. Usually another process listens there.",
        "set http.listen to a free address; port 0 takes any free one",
    ),
    code(
        "signals",
        "The process cannot listen for SIGTERM and SIGINT.",
        "see the cause in the message; a sandbox may forbid it",
    ),
    code(
        "no-thread",
        "The system gave no thread.",
        "raise the limit of threads or memory of this process",
    ),
    code(
        "panic",
        "A defect of this program. Nothing wrong was stored: the next start goes on from the last commit.",
        "start again, and report the line to the project",
    ),
    code(
        "fenced",
        "Another process took over this connector. Only one may write under a connector's name; the later one wins, \
         and this one ends with exit status 3 so that a supervisor can leave it down.",
        "find out which process is to run, and do not restart the other one",
    ),
    code(
        "unproven",
        "A stop was due, but whether this process still owns the position could not be proven. It is looked at again.",
        BY_ITSELF,
    ),
    code(
        "orphan",
        "Slots or records of this connector exist, but no position is stored: it was deleted, or the sink is another \
         one. Where to go on is unknown, and a new copy beside the old records must be somebody's decision.",
        BEGIN_ANEW,
    ),
    code(
        "gap",
        "Changes behind the stored position are gone from the database's log: the slot was dropped, invalidated, or \
         moved on by somebody else. Nothing was written past the gap.",
        BEGIN_ANEW,
    ),
    code(
        "diverged",
        "The database is not the one the position belongs to: another server, one restored from an older backup, or \
         one promoted before it had all changes.",
        "point the connector to the right server; or `afterimage reset FILE`, which copies all tables again",
    ),
    code(
        "replay-mismatch",
        "A transaction that was cut came again with other rows than before.",
        BEGIN_ANEW,
    ),
    code(
        "position-behind",
        "Records newer than the stored position are in the target topics: the position lost its end, for instance \
         with a broker's disk.",
        BEGIN_ANEW,
    ),
    code(
        "position-corrupt",
        "What is stored as the position is damaged, of another program, or of a later version of this one.",
        "restore it, or run the later version; else `afterimage reset FILE`, which copies all tables again",
    ),
    code(
        "position-unreadable",
        "The stored position cannot be read now. It is never taken for none.",
        BY_ITSELF,
    ),
    code(
        "position-unwritable",
        "The position cannot be stored. What was written behind the last one comes again.",
        "see that there is room and that this user may write there",
    ),
    code(
        "position-in-use",
        "Another process holds the position file.",
        "stop the other process, or give this connector a `position` of its own",
    ),
    code(
        "table-has-history",
        "A table is captured again after it was left out, or was dropped and made again: its topic holds rows that \
         may have been deleted meanwhile.",
        "empty the topic, or set source.readd = \"truncate\"",
    ),
    code(
        "tables-changed",
        "The captured tables changed while a copy was prepared. It is prepared again.",
        BY_ITSELF,
    ),
    code(
        "pin-behind",
        "A new pin lies before the stored position: the server answering is behind. It is tried again.",
        BY_ITSELF,
    ),
    code(
        "moved",
        "The stored position moved while a copy was interrupted. The copy is planned again.",
        BY_ITSELF,
    ),
    code("reopen", "Changed options take effect now that a cut transaction has ended.", BY_ITSELF),
    code("stopped", "A part ended because the whole was ending.", BY_ITSELF),
    code(
        "source-fault",
        "A source broke its contract: a defect of this program. Nothing wrong was stored.",
        "report the message to the project",
    ),
];
