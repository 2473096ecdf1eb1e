//! The command `hacher-gateway`. `hacher-fabric serve` puts it in the gateway's place where it lies beside.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_trustlet_host::version_asked("hacher-gateway").unwrap_or_else(hacher_gateway::main)
}
