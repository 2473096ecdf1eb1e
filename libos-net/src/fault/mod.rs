//! When a record is given up: why ([`Cause`]), and what the gateway is told ([`Notice`]).

pub(crate) mod notice;

pub use crate::sdk::failure::REASON_MAX_BYTES;
pub use hacher_data_path::fault::cause::{Cause, Described, limit};
pub use notice::{KeptBack, Notice};
