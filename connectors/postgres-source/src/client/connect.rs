//! From a target to a session: name, address, socket, TLS, start-up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use postgres_replication::channel_binding::tls_server_end_point;
use postgres_replication::error::ServerError;
use postgres_replication::frame::MESSAGE_BYTES_MAX;
use postgres_replication::handshake::{
    Handshake, HandshakeError, Session, SslReply, Startup, Transport, ssl_request,
};
use secrecy::ExposeSecret;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::{Address, Attempt, ConnectError, SessionError};
use super::target::{Host, Target};
use super::tls::{Setup, certificate_problem, setup};
use super::wire::{Socket, Wire};
use super::{Canceller, Client, Mode};

/// A dead peer is noticed after this long: with data under way by the first, on an idle link by the others together.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_PROBES: u32 = 3;

impl Client {
    /// Opens a session. The addresses of the host are tried in turn; the first that answers is the one.
    ///
    /// Dropping it closes whatever was opened.
    pub async fn connect(target: &Target, mode: Mode) -> Result<Client, ConnectError> {
        let (socket, address) = reach(target).await?;
        let begun = begin(target, mode, socket, address.clone());
        match timeout(target.connect_timeout, begun).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Timeout { address, after: target.connect_timeout }),
        }
    }
}

impl Canceller {
    /// Asks the server to interrupt the session's statement. The server does not say whether there was one.
    pub async fn cancel(&self) -> Result<(), ConnectError> {
        let target = &*self.target;
        let after = target.connect_timeout;
        let address = self.address.clone();
        let attempt = async {
            let socket = open(&address).await.map_err(|source| ConnectError::Unreachable {
                attempts: vec![Attempt { address: address.clone(), source }],
            })?;
            let (mut wire, _) = guard(target, socket, &address).await?;
            self.key.cancel_request(&mut wire.output);
            wire.send()
                .await
                .map_err(|source| ConnectError::Session { address: address.clone(), source })?;
            // the server hangs up when it has seen to it
            match wire.fill("after a request to cancel").await {
                Ok(()) | Err(SessionError::Closed { .. } | SessionError::Io(_)) => Ok(()),
                Err(source) => Err(ConnectError::Session { address: address.clone(), source }),
            }
        };
        timeout(after, attempt)
            .await
            .unwrap_or(Err(ConnectError::Timeout { address: address.clone(), after }))
    }
}

/// Tries the addresses of the target's host in turn.
async fn reach(target: &Target) -> Result<(Box<dyn Socket>, Address), ConnectError> {
    let addresses: Vec<Address> = match &target.host {
        Host::Socket(directory) => vec![Address::Unix(Target::socket_path(directory, target.port))],
        Host::Name(host) => resolve(host, target).await?.into_iter().map(Address::Tcp).collect(),
    };
    let mut attempts = Vec::new();
    for address in addresses {
        let opened = timeout(target.connect_timeout, open(&address)).await;
        match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(socket) => return Ok((socket, address)),
            Err(source) => attempts.push(Attempt { address, source }),
        }
    }
    Err(ConnectError::Unreachable { attempts })
}

async fn resolve(host: &str, target: &Target) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = timeout(target.connect_timeout, lookup_host((host, target.port))).await;
    let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let found = found.map_err(|source| ConnectError::Resolve { host: host.to_owned(), source })?;
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(ConnectError::NoAddress { host: host.to_owned() });
    }
    Ok(addresses)
}

async fn open(address: &Address) -> io::Result<Box<dyn Socket>> {
    match address {
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let keepalive = TcpKeepalive::new()
                .with_time(KEEPALIVE_IDLE)
                .with_interval(KEEPALIVE_INTERVAL)
                .with_retries(KEEPALIVE_PROBES);
            let socket = SockRef::from(&stream);
            socket.set_tcp_keepalive(&keepalive)?;
            #[cfg(any(target_os = "linux", target_os = "android"))]
            socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
            Ok(Box::new(stream))
        }
    }
}

