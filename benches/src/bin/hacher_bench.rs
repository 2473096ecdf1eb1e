//! The command `hacher-bench`, and the processes that it measures.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_benches::role::played().unwrap_or_else(hacher_benches::command::main)
}
