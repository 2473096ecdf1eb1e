//! The command `hacher-monitor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hacher_trustlet_host::service::main()
}
