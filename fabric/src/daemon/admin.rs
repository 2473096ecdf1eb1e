//! What operators may ask, over HTTP on a loopback port of its own: `/metrics`, `/status`, `/traces`, `/healthz`.

use super::metrics;
use super::tables::Tables;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// Operators connected at a time; more wait.
const CONNECTIONS_MAX: usize = 32;
/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be used before its client must make another: one that reads nothing keeps others out no longer.
const LIFE: Duration = Duration::from_secs(60);

/// Serves operators for ever.
pub(super) async fn serve(listener: TcpListener, tables: Rc<RefCell<Tables>>, own: PrometheusHandle) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Never closed, so this waits or succeeds.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: those in use will be closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (tables, own) = (Rc::clone(&tables), own.clone());
        spawn_local(async move {
            let service = service_fn(|request| {
                let reply = answer(&request, &tables.borrow(), &own);
                async move { Ok::<_, Infallible>(reply) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = pin!(connection);
            // A client that breaks off concerns nobody else, so how it ended does not matter.
            if timeout(LIFE, connection.as_mut()).await.is_err() {
                connection.as_mut().graceful_shutdown();
                let _ = timeout(HEAD_TIMEOUT, connection).await;
            }
            drop(permit);
        });
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    response
}

fn answer(request: &Request<Incoming>, tables: &Tables, own: &PrometheusHandle) -> Response<Full<Bytes>> {
    const JSON: &str = "application/json";
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let detail = "only GET and HEAD are answered here\n".to_owned();
        let mut refusal = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, detail);
        let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => reply(StatusCode::OK, TEXT, metrics::render(tables, own)),
        "/status" => reply(StatusCode::OK, JSON, format!("{:#}\n", tables.status())),
        "/traces" => {
            let invocation = request
                .uri()
                .query()
                .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("invocation=")));
            reply(StatusCode::OK, JSON, format!("{}\n", tables.traces(invocation)))
        }
        "/healthz" => reply(StatusCode::OK, TEXT, "ok\n".to_owned()),
        _ => {
            let known = "there are /metrics, /status, /traces and /healthz here\n";
            reply(StatusCode::NOT_FOUND, TEXT, known.to_owned())
        }
    }
}
