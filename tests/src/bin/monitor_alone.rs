//! The command `hacher-monitor`, built for these tests so that they run what this tree holds.

fn main() -> std::process::ExitCode {
    hacher_trustlet_host::service::main()
}
