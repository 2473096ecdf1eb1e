//! The command `hacher-gateway`, built for these tests so that they run what this tree holds.

use hacher_fabric::companion::Companion;

fn main() -> std::process::ExitCode {
    Companion::Gateway
        .version_asked()
        .unwrap_or_else(hacher_fabric::gateway::main)
}
