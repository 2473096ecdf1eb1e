//! The experiments, and the run that they share.

mod breakdown;
mod chain;
mod functions;
mod hop;
mod load;
mod run;
mod session;
mod throughput;

pub use breakdown::breakdown;
pub use chain::chain;
pub use functions::functions;
pub use hop::hop;
pub use load::load;
pub use run::{Effort, Guest, Run};
pub use session::session;
pub use throughput::throughput;
