//! The answering end of HTTP: one process of the chain.

use super::call::{Caller, HOPS};
use super::fault::Fault;
use super::receipt::receipt;
use super::tls::Credentials;
use bytes::Bytes;
use hacher_fabric::failed::Failed;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio_rustls::TlsAcceptor;

/// What the peer is told to do.
pub(crate) const PART: &str = "http";

/// What a process gets on its standard input.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Orders {
    /// Its successor.
    pub(super) next: Option<SocketAddr>,
    /// For HTTPS.
    pub(super) credentials: Option<Credentials>,
    /// Whether connections serve more than one call.
    pub(super) keeps: bool,
}

impl Orders {
    /// Whoever calls the process at `address` as these orders say.
    pub(super) fn caller(&self, address: SocketAddr) -> Result<Caller, Fault> {
        let connector = self.credentials.as_ref().map(Credentials::connector);
        Ok(Caller::new(address, connector.transpose()?, self.keeps))
    }
}

/// The runtime of a process: one thread.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()
}

/// Answers until it is killed; says its port on standard output when it can be called.
pub(crate) fn peer() -> Result<(), Failed> {
    let orders: Orders = serde_json::from_reader(std::io::stdin())?;
    Ok(runtime()?.block_on(serve(&orders))?)
}

async fn serve(orders: &Orders) -> Result<(), Fault> {
    let acceptor = orders.credentials.as_ref().map(Credentials::acceptor);
    let acceptor = acceptor.transpose()?;
    let next = orders.next.map(|address| orders.caller(address)).transpose()?;
    let next = Arc::new(next.map(Mutex::new));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&next)));
    }
}

type Next = Arc<Option<Mutex<Caller>>>;

/// Serves one connection; what goes wrong with it, its caller notices.
async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, next: Next) {
    match acceptor {
        None => speak(stream, next).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                speak(stream, next).await;
            }
        }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin>(stream: S, next: Next) {
    let service = service_fn(|request| answer(request, &next));
    let mut http = http1::Builder::new();
    http.auto_date_header(false);
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

/// The step of a chain: an error ends the connection, so that the caller fails too.
async fn answer(request: Request<Incoming>, next: &Next) -> Result<Response<Full<Bytes>>, Fault> {
    let hops = request.headers().get(HOPS).and_then(hops).ok_or(Fault::TooFar)?;
    let payload = request.into_body().collect().await?.to_bytes();
    let mut sum = receipt(&payload);
    if hops > 1 {
        let next = next.as_ref().as_ref().ok_or(Fault::TooFar)?;
        sum = sum.wrapping_add(next.lock().await.call(payload, hops - 1).await?);
    }
    Ok(Response::new(Full::new(Bytes::copy_from_slice(
        &sum.to_le_bytes(),
    ))))
}

fn hops(value: &HeaderValue) -> Option<u32> {
    value.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::receipt::receipts;

    /// How many connections three calls take.
    fn connections(credentials: Option<Credentials>, keeps: bool) -> u32 {
        let orders = Orders {
            next: None,
            credentials,
            keeps,
        };
        runtime().unwrap().block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let mut caller = orders.caller(listener.local_addr().unwrap()).unwrap();
            let acceptor = orders.credentials.map(|all| all.acceptor().unwrap());
            let calls = tokio::spawn(async move {
                for _ in 0..3 {
                    let sum = caller.call(Bytes::from_static(b"payload"), 1).await.unwrap();
                    assert_eq!(sum, receipts(b"payload", 1));
                }
            });
            let mut count = 0;
            while !calls.is_finished() {
                tokio::select! {
                    accepted = listener.accept() => {
                        count += 1;
                        tokio::spawn(connection(accepted.unwrap().0, acceptor.clone(), Arc::default()));
                    }
                    () = tokio::task::yield_now() => {}
                }
            }
            calls.await.unwrap();
            count
        })
    }

    #[test]
    fn connections_are_kept_unless_each_call_is_to_have_its_own() {
        for mutual in [false, true] {
            assert_eq!(connections(Some(Credentials::new(mutual).unwrap()), true), 1);
            assert_eq!(connections(Some(Credentials::new(mutual).unwrap()), false), 3);
        }
        assert_eq!(connections(None, true), 1);
    }

    #[test]
    fn where_both_ends_show_a_certificate_each_refuses_a_stranger() {
        let (ours, theirs) = (Credentials::new(true).unwrap(), Credentials::new(true).unwrap());
        let server = ours.acceptor().unwrap();
        runtime().unwrap().block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(connection(stream, Some(server.clone()), Arc::default()));
                }
            });
            for (connector, is_known) in [
                (ours.connector(), true),
                (theirs.connector(), false),
                (ours.clone().without_client_certificate().connector(), false),
            ] {
                let mut caller = Caller::new(address, Some(connector.unwrap()), true);
                assert_eq!(caller.call(Bytes::new(), 1).await.is_ok(), is_known);
            }
        });
    }
}
