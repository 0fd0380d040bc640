//! `/metrics`, `/healthz` and `/readyz`. Reads only; knows no secret but its own token.
//!
//! A stranger can hold connections open, not more: at most [`CONNECTIONS_MAX`] at a time, each for at most
//! [`CONNECTION_LIFE`], and nothing here waits for the engine or makes it wait.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use engine::StatusReceiver;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, interval, sleep};

use crate::clock;
use crate::config::Http;
use crate::health::Health;
use crate::metrics;

const CONNECTIONS_MAX: usize = 64;
const CONNECTION_LIFE: Duration = Duration::from_secs(30);
/// Histograms collect samples until somebody asks; nobody may.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Pages {
    metrics: PrometheusHandle,
    status: StatusReceiver,
    token: Option<Arc<SecretString>>,
}

/// Serves the pages from now on, at the returned address.
pub(crate) async fn serve(
    http: &Http,
    metrics: PrometheusHandle,
    status: StatusReceiver,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(http.listen).await?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() && http.token.is_none() {
        tracing::warn!(%address, "metrics are readable by everyone who reaches this address; http.token asks for a secret");
    }
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        let mut tick = interval(UPKEEP);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    let pages = Pages { metrics, status, token: http.token.clone().map(Arc::new) };
    let router = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(pages);
    let limited = Limited { listener, room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
    tokio::spawn(axum::serve(limited, router).into_future());
    Ok(address)
}

impl Pages {
    fn health(&self) -> Health {
        Health::of(&self.status.borrow(), Instant::now())
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        given.is_some_and(|given| same(given, token.expose_secret().as_bytes()))
    }
}

async fn show_metrics(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    if !pages.admits(&headers) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response();
    }
    metrics::tell(&pages.status.borrow(), &pages.health(), Instant::now(), clock::now());
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, pages.metrics.render()).into_response()
}

async fn healthz(State(pages): State<Pages>) -> Response {
    let health = pages.health();
    page(health.alive, &health)
}

async fn readyz(State(pages): State<Pages>) -> Response {
    let health = pages.health();
    page(health.ready, &health)
}

fn page(good: bool, health: &Health) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(health).expect("words and numbers are always JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Takes as long whatever is given, so that a token cannot be guessed byte by byte.
fn same(given: &[u8], token: &[u8]) -> bool {
    let differs = given.len() ^ token.len();
    let differs = token.iter().enumerate().fold(differs, |differs, (index, byte)| {
        differs | usize::from(byte ^ given.get(index).copied().unwrap_or(!byte))
    });
    differs == 0
}

struct Limited {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let room =
            Arc::clone(&self.room).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Connection { stream, life: Box::pin(sleep(CONNECTION_LIFE)), _room: room }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends by itself.
struct Connection {
    stream: TcpStream,
    life: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

impl Connection {
    fn poll_life(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.life.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_life(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_life(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
