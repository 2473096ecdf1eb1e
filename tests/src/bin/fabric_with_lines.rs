//! The command `hacher-fabric` with its debug information, for tests of `tcb`.

fn main() -> std::process::ExitCode {
    hacher_fabric::main()
}
