//! Everything that would keep the connector from running, or weaken what it promises, found before it starts.

mod captured;
mod publication;
mod server;
mod tables;

use std::error::Error;

use connector::{Failure, Finding};

use crate::client::{Client, Host, Mode, TlsMode};
use crate::config::{Config, Settings};
use crate::session;

/// Looks at the server, the rights and the tables, and lists all that is missing at once. Changes nothing.
pub async fn check(config: &Config, name: &str) -> Vec<Finding> {
    let settings = match Settings::new(name, config) {
        Ok(settings) => settings,
        Err(errors) => {
            let finding = |error: &crate::ConfigError| {
                Finding::error("config", error.to_string(), "correct the option")
            };
            return errors.iter().map(finding).collect();
        }
    };
    let mut findings = Vec::new();
    tls(&settings, &mut findings);
    let mut client = match session::connect(&settings, Mode::Query).await {
        Ok(client) => client,
        Err(failure) => {
            findings.push(Finding::error(
                "connect",
                chain(&failure),
                "correct url, password or the server's rules",
            ));
            return findings;
        }
    };
    if let Err(failure) = look(&mut client, &settings, &mut findings).await {
        findings.push(Finding::error(failure.code, chain(&failure), "see the code's page"));
    }
    findings
}

async fn look(
    client: &mut Client,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let role = server::role(client, findings).await?;
    server::parameters(client, settings, findings).await?;
    server::slots(client, settings, findings).await?;
    let tables = tables::tables(client, settings, findings).await?;
    publication::publication(client, settings, &role, &tables, findings).await?;
    if role.replication
        && let Err(failure) = session::connect(settings, Mode::Replication).await
    {
        let mend = "a line for this user in pg_hba.conf that lets it connect to the database for replication";
        findings.push(Finding::error("connect", chain(&failure), mend));
    }
    Ok(())
}

fn tls(settings: &Settings, findings: &mut Vec<Finding>) {
    let remote = !is_local(&settings.target.host);
    match settings.target.tls.mode {
        TlsMode::Disable if remote => findings.push(Finding::warning(
            "tls",
            "the connection is not encrypted: who listens reads the data",
            "set tls = \"verify-full\", and ca if the server's certificate is not publicly known",
        )),
        TlsMode::Require if remote && settings.target.tls.ca.is_none() => findings.push(Finding::warning(
            "tls",
            "the connection is encrypted, but nobody verifies to whom",
            "set tls = \"verify-full\", and ca if the server's certificate is not publicly known",
        )),
        _ => {}
    }
}

/// Bytes to it do not leave this machine.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Socket(_) => true,
        Host::Name(name) => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
    }
}

/// The error and all that is behind it.
fn chain(failure: &Failure) -> String {
    let mut text = failure.doing.to_owned();
    let mut next: Option<&dyn Error> = Some(&*failure.source);
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
