//! A sealed reply.
//!
//! ```text
//! 8 bytes    "hacherr1"
//! 16 bytes   random
//! segments   of the head, and behind it the body
//! ```
//!
//! The key of the segments is exported from the request's encapsulation, for "reply" and the sixteen bytes:
//! whoever opens it knows that it answers this request, and two replies to one request have two keys.

use crate::Refused;
use crate::encapsulation::{Context, SECRET_BYTES};
use crate::segments::{Opener, Sealer};
use zeroize::Zeroizing;

/// Starts every sealed reply of this version.
pub const TYPE_TAG: &[u8; 8] = b"hacherr1";
/// Bytes before the first segment.
pub const PREFIX_BYTES: usize = 24;
/// Random bytes in a reply.
pub const SALT_BYTES: usize = 16;
const PURPOSE: &[u8; 5] = b"reply";

/// The reply that a request's sender waits for.
pub struct Expected(Context);

impl Expected {
    pub(crate) const fn new(context: Context) -> Self {
        Self(context)
    }

    /// Reads the first bytes of the reply.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn open(self, prefix: &[u8; PREFIX_BYTES]) -> Result<Opener, Refused> {
        let rest = prefix.strip_prefix(TYPE_TAG).ok_or(Refused::Form)?;
        let salt = rest.first_chunk::<SALT_BYTES>().ok_or(Refused::Form)?;
        Ok(Opener::new(&secret(&self.0, salt)))
    }
}

/// The reply that a request's opener owes.
pub struct Owed(Context);

impl Owed {
    pub(crate) const fn new(context: Context) -> Self {
        Self(context)
    }

    /// Begins the reply: its first bytes, and what seals the rest. `salt` is random.
    #[must_use]
    pub fn seal(self, salt: &[u8; SALT_BYTES]) -> (Vec<u8>, Sealer) {
        let mut prefix = Vec::with_capacity(PREFIX_BYTES);
        prefix.extend_from_slice(TYPE_TAG);
        prefix.extend_from_slice(salt);
        (prefix, Sealer::new(&secret(&self.0, salt)))
    }
}

fn secret(context: &Context, salt: &[u8; SALT_BYTES]) -> Zeroizing<[u8; SECRET_BYTES]> {
    let mut purpose = [0; PURPOSE.len() + SALT_BYTES];
    let (label, random) = purpose.split_at_mut(PURPOSE.len());
    label.copy_from_slice(PURPOSE);
    random.copy_from_slice(salt);
    context.export(&purpose)
}
