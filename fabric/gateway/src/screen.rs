//! Stands between a connection and hyper: passes on what [`Framing`] has judged, and tells a client that has
//! said all it has to say from one that went away.
//!
//! A head that is refused is not passed on. In its place hyper gets one that the gateway answers with the
//! problem, so that the answer keeps its place behind those to earlier requests; nothing after it is read.
//!
//! A connection over HTTP/1 that the gateway wants to end is shown to hyper as one whose client has closed
//! its side, at a moment when nothing of a request had arrived; a part of a head is refused, so that it is
//! answered too.

use super::connection::{Connection, WhenQuiet};
use super::drain::Draining;
use super::framing::{Framing, Refused};
use super::problem::Problem;
use hacher_trustlet_host::evidence::session::ChannelBinding;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How soon after the last byte of a request its client's end means that it has no more to say and waits for
/// the reply. The same signal later means that it has gone: TCP tells one from the other by nothing else,
/// until a reply is refused.
const HALF_CLOSE: Duration = Duration::from_millis(50);
/// How often 4 KiB are taken from a client whose request was refused, each time that hyper looks for more.
const DISCARDED_READS_MAX: usize = 64;
/// What hyper gets in place of a head that is refused.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// The same, if the client will take no content.
const STAND_IN_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// What the screen of a connection and its requests tell each other.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Heads that hyper was given.
    passed: Cell<u64>,
    /// Requests that hyper has handed over.
    begun: Cell<u64>,
    /// Requests whose reply hyper has.
    answered: Cell<u64>,
    /// When the last of them was.
    begun_at: Cell<Option<Instant>>,
    /// Whether a reply may not have been written yet.
    is_writing: Cell<bool>,
    /// Replies of which hyper has not taken all pieces: what is flushed between two of them is not the end.
    untaken: Cell<u64>,
    /// Whether the client has said that no more requests will come.
    half_closed: Cell<bool>,
    /// Whether a body was not framed as it said, so that nothing behind it can be found.
    broken: Cell<bool>,
    /// Whether the connection is one over TLS.
    over_tls: Cell<bool>,
    /// What tells it from all other connections, if it is one over TLS 1.3.
    binding: Cell<Option<ChannelBinding>>,
    /// Where the connection comes from.
    peer: Cell<Option<IpAddr>>,
    /// Whether what is said is known not to be HTTP/1.
    through: Cell<bool>,
    /// Why the last head was refused.
    refusal: RefCell<Option<Problem>>,
}

impl Exchange {
    /// A request begins; a problem if it stands for one that was refused.
    pub(super) fn begin(&self) -> Option<Problem> {
        self.begun.set(self.begun.get() + 1);
        self.begun_at.set(Some(Instant::now()));
        let is_last = self.begun.get() == self.passed.get();
        self.refusal.borrow_mut().take_if(|_| is_last)
    }

    /// The reply to a request is made; whether it is the connection's last.
    pub(super) fn end(&self) -> bool {
        self.answered.set(self.answered.get() + 1);
        self.is_writing.set(true);
        self.broken.get() || (self.half_closed.get() && self.answered.get() == self.passed.get())
    }

    /// Hyper begins to take a reply.
    pub(super) fn begin_taking(&self) {
        self.untaken.set(self.untaken.get() + 1);
    }

    /// Hyper has taken the last piece of a reply, which it may not have written yet, or has given the reply
    /// up.
    pub(super) fn end_taking(&self) {
        self.untaken.set(self.untaken.get().saturating_sub(1));
    }

    #[cfg(test)]
    pub(super) fn is_taking(&self) -> bool {
        self.untaken.get() > 0
    }

    /// Notes that the connection is one over TLS, and what tells it from all others.
    pub(super) fn set_over_tls(&self, binding: Option<ChannelBinding>) {
        self.over_tls.set(true);
        self.binding.set(binding);
    }

    /// Notes where the connection comes from.
    pub(super) fn set_peer(&self, peer: IpAddr) {
        self.peer.set(Some(peer));
    }

