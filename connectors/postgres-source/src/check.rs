//! Everything that would keep the connector from running, or weaken what it promises, found before it starts.

mod captured;
mod publication;
mod server;
mod tables;

use std::error::Error;

use connector::{Failure, Finding};

use crate::client::{Client, ConnectError, Host, Mode, TlsMode, TlsSetupError};
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
            findings.push(unconnected(&failure));
            return findings;
        }
    };
    if let Err(failure) = look(&mut client, &settings, &mut findings).await {
        let mend = format!("see `afterimage explain {}`", failure.code);
        findings.push(Finding::error(failure.code, chain(&failure), mend));
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
        findings.push(unconnected(&failure));
    }
    Ok(())
}

/// No session came about; each reason has a mend of its own.
fn unconnected(failure: &Failure) -> Finding {
    let mend = match failure.source.downcast_ref::<ConnectError>() {
        Some(error) => mend(error),
        None => format!("see `afterimage explain {}`", failure.code),
    };
    Finding::error(failure.code, chain(failure), mend)
}

fn mend(error: &ConnectError) -> String {
    let mend = match error {
        ConnectError::Resolve { .. } | ConnectError::NoAddress { .. } => "correct the host in url",
        ConnectError::Unreachable { .. } | ConnectError::Timeout { .. } => {
            "start the server, or correct host and port in url; a firewall may stand between"
        }
        ConnectError::TlsRefused { .. } => {
            "on the server: ssl = on, with a certificate; or tls = \"disable\" in [source] where nobody else can listen"
        }
        ConnectError::TlsSetup(TlsSetupError::ServerName(_)) => {
            "set the host in url to a name that the server's certificate holds"
        }
        ConnectError::TlsSetup(_) => "correct ca, cert and key in [source]",
        ConnectError::Certificate { .. } => {
            "set ca in [source] to the authority that made the server's certificate, and the host in url to a name \
             that the certificate holds"
        }
        ConnectError::Tls { .. } => {
            "see the server's log; tls, ca, cert and key in [source] must fit the server"
        }
        ConnectError::Credentials { .. } => {
            "correct the user in url, or password in [source]; or on the server: ALTER ROLE .. PASSWORD '..';"
        }
        ConnectError::HostEntryMissing { line, .. } => {
            return format!(
                "add the line `{line}` to the server's pg_hba.conf; then SELECT pg_reload_conf();"
            );
        }
        ConnectError::DatabaseMissing { .. } => "correct the database in url, or make it",
        ConnectError::TooManyConnections { .. } => {
            "end sessions that nobody needs, or raise max_connections, max_wal_senders or the role's CONNECTION LIMIT"
        }
        ConnectError::NotNow { .. } => "nothing, if it passes: wait until the server has started",
        ConnectError::Handshake { .. } | ConnectError::Session { .. } => {
            "see the server's log; url must name PostgreSQL itself, not a pooler"
        }
    };
    mend.to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_for_no_session_has_its_code_and_its_mend() {
        let check = |error: ConnectError, code: &str, words: &str| {
            let failure = match error.is_transient() {
                true => Failure::transient("connection", "testing", error),
                false => Failure::definite("connect", "testing", error),
            };
            let finding = unconnected(&failure);
            assert!(finding.code == code && finding.mend.contains(words), "{finding:?}");
        };
        let host = || "nowhere".to_owned();
        check(ConnectError::NoAddress { host: host() }, "connect", "host in url");
        check(ConnectError::Unreachable { attempts: vec![] }, "connection", "start the server");
        check(ConnectError::TlsSetup(TlsSetupError::NoRoots), "connect", "ca, cert and key");
        check(ConnectError::TlsSetup(TlsSetupError::ServerName(host())), "connect", "url");
        let other = Failure::definite("rights", "testing", "a word");
        assert_eq!(unconnected(&other).mend, "see `afterimage explain rights`");
    }
}
