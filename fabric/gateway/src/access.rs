//! The access log: a line for each request, if the service was asked for it (`--access-log`). It says who was
//! asked for what, how much and for how long; never a query, a header or a body.
//!
//! A request that is traced makes a line as well, for the daemon to export; if it is not logged, without a
//! path.
//!
//! The gateway may open nothing, so lines leave over its standard error, to the daemon, which checks them and
//! writes them as it writes all others. They wait in a buffer of bounded size and leave when there is room; a
//! line that finds no place is dropped and counted, so no request waits for whoever reads the log. Without
//! log and traces a request costs two looks at flags.

use super::problem::{InnerStatus, ProblemCause, Unread};
use super::sampling::{Sampling, Traced};
use super::target::path_of;
use super::turn::Identity;
use hacher_http::access::{CAUSE_MAX_BYTES, MARK, METHOD_MAX_BYTES, PATH_MAX_BYTES, Record, Span};
use hacher_libos_net::attach::Tracing;
use hacher_libos_net::clock::{self, Monotonic};
use hacher_libos_net::span_id::SpanId;
use hacher_watched::watch_room;
use hyper::{Method, Request, Response};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::task::spawn_local;

/// Lines that wait: some milliseconds of the most requests that a gateway answers.
const WAITING_MAX_BYTES: usize = 512 * 1024;

/// Why a reply has ended in the middle, if its client is not to blame.
const BROKEN_OFF: &str = "the reply was broken off";

/// Where lines wait.
#[derive(Debug, Default)]
pub(super) struct AccessLog {
    /// Whether each request makes a line.
    is_on: Cell<bool>,
    /// Which requests are traced.
    pub(super) sampling: Rc<Sampling>,
    is_written: Cell<bool>,
    waiting: RefCell<Vec<u8>>,
    dropped: Cell<u64>,
    news: Notify,
}

impl AccessLog {
    /// Has each request make a line.
    pub(super) fn log_all(self: &Rc<Self>) {
        self.is_on.set(true);
        self.begin();
    }

    /// Has each request make one that is traced.
    pub(super) fn trace(self: &Rc<Self>, tracing: Tracing) {
        self.sampling.begin(tracing);
        self.begin();
    }

    /// Begins to write.
    fn begin(self: &Rc<Self>) {
        if !self.is_written.replace(true) {
            let log = Rc::clone(self);
            spawn_local(async move {
                // What cannot be written to is what nobody reads.
                if log.write().await.is_err() {
                    log.is_on.set(false);
                }
            });
        }
    }

    /// A line for a request that has arrived; nothing if nobody wants it. `identity` tells its id and whether
    /// it is traced, when that is known; `received`, how much of its body has come. `chain_at`: which chain a
    /// path leads to.
    pub(super) fn entry(
        self: &Rc<Self>,
        request: &Request<()>,
        identity: &Rc<Identity>,
        received: &Rc<Cell<u64>>,
        chain_at: impl Fn(&str) -> Option<String>,
    ) -> Option<Entry> {
        let is_logged = self.is_on.get();
        if !is_logged && !self.sampling.is_on() {
            return None;
        }
        let mut record = Record {
            is_logged,
            ..Record::default()
        };
        // Of one that may be traced, this is told by its trace, if that is recorded.
        if is_logged {
            let path = request.uri().path();
            let decoded = path_of(path).ok();
            record.chain = decoded.as_deref().and_then(chain_at).unwrap_or_default();
            cut(path, PATH_MAX_BYTES).clone_into(&mut record.path);
        }
        Some(Entry {
            log: Rc::clone(self),
            begun: clock::now(),
            method: request.method().clone(),
            is_unread: false,
            reply_bytes: None,
            received: Rc::clone(received),
            identity: Rc::clone(identity),
            record,
        })
    }

    fn push(&self, mut record: Record) {
        record.dropped = self.dropped.get();
        let mut waiting = self.waiting.borrow_mut();
        let before = waiting.len();
        waiting.push(MARK);
        let written = serde_json::to_writer(&mut *waiting, &record);
        waiting.push(b'\n');
        if written.is_err() || waiting.len() > WAITING_MAX_BYTES {
            waiting.truncate(before);
            self.dropped.set(self.dropped.get().saturating_add(1));
            return;
        }
        self.dropped.set(0);
        self.news.notify_one();
    }

