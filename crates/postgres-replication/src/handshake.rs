//! From the open connection to the first command: start-up parameters, authentication, what the server tells of itself.
//!
//! ```text
//!   SSLRequest ──> 'S' TLS | 'N' refused | 'E' (an error, not to be believed)          [`ssl_request`, `SslReply`]
//!
//!   StartupMessage ──> Fresh ──AuthenticationSASL──> Challenge ──Continue──> Proof ──Final──> Proven ──┐
//!                        ├──CleartextPassword, MD5Password──> Answered ──────────────────────────────Ok┤
//!                        └──AuthenticationOk (the server asks for nothing)─────────────────────────────┤
//!                                                                                                      v
//!                                     Parameters: ParameterStatus*, BackendKeyData, ReadyForQuery ──> Session
//! ```
//!
//! Whatever arrives out of this order is an error. In particular AuthenticationOk is not accepted between a SCRAM
//! challenge and the server's own proof: that proof is what shows that the server knows the password too.
//!
//! The password leaves this machine in no readable form unless [`Policy`] says so: MD5 can be attacked off line by
//! whoever listens, so it must be allowed; clear text must be allowed and is then sent over TLS only.
//!
//! Channel binding is used whenever the server offers it and the certificate allows it. Over TLS a server that offers
//! none is told that we could have (`y`), so that somebody who took the offer out of the server's list is found out.

mod authentication;
mod startup;

use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::cursor::{Cursor, Malformed};
use crate::error::ServerError;
use crate::frame::tag;
use crate::version::server_version_number;
use authentication::{Authentication, Progress};
pub use startup::{SslReply, Startup, ssl_request};

/// What carries the bytes, as far as authentication depends on it.
#[derive(Clone, PartialEq, Eq)]
pub enum Transport {
    /// In the clear, or a socket of this machine.
    Plain,
    Tls {
        /// The certificate's [`tls_server_end_point`](crate::channel_binding::tls_server_end_point).
        end_point: Option<Vec<u8>>,
    },
}

/// Which ways to prove the password are acceptable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub allow_md5: bool,
    /// Over TLS only, even so.
    pub allow_cleartext: bool,
    /// Refuse every way but SCRAM bound to the server's certificate.
    pub require_channel_binding: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("the server refuses the connection")]
    Server(#[source] Box<ServerError>),
    #[error("the server asks for a password and none is configured")]
    PasswordMissing,
    #[error("the server asks for {method} authentication, which is not allowed here: {why}")]
    Refused { method: &'static str, why: &'static str },
    #[error("the server asks for an authentication that is not supported: {method}")]
    Unsupported { method: String },
    #[error("channel binding is required and {why}")]
    ChannelBinding { why: &'static str },
    /// The server's proof is wrong or missing: it does not know the password, or its message is broken.
    #[error("the server's side of the password exchange is wrong: {0}")]
    Scram(String),
    #[error("message {:?} does not belong here during {during}", *tag as char)]
    Unexpected { tag: u8, during: &'static str },
    #[error("a malformed message {:?}", *tag as char)]
    Malformed { tag: u8, source: Malformed },
    #[error("server version {0:?} is not understood")]
    Version(String),
    #[error("the server sends more than {0} parameters")]
    TooManyParameters(usize),
    #[error("the {0} holds a zero byte")]
    ZeroByte(&'static str),
}

/// What cancels a running command of a session.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendKey {
    pub process_id: u32,
    secret: Vec<u8>,
}

impl BackendKey {
    /// Appends a CancelRequest, to be sent over a connection of its own.
    pub fn cancel_request(&self, out: &mut BytesMut) {
        out.put_u32(self.secret.len() as u32 + 12);
        out.put_u32(80_877_102);
        out.put_u32(self.process_id);
        out.put_slice(&self.secret);
    }
}

impl fmt::Debug for BackendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendKey({})", self.process_id)
    }
}

/// What the server has told of itself by the time it takes commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// As `server_version_num`: 180006.
    pub server_version: u32,
    pub key: Option<BackendKey>,
    /// ParameterStatus, in the order of arrival, the last value of each.
    pub parameters: Vec<(String, String)>,
}

