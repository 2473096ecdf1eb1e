//! The command `hacher-fabric`, of which every daemon was taken over.

use hacher_tests::taken_over;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os()
        .next()
        .is_some_and(|name| name == "hacher-daemon")
    {
        taken_over::haunt_daemon();
    }
    hacher_fabric::main()
}
