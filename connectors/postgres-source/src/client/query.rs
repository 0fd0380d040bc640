//! Statements whose answer is small: the simple and the extended protocol.

use bytes::{BufMut, Bytes};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use postgres_replication::error::ServerError;
use postgres_replication::frame::tag;

use super::Client;
use super::error::SessionError;
use super::rows::{RESULT_BYTES_MAX, Rows};

impl Client {
    /// Runs one or more statements, separated by semicolons, by the simple protocol: one [`Rows`] for each.
    ///
    /// The only way on a replication session, also for its commands. Not cancel-safe: see the module's page.
    pub async fn simple(&mut self, sql: &str) -> Result<Vec<Rows>, SessionError> {
        self.begin_simple(sql)?;
        self.results().await
    }

    /// As [`Client::simple`], for one statement.
    pub async fn simple_one(&mut self, sql: &str) -> Result<Rows, SessionError> {
        Ok(self.simple(sql).await?.pop().unwrap_or_default())
    }

    /// Runs one statement with parameters `$1 ..`, given and answered in text form; the server infers their types.
    ///
    /// For ordinary sessions. Not cancel-safe: see the module's page.
    pub async fn query(
        &mut self,
        sql: &str,
        parameters: &[Option<&str>],
    ) -> Result<Rows, SessionError> {
        if parameters.iter().flatten().any(|value| value.contains('\0')) {
            return Err(SessionError::ZeroByte);
        }
        if parameters.len() > usize::from(u16::MAX) {
            return Err(SessionError::TooManyParameters(parameters.len()));
        }
        self.begin(sql)?;
        let out = &mut self.wire.output;
        frontend::parse("", sql, [], out)?;
        let write = |value: &Option<&str>, out: &mut bytes::BytesMut| match value {
            None => Ok(IsNull::Yes),
            Some(text) => {
                out.put_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        };
        frontend::bind("", "", [], parameters, write, [], out)
            .map_err(|_| SessionError::ZeroByte)?;
        frontend::describe(b'P', "", out)?;
        frontend::execute("", 0, out)?;
        frontend::sync(out);
        Ok(self.results().await?.pop().unwrap_or_default())
    }

    /// Queues a simple query; its answer ends with ReadyForQuery.
    pub(super) fn begin_simple(&mut self, sql: &str) -> Result<(), SessionError> {
        self.begin(sql)?;
        Ok(frontend::query(sql, &mut self.wire.output)?)
    }

    fn begin(&mut self, sql: &str) -> Result<(), SessionError> {
        if self.answering {
            return Err(SessionError::Abandoned);
        }
        if sql.contains('\0') {
            return Err(SessionError::ZeroByte);
        }
        self.answering = true;
        Ok(())
    }

    /// Collects everything up to ReadyForQuery.
    async fn results(&mut self) -> Result<Vec<Rows>, SessionError> {
        let mut results = Vec::new();
        let mut rows = Rows::default();
        let mut bytes = 0;
        loop {
            let (tag, body) = self.message("during a statement").await?;
            let malformed = |source| SessionError::Malformed { tag, source };
            match tag {
                tag::ROW_DESCRIPTION => rows = Rows::described(&body).map_err(malformed)?,
                tag::DATA_ROW => {
                    rows.push(&body).map_err(malformed)?;
                    if bytes + rows.bytes() > RESULT_BYTES_MAX {
                        return Err(SessionError::ResultTooLarge(RESULT_BYTES_MAX));
                    }
                }
                tag::COMMAND_COMPLETE => {
                    rows.tag = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(&body))
                        .into_owned();
                    bytes += rows.bytes();
                    results.push(std::mem::take(&mut rows));
                }
                tag::EMPTY_QUERY_RESPONSE => results.push(Rows::default()),
                tag::PARSE_COMPLETE | tag::BIND_COMPLETE | tag::NO_DATA => {}
                tag::ERROR_RESPONSE => return Err(self.failed(&body).await),
                tag::READY_FOR_QUERY => {
                    self.answering = false;
                    return Ok(results);
                }
                _ => return Err(SessionError::Unexpected { tag, during: "during a statement" }),
            }
        }
    }

    /// The next message that belongs to the statement.
    pub(super) async fn message(
        &mut self,
        during: &'static str,
    ) -> Result<(u8, Bytes), SessionError> {
        loop {
            match self.wire.take()? {
                Some((tag, body)) if self.passing(tag, &body)? => {}
                Some(message) => return Ok(message),
                None => self.wire.fill(during).await?,
            }
        }
    }

    /// Deals with a message that may come at any time; false when it is none of those.
    pub(super) fn passing(&mut self, tag: u8, body: &[u8]) -> Result<bool, SessionError> {
        passing(&mut self.session, tag, body)
    }

    /// What an ErrorResponse says, after everything up to ReadyForQuery has been read, so that the session can go on.
    pub(super) async fn failed(&mut self, body: &[u8]) -> SessionError {
        let error = match ServerError::decode(body) {
            Ok(error) => SessionError::Server(Box::new(error)),
            Err(source) => return SessionError::Malformed { tag: tag::ERROR_RESPONSE, source },
        };
        // after a fatal error there is nothing more; what the server said is worth more than how it hung up
        while let Ok((tag, _)) = self.message("after an error").await {
            if tag == tag::READY_FOR_QUERY {
                self.answering = false;
                break;
            }
        }
        error
    }
}

/// Deals with a message that may come at any time; false when it is none of those.
pub(super) fn passing(
    session: &mut postgres_replication::handshake::Session,
    tag: u8,
    body: &[u8],
) -> Result<bool, SessionError> {
    match tag {
        tag::PARAMETER_STATUS => {
            session.set_parameter(body).map(|()| true).map_err(SessionError::Parameter)
        }
        // notices may quote values; nobody here asked for them
        tag::NOTICE_RESPONSE | tag::NOTIFICATION_RESPONSE => Ok(true),
        _ => Ok(false),
    }
}
