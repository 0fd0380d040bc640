//! A session against a server that is written down here, over a pipe in memory: what a real one does only on a bad day.

mod connect;
mod copy;
mod queries;
mod stream;

use std::future::{Future, ready};

use postgres_replication::handshake::Session;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::wire::Wire;
use super::*;

const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// A session that has begun, and the server's end of it; each direction holds `pipe_bytes`.
fn session(pipe_bytes: usize) -> (Client, DuplexStream) {
    let (here, there) = duplex(pipe_bytes);
    let client = Client {
        wire: Wire::new(Box::new(here), MESSAGE_BYTES_MAX),
        session: Session::default(),
        target: Arc::new(Target::parse("postgres://ada@localhost").unwrap()),
        address: Address::Unix("pipe".into()),
        answering: false,
    };
    (client, there)
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn ready_for_query() -> Vec<u8> {
    message(b'Z', b"I")
}

fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{code}\0Mwhat is wrong\0\0").as_bytes())
}

/// Reads one message of the client: its tag and its body.
async fn client_message(server: &mut DuplexStream) -> (u8, Vec<u8>) {
    let tag = server.read_u8().await.unwrap();
    let length = server.read_u32().await.unwrap();
    let mut body = vec![0; length as usize - 4];
    server.read_exact(&mut body).await.unwrap();
    (tag, body)
}

/// What a future has to say at its first poll; then it is dropped.
async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = ready(()) => None,
    }
}
