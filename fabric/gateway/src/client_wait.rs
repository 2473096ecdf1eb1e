//! How long a client is waited for that sends a body: the time counts in which the gateway wants more of it,
//! and no other. How slow a function is, or how much others send, is not the client's doing.

use super::problem::Problem;
use super::request_body::{CutShort, RequestBody, too_slow};
use super::turn::BodyTurn;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Within so much time that a client is waited for, at least so much of its body arrives.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
const WINDOW_MIN_BYTES: u64 = 10 << 10;

/// How long a client was waited for in this window, and what it had sent before.
pub(super) struct ClientWait {
    waited: Duration,
    received_before: u64,
}

impl ClientWait {
    /// Of a body from here on.
    pub(super) fn of(body: &RequestBody) -> Self {
        Self {
            waited: Duration::ZERO,
            received_before: body.received_bytes(),
        }
    }

    /// Waits for the next bytes of a body, until `until` says, which may change meanwhile; `None` at its end.
    ///
    /// # Errors
    /// The time is up, or the client is too slow.
    pub(super) async fn next(
        &mut self,
        body: &mut RequestBody,
        turn: &BodyTurn,
        until: impl Fn() -> Instant,
    ) -> Result<Option<Result<Bytes, CutShort>>, Problem> {
        let _awaited = turn.awaits();
        loop {
            let begun = Instant::now();
            let window_end = begun + WINDOW.saturating_sub(self.waited);
            let next = timeout_at(until().min(window_end), body.next()).await;
            self.waited += begun.elapsed();
            if let Ok(None) = next {
                return Ok(None);
            }
            if self.waited >= WINDOW {
                let received = body.received_bytes();
                if received - self.received_before < WINDOW_MIN_BYTES {
                    return Err(too_slow());
                }
                (self.waited, self.received_before) = (Duration::ZERO, received);
            }
            match next {
                Ok(next) => return Ok(next),
                Err(_) if Instant::now() >= until() => return Err(too_slow()),
                Err(_) => {}
            }
        }
    }
}
