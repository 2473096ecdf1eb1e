//! When a record is given up: why ([`cause`]), and how its process ended ([`end`]).

pub mod cause;
pub mod end;
mod signal;
