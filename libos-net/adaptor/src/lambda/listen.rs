//! Where the Runtime API is served: on a thread of its own, so that the guest is answered at any time, in a
//! run and between two.

use super::api;
use super::handover::Handover;
use hacher::BoxError;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Most connections at a time: a runtime has one or two. Others wait until one ends.
const CONNECTIONS_MAX: usize = 16;
/// Most bytes of the head of a request: runtimes report the cause of an error in a header of up to 1 MiB.
const HEAD_MAX_BYTES: usize = (1 << 20) + (64 << 10);
const HEADERS_MAX: usize = 128;
/// How long not to accept where there is no descriptor for another connection.
const REST: Duration = Duration::from_millis(20);

/// Serves the API at `listener` to the end of the process.
///
/// # Errors
/// When there is no thread for it.
pub(super) fn spawn(listener: TcpListener, handover: Arc<Handover>) -> Result<(), BoxError> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let serve = move || {
        if let Err(error) = runtime.block_on(serve(listener, &handover)) {
            eprintln!("the Runtime API is not served any more: {error}");
        }
    };
    thread::Builder::new()
        .name("runtime-api".to_owned())
        .spawn(serve)
        .map_err(|error| format!("cannot start a thread for the Runtime API: {error}; raise `threads`"))?;
    Ok(())
}

async fn serve(listener: TcpListener, handover: &Arc<Handover>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        // A socket that is gone says so when it is used.
        let _ = stream.set_nodelay(true);
        let handover = Arc::clone(handover);
        let connection = Builder::new()
            .max_buf_size(HEAD_MAX_BYTES)
            .max_headers(HEADERS_MAX)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| api::answer(Arc::clone(&handover), request)),
            );
        tokio::spawn(async move {
            // The guest's fault, and said to it as far as it can be said.
            let _ = connection.await;
            drop(place);
        });
    }
}
