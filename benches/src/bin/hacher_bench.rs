//! `hacher-fabric`, whose `bench` also measures other projects' transports.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_benches::peers::dispatch().unwrap_or_else(hacher_fabric::main)
}
