//! What stands in front of a schema registry: it asks for a password, and can be told to answer for itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Result;

/// A proxy for HTTP, one request a connection; it ends when dropped.
#[derive(Debug)]
pub struct Gate {
    pub port: u16,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    server: String,
    /// The value that `Authorization` has to have.
    wanted: Option<String>,
    /// Status line, and further headers, in place of the server's answer.
    answer: Mutex<Option<String>>,
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Gate {
    /// `server`: host and port. `wanted`: the whole value of `Authorization`.
    pub async fn to(server: &str, wanted: Option<&str>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State {
            server: server.to_owned(),
            wanted: wanted.map(str::to_owned),
            answer: Mutex::new(None),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    // What breaks here, both ends see as a broken connection.
                    let _ = exchange(client, &state).await;
                });
            }
        });
        Ok(Self { port, state, accepting })
    }

    /// From now on everything is answered so, as `503 Service Unavailable`, or again by the server.
    pub fn answer(&self, status: Option<&str>) {
        let mut answer = self.state.answer.lock().expect("nobody panics with the lock");
        *answer = status.map(str::to_owned);
    }

    /// Requests so far, and those of them that the server itself answered.
    pub fn counts(&self) -> (u64, u64) {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (count(&self.state.asked), count(&self.state.answered))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn exchange(mut client: TcpStream, state: &State) -> Result<()> {
    let (head, body) = request(&mut client).await?;
    state.asked.fetch_add(1, Ordering::Relaxed);
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let own = state.answer.lock().expect("nobody panics with the lock").clone();
    let own = own.or_else(|| {
        let refused = state.wanted.is_some() && header("authorization") != state.wanted;
        refused.then(|| "401 Unauthorized\r\nwww-authenticate: Basic".to_owned())
    });
    if let Some(own) = own {
        let body = r#"{"error_code": 1, "message": "the gate's own words"}"#;
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {own}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        client.write_all(text.as_bytes()).await?;
        return Ok(client.shutdown().await?);
    }
    let mut server = TcpStream::connect(&state.server).await?;
    let dropped = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("connection:") && !line.starts_with("authorization:")
    };
    let kept: Vec<&str> = head.lines().filter(dropped).filter(|line| !line.is_empty()).collect();
    let head = format!("{}\r\nconnection: close\r\n\r\n", kept.join("\r\n"));
    server.write_all(head.as_bytes()).await?;
    server.write_all(&body).await?;
    tokio::io::copy(&mut server, &mut client).await?;
    state.answered.fetch_add(1, Ordering::Relaxed);
    Ok(client.shutdown().await?)
}

/// Head, and the body that its length tells.
async fn request(client: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    const MOST: usize = 4 << 20;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..at + 2].to_vec())?;
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
                })
                .unwrap_or(0);
            let mut body = bytes[at + 4..].to_vec();
            while body.len() < length && body.len() < MOST {
                match client.read(&mut buffer).await? {
                    0 => return Err("a request without its end".into()),
                    count => body.extend_from_slice(&buffer[..count]),
                }
            }
            return Ok((head, body));
        }
        match client.read(&mut buffer).await? {
            0 => return Err("a request without its head".into()),
            _ if bytes.len() > MOST => return Err("a request without bounds".into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