/// Lays TLS over the socket when the target asks for it.
async fn guard(
    target: &Target,
    socket: Box<dyn Socket>,
    address: &Address,
) -> Result<(Wire, Transport), ConnectError> {
    let mut wire = Wire::new(socket, MESSAGE_BYTES_MAX);
    let Some(Setup { config, name }) = setup(&target.tls, &target.host)? else {
        return Ok((wire, Transport::Plain));
    };
    ssl_request(&mut wire.output);
    let reply = wire
        .byte()
        .await
        .map_err(|source| ConnectError::Session { address: address.clone(), source })?;
    match SslReply::from(reply) {
        SslReply::Accepted => {}
        SslReply::Refused => return Err(ConnectError::TlsRefused { address: address.clone() }),
        SslReply::Error | SslReply::Unknown(_) => {
            let source =
                SessionError::Unexpected { tag: reply, during: "in answer to a request for TLS" };
            return Err(ConnectError::Session { address: address.clone(), source });
        }
    }
    let connected = TlsConnector::from(config).connect(name, wire.into_socket()).await;
    let stream = connected.map_err(|source| tls_error(address, source))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let end_point = certificate.and_then(|certificate| tls_server_end_point(certificate));
    Ok((Wire::new(Box::new(stream), MESSAGE_BYTES_MAX), Transport::Tls { end_point }))
}

fn tls_error(address: &Address, source: io::Error) -> ConnectError {
    let address = address.clone();
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner.and_then(|error| Some((certificate_problem(error)?, error.clone()))) {
        Some((problem, source)) => ConnectError::Certificate { address, problem, source },
        None => ConnectError::Tls { address, source },
    }
}

async fn begin(
    target: &Target,
    mode: Mode,
    socket: Box<dyn Socket>,
    address: Address,
) -> Result<Client, ConnectError> {
    let (mut wire, transport) = guard(target, socket, &address).await?;
    let session = start(target, mode, &mut wire, transport, &address).await?;
    let target = Arc::new(target.clone());
    let mut client = Client { wire, session, target, address, answering: false };
    // no limit that the role or the database sets for people may end a copy or a stream
    let statement = match client.server_version() {
        ..140_000 => return Ok(client),
        140_000..170_000 => "SET idle_session_timeout = 0",
        170_000.. => "SET idle_session_timeout = 0; SET transaction_timeout = 0",
    };
    match client.simple(statement).await {
        Ok(_) => Ok(client),
        Err(source) => Err(ConnectError::Session { address: client.address, source }),
    }
}

async fn start(
    target: &Target,
    mode: Mode,
    wire: &mut Wire,
    transport: Transport,
    address: &Address,
) -> Result<Session, ConnectError> {
    let startup = Startup {
        user: target.user.clone(),
        database: target.database.clone(),
        replication: mode == Mode::Replication,
        application_name: target.application_name.clone(),
    };
    let encrypted = transport != Transport::Plain;
    let failed = |source| handshake_error(target, encrypted, address, source);
    let broken = |source| ConnectError::Session { address: address.clone(), source };
    let password = target.password.as_ref().map(|password| password.expose_secret().as_bytes());
    let started = Handshake::start(&startup, password, transport, target.policy, &mut wire.output);
    let mut handshake = started.map_err(failed)?;
    loop {
        match wire.take().map_err(|error| broken(error.into()))? {
            None => wire.fill("during the start of the session").await.map_err(broken)?,
            Some((tag, body)) => {
                if let Some(session) =
                    handshake.message(tag, &body, &mut wire.output).map_err(failed)?
                {
                    return Ok(session);
                }
            }
        }
    }
}

/// Names what the server refuses by its SQLSTATE.
fn handshake_error(
    target: &Target,
    encrypted: bool,
    address: &Address,
    error: HandshakeError,
) -> ConnectError {
    let server: Box<ServerError> = match error {
        HandshakeError::Server(server) => server,
        source => return ConnectError::Handshake { address: address.clone(), source },
    };
    match server.code.as_str() {
        "28000" if server.message.contains("pg_hba.conf") => ConnectError::HostEntryMissing {
            line: host_entry(target, encrypted, address),
            source: server,
        },
        "28000" | "28P01" => {
            ConnectError::Credentials { user: target.user.clone(), source: server }
        }
        "3D000" => {
            ConnectError::DatabaseMissing { database: target.database.clone(), source: server }
        }
        "53300" => ConnectError::TooManyConnections { source: server },
        "57P03" => ConnectError::NotNow { source: server },
        _ => ConnectError::Handshake {
            address: address.clone(),
            source: HandshakeError::Server(server),
        },
    }
}

/// A line of `pg_hba.conf` that would let this session in. A walsender of a database is matched by the database's
/// name, as an ordinary session is; the keyword `replication` is for physical replication only.
fn host_entry(target: &Target, encrypted: bool, address: &Address) -> String {
    let Target { database, user, .. } = target;
    match address {
        Address::Unix(_) => format!("local {database} {user} scram-sha-256"),
        Address::Tcp(_) => {
            let kind = if encrypted { "hostssl" } else { "host" };
            format!("{kind} {database} {user} <address of this machine>/32 scram-sha-256")
        }
    }
}
