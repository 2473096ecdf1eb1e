//! The key that requests of a chain are sealed to, and which of them were opened lately: each opens once.
//!
//! The key is as old as this process, and so is what it remembers: what an earlier gateway opened was sealed
//! to another key.

use super::budget::{Account, Charge};
use hacher_libos_net::attach::Begin;
use hacher_libos_net::keys::SecretBytes;
use hacher_sealed_request::replay::{ENTRY_BYTES, Replays};
use hacher_sealed_request::request::{self, Claim, Opened, PREFIX_BYTES, PrivateKey};
use hacher_sealed_request::{DIGEST_BYTES, Refused};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// How old a request may be when its first segment comes: the chain's deadline, but no less than clocks that
/// are kept are apart and a busy network takes, and no more than can be remembered of many requests.
const WINDOW_MIN: Duration = Duration::from_secs(10);
const WINDOW_MAX: Duration = Duration::from_secs(60);

/// What opens the sealed requests of one chain.
pub(super) struct RequestKey {
    key: PrivateKey,
    chain_digest: [u8; DIGEST_BYTES],
    opened: RefCell<Remembered>,
}

/// Requests that were opened, and the memory that they take.
struct Remembered {
    replays: Replays,
    charge: Charge,
}

impl RequestKey {
    /// The key of the chain that begins so.
    pub(super) fn new(secret: &SecretBytes, begin: &Begin, account: &Rc<Account>) -> Self {
        let window = Duration::from_nanos(begin.deadline_ns).clamp(WINDOW_MIN, WINDOW_MAX);
        Self {
            key: PrivateKey::new(&Zeroizing::new(*secret.expose())),
            chain_digest: begin.chain_digest,
            opened: RefCell::new(Remembered {
                replays: Replays::new(u64::try_from(window.as_millis()).unwrap_or(u64::MAX)),
                charge: account.nothing(),
            }),
        }
    }

    /// Begins to open a request.
    pub(super) fn open(&self, prefix: &[u8; PREFIX_BYTES]) -> Result<Opened, Refused> {
        request::open(prefix, &self.key, &self.chain_digest)
    }

    /// Takes a request whose first segment was opened, for the first and last time, if there is room to
    /// remember it: what is remembered stays when its request is answered, so it may not take a reply's room.
    pub(super) fn admit(&self, claim: &Claim, has_room: impl FnOnce(u64) -> bool) -> Result<(), Refused> {
        if !has_room(ENTRY_BYTES as u64) {
            return Err(Refused::Full);
        }
        let mut opened = self.opened.borrow_mut();
        let Remembered { replays, charge } = &mut *opened;
        let admitted = replays.admit(claim, now_ms());
        charge.set(replays.held_bytes() as u64);
        admitted
    }
}

fn now_ms() -> u64 {
    // A clock that is before 1970 has no time that a client would say.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
