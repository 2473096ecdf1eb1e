//! When a record is given up: why ([`cause`]), how its process ended ([`end`]), and what the gateway is told
//! ([`notice`]).

pub mod cause;
pub mod end;
pub mod notice;
pub mod signal;

pub use cause::{Cause, Described, limit};
pub use notice::{KeptBack, Notice, REASON_MAX_BYTES};
