//! The executable `hacher-adaptor`.

fn main() -> std::process::ExitCode {
    hacher_adaptor::main()
}
