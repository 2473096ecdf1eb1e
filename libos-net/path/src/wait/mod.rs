//! Waiting: how long to look before going to sleep, how to sleep without losing a wake-up, and who wakes
//! whom.
//!
//! Both sides of a hop wait here: a consumer for records, a producer for room.

pub(crate) mod ahead;
pub mod park;
pub(crate) mod patience;
pub(crate) mod rest;
pub mod waiting;
