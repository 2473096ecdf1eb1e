//! The core under a simulated platform.

mod digest;
mod driver;
mod lifecycle;
mod mapped;
mod policy;
mod random;
