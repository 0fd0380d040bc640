//! The exchange of proofs; the drawing is on the parent's page.

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;

use super::{HandshakeError, Policy, Transport};
use crate::cursor::{Cursor, Malformed};
use crate::frame::tag;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Going,
    /// AuthenticationOk, and everything that had to come before it.
    Accepted,
}

pub(super) struct Authentication {
    user: String,
    password: Option<Vec<u8>>,
    transport: Transport,
    policy: Policy,
    state: State,
}

enum State {
    Fresh,
    Challenge(ScramSha256),
    Proof(ScramSha256),
    Proven,
    Answered,
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authentication").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The request in an Authentication message.
mod request {
    pub(super) const OK: u32 = 0;
    pub(super) const KERBEROS: u32 = 2;
    pub(super) const CLEARTEXT: u32 = 3;
    pub(super) const MD5: u32 = 5;
    pub(super) const GSS: u32 = 7;
    pub(super) const SSPI: u32 = 9;
    pub(super) const SASL: u32 = 10;
    pub(super) const SASL_CONTINUE: u32 = 11;
    pub(super) const SASL_FINAL: u32 = 12;
}

impl Authentication {
    pub(super) fn new(
        user: &str,
        password: Option<&[u8]>,
        transport: Transport,
        policy: Policy,
    ) -> Authentication {
        Authentication {
            user: user.to_owned(),
            password: password.map(<[u8]>::to_vec),
            transport,
            policy,
            state: State::Fresh,
        }
    }

    pub(super) fn message(
        &mut self,
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<Progress, HandshakeError> {
        let mut cursor = Cursor::new(body);
        let request = cursor.u32("the authentication's kind").map_err(malformed)?;
        let data = cursor.rest();
        match (std::mem::replace(&mut self.state, State::Answered), request) {
            (State::Fresh, request::OK) if self.policy.require_channel_binding => {
                Err(HandshakeError::ChannelBinding { why: "the server asks for no password" })
            }
            (State::Fresh | State::Answered | State::Proven, request::OK) => Ok(Progress::Accepted),
            (State::Fresh, request::CLEARTEXT) => self.cleartext(out),
            (State::Fresh, request::MD5) => self.md5(data, out),
            (State::Fresh, request::SASL) => self.scram(data, out),
            (State::Challenge(mut scram), request::SASL_CONTINUE) => {
                scram.update(data).map_err(|error| HandshakeError::Scram(error.to_string()))?;
                write(frontend::sasl_response(scram.message(), out))?;
                self.state = State::Proof(scram);
                Ok(Progress::Going)
            }
            (State::Proof(mut scram), request::SASL_FINAL) => {
                scram.finish(data).map_err(|error| HandshakeError::Scram(error.to_string()))?;
                self.state = State::Proven;
                Ok(Progress::Going)
            }
            (State::Fresh, other) => Err(HandshakeError::Unsupported { method: method(other) }),
            (_, request::OK) => {
                Err(HandshakeError::Scram("it ends before the server has proven itself".into()))
            }
            _ => Err(HandshakeError::Unexpected {
                tag: tag::AUTHENTICATION,
                during: "the password exchange",
            }),
        }
    }

    fn password(&mut self) -> Result<Vec<u8>, HandshakeError> {
        self.password.take().ok_or(HandshakeError::PasswordMissing)
    }

    /// Refuses a method that cannot be bound to the server's certificate.
    fn unbound(&self) -> Result<(), HandshakeError> {
        if self.policy.require_channel_binding {
            return Err(HandshakeError::ChannelBinding {
                why: "the server asks for another kind of password proof",
            });
        }
        Ok(())
    }

    fn cleartext(&mut self, out: &mut BytesMut) -> Result<Progress, HandshakeError> {
        self.unbound()?;
        let refused = |why| Err(HandshakeError::Refused { method: "clear text password", why });
        if !self.policy.allow_cleartext {
            return refused("it would hand the password to whoever answers");
        }
        if self.transport == Transport::Plain {
            return refused("the connection is not encrypted");
        }
        let password = self.password()?;
        write(frontend::password_message(&password, out))?;
        Ok(Progress::Going)
    }

    fn md5(&mut self, salt: &[u8], out: &mut BytesMut) -> Result<Progress, HandshakeError> {
        self.unbound()?;
        if !self.policy.allow_md5 {
            let why = "the password can be guessed from what is sent; set password_encryption to scram-sha-256 and \
                       the role's password anew, or allow MD5";
            return Err(HandshakeError::Refused { method: "MD5", why });
        }
        let salt = <[u8; 4]>::try_from(salt).map_err(|_| {
            malformed(Malformed::Value { what: "the salt's length", value: salt.len() as i64 })
        })?;
        let password = self.password()?;
        let hash = md5_hash(self.user.as_bytes(), &password, salt);
        write(frontend::password_message(hash.as_bytes(), out))?;
        Ok(Progress::Going)
    }

    fn scram(&mut self, mechanisms: &[u8], out: &mut BytesMut) -> Result<Progress, HandshakeError> {
        let (plain, plus) = offered(mechanisms).map_err(malformed)?;
        let (mechanism, binding) = match &self.transport {
            Transport::Tls { end_point: Some(end_point) } if plus => {
                (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(end_point.clone()))
            }
            _ if !plain => {
                return Err(HandshakeError::Unsupported {
                    method: "SASL without SCRAM-SHA-256".into(),
                });
            }
            _ if self.policy.require_channel_binding => {
                let why = if plus {
                    "the certificate has no binding"
                } else {
                    "the server does not offer it"
                };
                return Err(HandshakeError::ChannelBinding { why });
            }
            // we could have, and the server did not offer it: said, so that it can tell when its offer was taken away
            Transport::Tls { end_point: Some(_) } => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            _ => (SCRAM_SHA_256, ChannelBinding::unsupported()),
        };
        let scram = ScramSha256::new(&self.password()?, binding);
        write(frontend::sasl_initial_response(mechanism, scram.message(), out))?;
        self.state = State::Challenge(scram);
        Ok(Progress::Going)
    }
}

/// Whether SCRAM-SHA-256 and SCRAM-SHA-256-PLUS are in the list.
fn offered(mechanisms: &[u8]) -> Result<(bool, bool), Malformed> {
    let mut cursor = Cursor::new(mechanisms);
    let (mut plain, mut plus) = (false, false);
    loop {
        match cursor.cstr("a mechanism's name")? {
            b"" => break,
            name => {
                plain |= name == SCRAM_SHA_256.as_bytes();
                plus |= name == SCRAM_SHA_256_PLUS.as_bytes();
            }
        }
    }
    cursor.end()?;
    Ok((plain, plus))
}

fn method(request: u32) -> String {
    match request {
        request::KERBEROS => "Kerberos V5".into(),
        request::GSS => "GSSAPI".into(),
        request::SSPI => "SSPI".into(),
        other => format!("number {other}"),
    }
}

fn malformed(source: Malformed) -> HandshakeError {
    HandshakeError::Malformed { tag: tag::AUTHENTICATION, source }
}

/// The encoders fail on a zero byte only, and only a password can hold one.
fn write(result: std::io::Result<()>) -> Result<(), HandshakeError> {
    result.map_err(|_| HandshakeError::ZeroByte("password"))
}
