//! Commands of the replication protocol.
//!
//! They have a grammar of their own, which changed: until version 14 the options of `CREATE_REPLICATION_SLOT` are
//! keywords, from 15 on a list in parentheses. Manual: "Streaming Replication Protocol".

use crate::lsn::Lsn;
use crate::quote::{ZeroByte, quote_command_string, quote_identifier};

/// The oldest server these commands are written for.
pub const SERVER_VERSION_MIN: u32 = 140_000;

pub const IDENTIFY_SYSTEM: &str = "IDENTIFY_SYSTEM";

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("{what} needs a server of version {needed}, this one is {server}")]
    Unsupported { what: &'static str, needed: u32, server: u32 },
    #[error("a temporary slot cannot be a failover slot")]
    TemporaryFailover,
    #[error("no publication is named")]
    NoPublication,
    #[error("a name cannot be written into a command")]
    Name(#[from] ZeroByte),
}

/// What becomes of the snapshot that a new slot begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotSnapshot {
    /// Other sessions may import it, until this session's next command.
    Export,
    Nothing,
}

/// `CREATE_REPLICATION_SLOT .. LOGICAL pgoutput`.
#[derive(Clone, Copy, Debug)]
pub struct CreateSlot<'a> {
    pub name: &'a str,
    /// Gone when the session ends.
    pub temporary: bool,
    pub snapshot: SlotSnapshot,
    /// Kept in step on the standbys; from version 17 on.
    pub failover: bool,
}

impl CreateSlot<'_> {
    pub fn command(&self, server_version: u32) -> Result<String, CommandError> {
        require("logical replication as used here", SERVER_VERSION_MIN, server_version)?;
        if self.failover {
            require("a failover slot", 170_000, server_version)?;
            if self.temporary {
                return Err(CommandError::TemporaryFailover);
            }
        }
        let name = quote_identifier(self.name)?;
        let temporary = if self.temporary { " TEMPORARY" } else { "" };
        let options = match (self.snapshot, server_version < 150_000) {
            (SlotSnapshot::Export, true) => "EXPORT_SNAPSHOT",
            (SlotSnapshot::Nothing, true) => "NOEXPORT_SNAPSHOT",
            (SlotSnapshot::Export, false) if self.failover => "(SNAPSHOT 'export', FAILOVER true)",
            (SlotSnapshot::Nothing, false) if self.failover => {
                "(SNAPSHOT 'nothing', FAILOVER true)"
            }
            (SlotSnapshot::Export, false) => "(SNAPSHOT 'export')",
            (SlotSnapshot::Nothing, false) => "(SNAPSHOT 'nothing')",
        };
        Ok(format!("CREATE_REPLICATION_SLOT {name}{temporary} LOGICAL \"pgoutput\" {options}"))
    }
}

/// `DROP_REPLICATION_SLOT`; with `wait`, a slot in use is dropped as soon as its user lets go instead of being an error.
pub fn drop_slot(name: &str, wait: bool) -> Result<String, CommandError> {
    let name = quote_identifier(name)?;
    Ok(format!("DROP_REPLICATION_SLOT {name}{}", if wait { " WAIT" } else { "" }))
}

/// `START_REPLICATION SLOT .. LOGICAL ..` for `pgoutput`, protocol version 1.
#[derive(Clone, Copy, Debug)]
pub struct StartReplication<'a> {
    pub slot: &'a str,
    /// Transactions that ended before it are not sent. The server silently takes the slot's confirmed position
    /// when that is later: compare the two before.
    pub from: Lsn,
    pub publications: &'a [&'a str],
    /// Values in the types' binary form where they have one.
    pub binary: bool,
    /// Also send what `pg_logical_emit_message` writes.
    pub messages: bool,
}

