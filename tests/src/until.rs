//! Waiting for what a service does in its own time.

use std::time::{Duration, Instant};

/// To detect what never comes.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `condition` holds.
///
/// # Panics
/// If that never comes: with `what` it is.
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    until_or_say(what, condition, String::new);
}

/// Waits until `condition` holds.
///
/// # Panics
/// If that never comes: with `what` it is, and what `there_is` instead.
pub fn until_or_say(what: &str, mut condition: impl FnMut() -> bool, there_is: impl Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(
            Instant::now() < end,
            "not within {PATIENCE:?}: {what}\n{}",
            there_is()
        );
        std::thread::sleep(LOOK_EVERY);
    }
}
