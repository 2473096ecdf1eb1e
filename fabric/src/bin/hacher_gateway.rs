//! The command `hacher-gateway`: the gateway, and nothing that reads a chain file. `hacher-fabric serve` puts
//! it in place where it lies beside.

use hacher_fabric::companion::Companion;
use std::process::ExitCode;

fn main() -> ExitCode {
    Companion::Gateway
        .version_asked()
        .unwrap_or_else(hacher_fabric::gateway::main)
}
