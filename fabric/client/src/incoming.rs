//! A sealed reply, opened as it comes. Nothing of it is given out before its last segment was opened.

use crate::http::Reply;
use hacher_sealed_request::head::{HEAD_MAX_BYTES, decode};
use hacher_sealed_request::reply::{Expected, PREFIX_BYTES};
use hacher_sealed_request::segments::Opener;
use hacher_sealed_request::{Refused, STATUS_FIELD};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

/// Room that is made at once for a reply whose length is announced; more as it comes.
const ROOM_MAX_BYTES: usize = 16 << 20;
/// Bytes that say how long a head is.
const LENGTH_BYTES: usize = 4;

/// A reply that is not what was sealed for this request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyRefused {
    /// As the stream has it.
    #[error("{0}")]
    Sealed(#[from] Refused),
    /// Its head says no status.
    #[error("the reply was opened and says no status")]
    Head,
    /// It is longer than is taken.
    #[error("the reply has more than {max_bytes} bytes")]
    TooLong {
        /// What is taken at most.
        max_bytes: usize,
    },
}

/// A reply that arrives.
pub(crate) struct Opening {
    /// Until its first bytes are here.
    expected: Option<Expected>,
    prefix: Vec<u8>,
    segments: Option<Opener>,
    plaintext: Vec<u8>,
    max_bytes: usize,
}

impl Opening {
    /// A reply before its first bytes: its announced length, and how long its body may be.
    pub(crate) fn new(expected: Expected, announced_bytes: u64, max_bytes: usize) -> Self {
        let room = usize::try_from(announced_bytes).unwrap_or(usize::MAX);
        let most = max_bytes.saturating_add(LENGTH_BYTES + HEAD_MAX_BYTES);
        Self {
            expected: Some(expected),
            prefix: Vec::with_capacity(PREFIX_BYTES),
            segments: None,
            plaintext: Vec::with_capacity(room.min(most).min(ROOM_MAX_BYTES)),
            max_bytes,
        }
    }

    /// Takes what came next.
    pub(crate) fn take(&mut self, data: &[u8]) -> Result<(), ReplyRefused> {
        let missing = PREFIX_BYTES - self.prefix.len();
        let (now, rest) = data.split_at_checked(missing).unwrap_or((data, &[]));
        self.prefix.extend_from_slice(now);
        if let Some(prefix) = self.prefix.first_chunk()
            && let Some(expected) = self.expected.take()
        {
            self.segments = Some(expected.open(prefix)?);
        }
        if let Some(segments) = &mut self.segments {
            segments.open(rest, &mut self.plaintext)?;
        }
        self.is_short_enough(self.plaintext.len().saturating_sub(LENGTH_BYTES + HEAD_MAX_BYTES))
    }

    /// All of it, when nothing more comes.
    pub(crate) fn finish(self) -> Result<Reply, ReplyRefused> {
        let segments = self.segments.as_ref().ok_or(Refused::Truncated)?;
        segments.end()?;
        let head = decode(&self.plaintext)?.ok_or(ReplyRefused::Head)?;
        let mut status = None;
        let mut headers = HeaderMap::with_capacity(head.fields.len());
        for (name, value) in &head.fields {
            if *name == STATUS_FIELD {
                status = StatusCode::from_bytes(value.as_bytes()).ok();
            } else if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) {
                headers.append(name, value);
            }
        }
        let status = status.ok_or(ReplyRefused::Head)?;
        let body_at = head.len_bytes;
        self.is_short_enough(self.plaintext.len() - body_at)?;
        let mut body = bytes::Bytes::from(self.plaintext);
        Ok(Reply {
            status,
            headers,
            body: body.split_off(body_at),
        })
    }

    const fn is_short_enough(&self, body_bytes: usize) -> Result<(), ReplyRefused> {
        if body_bytes > self.max_bytes {
            return Err(ReplyRefused::TooLong {
                max_bytes: self.max_bytes,
            });
        }
        Ok(())
    }
}
