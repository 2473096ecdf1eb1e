//! When a record is given up: why ([`cause`]), how its process ended ([`end`]), and what the gateway is told
//! ([`notice`]).

pub mod notice;

pub use crate::sdk::failure::REASON_MAX_BYTES;
pub use hacher_data_path::fault::cause::{Cause, Described, limit};
pub use hacher_data_path::fault::{cause, end, signal};
pub use notice::{KeptBack, Notice};
