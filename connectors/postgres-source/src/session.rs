//! Sessions with one way of writing values.
//!
//! The client fixes what every version knows at the start of a session. Two settings are added here, which the decode
//! table relies on: intervals in ISO 8601 (a sign at every part, no words), money in the C locale. And row security is
//! off, which makes a policy that would hide rows from a copy an error, where it would be a shorter table.

use connector::Failure;

use crate::client::{Client, Mode};
use crate::config::Settings;
use crate::failure::{Doing, Stop};

const SETTINGS: &str =
    "SET IntervalStyle = 'iso_8601'; SET lc_monetary = 'C'; SET row_security = off";
const VERSION_MIN: u32 = 140_000;

pub(crate) async fn connect(settings: &Settings, mode: Mode) -> Result<Client, Failure> {
    let doing = "connecting to the database";
    let mut client = Client::connect(&settings.target, mode).await.doing(doing)?;
    let version = client.server_version();
    if version < VERSION_MIN {
        return Err(Stop::ServerTooOld { version }.failure(doing));
    }
    client.simple(SETTINGS).await.doing("setting up a session")?;
    Ok(client)
}
