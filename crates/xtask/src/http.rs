//! The little HTTP that waiting for a server needs: one request, one answer, loopback only.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::trouble::{Doing, Result, Trouble};

/// The body of `http://127.0.0.1:port/path`, when the status is 2xx.
pub(crate) fn get(authority: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(authority).doing(authority)?;
    let patience = Some(Duration::from_secs(5));
    stream.set_read_timeout(patience).doing(authority)?;
    stream.set_write_timeout(patience).doing(authority)?;
    // HTTP/1.0: the answer ends with the connection, in no chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {authority}\r\nAccept: */*\r\n\r\n")
        .doing(authority)?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer).doing(authority)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status.starts_with('2') {
        Ok(body.to_owned())
    } else {
        Err(Trouble(format!("{authority}{path} answered {status}")))
    }
}
