//! Replication slots: what the server says of one, and whether it can be followed from a position.

use connector::{CopyId, Failure};
use postgres_replication::Lsn;
use serde::Deserialize;

use crate::client::Client;
use crate::failure::{Doing, Stop};

const DOING: &str = "looking at the replication slots";
const PLUGIN: &str = "pgoutput";

/// A row of `pg_replication_slots`; columns that a version does not have are as if unset.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Slot {
    pub(crate) slot_name: String,
    pub(crate) plugin: Option<String>,
    pub(crate) database: Option<String>,
    #[serde(default)]
    pub(crate) temporary: bool,
    pub(crate) active_pid: Option<i64>,
    #[serde(default)]
    pub(crate) two_phase: bool,
    pub(crate) wal_status: Option<String>,
    pub(crate) confirmed_flush_lsn: Option<Lsn>,
    #[serde(default)]
    pub(crate) conflicting: Option<bool>,
    #[serde(default)]
    pub(crate) invalidation_reason: Option<String>,
}

/// The name of the slot of a copy.
pub(crate) fn name_of(prefix: &str, copy: CopyId) -> String {
    format!("{prefix}_{}", copy.short())
}

/// True for a name that [`name_of`] makes of this prefix.
pub(crate) fn is_ours(prefix: &str, name: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|rest| rest.len() == 8 && rest.bytes().all(hex))
}

/// All slots of the server.
pub(crate) async fn list(client: &mut Client) -> Result<Vec<Slot>, Failure> {
    let rows = client
        .query("SELECT to_json(s) FROM pg_replication_slots s ORDER BY slot_name", &[])
        .await
        .doing(DOING)?;
    rows.iter()
        .map(|row| {
            let text = row.at(0).unwrap_or_default();
            serde_json::from_str(text)
                .map_err(|_| Stop::Catalog("pg_replication_slots").failure(DOING))
        })
        .collect()
}

pub(crate) async fn find(client: &mut Client, name: &str) -> Result<Option<Slot>, Failure> {
    Ok(list(client).await?.into_iter().find(|slot| slot.slot_name == name))
}

impl Slot {
    /// Why this slot does not give every change of `database` behind `from`; None: it does.
    pub(crate) fn obstacle(&self, database: &str, from: Lsn) -> Option<Stop> {
        let slot = self.slot_name.clone();
        if let Some(why) = self.unusable(database) {
            return Some(Stop::SlotUnusable { slot, why });
        }
        if let Some(why) = self.lost() {
            return Some(Stop::SlotLost { slot, why });
        }
        match self.confirmed_flush_lsn {
            Some(confirmed) if confirmed > from => {
                Some(Stop::SlotAdvanced { slot, confirmed, stored: from })
            }
            _ => None,
        }
    }

    pub(crate) fn unusable(&self, database: &str) -> Option<String> {
        match (&self.plugin, &self.database) {
            (Some(plugin), _) if plugin != PLUGIN => {
                Some(format!("its plug-in is {plugin}, not {PLUGIN}"))
            }
            (None, _) => Some("it is a physical slot".into()),
            (_, Some(other)) if other != database => {
                Some(format!("it belongs to database {other:?}"))
            }
            _ if self.two_phase => {
                Some("it sends prepared transactions before their commit".into())
            }
            _ => None,
        }
    }

    pub(crate) fn lost(&self) -> Option<String> {
        if let Some(reason) = &self.invalidation_reason {
            return Some(reason.clone());
        }
        if self.wal_status.as_deref() == Some("lost") {
            return Some("its log was removed".into());
        }
        (self.conflicting == Some(true)).then(|| "it conflicted with recovery".into())
    }
}

/// Drops a slot if it exists; one that somebody uses is an error.
pub(crate) async fn drop(client: &mut Client, name: &str) -> Result<(), Failure> {
    let sql =
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1";
    client.query(sql, &[Some(name)]).await.doing("dropping a replication slot")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(changes: &str) -> Slot {
        let base = r#"{"slot_name": "s_00000000", "plugin": "pgoutput", "database": "d", "temporary": false,
            "active_pid": null, "two_phase": false, "wal_status": "reserved", "confirmed_flush_lsn": "0/64", "extra": 1}"#;
        let mut value: serde_json::Value = serde_json::from_str(base).unwrap();
        let changes: serde_json::Value = serde_json::from_str(changes).unwrap();
        for (name, change) in changes.as_object().unwrap() {
            value[name] = change.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_slot_is_followed_only_when_it_gives_every_change() {
        let check = |changes: &str, from, expected: Option<&str>| {
            let obstacle = slot(changes).obstacle("d", Lsn(from));
            let code = obstacle.map(|stop| stop.failure("testing").code);
            assert_eq!(code, expected, "{changes} from {from}");
        };
        check("{}", 100, None);
        check("{}", 101, None);
        check("{}", 99, Some("gap"));
        check(r#"{"confirmed_flush_lsn": null}"#, 0, None);
        check(r#"{"wal_status": "lost"}"#, 100, Some("gap"));
        check(r#"{"wal_status": "unreserved"}"#, 100, None);
        check(r#"{"invalidation_reason": "idle_timeout"}"#, 100, Some("gap"));
        check(r#"{"conflicting": true}"#, 100, Some("gap"));
        check(r#"{"plugin": "test_decoding"}"#, 100, Some("slot-unusable"));
        check(r#"{"plugin": null}"#, 100, Some("slot-unusable"));
        check(r#"{"database": "e"}"#, 100, Some("slot-unusable"));
        check(r#"{"two_phase": true}"#, 100, Some("slot-unusable"));
    }

    #[test]
    fn only_names_of_our_pattern_are_ours() {
        let cases = [
            ("afterimage_shop_0123abcd", true),
            ("afterimage_shop_0123ABCD", false),
            ("afterimage_shop_0123abc", false),
            ("afterimage_shop_0123abcde", false),
            ("afterimage_shop_eu_0123abcd", false),
            ("afterimage_shop", false),
        ];
        for (name, expected) in cases {
            assert_eq!(is_ours("afterimage_shop", name), expected, "{name}");
        }
        let copy = CopyId(uuid::Uuid::from_u128(0x0123_abcd << 96));
        assert!(is_ours("p", &name_of("p", copy)));
    }
}