    /// Where the connection comes from, as far as that is known.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.peer.get()
    }

    /// What tells the connection from all others, if it is one over TLS 1.3.
    pub(super) fn binding(&self) -> Option<ChannelBinding> {
        self.binding.get()
    }

    /// Whether the connection is one over TLS.
    pub(super) fn is_over_tls(&self) -> bool {
        self.over_tls.get()
    }

    /// Whether the connection speaks HTTP/2.
    pub(super) fn is_http_2(&self) -> bool {
        self.through.get()
    }

    fn awaits_reply(&self) -> bool {
        self.answered.get() < self.passed.get()
    }
}

/// A connection whose requests are judged before hyper reads them.
#[derive(Debug)]
pub(super) struct Screen<S> {
    stream: S,
    framing: Framing,
    exchange: Rc<Exchange>,
    /// What says when the connection ends.
    ends: Option<(Rc<Connection>, Rc<Draining>)>,
    /// The beginning of a head.
    held: Vec<u8>,
    /// What may be read and has not been: from `held`, or in place of a refused head.
    ready: Vec<u8>,
    last_read: Instant,
    /// The client has closed its side.
    ended: bool,
    refused: bool,
    /// Why a body cannot be read on; told behind what came before.
    broken: Option<io::Error>,
    /// Waits for replies to be written, to read on.
    reader: Option<Waker>,
}

impl<S> Screen<S> {
    /// Judges HTTP/1, and lets HTTP/2 through.
    pub(super) fn new(stream: S) -> Self {
        Self::with(stream, Framing::new())
    }

    /// Of a connection that has been agreed to speak HTTP/2.
    pub(super) fn through(stream: S) -> Self {
        Self::with(stream, Framing::none())
    }

    fn with(stream: S, framing: Framing) -> Self {
        Self {
            stream,
            exchange: Rc::new(Exchange {
                through: Cell::new(framing.is_through()),
                ..Exchange::default()
            }),
            framing,
            ends: None,
            held: Vec::new(),
            ready: Vec::new(),
            last_read: Instant::now(),
            ended: false,
            refused: false,
            broken: None,
            reader: None,
        }
    }

    /// The same, ended as these say.
    pub(super) fn ended_by(mut self, connection: &Rc<Connection>, drain: &Rc<Draining>) -> Self {
        self.ends = Some((Rc::clone(connection), Rc::clone(drain)));
        self
    }

    /// What the requests of this connection are told.
    pub(super) fn exchange(&self) -> Rc<Exchange> {
        Rc::clone(&self.exchange)
    }