    async fn write(&self) -> io::Result<()> {
        // Nobody else has this end of the pipe but for the monitor, which does not write to it.
        fcntl_setfl(io::stderr(), fcntl_getfl(io::stderr())? | OFlags::NONBLOCK)?;
        let stderr = watch_room(io::stderr())?;
        loop {
            let lines = core::mem::take(&mut *self.waiting.borrow_mut());
            let mut left = lines.as_slice();
            while !left.is_empty() {
                let mut ready = stderr.writable().await?;
                let write = ready.try_io(|stderr| Ok(rustix::io::write(stderr.get_ref(), left)?));
                if let Ok(count) = write {
                    left = left.get(count?..).unwrap_or_default();
                }
            }
            if self.waiting.borrow().is_empty() {
                self.news.notified().await;
            }
        }
    }
}

fn cut(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes))
        .unwrap_or_default()
}

/// A line in the making: written when it is dropped, whatever has become of its request.
#[derive(Debug)]
pub(super) struct Entry {
    log: Rc<AccessLog>,
    begun: Monotonic,
    method: Method,
    /// Its head was refused, so that neither method nor path are known.
    is_unread: bool,
    /// Bytes of the reply's body, once there is one.
    reply_bytes: Option<u64>,
    /// Bytes of the request's body that have come.
    received: Rc<Cell<u64>>,
    identity: Rc<Identity>,
    record: Record,
}

impl Entry {
    /// All of a reply was taken over whose length was not known.
    pub(super) fn is_whole(&mut self) {
        self.reply_bytes = Some(self.record.sent_bytes);
    }

    /// The reply ends in the middle, and not by its client's doing.
    pub(super) fn breaks_off(&mut self) {
        BROKEN_OFF.clone_into(&mut self.record.cause);
    }

    /// The reply is made, with so many bytes.
    pub(super) fn replies<B>(&mut self, reply: &Response<B>, len_bytes: Option<u64>) {
        let inner = reply.extensions().get().map(|InnerStatus(status)| *status);
        self.record.status = inner.unwrap_or_else(|| reply.status()).as_u16();
        if let Some(ProblemCause(cause)) = reply.extensions().get() {
            self.record.cause = cut(cause, CAUSE_MAX_BYTES).to_owned();
        }
        if reply.extensions().get::<Unread>().is_some() {
            self.is_unread = true;
            self.record.path.clear();
        }
        // Of one whose length nobody knows yet, it is said when all of it was taken over.
        self.reply_bytes = len_bytes.or(Some(u64::MAX));
    }

    /// So many more bytes of the reply were taken over.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.record.sent_bytes = self.record.sent_bytes.saturating_add(bytes as u64);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut record = core::mem::take(&mut self.record);
        let is_told = |traced: &Traced| traced.is_recorded && self.log.sampling.is_on();
        let traced = self.identity.traced.get().filter(is_told);
        if !record.is_logged && traced.is_none() {
            return;
        }
        let ended = clock::now();
        record.invocation = self.identity.invocation.get();
        record.received_bytes = self.received.get();
        if !self.is_unread {
            cut(self.method.as_str(), METHOD_MAX_BYTES).clone_into(&mut record.method);
        }
        record.duration_us = ended.ns_since(self.begun) / 1000;
        if let Some(traced) = traced {
            if record.chain.is_empty() {
                record.chain = traced.chain.to_string();
            }
            record.span = Some(Span {
                trace: traced.trace_halves(),
                id: traced.span.as_u64(),
                parent: traced.parent.map_or(0, SpanId::as_u64),
                began_ns: self.begun.as_ns(),
                ended_ns: ended.as_ns(),
            });
        }
        if record.cause.is_empty() && self.reply_bytes.is_none_or(|bytes| record.sent_bytes < bytes) {
            "the client has gone".clone_into(&mut record.cause);
        }
        self.log.push(record);
    }
}

#[cfg(test)]
mod tests;
