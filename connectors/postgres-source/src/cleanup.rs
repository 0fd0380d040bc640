//! What a connector leaves in the database, and its removal.

use connector::Failure;
use postgres_replication::quote::quote_identifier;

use crate::client::{Client, Mode};
use crate::config::{Config, Settings};
use crate::failure::{Doing, Stop};
use crate::{session, slot};

const DOING: &str = "looking for what the connector left in the database";

/// What stands in the database because of a connector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leavings {
    pub slots: Vec<String>,
    /// Only when this project made it.
    pub publication: Option<String>,
}

/// What [`drop_all`] would drop.
pub async fn leavings(config: &Config, name: &str) -> Result<Leavings, Failure> {
    let settings = settings(config, name)?;
    let mut client = session::connect(&settings, Mode::Query).await?;
    find(&mut client, &settings).await
}

/// Drops the connector's slots and its own publication. Slots in use are not touched and are an error: the connector
/// runs.
pub async fn drop_all(config: &Config, name: &str) -> Result<Leavings, Failure> {
    let dropped = drop_slots(config, name).await?;
    let settings = settings(config, name)?;
    if let Some(publication) = &dropped.publication {
        let mut client = session::connect(&settings, Mode::Query).await?;
        let publication = quote_identifier(publication).doing(DOING)?;
        let sql = format!("DROP PUBLICATION IF EXISTS {publication}");
        client.simple(&sql).await.doing("dropping the publication")?;
    }
    Ok(dropped)
}

/// Drops the connector's slots alone, as a new beginning needs it. Says what is left.
pub async fn drop_slots(config: &Config, name: &str) -> Result<Leavings, Failure> {
    let settings = settings(config, name)?;
    let mut client = session::connect(&settings, Mode::Query).await?;
    let found = find(&mut client, &settings).await?;
    for slot in slot::list(&mut client).await? {
        if let (Some(pid), true) = (slot.active_pid, found.slots.contains(&slot.slot_name)) {
            let stop = Stop::SlotInUse {
                slot: slot.slot_name,
                pid,
                holder: "of this connector, as it seems".into(),
            };
            return Err(stop.failure("dropping the replication slots"));
        }
    }
    for name in &found.slots {
        slot::drop(&mut client, name).await?;
    }
    Ok(found)
}

async fn find(client: &mut Client, settings: &Settings) -> Result<Leavings, Failure> {
    let slots = slot::list(client)
        .await?
        .into_iter()
        .map(|slot| slot.slot_name)
        .filter(|name| slot::is_ours(&settings.slot_prefix, name))
        .collect();
    let sql = "SELECT 1 FROM pg_publication WHERE pubname = $1 \
               AND obj_description(oid, 'pg_publication') = 'made by afterimage'";
    let made = client.query(sql, &[Some(&settings.publication)]).await.doing(DOING)?;
    let publication = (!made.is_empty()).then(|| settings.publication.clone());
    Ok(Leavings { slots, publication })
}

fn settings(config: &Config, name: &str) -> Result<Settings, Failure> {
    Settings::new(name, config).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::definite("config", "reading the configuration", all.join("; "))
    })
}
