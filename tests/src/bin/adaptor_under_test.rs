//! The executable `hacher-adaptor`, built for these tests so that they run what this tree holds.

fn main() -> std::process::ExitCode {
    hacher_adaptor::main()
}