    /// Gives out what is ready; whether there was anything.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let len = self.ready.len().min(buffer.remaining());
        buffer.put_slice(self.ready.get(..len).unwrap_or(&[]));
        self.ready.drain(..len);
        if self.ready.is_empty() {
            self.ready = Vec::new();
        }
        len > 0
    }

    /// Judges what was read behind `before`, and takes back what may not be read yet or at all.
    fn take_in(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        if self.framing.is_through() {
            return;
        }
        self.last_read = Instant::now();
        let read = buffer.filled().get(before..).unwrap_or(&[]);
        let (judged, is_head) = if self.held.is_empty() {
            let judged = self.framing.judge(read);
            let rest = read.get(judged.passed..).unwrap_or(&[]);
            self.held.extend_from_slice(rest);
            buffer.set_filled(before + judged.passed);
            (judged, is_head(&self.held))
        } else {
            self.held.extend_from_slice(read);
            buffer.set_filled(before);
            let judged = self.framing.judge(&self.held);
            self.ready
                .extend(self.held.drain(..judged.passed.min(self.held.len())));
            (judged, is_head(&self.held))
        };
        let exchange = &self.exchange;
        exchange.passed.set(exchange.passed.get() + judged.heads);
        exchange.through.set(self.framing.is_through());
        match judged.refused {
            None => {}
            Some(refused @ Refused::Body(_)) => {
                exchange.broken.set(true);
                self.refused = true;
                self.held.clear();
                self.broken = Some(refused.into());
            }
            Some(Refused::Head(problem)) => self.refuse_head(*problem, is_head),
        }
        if self.held.is_empty() {
            // Most connections never need it again.
            self.held = Vec::new();
        }
        self.give(buffer);
    }

    /// Has the head that is coming in answered with a problem, and nothing after it read.
    fn refuse_head(&mut self, problem: Problem, is_head: bool) {
        let exchange = &self.exchange;
        exchange.passed.set(exchange.passed.get() + 1);
        exchange.refusal.replace(Some(problem));
        self.refused = true;
        self.held.clear();
        self.ready
            .extend_from_slice(if is_head { STAND_IN_HEAD } else { STAND_IN });
    }

    /// Says what the socket is to do if nothing can be read from it now.
    fn tell_when_quiet(&self) {
        let Some((connection, _)) = &self.ends else {
            return;
        };
        let exchange = &self.exchange;
        let is_between = !self.framing.is_through()
            && self.held.is_empty()
            && !exchange.awaits_reply()
            && !exchange.is_writing.get();
        connection.when_quiet(match is_between && connection.is_leaving() {
            false => WhenQuiet::Wait,
            // TLS has an end of its own to write.
            true if exchange.is_over_tls() => WhenQuiet::Say,
            true => WhenQuiet::Shut,
        });
    }

    /// Nothing can be read now. If the connection is to end, so it does for hyper: without a word where
    /// nothing of a request has arrived, with a refusal where a part of a head has.
    fn leave(&mut self, context: &Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some((connection, drain)) = &self.ends else {
            return Poll::Pending;
        };
        let exchange = &self.exchange;
        if !connection.is_leaving() || self.framing.is_through() || exchange.awaits_reply() {
            return Poll::Pending;
        }
        if exchange.is_writing.get() {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        if !self.held.is_empty() {
            // One that was idle too long, and of which a request comes after all, is waited for as ever.
            if drain.has_begun() {
                let problem = drain.refusal();
                let is_head = is_head(&self.held);
                self.refuse_head(problem, is_head);
                self.give(buffer);
                return Poll::Ready(Ok(()));
            }
            return Poll::Pending;
        }
        if connection.is_quiet() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Takes what comes after a refusal, as far as it has come: a connection that is closed with bytes unread
    /// is reset, and the client may never see the reply.
    fn discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + Unpin,
    {
        let mut scratch = [0; 4096];
        for _ in 0..DISCARDED_READS_MAX {
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Pending
    }

    /// The client has closed its side: what that means. Pending as long as it waits for a reply.
    fn end(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let exchange = &self.exchange;
        let first_seen = !core::mem::replace(&mut self.ended, true);
        if self.framing.is_through() || self.framing.is_in_body() {
            return Poll::Ready(Ok(()));
        }
        // Behind requests that were sent together, the end is not seen before the last of them begins.
        let since = self.exchange.begun_at.get().max(Some(self.last_read));
        let is_soon = since.is_some_and(|since| since.elapsed() <= HALF_CLOSE);
        if first_seen && is_soon && exchange.awaits_reply() {
            exchange.half_closed.set(true);
        }
        let is_waited_for = exchange.awaits_reply() && exchange.half_closed.get();
        if is_waited_for || (!exchange.awaits_reply() && exchange.is_writing.get()) {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Screen<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.give(buffer) {
            return Poll::Ready(Ok(()));
        }
        if this.ended {
            return this.end(context);
        }
        loop {
            if let Some(broken) = this.broken.take() {
                return Poll::Ready(Err(broken));
            }
            if this.refused {
                return this.discard(context);
            }
            let before = buffer.filled().len();
            this.tell_when_quiet();
            let read = Pin::new(&mut this.stream).poll_read(context, buffer);
            if read.is_pending() {
                return this.leave(context, buffer);
            }
            ready!(read)?;
            if buffer.filled().len() == before {
                return this.end(context);
            }
            this.take_in(buffer, before);
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Whether a head is one of a HEAD request. Empty lines may come before it (RFC 9112, section 2.2).
fn is_head(mut head: &[u8]) -> bool {
    while let Some(rest) = head.strip_prefix(b"\r\n") {
        head = rest;
    }
    head.starts_with(b"HEAD ")
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Screen<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(context))?;
        if !this.exchange.awaits_reply() && this.exchange.untaken.get() == 0 {
            this.exchange.is_writing.set(false);
            if let Some(reader) = this.reader.take() {
                reader.wake();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
