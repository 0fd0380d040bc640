//! A link that can be slowed: TCP from here to a server, with a limit on what the server may send in a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Result;

/// A proxy on a free port of this machine; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    pub port: u16,
    limit: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

/// Slices of a second in which the limit is kept.
const SLICES: u64 = 50;

impl Proxy {
    /// `server`: host and port. No limit at first.
    pub async fn to(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let limit = Arc::new(AtomicU64::new(u64::MAX));
        let server = server.to_owned();
        let shared = Arc::clone(&limit);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, limit) = (server.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    // What breaks here, both ends see as a broken connection.
                    let _ = connection(client, &server, &limit).await;
                });
            }
        });
        Ok(Self { port, limit, accepting })
    }

    /// Bytes in a second that each connection may get from the server.
    pub fn limit(&self, bytes: Option<u64>) {
        self.limit.store(bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connection(client: TcpStream, server: &str, limit: &AtomicU64) -> Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let down = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let per_slice = limit.load(Ordering::Relaxed) / SLICES;
            let room = usize::try_from(per_slice).unwrap_or(usize::MAX).clamp(1, buffer.len());
            let count = from_server.read(&mut buffer[..room]).await?;
            if count == 0 {
                return to_client.shutdown().await;
            }
            to_client.write_all(&buffer[..count]).await?;
            if per_slice < buffer.len() as u64 {
                let full = Duration::from_millis(1000 / SLICES);
                tokio::time::sleep(full.mul_f64(count as f64 / room as f64)).await;
            }
        }
    };
    // Either end of the link ends the other.
    tokio::select! {
        ended = up => ended?,
        ended = down => ended?,
    }
    Ok(())
}