impl StartReplication<'_> {
    pub fn command(&self, server_version: u32) -> Result<String, CommandError> {
        require("logical replication as used here", SERVER_VERSION_MIN, server_version)?;
        if self.publications.is_empty() {
            return Err(CommandError::NoPublication);
        }
        let slot = quote_identifier(self.slot)?;
        // the option's value is itself a list of identifiers
        let names = self
            .publications
            .iter()
            .map(|name| quote_identifier(name))
            .collect::<Result<Vec<_>, _>>()?;
        let names = quote_command_string(&names.join(","))?;
        let mut command = format!(
            "START_REPLICATION SLOT {slot} LOGICAL {} (\"proto_version\" '1', \"publication_names\" {names}",
            self.from
        );
        if self.binary {
            command.push_str(", \"binary\" 'true'");
        }
        if self.messages {
            command.push_str(", \"messages\" 'true'");
        }
        command.push(')');
        Ok(command)
    }
}

fn require(what: &'static str, needed: u32, server: u32) -> Result<(), CommandError> {
    if server < needed { Err(CommandError::Unsupported { what, needed, server }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_created_in_the_grammar_of_the_version() {
        let check =
            |temporary, snapshot, failover, version, expected: Result<&str, CommandError>| {
                let command =
                    CreateSlot { name: "s", temporary, snapshot, failover }.command(version);
                assert_eq!(command.as_deref(), expected.as_deref(), "version {version}");
            };
        use SlotSnapshot::{Export, Nothing};
        let head = "CREATE_REPLICATION_SLOT \"s\"";
        let text = |rest: &str| format!("{head}{rest}");
        check(false, Export, false, 140_019, Ok(&text(" LOGICAL \"pgoutput\" EXPORT_SNAPSHOT")));
        check(
            true,
            Nothing,
            false,
            149_999,
            Ok(&text(" TEMPORARY LOGICAL \"pgoutput\" NOEXPORT_SNAPSHOT")),
        );
        check(
            true,
            Export,
            false,
            150_000,
            Ok(&text(" TEMPORARY LOGICAL \"pgoutput\" (SNAPSHOT 'export')")),
        );
        check(
            false,
            Nothing,
            false,
            160_000,
            Ok(&text(" LOGICAL \"pgoutput\" (SNAPSHOT 'nothing')")),
        );
        check(
            false,
            Export,
            true,
            170_000,
            Ok(&text(" LOGICAL \"pgoutput\" (SNAPSHOT 'export', FAILOVER true)")),
        );
        check(
            false,
            Nothing,
            true,
            180_006,
            Ok(&text(" LOGICAL \"pgoutput\" (SNAPSHOT 'nothing', FAILOVER true)")),
        );
        check(true, Export, true, 180_006, Err(CommandError::TemporaryFailover));
        let unsupported =
            CommandError::Unsupported { what: "a failover slot", needed: 170_000, server: 169_999 };
        check(false, Export, true, 169_999, Err(unsupported));
        assert!(matches!(
            CreateSlot { name: "s", temporary: false, snapshot: Export, failover: false }
                .command(130_000),
            Err(CommandError::Unsupported { needed: SERVER_VERSION_MIN, .. })
        ));
    }

    #[test]
    fn names_are_quoted_once_for_the_command_and_once_for_the_list() {
        let start = StartReplication {
            slot: "a\"b",
            from: Lsn(0x16_B374_D848),
            publications: &["p", "it's, \"odd\""],
            binary: false,
            messages: true,
        };
        assert_eq!(
            start.command(180_000).unwrap(),
            "START_REPLICATION SLOT \"a\"\"b\" LOGICAL 16/B374D848 (\"proto_version\" '1', \"publication_names\" \
             '\"p\",\"it''s, \"\"odd\"\"\"', \"messages\" 'true')"
        );
        let binary =
            StartReplication { binary: true, messages: false, publications: &["p"], ..start };
        assert!(binary.command(140_000).unwrap().ends_with("'\"p\"', \"binary\" 'true')"));
        assert_eq!(
            StartReplication { publications: &[], ..start }.command(140_000),
            Err(CommandError::NoPublication)
        );
        assert_eq!(
            StartReplication { slot: "a\0", ..start }.command(140_000),
            Err(CommandError::Name(ZeroByte))
        );
        assert_eq!(drop_slot("s", false).unwrap(), "DROP_REPLICATION_SLOT \"s\"");
        assert_eq!(drop_slot("s", true).unwrap(), "DROP_REPLICATION_SLOT \"s\" WAIT");
    }
}
