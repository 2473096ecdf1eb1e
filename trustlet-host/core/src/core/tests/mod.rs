//! The core under a simulated platform.

mod ahead;
mod awaited;
mod carriers;
mod digest;
mod driver;
mod evidence;
mod gateways;
mod images;
mod lifecycle;
mod mapped;
mod policy;
mod random;
