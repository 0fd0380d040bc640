//! Which server, as whom, and how well guarded: a `postgres://` URL parsed at once into what is connected to.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use postgres_replication::handshake::Policy;
use secrecy::SecretString;

use super::tls::{Identity, Tls, TlsMode};

/// A server, a database on it, and who we are there.
#[derive(Clone, Debug)]
pub struct Target {
    pub host: Host,
    pub port: u16,
    pub user: String,
    pub password: Option<SecretString>,
    pub database: String,
    pub tls: Tls,
    /// Shown in `pg_stat_activity` and `pg_stat_replication`.
    pub application_name: String,
    /// For each address: until it has answered, and again until the session has begun.
    pub connect_timeout: Duration,
    /// Which weaker ways to prove the password are allowed.
    pub policy: Policy,
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address.
    Name(String),
    /// The directory of a Unix socket.
    Socket(PathBuf),
}

impl Host {
    /// Text that begins with `/` is the directory of a socket.
    fn new(text: String) -> Host {
        if text.starts_with('/') { Host::Socket(text.into()) } else { Host::Name(text) }
    }

    /// Bytes to it do not leave this machine, as far as its name tells.
    fn is_local(&self) -> bool {
        match self {
            Host::Socket(_) => true,
            Host::Name(name) => {
                name.eq_ignore_ascii_case("localhost")
                    || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
            }
        }
    }
}

/// The URL is not one; never with its text, which holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("the URL does not begin with postgres:// or postgresql://")]
    Scheme,
    #[error("the URL has a part that is no percent-encoded UTF-8: {0}")]
    Encoding(&'static str),
    #[error("the URL names no host")]
    NoHost,
    #[error("the URL names several hosts; name the one that has the slot")]
    SeveralHosts,
    #[error("the URL names no user")]
    NoUser,
    #[error("the URL's port is no number from 1 to 65535")]
    Port,
    #[error("the URL has the unknown option {0:?}")]
    UnknownOption(String),
    #[error("option {option} cannot be {value:?}: {expected} is expected")]
    Value { option: &'static str, value: String, expected: &'static str },
    #[error("sslcert and sslkey are needed together")]
    HalfIdentity,
}

const PORT: u16 = 5432;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Target {
    /// Parses `postgres://user:password@host:port/database?option=value&..`.
    ///
    /// Options: `host` (also a socket's directory), `port`, `user`, `password`, `dbname`, `application_name`,
    /// `connect_timeout` (seconds), `sslmode` (`disable`, `require`, `verify-ca`, `verify-full`), `sslrootcert`,
    /// `sslcert`, `sslkey`, `channel_binding` (`prefer`, `require`). Without `sslmode` it is `verify-full`, and `disable`
    /// for a socket, `localhost` and loopback addresses.
    pub fn parse(url: &str) -> Result<Target, TargetError> {
        let rest =
            ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or(TargetError::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let mut parts = Parts::default();
        parts.authority(authority)?;
        if !database.is_empty() {
            parts.database = Some(decode(database, "the database")?);
        }
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            parts
                .option(&decode(name, "an option's name")?, decode(value, "an option's value")?)?;
        }
        parts.finish()
    }

    /// The file of the Unix socket in `directory`.
    pub(super) fn socket_path(directory: &std::path::Path, port: u16) -> PathBuf {
        directory.join(format!(".s.PGSQL.{port}"))
    }
}

/// What the URL has said so far.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<SecretString>,
    database: Option<String>,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
    mode: Option<TlsMode>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    require_channel_binding: bool,
}

impl Parts {
    fn authority(&mut self, authority: &str) -> Result<(), TargetError> {
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if let Some(user) = user {
            let (user, password) = user
                .split_once(':')
                .map_or((user, None), |(user, password)| (user, Some(password)));
            if !user.is_empty() {
                self.user = Some(decode(user, "the user")?);
            }
            if let Some(password) = password {
                self.password = Some(decode(password, "the password")?.into());
            }
        }
        if host.contains(',') {
            return Err(TargetError::SeveralHosts);
        }
        let (host, port) = if let Some(rest) = host.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or(TargetError::Encoding("the host"))?;
            match rest {
                "" => (host, None),
                rest => (host, Some(rest.strip_prefix(':').ok_or(TargetError::Port)?)),
            }
        } else {
            host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)))
        };
        if !host.is_empty() {
            self.host = Some(decode(host, "the host")?);
        }
        if let Some(port) = port.filter(|port| !port.is_empty()) {
            self.port = Some(parse_port(port)?);
        }
        Ok(())
    }

    fn option(&mut self, name: &str, value: String) -> Result<(), TargetError> {
        match name {
            "host" if value.contains(',') => return Err(TargetError::SeveralHosts),
            "host" => self.host = Some(value),
            "port" => self.port = Some(parse_port(&value)?),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value.into()),
            "dbname" => self.database = Some(value),
            "application_name" => self.application_name = Some(value),
            "connect_timeout" => {
                let seconds = value.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
                let expected = "a number of seconds from 1 to 3600";
                let seconds = seconds.ok_or(TargetError::Value {
                    option: "connect_timeout",
                    value,
                    expected,
                })?;
                self.connect_timeout = Some(Duration::from_secs(seconds));
            }
            "sslmode" => {
                let expected = "disable, require, verify-ca or verify-full";
                let mode = TlsMode::parse(&value);
                self.mode =
                    Some(mode.ok_or(TargetError::Value { option: "sslmode", value, expected })?);
            }
            "sslrootcert" => self.ca = Some(value.into()),
            "sslcert" => self.certificate = Some(value.into()),
            "sslkey" => self.key = Some(value.into()),
            "channel_binding" => match value.as_str() {
                "prefer" => self.require_channel_binding = false,
                "require" => self.require_channel_binding = true,
                _ => {
                    let expected = "prefer or require";
                    return Err(TargetError::Value { option: "channel_binding", value, expected });
                }
            },
            _ => return Err(TargetError::UnknownOption(name.chars().take(64).collect())),
        }
        Ok(())
    }

    fn finish(self) -> Result<Target, TargetError> {
        let host = Host::new(self.host.filter(|host| !host.is_empty()).ok_or(TargetError::NoHost)?);
        let user = self.user.filter(|user| !user.is_empty()).ok_or(TargetError::NoUser)?;
        let identity = match (self.certificate, self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            _ => return Err(TargetError::HalfIdentity),
        };
        let default_mode = if host.is_local() { TlsMode::Disable } else { TlsMode::VerifyFull };
        Ok(Target {
            port: self.port.unwrap_or(PORT),
            password: self.password,
            database: self.database.unwrap_or_else(|| user.clone()),
            user,
            tls: Tls { mode: self.mode.unwrap_or(default_mode), ca: self.ca, identity },
            application_name: self.application_name.unwrap_or_else(|| "afterimage".into()),
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            policy: Policy {
                require_channel_binding: self.require_channel_binding,
                ..Policy::default()
            },
            host,
        })
    }
}

fn parse_port(text: &str) -> Result<u16, TargetError> {
    text.parse().ok().filter(|port| *port != 0).ok_or(TargetError::Port)
}

fn decode(text: &str, what: &'static str) -> Result<String, TargetError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(TargetError::Encoding(what)),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| TargetError::Encoding(what))
}

#[cfg(test)]
mod tests;
