//! `hacher-fabric`, whose `bench` also measures other projects' transports.

use hacher_benches::peers::{dispatch, guests};
use std::process::ExitCode;

fn main() -> ExitCode {
    dispatch().unwrap_or_else(|| hacher_fabric::main_with(guests()))
}
