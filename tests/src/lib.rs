//! Tests that need more than one crate, or a crate's sources. Everything is in `tests/`.
