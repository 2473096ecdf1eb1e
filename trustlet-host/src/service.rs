//! The monitor's event loop: the process that `hacher-fabric serve` becomes. It moves messages between
//! sockets and the core, starts and reaps processes, and sleeps otherwise. One thread; nothing here parses
//! text.

mod children;
mod collector;
mod config;
mod console;
mod conversation;
mod daemon;
mod daemon_life;
mod deaths;
mod drain;
mod error;
mod executable;
mod exit_code;
mod manager;
mod renewal;
mod run;
mod start;
mod state;
mod stop;
mod token;
mod trustlets;

pub use children::LOADER_TERMINAL;
pub use collector::Collector;
pub use config::{FabricProgram, MonitorConfig};
pub use drain::DrainTimes;
pub use error::ServiceError;
pub use executable::main;
pub use exit_code::{EXIT_CANNOT_START, EXIT_CUT};
pub use manager::daemon_beat;
pub use run::run;
