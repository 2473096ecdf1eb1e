//! Requests that only the gateway of one chain can read, and replies that only who asked it can: whatever
//! ends TLS in between sees sizes and times.
//!
//! ```text
//! request   key encapsulation (HPKE, RFC 9180) to the key that the chain's verified evidence names
//! reply     under a key that both ends of the request export
//! segments  either, as a stream: order, truncation and repetition are authenticated
//! head      what stands before the body inside: names and values
//! replay    a request opens once
//! ```
//!
//! No I/O, and no clock but the one that is given. `docs/evidence.md` has the bytes.
#![forbid(unsafe_code)]

mod encapsulation;
pub mod head;
pub mod replay;
pub mod reply;
pub mod request;
pub mod segments;

/// The media type of a sealed request.
pub const REQUEST_MEDIA_TYPE: &str = "application/vnd.hacher.sealed-request";
/// The media type of a sealed reply.
pub const REPLY_MEDIA_TYPE: &str = "application/vnd.hacher.sealed-reply";

/// The header inside a sealed reply that has its status: a status line of its own kind.
pub const STATUS_FIELD: &str = "hacher-status";
/// The header inside a sealed request that has its method; outside it is POST.
pub const METHOD_FIELD: &str = "hacher-method";
/// The header inside a sealed request that has its path, below the chain's name or of its route: the target
/// outside names the chain alone.
pub const PATH_FIELD: &str = "hacher-path";
/// The header inside a sealed request that has its query: the target outside has none.
pub const QUERY_FIELD: &str = "hacher-query";

/// Types of the problems (RFC 9457) that answer a sealed request which could not be opened. They come
/// unsealed, so anybody on the way can have written them.
pub mod problem {
    /// Its first segment does not open: sealed to another key, as that of a gateway before it was started
    /// anew, or for another chain, or altered. Who asks for new evidence may try again.
    pub const KEY: &str = "urn:hacher:problem:sealed-to-another-key";
    /// It is not sealed as it has to be, or not all of it came.
    pub const MALFORMED: &str = "urn:hacher:problem:sealed-request-malformed";
    /// It came before.
    pub const REPLAYED: &str = "urn:hacher:problem:sealed-request-replayed";
    /// It was made too long ago, or by another clock.
    pub const TIME: &str = "urn:hacher:problem:sealed-request-time";
    /// More came than can be told apart.
    pub const FULL: &str = "urn:hacher:problem:sealed-requests-too-many";
}

/// Bytes of the public key that requests are sealed to, of the private one, and of an encapsulated key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a chain digest.
pub const DIGEST_BYTES: usize = 48;

/// Why something sealed is refused. Of a stream that is refused, what was opened before is what was sealed,
/// and is not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Something else, or of another version.
    #[error("this is not sealed in a form that is known here")]
    Form,
    /// The key that it is sealed to is no point of the curve that gives a secret.
    #[error("the encapsulated key is unusable")]
    Key,
    /// A segment longer than one may be, or empty before the end.
    #[error("a segment has a length that none may have")]
    Length,
    /// Sealed to another key or for another chain, altered, or not in its place.
    #[error("a segment does not open: sealed to another key or for another chain, altered, or out of place")]
    Segment,
    /// It ends before its end.
    #[error("it ends before its last segment")]
    Truncated,
    /// Something follows its end.
    #[error("something follows the last segment")]
    Trailing,
    /// More than a stream may have.
    #[error("it has more segments than a key may seal")]
    Exhausted,
    /// The names and values before the body cannot be read.
    #[error("the head is not well formed")]
    Head,
    /// Opened before, or so old that it may have been.
    #[error("this request came before, or cannot be told from one that did")]
    Replayed,
    /// Made too long ago, or later than now.
    #[error("this request was not made now: its time is {off_ms} ms from here")]
    Time {
        /// How far the clocks are apart, or how long ago it was made.
        off_ms: u64,
    },
    /// As many requests came as can be remembered.
    #[error("more sealed requests came than can be told apart; later")]
    Full,
}
