//! What the fabric itself needs of a function's memory: it comes on top of what the function's author asked
//! for, so that `memory` is the author's alone.
//!
//! A limit on private memory counts what a process may write to, whether it has or not: the whole stack of a
//! thread from the moment that it starts. So the sums here are bounds, and most of them are never backed.

/// The stack of a thread, as Rust's standard library makes it, with the signal stack and the heap that come
/// with each.
pub const THREAD_BYTES: u64 = (2 << 20) + (384 << 10);
/// A program that serves and does nothing yet: data of its executable and libraries, the first heap, rings,
/// cursors, headers.
const RUNTIME_BYTES: u64 = 12 << 20;
/// What stands before the body of a record.
const HEADERS_MAX_BYTES: u64 = 64 << 10;
/// A part of a join that has not come, with its place in the table.
const EMPTY_PART_BYTES: u64 = 320;

/// Bytes kept in all bundles, so that many middling records do not stay in memory either: two sets of sixteen
/// parts of 1 MiB.
pub const POOL_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of parts that wait for others. Beyond this a part's opened bytes are given up: its record stays
/// sealed where its producer holds it until it is released, and is opened again when no other is missing. So
/// whatever its producers send, a join holds no more than this and the one input that it runs on, and still
/// takes every record off its ring: nothing waits for memory, so nothing can wait in a circle.
pub const HELD_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Most joins that wait at a time in a chain that has this many requests in flight at most. Twice as many,
/// because a part of a request that is over may be noticed late; and some, so that this holds for one request
/// too.
#[must_use]
pub const fn pending_max(in_flight: u32) -> u64 {
    2 * in_flight as u64 + 64
}

/// What decides how much it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Threads that the function may have.
    pub threads: u32,
    /// Records that it waits for before it runs: of its ways in, the one with most.
    pub parts: u32,
    /// Records that it may make at once, one on each of its ports.
    pub ports: u32,
    /// Bytes of the largest record, as far as it is accounted for.
    pub record_bytes: u64,
    /// Requests that its chain has under way at most.
    pub in_flight: u32,
}

/// Bytes of private memory that the fabric needs in a process of this shape.
#[must_use]
pub fn fabric_bytes(shape: Shape) -> u64 {
    let stacks = u64::from(shape.threads.saturating_sub(1)) * THREAD_BYTES;
    // A buffer that grows holds up to twice what it was filled with.
    let record = shape
        .record_bytes
        .saturating_add(HEADERS_MAX_BYTES)
        .saturating_mul(2);
    let records = u64::from(shape.parts.max(1)) + u64::from(shape.ports.max(1));
    let pool = POOL_MAX_BYTES as u64;
    let joins = if shape.parts > 1 {
        let parts = pending_max(shape.in_flight).saturating_mul(u64::from(shape.parts));
        parts
            .saturating_mul(EMPTY_PART_BYTES)
            .saturating_add(HELD_MAX_BYTES as u64)
    } else {
        0
    };
    [RUNTIME_BYTES, stacks, pool, joins, record.saturating_mul(records)]
        .into_iter()
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Shape = Shape {
        threads: 1,
        parts: 1,
        ports: 1,
        record_bytes: 1 << 20,
        in_flight: 128,
    };

    #[test]
    fn every_thread_that_is_allowed_has_its_stack_on_top() {
        let more = Shape { threads: 17, ..SMALL };
        assert_eq!(fabric_bytes(more) - fabric_bytes(SMALL), 16 * THREAD_BYTES);
    }

    #[test]
    fn a_join_has_room_for_all_parts_of_one_input_and_a_share_of_those_that_wait() {
        let join = Shape { parts: 4, ..SMALL };
        let more = fabric_bytes(join) - fabric_bytes(SMALL);
        assert!(more >= 3 * (2 << 20) + HELD_MAX_BYTES as u64, "{more}");
        // It does not grow with the requests that wait, but by the table of them.
        let busy = Shape {
            in_flight: 1280,
            ..join
        };
        assert!(fabric_bytes(busy) - fabric_bytes(join) < 4 << 20);
    }

    #[test]
    fn nothing_overflows() {
        let all = Shape {
            threads: u32::MAX,
            parts: u32::MAX,
            ports: u32::MAX,
            record_bytes: u64::MAX / 4,
            in_flight: u32::MAX,
        };
        assert!(fabric_bytes(all) > fabric_bytes(SMALL));
    }
}
