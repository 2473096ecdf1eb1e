//! The daemon: the unprivileged process that starts trustlets, replaces those that die or overrun, forwards
//! the logs that a chain file allows, and answers operators. It sees tables and telemetry; never plaintext,
//! never a key. When it is killed, records keep flowing; its successor reads the monitor's tables and goes
//! on.

mod admin;
mod announcement;
mod filter;
mod history;
pub mod hostile;
mod life;
mod logs;
mod memory;
mod metrics;
mod read;
mod readiness;
mod refused;
pub mod settings;
mod start;
mod status;
mod supervise;
mod tables;
mod traces;

pub use supervise::main;
