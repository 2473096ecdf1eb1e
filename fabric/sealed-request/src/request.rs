//! A sealed request.
//!
//! ```text
//! 8 bytes    "hacherq1"
//! 32 bytes   encapsulated key
//! 8 bytes    when it was made, milliseconds since 1970-01-01 UTC, little-endian
//! segments   of the head, and behind it the body
//! ```
//!
//! The key of the segments is exported for "request" and the eight bytes of the time, so a request with
//! another time, another encapsulated key or for another chain does not open.

use crate::encapsulation::{self, Context};
use crate::segments::{Opener, Sealer};
use crate::{DIGEST_BYTES, KEY_BYTES, Refused, reply};
use zeroize::Zeroizing;

/// Starts every sealed request of this version.
pub const TYPE_TAG: &[u8; 8] = b"hacherq1";
/// Bytes before the first segment.
pub const PREFIX_BYTES: usize = 48;
const PURPOSE: &[u8; 7] = b"request";

/// The private key of a chain's gateway.
pub struct PrivateKey(encapsulation::PrivateKey);

impl PrivateKey {
    /// The key with these bytes: 32 random ones.
    #[must_use]
    pub fn new(bytes: &Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(encapsulation::PrivateKey::new(bytes))
    }

    /// The public half, for evidence.
    #[must_use]
    pub fn public_key(&self) -> [u8; KEY_BYTES] {
        self.0.public_key()
    }
}

/// Begins a request: its first bytes, what seals the rest, and what will open the reply.
///
/// # Errors
/// When the key is no key.
pub fn seal(
    to: &[u8; KEY_BYTES],
    chain_digest: &[u8; DIGEST_BYTES],
    now_ms: u64,
) -> Result<(Vec<u8>, Sealer, reply::Expected), Refused> {
    Ok(Encapsulated::new(to, chain_digest)?.seal(now_ms))
}

/// A key that is encapsulated for one request to come: the larger part of what sealing a small one takes, and
/// the part that needs neither the request nor its time.
pub struct Encapsulated {
    to: [u8; KEY_BYTES],
    chain_digest: [u8; DIGEST_BYTES],
    bytes: [u8; KEY_BYTES],
    context: Context,
}

impl Encapsulated {
    /// Encapsulates a new key to a gateway's public one.
    ///
    /// # Errors
    /// When that is no key.
    pub fn new(to: &[u8; KEY_BYTES], chain_digest: &[u8; DIGEST_BYTES]) -> Result<Self, Refused> {
        let (bytes, context) = Context::encapsulate(to, chain_digest)?;
        Ok(Self {
            to: *to,
            chain_digest: *chain_digest,
            bytes,
            context,
        })
    }

    /// Whether this key opens for that gateway and chain.
    #[must_use]
    pub fn is_for(&self, to: &[u8; KEY_BYTES], chain_digest: &[u8; DIGEST_BYTES]) -> bool {
        self.to == *to && self.chain_digest == *chain_digest
    }

    /// Begins the request, as [`seal`] does. One key seals one request.
    #[must_use]
    pub fn seal(self, now_ms: u64) -> (Vec<u8>, Sealer, reply::Expected) {
        let mut prefix = Vec::with_capacity(PREFIX_BYTES);
        prefix.extend_from_slice(TYPE_TAG);
        prefix.extend_from_slice(&self.bytes);
        prefix.extend_from_slice(&now_ms.to_le_bytes());
        let sealer = Sealer::new(&self.context.export(&purpose(now_ms)));
        (prefix, sealer, reply::Expected::new(self.context))
    }
}

/// What a request says of itself. Only a segment that opened makes it true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// What tells it from all others.
    pub encapsulated: [u8; KEY_BYTES],
    /// When it was made, in milliseconds since 1970.
    pub made_at_ms: u64,
}

/// A request that is being opened.
pub struct Opened {
    /// Which it is, and of when.
    pub claim: Claim,
    /// What opens the rest.
    pub segments: Opener,
    /// What seals the reply.
    pub reply: reply::Owed,
}

/// Reads the first bytes of a request. Nothing of it is authentic before its first segment was opened.
///
/// # Errors
/// When it is of another kind, or the key in it is none.
pub fn open(
    prefix: &[u8; PREFIX_BYTES],
    key: &PrivateKey,
    chain_digest: &[u8; DIGEST_BYTES],
) -> Result<Opened, Refused> {
    let rest = prefix.strip_prefix(TYPE_TAG).ok_or(Refused::Form)?;
    let (encapsulated, rest) = rest.split_first_chunk::<KEY_BYTES>().ok_or(Refused::Form)?;
    let made_at_ms = u64::from_le_bytes(*rest.first_chunk().ok_or(Refused::Form)?);
    let context = Context::decapsulate(encapsulated, &key.0, chain_digest)?;
    Ok(Opened {
        claim: Claim {
            encapsulated: *encapsulated,
            made_at_ms,
        },
        segments: Opener::new(&context.export(&purpose(made_at_ms))),
        reply: reply::Owed::new(context),
    })
}

fn purpose(made_at_ms: u64) -> [u8; PURPOSE.len() + 8] {
    let mut purpose = [0; PURPOSE.len() + 8];
    let (label, time) = purpose.split_at_mut(PURPOSE.len());
    label.copy_from_slice(PURPOSE);
    time.copy_from_slice(&made_at_ms.to_le_bytes());
    purpose
}
