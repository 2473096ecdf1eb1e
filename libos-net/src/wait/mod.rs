//! What processes sleep on.

pub mod doorbell;
