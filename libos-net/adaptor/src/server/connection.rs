//! A connection to the guest, kept alive between two requests.

use bytes::Bytes;
use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Most bytes of the head of an answer, and most headers in it.
const HEAD_MAX_BYTES: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;

/// The body of a request.
pub(super) enum RequestBody {
    /// All of it.
    Whole(Full<Bytes>),
    /// Pieces as they come, to the end of the channel.
    Pieces(mpsc::Receiver<Bytes>),
}

/// A connection, and the task that moves its bytes.
pub(super) struct Connection {
    pub(super) sender: SendRequest<RequestBody>,
    task: JoinHandle<()>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        // Segments of a stream leave as they come. A guest's socket that is gone says so when it is used.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = Builder::new()
            .max_buf_size(HEAD_MAX_BYTES)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let task = tokio::spawn(async move {
            // An error is reported to the request that waits for its answer.
            let _ = connection.await;
        });
        Ok(Self { sender, task })
    }

    /// Whether the guest has left it open since the last request.
    pub(super) async fn is_open(&self) -> bool {
        // Has the runtime see what came meanwhile, and then the task of the connection.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        self.sender.is_ready()
    }

    /// Closes it now.
    pub(super) async fn close(self) {
        self.task.abort();
        // Cancelled, as was asked.
        let _ = self.task.await;
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context),
            Self::Pieces(pieces) => {
                let piece = ready!(pieces.poll_recv(context));
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}
