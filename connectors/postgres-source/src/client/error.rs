//! What can go wrong between here and the server, in the words a person needs to mend it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use postgres_replication::error::{Malformed, ServerError};
use postgres_replication::frame::FrameError;
use postgres_replication::handshake::HandshakeError;

/// No session came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the name of host {host:?} cannot be resolved")]
    Resolve { host: String, source: io::Error },
    #[error("host {host:?} has no address")]
    NoAddress { host: String },
    /// No address answered; one attempt for each.
    #[error("no address of the server can be reached: {}", list(attempts))]
    Unreachable { attempts: Vec<Attempt> },
    #[error("{address} has not finished the start of a session within {after:?}")]
    Timeout { address: Address, after: Duration },
    #[error("{address} speaks no TLS, and tls (in a URL: sslmode) asks for it")]
    TlsRefused { address: Address },
    /// The configuration of TLS on our side: a file, a name.
    #[error("TLS cannot be set up")]
    TlsSetup(#[from] TlsSetupError),
    /// The server's certificate does not stand up to sslmode.
    #[error("the certificate of {address} is not accepted: {problem}")]
    Certificate { address: Address, problem: String, source: rustls::Error },
    #[error("the TLS handshake with {address} failed")]
    Tls { address: Address, source: io::Error },
    #[error("user name or password are wrong for user {user:?}")]
    Credentials { user: String, source: Box<ServerError> },
    /// `pg_hba.conf` has no line for us; `line` is one that would do.
    #[error("pg_hba.conf of the server lets nobody in from here: a line like `{line}` is missing")]
    HostEntryMissing { line: String, source: Box<ServerError> },
    #[error("database {database:?} does not exist")]
    DatabaseMissing { database: String, source: Box<ServerError> },
    /// `max_connections`, `max_wal_senders` or a limit of the role or the database.
    #[error("the server has no connection left")]
    TooManyConnections { source: Box<ServerError> },
    /// It is starting up, shutting down or recovering.
    #[error("the server takes no connections now")]
    NotNow { source: Box<ServerError> },
    #[error("the start of a session failed at {address}")]
    Handshake { address: Address, source: HandshakeError },
    /// The connection broke, or the first statements of the session failed.
    #[error("the session with {address} broke off while it was set up")]
    Session { address: Address, source: SessionError },
}

impl ConnectError {
    /// Whether the same attempt can succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            ConnectError::Resolve { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::Timeout { .. }
            | ConnectError::TooManyConnections { .. }
            | ConnectError::NotNow { .. } => true,
            ConnectError::Tls { source, .. } => broken(source),
            ConnectError::Session { source, .. } => source.is_transient(),
            ConnectError::NoAddress { .. }
            | ConnectError::TlsRefused { .. }
            | ConnectError::TlsSetup(_)
            | ConnectError::Certificate { .. }
            | ConnectError::Credentials { .. }
            | ConnectError::HostEntryMissing { .. }
            | ConnectError::DatabaseMissing { .. }
            | ConnectError::Handshake { .. } => false,
        }
    }
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// One address that did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {source}")]
pub struct Attempt {
    pub address: Address,
    /// `ErrorKind::TimedOut` when the connect timeout ran out.
    pub source: io::Error,
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().map(Attempt::to_string).collect::<Vec<_>>().join(", ")
}

/// TLS cannot be set up on our side.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    #[error("file {} of option {option} cannot be read", path.display())]
    File { option: &'static str, path: PathBuf, source: io::Error },
    #[error("file {} of option {option} holds no {wanted} in PEM form", path.display())]
    Pem { option: &'static str, path: PathBuf, wanted: &'static str },
    #[error("the client's certificate and key are not usable")]
    Identity(#[source] rustls::Error),
    #[error("{0:?} is no name that a certificate can be checked against")]
    ServerName(String),
    #[error(
        "this machine has no list of trusted certificate authorities; name one by ca (in a URL: sslrootcert)"
    )]
    NoRoots,
    #[error("the certificate authorities are not usable")]
    Roots(#[source] rustls::server::VerifierBuilderError),
    #[error("the TLS versions are not usable")]
    Versions(#[source] rustls::Error),
}

/// A session failed, or the server refused a statement.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The statement failed; the session goes on unless the severity is FATAL.
    #[error("the server refused")]
    Server(#[source] Box<ServerError>),
    #[error("the server closed the connection {during}")]
    Closed { during: &'static str },
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the server's bytes make no sense")]
    Frame(#[from] FrameError),
    #[error("a malformed message {:?}", *tag as char)]
    Malformed { tag: u8, source: Malformed },
    #[error("message {:?} does not belong {during}", *tag as char)]
    Unexpected { tag: u8, during: &'static str },
    /// An earlier statement's answer was not read to its end, because its future was dropped: this session is finished.
    #[error("an earlier statement was given up half way")]
    Abandoned,
    #[error("the statement or a parameter holds a zero byte")]
    ZeroByte,
    #[error("{0} parameters are more than a statement can have")]
    TooManyParameters(usize),
    #[error("the result has more than {0} bytes")]
    ResultTooLarge(usize),
    #[error("the result has no value in column {0:?}")]
    NoValue(String),
    #[error("the server's parameters make no sense")]
    Parameter(#[source] HandshakeError),
}

impl SessionError {
    /// The SQLSTATE, when the server refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            SessionError::Server(error) => Some(&error.code),
            _ => None,
        }
    }

    /// Whether a new session can succeed without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            SessionError::Closed { .. } | SessionError::Io(_) | SessionError::Abandoned => true,
            SessionError::Server(error) => is_transient_code(&error.code),
            SessionError::Frame(_)
            | SessionError::Malformed { .. }
            | SessionError::Unexpected { .. }
            | SessionError::ZeroByte
            | SessionError::TooManyParameters(_)
            | SessionError::ResultTooLarge(_)
            | SessionError::NoValue(_)
            | SessionError::Parameter(_) => false,
        }
    }
}

/// Connection exceptions, a rollback for concurrency's sake, lack of resources, intervention by the operator, and locks.
fn is_transient_code(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "08" | "40" | "53" | "57" | "58") || matches!(code, "55P03" | "55006")
}

fn broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof
    )
}
