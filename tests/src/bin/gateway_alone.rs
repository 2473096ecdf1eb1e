//! The command `hacher-gateway`, built for these tests so that they run what this tree holds.

fn main() -> std::process::ExitCode {
    hacher_trustlet_host::version_asked("hacher-gateway").unwrap_or_else(hacher_gateway::main)
}
