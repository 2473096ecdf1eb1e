//! The monitor: calls, policy, keys, measurement and isolation of trustlets.

pub mod process;
