//! How long to wait before the next attempt.

use hacher_data_path::attach::message::Begin;

/// How long to wait after so many attempts.
pub(super) fn backoff_ns(begin: &Begin, attempts: u32, jitter: &mut u64) -> u64 {
    let mut wait_ns = begin.limits.retry_backoff_ns.min(begin.limits.retry_max_ns);
    for _ in 1..attempts {
        if wait_ns >= begin.limits.retry_max_ns || wait_ns == 0 {
            break;
        }
        wait_ns =
            (wait_ns.saturating_mul(begin.limits.retry_factor_milli) / 1000).min(begin.limits.retry_max_ns);
    }
    if begin.limits.retry_jitter == 1 {
        wait_ns = wait_ns / 2 + next(jitter) % (wait_ns / 2 + 1);
    }
    wait_ns
}

/// Marsaglia's xorshift: spreads retries, nothing else.
const fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
