//! A client's socket: counts what goes over it, and at its end waits for a client that is still sending.
//!
//! A socket that is closed while there is something unread makes the kernel send a reset, and a reset makes
//! the client's kernel drop the reply that it has not read yet (RFC 9112, section 9.6). So the writing half
//! is closed first, and what the client still sends is read and dropped, within bounds.
//!
//! When a connection is to end, the socket itself is asked whether anything has arrived: what the event loop
//! knows of it is older.

use super::connection::{Connection, Ending, WhenQuiet};
use super::places::Place;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use rustix::io::ioctl_fionread;
use rustix::net::{Shutdown, shutdown};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// How much it may still send meanwhile: several times what chains usually take, and dropped as it comes.
const LINGER_MAX_BYTES: usize = 256 << 20;
/// How much is read at once.
const LINGER_READ_BYTES: usize = 32 << 10;

/// A client's socket, and its place.
pub(super) struct Wire {
    /// `None` once it was given to [`linger`].
    open: Option<(TcpStream, Place)>,
    connection: Rc<Connection>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, place: Place) -> Self {
        Self {
            connection: Rc::clone(&place.connection),
            open: Some((stream, place)),
        }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let (stream, _) = self.open.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(stream))
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.connection.note_sent(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.connection.note_blocked(),
        }
        written
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(time) = self.connection.lingers_for()
            && let Some((stream, place)) = self.open.take()
        {
            spawn_local(linger(stream, place, time));
        }
    }
}

/// Lets a client read its reply although it has not finished sending.
async fn linger(mut stream: TcpStream, place: Place, time: Duration) {
    let drain = async {
        stream.shutdown().await?;
        let mut buffer = vec![0; LINGER_READ_BYTES];
        let mut left = LINGER_MAX_BYTES;
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                bytes => left = left.saturating_sub(bytes),
            }
        }
        Ok::<_, io::Error>(())
    };
    tokio::select! {
        // Whatever happens, nobody is left to be told.
        _ = timeout(time, drain) => {}
        _ = place.connection.told_to_end(Ending::Gracefully) => {}
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.stream()?.poll_read(cx, buffer);
        let when_quiet = self.connection.to_do_when_quiet();
        if read.is_pending() && when_quiet != WhenQuiet::Wait {
            let stream = self.stream()?.get_mut();
            if ioctl_fionread(&*stream) == Ok(0) {
                if when_quiet == WhenQuiet::Shut {
                    // Fails if the client has gone, as does whatever comes after it.
                    let _ = shutdown(&*stream, Shutdown::Write);
                }
                self.connection.note_quiet();
            }
        }
        if !self.connection.was_looked_at() {
            // What has arrived is read next time: the event loop may not know of it yet.
            let arrived = ioctl_fionread(&*self.stream()?).is_ok_and(|bytes| bytes > 0);
            if read.is_ready() || !arrived {
                self.connection.note_look();
            }
        }
        ready!(read)?;
        let received = buffer.filled().len() - before;
        if received > 0 {
            self.connection.note_received(received);
        } else if buffer.remaining() > 0 {
            self.connection.note_end();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
