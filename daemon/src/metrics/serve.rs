//! How a monitoring system reads the figures: `GET /metrics` over HTTP/1.1, one answer for a connection.
//!
//! Anybody on this machine can connect, so all is bounded: who is slow or sends nonsense loses the
//! connection, and while there are too many of those, others are not served. Nothing else of the daemon
//! waits for this thread.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Figures;
use crate::Daemon;

/// Connections at once; one more is closed.
const AT_ONCE: usize = 16;
/// Longest time for a request to come, and for all of it with the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest head of a request in bytes (hyper has no smaller limit), and most lines of it.
const HEAD_BYTES_MAX: usize = 8192;
const HEADERS_MAX: usize = 64;
/// Time until it is tried again to accept a connection after that has failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes the address.
pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("listen on {address} for metrics"))
}

/// Runs until the daemon ends.
pub(crate) fn run(daemon: &Arc<Daemon>, listener: TcpListener) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let mut registry = Registry::with_prefix("homenode");
            registry.register_collector(Box::new(Figures(Arc::clone(daemon))));
            serve(listener, Arc::new(registry)).await
        })
    });
    if let Err(error) = served {
        daemon.event(&format!("metrics are not served any more: {error:#}"));
    }
}

async fn serve(listener: tokio::net::TcpListener, registry: Arc<Registry>) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("a connection for metrics: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!("{AT_ONCE} connections for metrics at once: {from} is not served");
            continue;
        };
        let registry = Arc::clone(&registry);
        tokio::spawn(async move {
            let served = timeout(CONNECTION_TIMEOUT, connection(stream, registry)).await;
            if let Ok(Err(error)) = served {
                tracing::debug!("a connection for metrics from {from}: {error}");
            }
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, registry: Arc<Registry>) -> hyper::Result<()> {
    let answer = service_fn(|request| {
        let response = answer(&request, &registry);
        async { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

fn answer(request: &Request<Incoming>, registry: &Registry) -> Response<String> {
    if request.uri().path() != "/metrics" {
        return says(StatusCode::NOT_FOUND, "There is only /metrics.\n");
    }
    if request.method() != Method::GET {
        let mut response = says(StatusCode::METHOD_NOT_ALLOWED, "GET it.\n");
        let allowed = HeaderValue::from_static("GET");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    let mut text = String::new();
    if let Err(error) = prometheus_text::encode(&mut text, registry) {
        tracing::warn!("metrics cannot be written: {error}");
        return says(StatusCode::INTERNAL_SERVER_ERROR, "");
    }
    let mut response = Response::new(text);
    let kind = HeaderValue::from_static(prometheus_text::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn says(status: StatusCode, text: &str) -> Response<String> {
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    response
}
