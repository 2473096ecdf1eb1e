//! The command `hacher-fabric`, and the processes of its tree: the same file started under another name.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_fabric::main()
}
