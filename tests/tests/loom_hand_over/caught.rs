//! The models can fail: each ordering of the two files, weakened, makes at least one of them fail.
//!
//! `build.rs` writes the weakened copies. This table and the tests below are the same list; a site or a
//! weakening that is missing from it fails [`every_ordering_of_the_two_files_is_in_the_table`].

use crate::record_models::{no_honest_producer_is_corrupt, no_read_before_publish, no_reuse_before_release};
use crate::sources::{Model, sources};
use crate::wake_models::{
    neither_end_is_forgotten, no_half_of_a_join_is_forgotten, no_sleeping_consumer_is_forgotten,
    no_starved_producer_is_forgotten, one_fence_serves_two_sleepers,
};
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

#[allow(dead_code, unreachable_pub, reason = "the models need a part of each copy")]
mod weakened {
    include!(concat!(env!("OUT_DIR"), "/weakened.rs"));
}

/// What loom says when a thread sleeps for ever.
const DEADLOCK: &str = "deadlock";
/// What loom says when two accesses to a segment are not ordered.
const RACE: &str = "Causality violation";
/// What the models say when a descriptor is older than its stamp.
const STALE_WORDS: &str = "stale words";
/// What the models say when a segment is older than its descriptor.
const STALE_SEGMENT: &str = "stale segment";

/// Makes one test of each weakening, and the list of them.
macro_rules! caught {
    ($($weakening:ident: $($model:ident says $symptom:ident),+;)+) => {
        $(
            #[test]
            fn $weakening() {
                sources!(Weakened, crate::caught::weakened::$weakening);
                $(assert_fails(stringify!($model), $model::<Weakened>(), $symptom);)+
            }
        )+

        const TABLE: &[&str] = &[$(stringify!($weakening)),+];
    };
}

caught! {
    publish_relaxed:
        no_read_before_publish says STALE_SEGMENT,
        no_reuse_before_release says RACE,
        no_honest_producer_is_corrupt says RACE,
        no_sleeping_consumer_is_forgotten says STALE_WORDS,
        neither_end_is_forgotten says STALE_WORDS,
        one_fence_serves_two_sleepers says STALE_WORDS,
        no_half_of_a_join_is_forgotten says STALE_WORDS;
    peek_removed:
        no_read_before_publish says STALE_SEGMENT,
        no_reuse_before_release says RACE,
        no_honest_producer_is_corrupt says RACE,
        no_sleeping_consumer_is_forgotten says STALE_WORDS,
        neither_end_is_forgotten says STALE_WORDS,
        one_fence_serves_two_sleepers says STALE_WORDS,
        no_half_of_a_join_is_forgotten says STALE_WORDS;
    release_relaxed:
        no_reuse_before_release says RACE,
        no_honest_producer_is_corrupt says RACE;
    released_removed:
        no_reuse_before_release says RACE,
        no_honest_producer_is_corrupt says RACE;
    announce_acq_rel:
        no_sleeping_consumer_is_forgotten says DEADLOCK,
        no_starved_producer_is_forgotten says DEADLOCK,
        neither_end_is_forgotten says DEADLOCK,
        one_fence_serves_two_sleepers says DEADLOCK,
        no_half_of_a_join_is_forgotten says DEADLOCK;
    announce_removed:
        no_sleeping_consumer_is_forgotten says DEADLOCK,
        no_starved_producer_is_forgotten says DEADLOCK,
        neither_end_is_forgotten says DEADLOCK,
        one_fence_serves_two_sleepers says DEADLOCK,
        no_half_of_a_join_is_forgotten says DEADLOCK;
    must_ring_acq_rel:
        no_sleeping_consumer_is_forgotten says DEADLOCK,
        no_starved_producer_is_forgotten says DEADLOCK,
        neither_end_is_forgotten says DEADLOCK,
        one_fence_serves_two_sleepers says DEADLOCK,
        no_half_of_a_join_is_forgotten says DEADLOCK;
    must_ring_removed:
        no_sleeping_consumer_is_forgotten says DEADLOCK,
        no_starved_producer_is_forgotten says DEADLOCK,
        neither_end_is_forgotten says DEADLOCK,
        one_fence_serves_two_sleepers says DEADLOCK,
        no_half_of_a_join_is_forgotten says DEADLOCK;
}

#[test]
fn every_ordering_of_the_two_files_is_in_the_table() {
    assert_eq!(weakened::NAMES, TABLE);
}

/// Runs a model that must fail, and in the way that the weakening explains.
fn assert_fails(name: &str, model: Model, symptom: &str) {
    let Err(payload) = quietly(|| panic::catch_unwind(AssertUnwindSafe(|| model.check()))) else {
        panic!("{name} holds for a weakened ordering");
    };
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or_default();
    assert!(
        message.contains(symptom),
        "{name} fails in another way: {message}"
    );
}

/// Runs `f` without a word about panics on this thread, which are what these tests ask for.
fn quietly<T>(f: impl FnOnce() -> T) -> T {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let outer = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                outer(info);
            }
        }));
    });
    QUIET.set(true);
    let result = f();
    QUIET.set(false);
    result
}
