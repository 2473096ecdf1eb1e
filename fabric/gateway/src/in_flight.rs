//! Requests in flight, over all chains. The daemon is told of the first: it watches handlers' timeouts while
//! there are any, and a while longer ([`BELL_QUIET_NS`]), and sleeps otherwise.

use hacher_libos_net::attach::BELL_QUIET_NS;
use hacher_libos_net::clock::Monotonic;
use hacher_libos_net::doorbell::Doorbell;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Their number, and the daemon's bell.
#[derive(Default)]
pub(super) struct InFlight {
    count: Cell<u64>,
    bell: RefCell<Option<Doorbell>>,
    /// Until when whoever was rung watches, though nothing is in flight.
    quiet_until: Cell<Option<Monotonic>>,
}

impl InFlight {
    /// Rings this bell from now on.
    pub(super) fn set_bell(&self, bell: Doorbell) {
        *self.bell.borrow_mut() = Some(bell);
        self.quiet_until.set(None);
    }

    /// Notes that a request has begun. `clock` tells the time; the daemon finds the request in flight by
    /// then.
    pub(super) fn begin(&self, clock: impl FnOnce() -> Monotonic) {
        let before = self.count.get();
        self.count.set(before + 1);
        if before > 0 {
            return;
        }
        let now = clock();
        if self.quiet_until.get().is_some_and(|until| now < until) {
            return;
        }
        if let Some(bell) = self.bell.borrow().as_ref() {
            self.quiet_until
                .set(Some(now.after(Duration::from_nanos(BELL_QUIET_NS))));
            bell.ring();
        }
    }

    /// Notes that one has ended.
    pub(super) fn end(&self) {
        self.count.set(self.count.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_libos_net::doorbell::make;
    use rustix::fs::{OFlags, fcntl_setfl};

    #[test]
    fn the_daemon_is_rung_for_a_request_that_begins_alone_and_then_not_again_for_a_while() {
        let begins_at = |all: &InFlight, now_ns| all.begin(|| Monotonic::from_ns(now_ns));
        let (own, ringing) = make().unwrap();
        fcntl_setfl(&own, OFlags::NONBLOCK).unwrap();
        let has_rung = || rustix::io::read(&own, &mut [0_u8; 64]).is_ok();
        let all = InFlight::default();
        begins_at(&all, 1);
        all.end();
        all.set_bell(Doorbell::new(ringing.try_clone().unwrap()));
        for (now_ns, rings, why) in [
            (2, true, "it was not rung before"),
            (3, false, "it watches"),
            (1 + BELL_QUIET_NS, false, "it still does"),
            (2 + BELL_QUIET_NS, true, "it may sleep"),
        ] {
            begins_at(&all, now_ns);
            assert_eq!(has_rung(), rings, "{why}");
            begins_at(&all, now_ns + 10 * BELL_QUIET_NS);
            assert!(!has_rung(), "another is in flight");
            all.end();
            all.end();
        }
        all.set_bell(Doorbell::new(ringing));
        begins_at(&all, 3 + BELL_QUIET_NS);
        assert!(has_rung(), "of another daemon nothing is known");
    }
}