impl Session {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Takes in the body of a ParameterStatus, which may come at any time.
    pub fn set_parameter(&mut self, body: &[u8]) -> Result<(), HandshakeError> {
        const PARAMETERS_MAX: usize = 256;
        let tag = tag::PARAMETER_STATUS;
        let (name, value) =
            parameter(body).map_err(|source| HandshakeError::Malformed { tag, source })?;
        let known = self.parameters.iter().position(|(key, _)| key == name);
        match known {
            Some(index) => self.parameters[index].1 = value.to_owned(),
            None if self.parameters.len() == PARAMETERS_MAX => {
                return Err(HandshakeError::TooManyParameters(PARAMETERS_MAX));
            }
            None => self.parameters.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }
}

fn parameter(body: &[u8]) -> Result<(&str, &str), Malformed> {
    let mut cursor = Cursor::new(body);
    let parameter = (cursor.text("a parameter's name")?, cursor.text("a parameter's value")?);
    cursor.end()?;
    Ok(parameter)
}

#[derive(Debug)]
enum State {
    Authentication(Authentication),
    Parameters(Session),
    Done,
}

/// The exchange that makes a session of a connection: feed it each message, send what it appends to `out`.
#[derive(Debug)]
pub struct Handshake {
    state: State,
}

impl Handshake {
    /// Appends the StartupMessage. `password` is kept until it is used, then dropped.
    pub fn start(
        startup: &Startup,
        password: Option<&[u8]>,
        transport: Transport,
        policy: Policy,
        out: &mut BytesMut,
    ) -> Result<Handshake, HandshakeError> {
        startup.encode(out)?;
        let authentication = Authentication::new(&startup.user, password, transport, policy);
        Ok(Handshake { state: State::Authentication(authentication) })
    }

    /// Takes in one message; a session when the server is ready. An error ends the connection.
    pub fn message(
        &mut self,
        tag: u8,
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<Option<Session>, HandshakeError> {
        match tag {
            tag::ERROR_RESPONSE => {
                let error = ServerError::decode(body)
                    .map_err(|source| HandshakeError::Malformed { tag, source })?;
                return Err(HandshakeError::Server(Box::new(error)));
            }
            tag::NOTICE_RESPONSE => return Ok(None),
            _ => {}
        }
        match &mut self.state {
            State::Authentication(authentication) => {
                if tag != tag::AUTHENTICATION {
                    return Err(HandshakeError::Unexpected { tag, during: "authentication" });
                }
                if authentication.message(body, out)? == Progress::Accepted {
                    self.state = State::Parameters(Session::default());
                }
                Ok(None)
            }
            State::Parameters(session) => match tag {
                tag::PARAMETER_STATUS => session.set_parameter(body).map(|()| None),
                tag::BACKEND_KEY_DATA => {
                    let key = backend_key(body)
                        .map_err(|source| HandshakeError::Malformed { tag, source })?;
                    session.key = Some(key);
                    Ok(None)
                }
                tag::READY_FOR_QUERY => {
                    let mut session = std::mem::take(session);
                    self.state = State::Done;
                    let version = session.parameter("server_version").unwrap_or_default();
                    session.server_version = server_version_number(version).ok_or_else(|| {
                        HandshakeError::Version(version.chars().take(64).collect())
                    })?;
                    Ok(Some(session))
                }
                _ => Err(HandshakeError::Unexpected { tag, during: "start-up" }),
            },
            State::Done => {
                Err(HandshakeError::Unexpected { tag, during: "a session that is open" })
            }
        }
    }
}

/// The secret has four bytes in protocol 3.0 and up to 256 since 3.2.
fn backend_key(body: &[u8]) -> Result<BackendKey, Malformed> {
    let mut cursor = Cursor::new(body);
    let process_id = cursor.u32("the process id")?;
    match cursor.rest() {
        secret if (4..=256).contains(&secret.len()) => {
            Ok(BackendKey { process_id, secret: secret.to_vec() })
        }
        secret => Err(Malformed::Value { what: "the secret's length", value: secret.len() as i64 }),
    }
}

#[cfg(test)]
mod tests;
