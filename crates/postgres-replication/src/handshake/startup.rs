//! The first bytes of a connection.

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::HandshakeError;

/// Appends an SSLRequest. Exactly one byte of answer must be read before TLS begins: bytes that somebody smuggled in
/// behind it must not be taken for the server's.
pub fn ssl_request(out: &mut BytesMut) {
    frontend::ssl_request(out);
}

/// The one byte that answers an SSLRequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslReply {
    Accepted,
    /// The server speaks no TLS.
    Refused,
    /// An ErrorResponse begins. It came before anybody was authenticated, so its text is not to be shown.
    Error,
    Unknown(u8),
}

impl From<u8> for SslReply {
    fn from(byte: u8) -> SslReply {
        match byte {
            b'S' => SslReply::Accepted,
            b'N' => SslReply::Refused,
            b'E' => SslReply::Error,
            other => SslReply::Unknown(other),
        }
    }
}

/// Who connects to what, and how values are to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    pub user: String,
    pub database: String,
    /// A walsender for logical replication, which also takes SQL by the simple protocol.
    pub replication: bool,
    pub application_name: String,
}

/// Fixed for every session, so that a value has one text whatever the server, the role or the database prefers, and so
/// that no time limit meant for people ends a long copy or an idle stream. `transaction_timeout` exists since version
/// 17 only and an unknown parameter is refused, so it is set by a statement once the version is known.
const PARAMETERS: [(&str, &str); 11] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("search_path", "pg_catalog"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

impl Startup {
    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), HandshakeError> {
        let named = [
            ("user", self.user.as_str()),
            ("database", &self.database),
            ("application_name", &self.application_name),
        ];
        for (name, value) in named {
            if value.contains('\0') {
                return Err(HandshakeError::ZeroByte(name));
            }
        }
        let replication = self.replication.then_some(("replication", "database"));
        let parameters = named.into_iter().chain(replication).chain(PARAMETERS);
        frontend::startup_message(parameters, out)
            .expect("no zero byte is in the names, and the values were looked at");
        Ok(())
    }
}
