//! The daemon's bell. It is told of requests that begin: it watches handlers' timeouts while there are any in
//! flight, and a while longer ([`BELL_QUIET_NS`]), and sleeps otherwise.

use hacher_libos_net::attach::BELL_QUIET_NS;
use hacher_libos_net::clock::Monotonic;
use hacher_libos_net::doorbell::Doorbell;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// The bell, once the monitor has given it.
#[derive(Default)]
pub(super) struct DaemonBell {
    bell: RefCell<Option<Doorbell>>,
    /// Until then the daemon keeps watching, and is not rung.
    quiet_until: Cell<Option<Monotonic>>,
}

impl DaemonBell {
    /// Rings this bell from now on.
    pub(super) fn set(&self, bell: Doorbell) {
        *self.bell.borrow_mut() = Some(bell);
        self.quiet_until.set(None);
    }

    /// Notes that at `now` or before a chain that had no request in flight has one, which its page tells.
    pub(super) fn note_begun(&self, now: Monotonic) {
        if self.quiet_until.get().is_some_and(|until| now < until) {
            return;
        }
        if let Some(bell) = self.bell.borrow().as_ref() {
            self.quiet_until
                .set(Some(now.after(Duration::from_nanos(BELL_QUIET_NS))));
            bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_libos_net::doorbell::make;
    use rustix::fs::{OFlags, fcntl_setfl};

    #[test]
    fn the_daemon_is_rung_for_a_request_and_then_not_again_for_a_while() {
        let (own, ringing) = make().unwrap();
        fcntl_setfl(&own, OFlags::NONBLOCK).unwrap();
        let bell = DaemonBell::default();
        let rings_at = |now_ns| {
            bell.note_begun(Monotonic::from_ns(now_ns));
            rustix::io::read(&own, &mut [0_u8; 64]).is_ok()
        };
        assert!(!rings_at(1), "nobody is there");
        bell.set(Doorbell::new(ringing.try_clone().unwrap()));
        for (now_ns, rings, why) in [
            (2, true, "it was not rung before"),
            (3, false, "it watches"),
            (1 + BELL_QUIET_NS, false, "it still does"),
            (2 + BELL_QUIET_NS, true, "it may sleep"),
        ] {
            assert_eq!(rings_at(now_ns), rings, "{why}");
        }
        bell.set(Doorbell::new(ringing));
        assert!(rings_at(3 + BELL_QUIET_NS), "of another daemon nothing is known");
    }
}
