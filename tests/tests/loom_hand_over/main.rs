//! Every interleaving, and every stale value that the memory model allows, of the two files that carry a
//! hand-over: `libos-net/path/src/region/ring.rs` and `libos-net/path/src/wait/park.rs`, compiled here
//! against loom's atomics.
//!
//! | file | ordering | weakened to | models that then fail |
//! |---|---|---|---|
//! | `ring.rs` | publish: store, `Release` | `Relaxed` | all but `no_starved_producer_is_forgotten` |
//! | `ring.rs` | peek: fence, `Acquire` | none | all but `no_starved_producer_is_forgotten` |
//! | `ring.rs` | release: store, `Release` | `Relaxed` | `no_reuse_before_release`, `no_honest_producer_is_corrupt` |
//! | `ring.rs` | released: fence, `Acquire` | none | `no_reuse_before_release`, `no_honest_producer_is_corrupt` |
//! | `park.rs` | announce: fence, `SeqCst` | fence, `AcqRel` | all of `wake_models` |
//! | `park.rs` | announce: fence, `SeqCst` | none | all of `wake_models` |
//! | `park.rs` | must_ring: fence, `SeqCst` | fence, `AcqRel` | all of `wake_models` |
//! | `park.rs` | must_ring: fence, `SeqCst` | none | all of `wake_models` |
//!
//! `caught.rs` runs every row, and says how each model fails. A row cannot be forgotten: the weakened copies
//! are made from the files themselves.
//!
//! What loom does not do, and what stands in for it:
//! - It never lets a load return a store that comes later in its own execution, so it cannot show a consumer
//!   the words of the *next* lap when `release` or `released` is weakened. Segments therefore carry a cell
//!   that fails the model when an access is not ordered with the next one; the words of a slot lie behind the
//!   same two orderings.
//! - A model that waits in a loop yields, and loom then returns no store that it returned before the yield
//!   and that has been overwritten: delays are finite, as on hardware.
//! - Models whose executions are too many are cut at a number of preemptions of a thread, given with each.
//!   The others are exhaustive.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod caught;
mod record_models;
mod sources;
mod wake_models;

/// What the two files import: here loom's atomics.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
}

#[allow(dead_code, unreachable_pub, reason = "the models need a part of each file")]
#[path = "../../../libos-net/path/src/region/ring.rs"]
mod ring;

#[allow(dead_code, unreachable_pub, reason = "the models need a part of each file")]
#[path = "../../../libos-net/path/src/wait/park.rs"]
mod park;
